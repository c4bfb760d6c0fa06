"""A client of a service elsewhere, over HTTP."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, TypeVar

import httpx
import msgspec

from sse_auction.auction.decisions import ActionKind
from sse_auction.auction.state import State
from sse_auction.auction.version import Version
from sse_auction.client.interface import SEND_AGAIN, ClientError, CreatedAll, NothingCreated
from sse_auction.client.stream import AuctionStream, StreamRefused
from sse_auction.wire.log_export import Format
from sse_auction.wire.lots import Lot
from sse_auction.wire.replies import AuctionReply, BidReply, ErasedReply, ProblemReply, encode, to_builtins
from sse_auction.wire.requests import BidRequest, CreateRequest, EraseRequest, ReasonRequest, path_of

_T = TypeVar("_T")

_BATCH_SECONDS = 120.0  # of a hundred thousand auctions


class HttpClient:
    """Asks a service over HTTP; the bearer token of `http` says who asks."""

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
                    raise ClientError(f"{said}; {SEND_AGAIN}" if response.is_server_error else said)
                rest = b""
                async for piece in response.aiter_bytes():
                    *lines, rest = (rest + piece).split(b"\n")  # httpx's own lines end at U+2028 too
                    for line in lines:
                        done.take(line)
                        advance()
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            raise ClientError(f"{self._no_answer(error)}; {SEND_AGAIN}") from None
        return replace(done, before=response.headers.get("idempotent-replayed") == "true")

    async def bid(self, guid: str, request: BidRequest, key: str | None) -> BidReply:
        body = to_builtins(request)
        return await self._ask(BidReply, "POST", f"/auctions/{guid}/bids", json=body, headers=_key_header(key))

    async def act(self, guid: str, kind: ActionKind, request: ReasonRequest) -> AuctionReply:
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
            raise ClientError(f"{self._no_answer(error)}{_doubt(method, error)}") from None
        if not response.is_success:
            raise ClientError(_refusal(response.status_code, response.content))
        return response

    def _no_answer(self, error: Exception) -> str:
        return f"{self._http.base_url} does not answer: {str(error) or type(error).__name__}"

    async def watch(self, guid: str) -> AsyncGenerator[State | None, None]:
        last: State | None = None
        is_live = True
        stream = AuctionStream(self._http, guid)
        while True:
            try:
                async with aclosing(stream.connect()) as events:
                    async for kind, state in events:
                        if state is not None and _is_news(state, last):
                            last, is_live = state, True
                            yield state
                            if state.is_final:
                                return
                        elif kind in ("busy", "not_live"):
                            is_live = False
                            yield None
                        elif kind == "live" and not is_live and last is not None:
                            is_live = True
                            yield last
            except StreamRefused as refused:
                if 200 < refused.status < 500:
                    raise ClientError(_refusal(refused.status, refused.body)) from None
                if last is None:  # later it is a proxy's answer while the service is restarted
                    raise ClientError(self._no_answer(refused)) from None
                is_live = False
                yield None
            except (httpx.HTTPError, msgspec.DecodeError) as error:
                if last is None:  # a wrong address; later it is a service that went away
                    raise ClientError(self._no_answer(error)) from None
                is_live = False
                yield None
            await asyncio.sleep(stream.retry_seconds)


def _is_news(state: State, last: State | None) -> bool:
    newer, seen = Version.of_tag(state.tag), Version.of_tag(last.tag) if last else None
    return newer is not None and (seen is None or seen.is_superseded_by(newer))


def _doubt(method: str, error: httpx.HTTPError) -> str:
    """What to add where a request may have been carried out, although no answer came."""
    if method == "GET" or isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return ""
    return "; whether it was carried out is unknown"


def _key_header(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


def _lines(lots: Sequence[Lot]) -> bytes:
    """A line of JSON for each lot, with the line number that it has in its file: the service names wrong lines."""
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
