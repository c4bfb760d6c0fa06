"""The streams: Server-Sent Events of one auction, or of several over one connection.

Rule: an EventSource gives up for ever on any status but 200. So a stream that cannot be had now answers 200, a long
`retry:`, `event: busy`, and ends; only a request that can never work (a guid that names nothing) is refused, and
only an ending that the viewer has seen is answered 204.

Two paths deliver: on our own server the connection is handed over to a `DirectStream`; on any other ASGI server an
`EventSourceResponse` is fed by the subscriber's queue. Both obey the hub's rules, and the same tests hold both.
"""

import asyncio
from contextlib import ExitStack, suppress
from functools import partial
from typing import cast

from sse_starlette.sse import AppStatus, EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_auction.auction.version import Version
from sse_auction.delivery.direct import EXTENSION, DirectStream, ReleasableConnection
from sse_auction.delivery.events import busy_event, retry_field
from sse_auction.delivery.hub import RECONNECT_AFTER_DRAIN_MS, BusyReason
from sse_auction.logs import current_request
from sse_auction.metrics import STREAMS_REFUSED
from sse_auction.service import Service
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


async def stream(request: Request) -> Response:
    """The stream of one auction."""
    seen = Version.of_tag(_last_event_id(request))
    return WatchResponse(service_of(request), [guid_of(request)], seen, many=False)


async def stream_many(request: Request) -> Response:
    """The stream of up to 50 auctions over one connection."""
    guids = list(dict.fromkeys(map(checked_guid, request.query_params.getlist("guid"))))
    if not 1 <= len(guids) <= MAX_AUCTIONS_PER_STREAM:
        raise Problem("invalid", f"{len(guids)} auctions named; guid=… must be given 1 to 50 times")
    return WatchResponse(service_of(request), guids, None, many=True)


def _last_event_id(request: Request) -> str:
    query = query_of(request)
    return request.headers.get("last-event-id") or query.get("last_event_id") or query.get("lastEventId") or ""


class WatchResponse(Response):
    """Subscribes for as long as it is sent, and decides by the first state what to send."""

    def __init__(self, service: Service, guids: list[str], seen: Version | None, *, many: bool) -> None:
        self._service = service
        self._hub = service.hub
        self._guids = guids
        self._seen = seen
        self._many = many
        self._request = current_request()
        self.raw_headers = []  # of whatever it turns out to be

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope.get("extensions", {}).get(EXTENSION)
        if self._hub.busy_reason is not None:
            await self._send(self._busy(self._hub.busy_reason), scope, receive, send)
        elif transport is not None and scope["method"] == "GET":
            await self._send_directly(transport, scope, receive, send)
        else:
            await self._send_portably(scope, receive, send)

    async def _send_directly(self, transport: asyncio.Transport, scope: Scope, receive: Receive, send: Send) -> None:
        stream = DirectStream(self._hub, self._request)
        self._hub.enter(stream, self._guids, self._seen, many=self._many)
        with ExitStack() as until_handed_over:
            until_handed_over.callback(self._hub.leave, stream)
            if other := await self._other_response():
                await self._send(other, scope, receive, send)
                return
            connection = cast(ReleasableConnection | None, transport.get_protocol())
            if connection is None:
                return  # the viewer left while the first state was waited for
            connection.end_body_with_connection()
            await send({"type": "http.response.start", "status": 200, "headers": RAW_HEADERS + self.raw_headers})
            if not transport.is_closing():
                until_handed_over.pop_all()
                connection.hand_over(stream)

    async def _send_portably(self, scope: Scope, receive: Receive, send: Send) -> None:
        subscribed = self._hub.subscribe(self._guids, self._seen, many=self._many, request=self._request)
        with subscribed as subscriber, suppress(TimeoutError):
            async with asyncio.timeout(None) as patience:
                subscriber.cut_by = partial(patience.reschedule, 0)  # a time that is past: at once
                response = await self._other_response() or EventSourceResponse(
                    subscriber, headers=HEADERS, media_type="text/event-stream", ping=0
                )
                await self._send(response, scope, receive, send)

    async def _send(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        response.raw_headers.extend(self.raw_headers)
        await response(scope, receive, send)

    async def _other_response(self) -> Response | None:
        """What to send instead of a stream, if anything."""
        if self._many:
            return None
        (guid,) = self._guids
        update = await self._hub.first_state(guid, self._service.settings.store_timeout_seconds)
        if update is None:
            return self._busy("store_unavailable")
        if update.is_final and update.seen == self._seen:
            return Response(status_code=204)
        return None

    def _busy(self, reason: BusyReason) -> Response:
        return busy_response(self._service, reason)


def busy_response(service: Service, reason: BusyReason) -> Response:
    """A stream that ends at once and says when to come back."""
    STREAMS_REFUSED.labels(reason).inc()
    window_ms = RECONNECT_AFTER_DRAIN_MS if reason == "draining" else RECONNECT_WHEN_BUSY_MS
    body = retry_field(*window_ms) + busy_event(service.now(), reason)
    return Response(body, headers=HEADERS)
