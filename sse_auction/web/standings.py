"""How a bidder stands in auctions, for that bidder alone: as a stream, or once.

The token comes in the `Authorization` header and nowhere else: proxies keep the URLs that they pass on, and with them
a token in a URL. An `EventSource` cannot send headers; `fetch` can, and reads a stream as well.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sse_auction.auction.state import State
from sse_auction.delivery.events import standing_event
from sse_auction.delivery.subscriber import HEARTBEAT, Item, StateSubscriber
from sse_auction.logs import current_request
from sse_auction.store.bid_log import Participant
from sse_auction.store.connection import StoreError
from sse_auction.web.auctions import json_reply
from sse_auction.web.endpoint import request_id_header
from sse_auction.web.requests import AppState, admit, app_state_of, identity_of, service_of
from sse_auction.web.streams import HEADERS, busy_response, guids_of, send_events
from sse_auction.wire.replies import StandingEvent, StandingsReply

ASK_AGAIN_SECONDS = 0.5  # after the store failed to answer


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


class StandingsEndpoint:
    """An ASGI application: the stream of the bearer's standing in up to 50 auctions."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        header = request_id_header(scope)
        request = Request(scope)
        bidder, guids = _asked(request)
        app = app_state_of(request)
        hub = app.service.hub
        if hub.busy_reason is not None:
            response = busy_response(app.service, hub.busy_reason)
            response.raw_headers.append(header)
            await response(scope, receive, send)
            return
        with hub.watch(guids, request=current_request()) as subscriber:
            events = _Standings(app, bidder, subscriber).events()
            headers = {**HEADERS, "cache-control": "no-store, no-transform"}
            await send_events(subscriber, events, headers, scope, receive, send, header)


def _asked(request: Request) -> tuple[str, list[str]]:
    """The bearer and the auctions of a request. Raises: `Problem` if the token is not good for each of them."""
    bidder = identity_of(request)
    guids = guids_of(request)
    for guid in guids:
        admit(bidder, guid)
    return bidder.subject, guids


class _Standings:
    """What news of auctions means to one bidder: an event whenever the bidder's standing in one of them changes."""

    def __init__(self, app: AppState, bidder: str, subscriber: StateSubscriber) -> None:
        self._service = app.service
        self._reads = app.reads
        self._bidder = bidder
        self._subscriber = subscriber
        self._participants: dict[str, tuple[tuple[str, int], Participant]] = {}  # by guid, each as of a moment
        self._sent: dict[str, str] = {}  # by guid, the standing that was sent last
        self._unclear: dict[str, None] = {}  # auctions in which the standing must be found out
        self._store_failed = False

    async def events(self) -> AsyncIterator[bytes]:
        """Retry fields and heartbeats as they come, and standings as soon as they are known."""
        self._send_heartbeat()  # there may be no standing to send, and no bid for a long time
        while items := await self._next_items():
            if data := b"".join(item.data for item in items):
                yield data
            self._unclear |= dict.fromkeys(item.slot for item in items if item.update is not None)
            if news := b"".join(await asyncio.gather(*map(self._news, self._unclear))):
                yield news

    def _send_heartbeat(self) -> None:
        self._subscriber.send(HEARTBEAT, self._service.hub.heartbeat())

    async def _next_items(self) -> list[Item]:
        """What comes next; soon after the store failed, at least a heartbeat, so that it is asked again."""
        if self._store_failed:
            self._store_failed = False
            with suppress(TimeoutError):
                async with asyncio.timeout(ASK_AGAIN_SECONDS):
                    return await self._subscriber.take()
            self._send_heartbeat()
        return await self._subscriber.take()

    async def _news(self, guid: str) -> bytes:
        """The event of the bidder's standing in an auction, if it has changed."""
        update = self._service.hub.state_of(guid)
        if update is None:
            return b""  # asked again when prices are live again, or when time has changed the state
        moment = _acts_of(update.state)
        known = self._participants.get(guid)
        if known is None or known[0] != moment:
            try:
                participant = await self._service.store.bid_log.participant(guid, self._bidder)
                if participant is not None and known is None:
                    update = await self._reads.update(guid)  # the hub's may be older than the bidder's first bid
            except StoreError:
                self._store_failed = True
                return b""
            known = None if participant is None else (moment, participant)
        self._unclear.pop(guid, None)
        if known is None:
            return b""
        self._participants[guid] = known
        standing = _standing(update.state, known[1], self._service.now())
        if self._sent.get(guid) == standing.standing:
            return b""
        self._sent[guid] = standing.standing
        return standing_event(standing)


def _acts_of(state: State) -> tuple[str, int]:
    """What changes with each act of an operator, such as a void, and with no bid: bids raise both numbers by one."""
    by_time = (state.status != "upcoming") + state.is_final
    return state.tag.partition("-")[0], state.rev - (state.bids or 0) - by_time


def _standing(state: State, participant: Participant, now: int) -> StandingEvent:
    """`leading` or `outbid`, at the end `winning` or `lost`; `voided` once an operator has voided the bidder's bids."""
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
