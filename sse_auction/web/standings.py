"""How a bidder stands in the auctions that he names, told to him alone: on his own stream, or once.

The token comes in the `Authorization` header and nowhere else: an address, with a token in it, would be kept by every
proxy on the way. An `EventSource` cannot send headers; `fetch` can, and reads a stream as well.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Literal

from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_auction.auction.state import State
from sse_auction.delivery.subscriber import HEARTBEAT, RETRY, Item, QueuedSubscriber
from sse_auction.logs import current_request
from sse_auction.store.bid_log import Participant
from sse_auction.store.connection import StoreError
from sse_auction.web.auctions import json_reply
from sse_auction.web.problems import Problem
from sse_auction.web.requests import AppState, admit, app_state_of, checked_guid, identity_of, service_of
from sse_auction.web.streams import HEADERS, MAX_AUCTIONS_PER_STREAM, busy_response
from sse_auction.wire.replies import StandingEvent, StandingsReply, encode

ASK_AGAIN_SECONDS = 0.5  # after the store did not say how he stands


async def standings(request: Request) -> Response:
    """The bearer's standing in up to 50 auctions, as of now."""
    bidder, guids = _asked(request)
    store = service_of(request).store
    auctions = store.auctions

    async def standing(guid: str) -> StandingEvent | None:
        participant = await store.bid_log.participant(guid, bidder)
        return None if participant is None else _standing(await auctions.state(guid), participant, auctions.now())

    found = await asyncio.gather(*map(standing, guids))
    return json_reply(StandingsReply([each for each in found if each is not None]))


async def stream(request: Request) -> Response:
    """The stream of the bearer's standing in up to 50 auctions."""
    bidder, guids = _asked(request)
    app = app_state_of(request)
    service = app.service
    if service.hub.busy_reason is not None:
        return busy_response(service, service.hub.busy_reason)
    return StandingsResponse(app, bidder, guids)


def _asked(request: Request) -> tuple[str, list[str]]:
    """Who asks, and of which auctions."""
    bidder = identity_of(request)
    guids = list(dict.fromkeys(map(checked_guid, request.query_params.getlist("guid"))))
    if not 1 <= len(guids) <= MAX_AUCTIONS_PER_STREAM:
        raise Problem("invalid", f"{len(guids)} auctions named; guid=… must be given 1 to 50 times")
    for guid in guids:
        admit(bidder, guid)
    return bidder.subject, guids


class StandingsResponse(Response):
    """Watches auctions as long as it is sent, and sends what they mean to one bidder, when that changes."""

    def __init__(self, app: AppState, bidder: str, guids: list[str]) -> None:
        self._service = app.service
        self._reads = app.reads
        self._bidder = bidder
        self._guids = guids
        self._participants: dict[str, tuple[tuple[str, int], Participant]] = {}  # by guid, each as of a moment
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
        moment = _acts_of(update.state)
        known = self._participants.get(guid)
        if known is None or known[0] != moment:
            try:
                participant = await self._service.store.bid_log.participant(guid, self._bidder)
                if participant is not None and known is None:
                    update = await self._reads.update(guid)  # the hub's may be of before his bid
            except StoreError:
                self._store_failed = True
                return b""
            known = None if participant is None else (moment, participant)
        self._unclear.pop(guid, None)
        if known is None:
            return b""
        self._participants[guid] = known
        return self._tell(_standing(update.state, known[1], self._service.now()))

    def _tell(self, event: StandingEvent) -> bytes:
        if self._told.get(event.guid) == event.standing:
            return b""
        self._told[event.guid] = event.standing
        return b"event: standing\ndata: %b\n\n" % encode(event)


def _acts_of(state: State) -> tuple[str, int]:
    """What changes with each act of an operator, such as a void, and with no bid: bids raise both numbers by one."""
    by_time = (state.status != "upcoming") + state.is_final
    return state.tag.partition("-")[0], state.rev - (state.bids or 0) - by_time


def _standing(state: State, participant: Participant, now: int) -> StandingEvent:
    """`leading`, `outbid`, and at the end `winning` or `lost`; `voided` once an operator has declared his bids void."""
    leads = state.leader == participant.paddle
    standing: Literal["leading", "outbid", "winning", "lost", "voided"]
    if participant.is_voided:
        standing = "voided"
    elif not state.is_final:
        standing = "leading" if leads else "outbid"
    else:
        standing = "winning" if leads and state.outcome in ("sold", "bought_now") else "lost"
    return StandingEvent(
        state.guid, standing, participant.paddle, state.price, state.next_bid, state.rev, state.stamp(now),
        participant.void_reason,
    )  # fmt: skip
