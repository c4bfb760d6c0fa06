"""The streams: Server-Sent Events of one auction, or of several over one connection.

Rule: an EventSource gives up for ever on any status but 200. So a stream that cannot be had now answers 200, a long
`retry:`, `event: busy`, and ends. A request that can never work (a guid that names nothing) is refused, and an ending
that the viewer has seen is answered 204.

Two paths deliver: on our own server the connection is handed over to a `DirectStream`; on any other ASGI server an
`EventSourceResponse` is fed by the subscriber's queue. Both obey the hub's rules, and the same tests hold both.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from typing import NamedTuple, cast

from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_auction.auction.version import Version
from sse_auction.delivery.direct import EXTENSION, DirectStream, ReleasableConnection
from sse_auction.delivery.events import busy_event, retry_field
from sse_auction.delivery.hub import RECONNECT_AFTER_MS, BusyReason
from sse_auction.delivery.subscriber import QueuedSubscriber
from sse_auction.logs import current_request
from sse_auction.metrics import STREAMS_REFUSED
from sse_auction.service import Service
from sse_auction.web.endpoint import request_id_header
from sse_auction.web.problems import Problem
from sse_auction.web.requests import checked_guid, guid_of, query_of, service_of

MAX_AUCTIONS_PER_STREAM = 50
RECONNECT_WHEN_BUSY_MS = (5_000, 15_000)

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-transform",  # no proxy may compress it: compression holds bytes back
    "x-accel-buffering": "no",  # nginx buffers otherwise
}

RAW_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

# At shutdown sse-starlette would end all streams at once; the hub ends them spread out.
AppStatus.enable_automatic_graceful_drain = False


class Watched(NamedTuple):
    """What a request asks for: auctions, and what its viewer has seen of the only one."""

    guids: list[str]
    seen: Version | None
    multi: bool


def one_auction(request: Request) -> Watched:
    """The auction in the path, from where the viewer was."""
    return Watched([guid_of(request)], Version.of_tag(_last_event_id(request)), multi=False)


def several_auctions(request: Request) -> Watched:
    """The auctions in the query, 1 to 50."""
    return Watched(guids_of(request), None, multi=True)


def guids_of(request: Request) -> list[str]:
    """The auctions that `guid=` names, each once. Raises: `Problem` unless it names 1 to 50."""
    guids = list(dict.fromkeys(map(checked_guid, request.query_params.getlist("guid"))))
    if not 1 <= len(guids) <= MAX_AUCTIONS_PER_STREAM:
        raise Problem("invalid", f"{len(guids)} auctions named; guid=… must be given 1 to 50 times")
    return guids


def _last_event_id(request: Request) -> str:
    query = query_of(request)
    return request.headers.get("last-event-id") or query.get("last_event_id") or query.get("lastEventId") or ""


class StreamEndpoint:
    """An ASGI application: watches the auctions that `asked` finds in a request, for as long as its client stays."""

    def __init__(self, asked: Callable[[Request], Watched]) -> None:
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = request_id_header(scope)
        request = Request(scope)
        service = service_of(request)
        watched = self._asked(request)
        transport = scope.get("extensions", {}).get(EXTENSION)
        answer: Response | None
        if (reason := service.hub.busy_reason) is not None:
            answer = busy_response(service, reason)
        elif transport is not None and scope["method"] == "GET":
            answer = await _stream_directly(service, watched, transport, send, header)
        else:
            answer = await _stream_portably(service, watched, scope, receive, send, header)
        if answer is not None:
            answer.raw_headers.append(header)
            await answer(scope, receive, send)


async def _stream_directly(
    service: Service, watched: Watched, transport: asyncio.Transport, send: Send, header: tuple[bytes, bytes]
) -> Response | None:
    """Hand the connection over to the hub; what to answer where that cannot be."""
    hub = service.hub
    stream = DirectStream(hub, current_request())
    hub.enter(stream, watched.guids, watched.seen, multi=watched.multi)
    with ExitStack() as until_handed_over:
        until_handed_over.callback(hub.leave, stream)
        if answer := await _answer_instead(service, watched):
            return answer
        connection = cast(ReleasableConnection | None, transport.get_protocol())
        if connection is None:
            return None  # the client left while the first state was waited for
        connection.end_body_with_connection()
        await send({"type": "http.response.start", "status": 200, "headers": [*RAW_HEADERS, header]})
        if not transport.is_closing():
            until_handed_over.pop_all()
            connection.hand_over(stream)
    return None


async def _stream_portably(
    service: Service, watched: Watched, scope: Scope, receive: Receive, send: Send, header: tuple[bytes, bytes]
) -> Response | None:
    """Stream from the subscriber's queue; what to answer where that cannot be."""
    subscribed = service.hub.subscribe(watched.guids, watched.seen, multi=watched.multi, request=current_request())
    with subscribed as subscriber:
        if answer := await _answer_instead(service, watched):
            return answer
        await send_events(subscriber, subscriber, HEADERS, scope, receive, send, header)
    return None


async def send_events(
    subscriber: QueuedSubscriber,
    events: AsyncIterator[bytes],
    headers: Mapping[str, str],
    scope: Scope,
    receive: Receive,
    send: Send,
    header: tuple[bytes, bytes],
) -> None:
    """Send events, made of what a subscriber gets, until they end, the client leaves, or the hub aborts it."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as deadline:
            subscriber.on_abort = partial(deadline.reschedule, 0)  # a moment that is past: at once
            response = EventSourceResponse(events, headers=headers, media_type="text/event-stream", ping=0)
            response.raw_headers.append(header)
            await response(scope, receive, send)


async def _answer_instead(service: Service, watched: Watched) -> Response | None:
    """What to send instead of a stream, if anything."""
    if watched.multi:
        return None
    (guid,) = watched.guids
    update = await service.hub.first_state(guid, service.settings.store_timeout_seconds)
    if update is None:
        return busy_response(service, "store_unavailable")
    if update.is_final and update.seen == watched.seen:
        return Response(status_code=204)
    return None


def busy_response(service: Service, reason: BusyReason) -> Response:
    """A stream that ends at once and says when to come back."""
    STREAMS_REFUSED.labels(reason).inc()
    window_ms = RECONNECT_AFTER_MS["draining"] if reason == "draining" else RECONNECT_WHEN_BUSY_MS
    body = retry_field(*window_ms) + busy_event(service.now(), reason)
    return Response(body, headers=HEADERS)
