"""A bidder's own stream: how he stands in the auctions that he names, told to him alone.

The token comes in the `Authorization` header and nowhere else: an address, with a token in it, would be kept by every
proxy on the way. An `EventSource` cannot send headers; `fetch` can, and reads a stream as well.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_auction.auction import State
from sse_auction.link import StoreError
from sse_auction.logs import current_request
from sse_auction.subscriber import HEARTBEAT, RETRY, Item, QueuedSubscriber
from sse_auction.web.problems import Problem
from sse_auction.web.requests import Service, admit, checked_guid, identity_of, service_of
from sse_auction.web.streams import HEADERS, MOST_AUCTIONS_PER_STREAM, busy_response
from sse_auction.wire import StandingEvent, encode

ASK_AGAIN_SECONDS = 0.5  # after the store did not say how he stands


async def standings(request: Request) -> Response:
    """The stream of the bearer's standing in up to 50 auctions."""
    bidder = identity_of(request)
    guids = list(dict.fromkeys(map(checked_guid, request.query_params.getlist("guid"))))
    if not 1 <= len(guids) <= MOST_AUCTIONS_PER_STREAM:
        raise Problem("invalid", f"{len(guids)} auctions named; guid=… must be given 1 to 50 times")
    for guid in guids:
        admit(bidder, guid)
    service = service_of(request)
    if service.hub.busy_reason is not None:
        return busy_response(service, service.hub.busy_reason)
    return StandingsResponse(service, bidder.subject, guids)


class StandingsResponse(Response):
    """Watches auctions as long as it is sent, and sends what they mean to one bidder, when that changes."""

    def __init__(self, service: Service, bidder: str, guids: list[str]) -> None:
        self._service = service
        self._bidder = bidder
        self._guids = guids
        self._paddles: dict[str, int] = {}
        self._told: dict[str, str] = {}  # by guid, the standing that he knows
        self._unclear: dict[str, None] = {}  # auctions in which it must be found out how he stands
        self._store_failed = False
        self.raw_headers = []  # besides the usual ones

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with (
            self._service.hub.subscribe(self._guids, many=True, request=current_request()) as subscriber,
            suppress(TimeoutError),
        ):
            async with asyncio.timeout(None) as patience:
                subscriber.cut_by = partial(patience.reschedule, 0)
                events = self._events(subscriber)
                headers = {**HEADERS, "cache-control": "no-store, no-transform"}
                response = EventSourceResponse(events, headers=headers, media_type="text/event-stream", ping=0)
                response.raw_headers.extend(self.raw_headers)
                await response(scope, receive, send)

    async def _events(self, subscriber: QueuedSubscriber) -> AsyncIterator[bytes]:
        """What is said to every viewer, at once; and what news of his auctions means to him, as soon as it is known."""
        subscriber.offer(HEARTBEAT, self._service.hub.heartbeat())  # he gets no states, and it may be long before a bid
        while items := await self._next_items(subscriber):
            if line := b"".join(item.data for item in items if item.slot in (RETRY, HEARTBEAT)):
                yield line
            self._unclear |= dict.fromkeys(item.slot for item in items if item.slot in self._guids)
            if news := b"".join(await asyncio.gather(*map(self._news, self._unclear))):
                yield news

    async def _next_items(self, subscriber: QueuedSubscriber) -> list[Item]:
        """What comes next; where the store could not be asked, something soon, maybe a heartbeat."""
        if self._store_failed:
            self._store_failed = False
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_AGAIN_SECONDS):
                    return await subscriber.take()
            subscriber.offer(HEARTBEAT, self._service.hub.heartbeat())
        return await subscriber.take()

    async def _news(self, guid: str) -> bytes:
        """The event that says how he stands in an auction, if he does not know."""
        update = self._service.hub.state_of(guid)
        if update is None:
            return b""  # what comes when prices are live again, or when time has changed the state, asks again
        if guid not in self._paddles:
            try:
                paddle = await self._service.store.paddle(guid, self._bidder)
                if paddle is not None:
                    self._paddles[guid] = paddle
                    update = await self._service.store.update(guid)  # the hub's may be of before the bid that gave it
            except StoreError:
                self._store_failed = True
                return b""
        self._unclear.pop(guid, None)
        return self._tell(update.state, self._paddles[guid]) if guid in self._paddles else b""

    def _tell(self, state: State, paddle: int) -> bytes:
        standing = standing_of(state, paddle)
        if self._told.get(state.guid) == standing:
            return b""
        self._told[state.guid] = standing
        now = self._service.now()
        event = StandingEvent(state.guid, standing, paddle, state.price, state.next_bid, state.rev, now)
        return b"event: standing\ndata: %b\n\n" % encode(event)


def standing_of(state: State, paddle: int) -> str:
    """`leading`, `outbid`, and at the end `winning` or `lost`."""
    leads = state.leader == paddle
    if not state.is_final:
        return "leading" if leads else "outbid"
    return "winning" if leads and state.outcome in ("sold", "bought_now") else "lost"
