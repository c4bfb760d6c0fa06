"""The use cases: create, bid, act, delete, erase, export. Each is here once, for HTTP and for the command line.

Rule: a use case takes a checked request and returns a reply, or a `Rejection` with a code and a sentence. HTTP turns
it into a problem document, the command line into an error. Every use case may raise `StoreError`. The outcome is then
unknown after `StoreTimeout` and after a lost connection: the store may have executed the command. The callers check
the rights of the person who asks.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2s
from typing import Generic, TypeVar

import msgspec

from sse_auction.auction.decisions import ActionKind, Created, NotCreated, Refused
from sse_auction.auction.money import AmountError
from sse_auction.auction.terms import NewAuction
from sse_auction.store.batches import Batch, Batches, Item, OtherBatch, Taken, name_of
from sse_auction.store.creating import create_once
from sse_auction.store.parts import Store
from sse_auction.wire.log_export import Format, lines
from sse_auction.wire.lots import Lot
from sse_auction.wire.refusals import Rejection, explain, explain_not_created, subject_of
from sse_auction.wire.replies import AuctionReply, BidReply, ErasedReply, TermsReply, encode
from sse_auction.wire.requests import (
    WRONG,
    BidRequest,
    CreateRequest,
    EraseRequest,
    ReasonRequest,
    action_of,
    new_auction,
)

_Reply = TypeVar("_Reply")


@dataclass(frozen=True, slots=True)
class Answer(Generic[_Reply]):
    """A reply; `replayed` when it repeats the first answer to the same request."""

    reply: _Reply
    replayed: bool


class _Line(msgspec.Struct):
    """One auction of a batch, in the form in which the store holds it."""

    guid: str
    currency: str
    actor: str
    request: CreateRequest


def _read_line(line: bytes) -> tuple[NewAuction, str]:
    """(the auction, the operator who creates it)."""
    entry = msgspec.json.decode(line, type=_Line)
    return new_auction(entry.request, entry.guid, entry.currency, was_accepted=True), entry.actor


class Auctioneer:
    """The use cases on one store; `currency` is for new auctions that name none."""

    def __init__(self, store: Store, currency: str) -> None:
        self._store = store
        self._auctions = store.auctions
        self._currency = currency
        self.batches = Batches(store.auctions, _read_line)

    async def create(
        self, request: CreateRequest, guid: str, actor: str, key: str | None, *, is_named: bool
    ) -> Answer[AuctionReply] | Rejection:
        """Create one auction; see `create_once` for `is_named`.

        With an idempotency `key` it is created once, so a request with an unknown outcome may be sent again.
        """
        try:
            new = new_auction(request, guid, self._currency)
        except AmountError as error:
            return Rejection("invalid", str(error))
        result = await create_once(self._auctions, new, actor, key, is_named=is_named)
        if isinstance(result, NotCreated):
            return explain_not_created(new.guid, new.closes_at, result)
        return Answer(AuctionReply(TermsReply.of(result.terms), result.state), result.replayed)

    async def create_all(
        self, lots: Sequence[Lot], sender: str, actor: str, key: str | None
    ) -> Answer[AsyncGenerator[AuctionReply | Rejection, None]] | Rejection:
        """Create all lots or none; once for a `key` of this `sender`.

        The reply yields the result of each lot in order; the caller must close it. All lots will be created, even if
        the caller does not iterate over the reply.
        """
        items = [Item(lot.guid, lot.request.closes_at, self._line(lot, actor)) for lot in lots]
        try:
            replayed, results = await self.batches.create(Batch(name_of(sender, key), items, _hash(lots)))
        except Taken as error:
            said = [(lots[place], refused) for place, refused in error.refused]
            return Rejection("exists", "\n".join(_refused_line(lot, refused) for lot, refused in said))
        except OtherBatch:
            return Rejection("invalid", "this Idempotency-Key was used for other auctions; use a new one")
        return Answer(_replies(results), replayed)

    def _line(self, lot: Lot, actor: str) -> bytes:
        return encode(_Line(lot.guid, self._currency, actor, lot.request))

    async def bid(self, guid: str, bidder: str, request: BidRequest, key: str | None) -> Answer[BidReply] | Rejection:
        """Decide one bid. With an idempotency `key` it counts once, and may be sent again after an unknown outcome."""
        currency = await self._auctions.currency_of(guid)
        if isinstance(currency, Refused):
            return explain(guid, request.shown, currency)
        try:
            offer = request.offer(currency)
        except AmountError as error:
            return Rejection("invalid", str(error))
        result = await self._auctions.bid(guid, bidder, offer, currency, confirmed=request.confirm, idempotency_key=key)
        if isinstance(result, Refused):
            return explain(guid, request.shown, result)
        return Answer(BidReply(True, result.seq, result.paddle, result.standing, result.state), result.replayed)

    async def act(self, guid: str, kind: ActionKind, request: ReasonRequest, actor: str) -> AuctionReply | Rejection:
        """Execute an operator's act."""
        terms = await self._auctions.terms_of(guid)
        if isinstance(terms, Refused):
            return explain(guid, "", terms)
        try:
            act = action_of(kind, request, terms)
        except WRONG as error:
            return Rejection("invalid", str(error))
        result = await self._auctions.act(guid, act, actor, request.reason)
        if isinstance(result, Refused):
            return explain(guid, subject_of(act), result)
        return AuctionReply(TermsReply.of(result.terms), result.state, result.unpaid)

    async def delete(self, guid: str, request: ReasonRequest, actor: str) -> Rejection | None:
        """Delete an auction that is not open, with all its data; None when it is deleted."""
        refused = await self._store.deletion.delete(guid, actor, request.reason)
        return None if refused is None else explain(guid, "", refused)

    async def erase(self, request: EraseRequest, actor: str) -> ErasedReply:
        """Replace a bidder's id by pseudonyms in all auctions that are over."""
        done = await self._store.erasure.erase(request.bidder, actor, request.reason)
        return ErasedReply(done.auctions, done.still_open)

    async def export(
        self, guid: str, form: Format, *, include_private: bool
    ) -> AsyncGenerator[bytes, None] | Rejection:
        """The lines of an auction's log; the caller must close them. `include_private` adds the data for operators."""
        currency = await self._auctions.currency_of(guid)
        if isinstance(currency, Refused):
            if currency.reason == "unknown":
                return explain(guid, "", currency)
            detail = f"auction {guid!r} is kept by another system and has no log here"
            return Rejection("not_open", detail, currency.state)
        return self._exported(guid, form, currency, include_private=include_private)

    async def _exported(
        self, guid: str, form: Format, currency: str, *, include_private: bool
    ) -> AsyncGenerator[bytes, None]:
        voided = await self._store.bid_log.voided(guid)
        async with aclosing(self._store.bid_log.entries(guid)) as entries:
            async for line in lines(entries, form, currency=currency, voided=voided, include_private=include_private):
                yield line

    async def verify(self, guid: str) -> list[str] | Rejection:
        """The differences between an auction and its log, one sentence each; an empty list when they agree."""
        found = await self._store.verification.verify(guid)
        return explain(guid, "", found) if isinstance(found, Refused) else found


async def _replies(
    results: AsyncGenerator[Created | NotCreated, None],
) -> AsyncGenerator[AuctionReply | Rejection, None]:
    async with aclosing(results):
        async for result in results:
            if isinstance(result, Created):
                yield AuctionReply(TermsReply.of(result.terms), result.state)
            else:  # another program wrote a price under this guid in the meantime
                yield explain_not_created("", 0, result)


def _hash(lots: Sequence[Lot]) -> str:
    """A hash of the requests without their times: `+2h` is another time whenever the file is read."""
    digest = blake2s(digest_size=16)
    for lot in lots:
        digest.update(encode(msgspec.structs.replace(lot.request, opens_at=None, closes_at=0, hard_close_at=None)))
    return digest.hexdigest()


def _refused_line(lot: Lot, refused: NotCreated) -> str:
    return f"line {lot.line}: {explain_not_created(lot.guid, lot.request.closes_at, refused).detail}"
