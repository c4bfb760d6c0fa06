"""The command line's two ways to a service: over HTTP, or straight to the store.

Both offer the same: create, bid, act, export, price, watch. What is refused is a `ClientError` with its sentence.
"""

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import httpx
import msgspec
from httpx_sse import SSEError, aconnect_sse

from sse_auction.auction.decisions import ActKind, Created, Refused
from sse_auction.auction.state import State
from sse_auction.auction.version import Seen
from sse_auction.batches import Batch, OtherBatch, Taken, name_of
from sse_auction.checks import WRONG, act_of, checked, path_of
from sse_auction.export import Format
from sse_auction.lots import Lot
from sse_auction.refusals import explain, explain_not_created, subject_of
from sse_auction.service import Service, running_service
from sse_auction.settings import Settings
from sse_auction.store.connection import StoreError
from sse_auction.store.creating import create_once
from sse_auction.store.deletion import Deletion
from sse_auction.store.erasure import Erasure
from sse_auction.store.outbox import Message, Outbox
from sse_auction.texts import LONGEST_BIDDER, check_text
from sse_auction.wire.requests import (
    AuctionReply,
    BidReply,
    BidRequest,
    CreateRequest,
    ErasedReply,
    EraseRequest,
    ProblemReply,
    ReasonRequest,
    TermsReply,
    encode,
    new_auction,
    to_builtins,
)

_T = TypeVar("_T")

_SILENCE_SECONDS = 45.0  # three heartbeats: then the line is dead
_RECONNECT_SECONDS = 3.0
_BATCH_SECONDS = 120.0  # of a hundred thousand auctions
_SEND_AGAIN = "the same command again creates all of them, or shows them if they are created by now"


class ClientError(Exception):
    """What the service refused, or why it could not be asked; the message is a sentence."""


class NothingCreated(ClientError):
    """Auctions that were refused as a whole; the message has a line for each that is in the way."""


@dataclass(frozen=True, slots=True)
class CreatedAll:
    """The auctions of a file. `before`: an earlier request with the same key had created them."""

    made: list[AuctionReply]
    before: bool
    missing: list[str]  # what another program wrote under the guid of one of them, in that very second

    def take(self, line: bytes) -> None:
        """What a line of the service's answer says."""
        try:
            self.made.append(msgspec.json.decode(line, type=AuctionReply))
        except msgspec.ValidationError:
            self.missing.append(msgspec.json.decode(line, type=ProblemReply).detail)


class Client(Protocol):
    """What a command needs of a service."""

    async def create(self, request: CreateRequest, guid: str | None, key: str | None = None) -> AuctionReply:
        """Without a guid the auction gets one; with a key, the same request creates one auction."""

    async def create_all(self, lots: Sequence[Lot], key: str, advance: Callable[[], None]) -> "CreatedAll":
        """Create all or none, once for a key; `advance` is called for each. Raises: `NothingCreated`."""

    async def bid(self, guid: str, request: BidRequest, key: str | None) -> BidReply: ...

    async def act(self, guid: str, kind: ActKind, request: ReasonRequest) -> AuctionReply: ...

    async def delete(self, guid: str, request: ReasonRequest) -> None: ...

    async def erase(self, request: EraseRequest) -> ErasedReply: ...

    def export(self, guid: str, form: Format) -> AsyncGenerator[bytes, None]:
        """Pieces of the log, for its user to close."""

    async def price(self, guid: str) -> State: ...

    def watch(self, guid: str) -> AsyncGenerator[State | None, None]:
        """States as they come, None when the price is not live; ends with the auction. To be closed by its user."""


# --- straight to the store -------------------------------------------------------------------------------------


class StoreClient:
    """For the person at the machine, who may do everything; `user` is what the log names, `bidder` is who bids."""

    def __init__(self, service: Service, bidder: str, user: str) -> None:
        self._service = service
        self._bidder = bidder
        self._actor = f"command line ({user})"

    async def create(self, request: CreateRequest, guid: str | None, key: str | None = None) -> AuctionReply:
        try:
            new = new_auction(checked(request), guid or str(uuid.uuid4()), self._service.settings.currency)
        except WRONG as error:
            raise ClientError(str(error)) from None
        result = await create_once(self._service.store, new, self._actor, key, is_named=guid is not None)
        if isinstance(result, Created):
            return AuctionReply(TermsReply.of(result.terms), result.state)
        raise ClientError(explain_not_created(new.guid, new.closes_at, result)[1])

    async def create_all(self, lots: Sequence[Lot], key: str, advance: Callable[[], None]) -> CreatedAll:
        batch = Batch(name_of("command line", key), lots, self._actor)
        try:
            before, results = await self._service.batches.create(batch)
        except Taken as error:
            raise NothingCreated(str(error)) from None
        except OtherBatch:
            raise ClientError("this key was used for other auctions; use a new one") from None
        except StoreError as error:
            raise ClientError(f"{error}; {_SEND_AGAIN}") from None
        done = CreatedAll([], before, [])

        async def carry_out() -> None:
            async with aclosing(results):
                async for result in results:
                    advance()
                    if isinstance(result, Created):
                        done.made.append(AuctionReply(TermsReply.of(result.terms), result.state))
                    else:
                        done.missing.append(explain_not_created("", 0, result)[1])

        carrying_out = asyncio.create_task(carry_out())
        try:
            await asyncio.shield(carrying_out)
        except asyncio.CancelledError:  # it is decided: Ctrl-C comes too late, and two seconds are no long wait
            await carrying_out
            raise
        except StoreError as error:
            raise ClientError(f"{error}; {_SEND_AGAIN}") from None
        return done

    async def bid(self, guid: str, request: BidRequest, key: str | None) -> BidReply:
        store = self._service.store
        currency = await store.currency_of(guid)
        if isinstance(currency, Refused):
            raise ClientError(explain(guid, request.shown, currency)[1])
        try:
            offer = checked(request).offer(currency)
            check_text("bidder", self._bidder, LONGEST_BIDDER)
        except WRONG as error:
            raise ClientError(str(error)) from None
        result = await store.bid(guid, self._bidder, offer, currency, confirmed=request.confirm, idempotency_key=key)
        if isinstance(result, Refused):
            raise ClientError(explain(guid, request.shown, result)[1])
        return BidReply(True, result.seq, result.paddle, result.standing, result.state)

    async def act(self, guid: str, kind: ActKind, request: ReasonRequest) -> AuctionReply:
        store = self._service.store
        terms = await store.terms_of(guid)
        if isinstance(terms, Refused):
            raise ClientError(explain(guid, "", terms)[1])
        try:
            act = act_of(kind, checked(request), terms)
        except WRONG as error:
            raise ClientError(str(error)) from None
        result = await store.act(guid, act, self._actor, request.reason)
        if isinstance(result, Refused):
            raise ClientError(explain(guid, subject_of(act), result)[1])
        return AuctionReply(TermsReply.of(result.terms), result.state, result.unpaid)

    async def delete(self, guid: str, request: ReasonRequest) -> None:
        reason = _checked(request).reason
        refused = await Deletion(self._service.store).delete(guid, self._actor, reason)
        if refused is not None:
            raise ClientError(explain(guid, "", refused)[1])

    async def erase(self, request: EraseRequest) -> ErasedReply:
        wanted = _checked(request)
        done = await Erasure(self._service.store).erase(wanted.bidder, self._actor, wanted.reason)
        return ErasedReply(done.auctions, done.still_open)

    async def export(self, guid: str, form: Format) -> AsyncGenerator[bytes, None]:
        currency = await self._service.store.currency_of(guid)
        if isinstance(currency, Refused):
            raise ClientError(explain(guid, "", currency)[1])
        async with aclosing(self._service.log.export(guid, form, currency, everything=True)) as made:
            async for line in made:
                yield line

    async def dead_letters(self, retry: str | None) -> list[Message]:
        """What could not be told by webhook; with `retry`, that auction's is sent again."""
        outbox = Outbox(self._service.store)
        if retry is not None and not await outbox.revive(retry):
            raise ClientError(f"auction {retry!r} has no dead letters")
        return await outbox.dead_letters()

    async def verify(self, guid: str) -> list[str]:
        """What the store has otherwise than the log says."""
        result = await self._service.log.verify(guid)
        if isinstance(result, Refused):
            raise ClientError(explain(guid, "", result)[1])
        return result

    async def price(self, guid: str) -> State:
        state = await self._service.store.state(guid)
        if state.status == "unknown":
            raise ClientError(f"there is no auction {guid!r}")
        return state

    async def watch(self, guid: str) -> AsyncGenerator[State | None, None]:
        service = self._service
        tag = ""
        while not service.is_draining:  # a stream has a longest life, after which the next one goes on
            with service.hub.subscribe([guid], Seen.of_tag(tag)) as subscriber:
                async for _ in subscriber:
                    update = service.hub.state_of(guid)
                    if update is None:
                        if not service.mirror.is_live:
                            yield None
                    elif update.state.tag != tag:
                        tag = update.state.tag
                        yield update.state
                        if update.is_final:
                            return


def _checked(request: _T) -> _T:
    try:
        return checked(request)
    except WRONG as error:
        raise ClientError(str(error)) from None


# --- over HTTP -------------------------------------------------------------------------------------------------


class HttpClient:
    """For a service elsewhere; `token` says who bids or creates."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def create(self, request: CreateRequest, guid: str | None, key: str | None = None) -> AuctionReply:
        body = to_builtins(request) | ({"guid": guid} if guid else {})
        return await self._ask(AuctionReply, "POST", "/auctions", json=body, headers=_key_header(key))

    async def create_all(self, lots: Sequence[Lot], key: str, advance: Callable[[], None]) -> CreatedAll:
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key}
        timeout = httpx.Timeout(10.0, read=_BATCH_SECONDS, write=_BATCH_SECONDS)
        request = self._http.build_request("POST", "/auctions", content=_lines(lots), headers=headers, timeout=timeout)
        done = CreatedAll([], False, [])
        try:
            response = await self._http.send(request, stream=True)
            async with aclosing(response):
                if response.status_code != 201:
                    said = _refusal(response.status_code, await response.aread())
                    if response.status_code in (409, 422):
                        raise NothingCreated(said)
                    raise ClientError(f"{said}; {_SEND_AGAIN}" if response.is_server_error else said)
                rest = b""
                async for piece in response.aiter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")  # httpx's own lines end at U+2028 too
                    for line in lines:
                        done.take(line)
                        advance()
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise ClientError(f"{self._no_answer(error)}; {_SEND_AGAIN}") from None
        return replace(done, before=response.headers.get("idempotent-replayed") == "true")

    async def bid(self, guid: str, request: BidRequest, key: str | None) -> BidReply:
        body = to_builtins(request)
        return await self._ask(BidReply, "POST", f"/auctions/{guid}/bids", json=body, headers=_key_header(key))

    async def act(self, guid: str, kind: ActKind, request: ReasonRequest) -> AuctionReply:
        method, path = ("PATCH", "") if kind == "edit" else ("POST", f"/{path_of(kind)}")
        return await self._ask(AuctionReply, method, f"/auctions/{guid}{path}", json=to_builtins(request))

    async def delete(self, guid: str, request: ReasonRequest) -> None:
        await self._send("DELETE", f"/auctions/{guid}", json=to_builtins(request))

    async def erase(self, request: EraseRequest) -> ErasedReply:
        return await self._ask(ErasedReply, "POST", "/bidders/erase", json=to_builtins(request), timeout=None)

    async def export(self, guid: str, form: Format) -> AsyncGenerator[bytes, None]:
        try:
            async with self._http.stream("GET", f"/auctions/{guid}/bids.{form}") as response:
                if not response.is_success:
                    raise ClientError(_refusal(response.status_code, await response.aread()))
                async for piece in response.aiter_bytes():
                    yield piece
        except httpx.HTTPError as error:
            raise ClientError(f"{self._no_answer(error)}; what was written is not complete") from None

    async def price(self, guid: str) -> State:
        return await self._ask(State, "GET", f"/auctions/{guid}/price")

    async def _ask(self, shape: type[_T], method: str, path: str, **options: Any) -> _T:
        response = await self._send(method, path, **options)
        try:
            return msgspec.json.decode(response.content, type=shape)
        except msgspec.DecodeError:
            raise ClientError(f"{self._http.base_url} answers, but not as sse-auction does") from None

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ClientError(self._no_answer(error)) from None
        if not response.is_success:
            raise ClientError(_refusal(response.status_code, response.content))
        return response

    def _no_answer(self, error: Exception) -> str:
        return f"{self._http.base_url} does not answer: {str(error) or type(error).__name__}"

    async def watch(self, guid: str) -> AsyncGenerator[State | None, None]:
        seen: Seen | None = None
        tag = ""
        while True:
            try:
                async with aclosing(self._stream(guid, tag)) as states:
                    async for state in states:
                        if state is not None:
                            newer = Seen.of_tag(state.tag)
                            if newer is None or (seen is not None and not seen.is_superseded_by(newer)):
                                continue
                            seen, tag = newer, state.tag
                        yield state
                        if state is not None and state.is_final:
                            return
            except (httpx.HTTPError, SSEError, msgspec.DecodeError) as error:
                if seen is None:  # a wrong address, rather than a service that went away
                    raise ClientError(self._no_answer(error)) from None
                yield None
            await asyncio.sleep(_RECONNECT_SECONDS * random.uniform(0.7, 1.3))

    async def _stream(self, guid: str, tag: str) -> AsyncGenerator[State | None, None]:
        headers = {"Last-Event-ID": tag} if tag else {}
        timeout = httpx.Timeout(10.0, read=_SILENCE_SECONDS)
        path = f"/auctions/{guid}/stream"
        async with aconnect_sse(self._http, "GET", path, headers=headers, timeout=timeout) as source:
            if source.response.is_server_error:  # a proxy's word for a service that is being restarted
                source.response.raise_for_status()
            if source.response.status_code != 200:
                raise ClientError(_refusal(source.response.status_code, await source.response.aread()))
            async for event in source.aiter_sse():
                if event.event in ("price", "closed"):
                    yield msgspec.json.decode(event.data, type=State)
                elif event.event == "busy" or (event.event == "hb" and '"live":false' in event.data):
                    yield None


def _key_header(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


def _lines(lots: Sequence[Lot]) -> bytes:
    """A line of JSON for each, at the place that it has in its file, for the service tells what is wrong by line."""
    lines: list[bytes] = []
    for lot in lots:
        lines += [b""] * (lot.line - 1 - len(lines))
        lines.append(encode(lot.request))
    return b"\n".join(lines)


def _refusal(status: int, body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=ProblemReply).detail
    except msgspec.DecodeError:
        return f"the service answered {status} and {body[:80]!r}"


# --- which of the two ------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_client(
    url: str | None, token: str | None, settings: Settings, *, bidder: str = "", user: str = ""
) -> AsyncIterator[Client]:
    """A client of the service at `url`, where `token` says who it is; or of the store where that is None."""
    if url is None:
        async with running_service(replace(settings, demo=False), is_server=False) as service:
            yield StoreClient(service, bidder, user)
    else:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            http = httpx.AsyncClient(base_url=url, headers=headers, timeout=10.0)
        except httpx.InvalidURL as error:
            raise ClientError(f"{url!r} is not a URL: {error}") from None
        async with http:
            yield HttpClient(http)
