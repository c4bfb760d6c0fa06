"""The command line's two ways to a service: over HTTP, or straight to the store.

Both offer the same: create, bid, price, watch. What the service refuses is a `ClientError` with its sentence.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import httpx
import msgspec
from httpx_sse import SSEError, aconnect_sse

from sse_auction.auction import Seen, State
from sse_auction.money import AmountError, parse_amount
from sse_auction.refusals import explain
from sse_auction.service import Service, running_service
from sse_auction.settings import Settings
from sse_auction.store import Created, Refused
from sse_auction.wire import (
    AuctionReply,
    BidReply,
    CreateRequest,
    ProblemReply,
    TermsReply,
    new_auction,
    to_builtins,
)

_SILENCE_SECONDS = 45.0  # three heartbeats: then the line is dead
_RECONNECT_SECONDS = 3.0


class ClientError(Exception):
    """What the service refused, or why it could not be asked; the message is a sentence."""


class Client(Protocol):
    """What a command needs of a service."""

    async def create(self, request: CreateRequest, guid: str) -> AuctionReply: ...

    async def bid(self, guid: str, price: str, *, confirm: bool, key: str | None) -> BidReply: ...

    async def price(self, guid: str) -> State: ...

    def watch(self, guid: str) -> AsyncIterator[State | None]:
        """States as they come, None when the price is not live; ends with the auction."""


# --- straight to the store -------------------------------------------------------------------------------------


class StoreClient:
    """For whoever sits at the machine and may do everything; `bidder` is who bids."""

    def __init__(self, service: Service, bidder: str) -> None:
        self._service = service
        self._bidder = bidder

    async def create(self, request: CreateRequest, guid: str) -> AuctionReply:
        try:
            new = new_auction(request, guid, self._service.settings.currency)
        except AmountError as error:
            raise ClientError(str(error)) from None
        result = await self._service.store.create(new)
        if isinstance(result, Created):
            return AuctionReply(TermsReply.of(result.terms), result.state)
        if result.reason == "exists":
            raise ClientError(f"auction {guid!r} exists already and was left as it is")
        raise ClientError(f"closes_at {new.closes_at} is not in the future: it is {result.now} now")

    async def bid(self, guid: str, price: str, *, confirm: bool, key: str | None) -> BidReply:
        store = self._service.store
        currency = await store.currency_of(guid)
        if isinstance(currency, Refused):
            raise ClientError(explain(guid, price, currency)[1])
        try:
            amount = parse_amount(price, currency)
        except AmountError as error:
            raise ClientError(f"price {error}") from None
        result = await store.bid(guid, self._bidder, amount, currency, confirmed=confirm, idempotency_key=key)
        if isinstance(result, Refused):
            raise ClientError(explain(guid, price, result)[1])
        return BidReply(True, result.seq, result.paddle, "leading", result.state)

    async def price(self, guid: str) -> State:
        state = await self._service.store.state(guid)
        if state.status == "unknown":
            raise ClientError(f"there is no auction {guid!r}")
        return state

    async def watch(self, guid: str) -> AsyncIterator[State | None]:
        hub = self._service.hub
        shown: str | None = ""
        with hub.subscribe([guid]) as subscriber:
            async for _ in subscriber:
                update = hub.state_of(guid)
                tag = update.state.tag if update else None
                if tag != shown:
                    shown = tag
                    yield update.state if update else None


# --- over HTTP -------------------------------------------------------------------------------------------------


class HttpClient:
    """For a service elsewhere; `token` says who bids or creates."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, request: CreateRequest, guid: str) -> AuctionReply:
        body = to_builtins(request) | {"guid": guid}
        return msgspec.json.decode(await self._ask("POST", "/auctions", json=body), type=AuctionReply)

    async def bid(self, guid: str, price: str, *, confirm: bool, key: str | None) -> BidReply:
        headers = {"Idempotency-Key": key} if key else {}
        body = {"price": price, "confirm": confirm}
        reply = await self._ask("POST", f"/auctions/{guid}/bids", json=body, headers=headers)
        return msgspec.json.decode(reply, type=BidReply)

    async def price(self, guid: str) -> State:
        return msgspec.json.decode(await self._ask("GET", f"/auctions/{guid}/price"), type=State)

    async def _ask(self, method: str, path: str, **options: Any) -> bytes:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ClientError(f"{self._http.base_url} does not answer: {str(error) or type(error).__name__}") from None
        if response.is_success:
            return response.content
        raise ClientError(_refusal(response.status_code, response.content))

    async def watch(self, guid: str) -> AsyncIterator[State | None]:
        seen: Seen | None = None
        tag = ""
        while True:
            try:
                async for state in self._stream(guid, tag):
                    if state is not None:
                        newer = Seen.of_tag(state.tag)
                        if newer is None or (seen is not None and not seen.is_superseded_by(newer)):
                            continue
                        seen, tag = newer, state.tag
                    yield state
                    if state is not None and state.is_final:
                        return
            except (httpx.HTTPError, SSEError):
                yield None
            await asyncio.sleep(_RECONNECT_SECONDS * random.uniform(0.7, 1.3))

    async def _stream(self, guid: str, tag: str) -> AsyncIterator[State | None]:
        headers = {"Last-Event-ID": tag} if tag else {}
        timeout = httpx.Timeout(10.0, read=_SILENCE_SECONDS)
        path = f"/auctions/{guid}/stream"
        async with aconnect_sse(self._http, "GET", path, headers=headers, timeout=timeout) as source:
            if source.response.status_code != 200:
                raise ClientError(_refusal(source.response.status_code, await source.response.aread()))
            async for event in source.aiter_sse():
                if event.event in ("price", "closed"):
                    yield msgspec.json.decode(event.data, type=State)
                elif event.event == "busy" or (event.event == "hb" and '"live":false' in event.data):
                    yield None


def _refusal(status: int, body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=ProblemReply).detail
    except msgspec.DecodeError:
        return f"the service answered {status} and {body[:80]!r}"


# --- which of the two ------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_client(url: str | None, token: str | None, bidder: str, settings: Settings) -> AsyncIterator[Client]:
    """A client of the service at `url`, or of the store where that is None."""
    if url is None:
        async with running_service(replace(settings, demo=False)) as service:
            yield StoreClient(service, bidder)
    else:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10.0) as http:
            yield HttpClient(http)
