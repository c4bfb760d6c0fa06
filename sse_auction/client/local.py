"""The store itself, by a service of this process: for the person at the machine, who may do everything."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from sse_auction.auction.decisions import ActionKind
from sse_auction.auction.state import State
from sse_auction.auction.texts import MAX_BIDDER, WrongText, check_text
from sse_auction.auction.version import Version
from sse_auction.client.interface import SEND_AGAIN, ClientError, CreatedAll, NothingCreated
from sse_auction.service import Service
from sse_auction.store.connection import StoreError
from sse_auction.store.outbox import Message
from sse_auction.wire.log_export import Format
from sse_auction.wire.lots import Lot
from sse_auction.wire.refusals import Rejection
from sse_auction.wire.replies import AuctionReply, BidReply, ErasedReply
from sse_auction.wire.requests import WRONG, BidRequest, CreateRequest, EraseRequest, ReasonRequest, checked

_T = TypeVar("_T")


class LocalClient:
    """Asks the use cases of a running service; `user` is what the log names, `bidder` is who bids."""

    def __init__(self, service: Service, bidder: str, user: str) -> None:
        self._service = service
        self._auctioneer = service.auctioneer
        self._bidder = bidder
        self._actor = f"command line ({user})"

    async def create(self, request: CreateRequest, guid: str | None, key: str | None = None) -> AuctionReply:
        answer = await self._auctioneer.create(
            _checked(request), guid or str(uuid.uuid4()), self._actor, key, is_named=guid is not None
        )
        return _accepted(answer).reply

    async def create_all(self, lots: Sequence[Lot], key: str, advance: Callable[[], None]) -> CreatedAll:
        try:
            answer = await self._auctioneer.create_all(lots, "command line", self._actor, key)
        except StoreError as error:
            raise ClientError(f"{error}; {SEND_AGAIN}") from None
        if isinstance(answer, Rejection):
            raise NothingCreated(answer.detail)
        done = CreatedAll([], answer.replayed, [])

        async def carry_out() -> None:
            async with aclosing(answer.reply) as results:
                async for result in results:
                    advance()
                    if isinstance(result, Rejection):
                        done.missing.append(result.detail)
                    else:
                        done.made.append(result)

        carrying_out = asyncio.create_task(carry_out())
        try:
            await asyncio.shield(carrying_out)
        except asyncio.CancelledError:  # it is decided: Ctrl-C comes too late, and two seconds are no long wait
            await carrying_out
            raise
        except StoreError as error:
            raise ClientError(f"{error}; {SEND_AGAIN}") from None
        return done

    async def bid(self, guid: str, request: BidRequest, key: str | None) -> BidReply:
        try:
            check_text("bidder", self._bidder, MAX_BIDDER)
        except WrongText as error:
            raise ClientError(str(error)) from None
        return _accepted(await self._auctioneer.bid(guid, self._bidder, _checked(request), key)).reply

    async def act(self, guid: str, kind: ActionKind, request: ReasonRequest) -> AuctionReply:
        return _accepted(await self._auctioneer.act(guid, kind, _checked(request), self._actor))

    async def delete(self, guid: str, request: ReasonRequest) -> None:
        _accepted(await self._auctioneer.delete(guid, _checked(request), self._actor))

    async def erase(self, request: EraseRequest) -> ErasedReply:
        return await self._auctioneer.erase(_checked(request), self._actor)

    async def export(self, guid: str, form: Format) -> AsyncGenerator[bytes, None]:
        made = _accepted(await self._auctioneer.export(guid, form, include_private=True))
        async with aclosing(made) as lines:
            async for line in lines:
                yield line

    async def dead_letters(self, retry: str | None) -> list[Message]:
        """The webhook messages that were given up; with `retry`, that auction's are sent again."""
        outbox = self._service.store.outbox
        if retry is not None and not await outbox.retry_dead(retry):
            raise ClientError(f"auction {retry!r} has no dead letters")
        return await outbox.dead_letters()

    async def verify(self, guid: str) -> list[str]:
        """What the store has otherwise than the log says."""
        return _accepted(await self._auctioneer.verify(guid))

    async def price(self, guid: str) -> State:
        state = await self._service.store.auctions.state(guid)
        if state.status == "unknown":
            raise ClientError(f"there is no auction {guid!r}")
        return state

    async def watch(self, guid: str) -> AsyncGenerator[State | None, None]:
        service, last = self._service, ""
        while not service.is_draining:  # a subscription has a longest life, after which the next one goes on
            with service.hub.watch([guid], Version.of_tag(last)) as states:
                async for update in states:
                    last = update.state.tag if update is not None else last
                    yield None if update is None else update.state
                    if update is not None and update.is_final:
                        return


def _accepted(answer: _T | Rejection) -> _T:
    """The answer of a use case; `ClientError` says why there is none."""
    if isinstance(answer, Rejection):
        raise ClientError(answer.detail)
    return answer


def _checked(request: _T) -> _T:
    try:
        return checked(request)
    except WRONG as error:
        raise ClientError(str(error)) from None
