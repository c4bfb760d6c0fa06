"""Auctions in the store: create, bid, act, read.

Rule: every decision is one Lua script that uses the store's clock, and one `match` turns its reply into a Python
value. A low bid is a value, not an exception. An exception means that the store did not execute the script, or that
the outcome is unknown (`StoreTimeout`, a lost connection). Nothing is retried without knowing the outcome.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2s
from typing import get_args

import msgspec

from sse_auction.auction.decisions import (
    Accepted,
    ActionDone,
    BidAmount,
    Created,
    NotCreated,
    OperatorAction,
    Refusal,
    Refused,
    Standing,
)
from sse_auction.auction.money import exponent_of
from sse_auction.auction.state import Record, State
from sse_auction.auction.terms import NewAuction, Terms
from sse_auction.store import keys
from sse_auction.store.catalogue import Catalogue
from sse_auction.store.clock import StoreClock
from sse_auction.store.connection import StoreError, StoreUnavailable
from sse_auction.store.records import FIELDS, Values, read_commands, read_record
from sse_auction.store.scripts import Script
from sse_auction.store.store_connection import StoreConnection

ANSWER_LIFE_MS = 24 * 3600 * 1000  # how long an idempotency key is remembered
_MAX_REMEMBERED = 100_000  # auctions: a bound, far above the sales of a day; a cleared cache fills again by itself

_REFUSALS: dict[bytes, Refusal] = {reason.encode(): reason for reason in get_args(Refusal)}


class Auctions:
    """The auctions of one store."""

    def __init__(
        self, connection: StoreConnection, clock: StoreClock, external_currency: str, reopen_hours: float = 24.0
    ) -> None:
        self.connection = connection
        self._clock = clock
        self._external_currency = external_currency
        self._reopens_ms = int(reopen_hours * 3_600_000)
        self._create_script, self._bid_script = Script("create"), Script("bid")
        self._act_script, self._void_script, self._correct_script = Script("act"), Script("void"), Script("correct")
        self.catalogue = Catalogue(connection, self)
        self._listener: Callable[[State], object] | None = None
        self._currencies: dict[str, str] = {}  # of managed auctions; constant for the life of an auction

    # --- decisions ---------------------------------------------------------------------------------------------

    def shared_arguments(self, currency: str) -> tuple[str, str, str, str]:
        """The first four arguments of every script."""
        decide_before = self._clock.now() + int(self.connection.timeout * 1000)
        return str(decide_before), self.connection.outbox, currency, str(exponent_of(currency))

    async def decide(
        self, script: Script, guid: str, currency: str, arguments: Sequence[str], *more_keys: str
    ) -> str | Refused:
        """Run a script of another module on one auction; its verdict, or the refusal. Raises: as `create`."""
        shared = self.shared_arguments(currency)
        reply = await self._decide(script, (*keys_of_decisions(guid), *more_keys), (*shared, *arguments))
        self._announce(guid)
        return reply[0].decode() if reply[0] in script.verdicts else self._refusal(guid, reply)

    async def _decide(self, script: Script, script_keys: Sequence[str], arguments: Sequence[str]) -> list[bytes]:
        """A script's reply. Its `now` sets the clock, unless it replays the answer to an earlier request."""
        asked_at = self._clock.moment()
        reply: list[bytes] = await script.run(self.connection.link(), script_keys, arguments)
        match reply:
            case [_, b"0", now, _, _, _, _, *_]:
                self._clock.take_now(int(now), asked_at)
        return reply

    async def create(
        self,
        new: NewAuction,
        actor: str = "",
        *,
        idempotency_key: str | None = None,
        request: str = "",
        batch: str = "",
    ) -> Created | NotCreated:
        """Create a managed auction; an existing one, external or managed, is not changed.

        With a key, the answer to this `request` (a hash) is stored and replayed; see `creating`. An auction of a
        `batch` may be created again: its present state is returned; see `batches`.
        Raises: `StoreTimeout` (outcome unknown), `StoreUnavailable` (unknown if the connection was lost).
        """
        soft = new.soft_close
        fields = {
            "title": new.title, "currency": new.currency, "start_price": new.start_price,
            "increments": new.increments.dump(), "closes_at": new.closes_at, "bidding": new.bidding,
            "aligned": "1" if new.aligned else "", "buy_now": or_empty(new.buy_now), "buy_now_mode": new.buy_now_mode,
            "window_ms": soft.window_ms if soft else "", "extend_ms": soft.extend_ms if soft else "",
            "hard_close_at": or_empty(new.hard_close_at), "max_extensions": or_empty(new.max_extensions),
        }  # fmt: skip
        arguments = (
            *self.shared_arguments(new.currency), new.guid, or_empty(new.opens_at), actor, new.seller or "",
            or_empty(new.reserve), msgspec.json.encode(new.priority).decode(), _life_of_answer(idempotency_key),
            request, batch,
            *(str(part) for field in fields.items() for part in field),
        )  # fmt: skip
        answer_key = keys.created(new.guid, actor, idempotency_key)
        script_keys = (*keys_of_decisions(new.guid), keys.INDEX, keys.DUE, answer_key, keys.held(new.guid))
        match await self._decide(self._create_script, script_keys, arguments):
            case [b"created", replayed, now, price, _, _, _, *values]:
                terms, state = self.terms_and_state(new.guid, replayed, now, price, values)
                if replayed != b"1":  # a replay shows a past state, which is filed already
                    await self.catalogue.note(terms, state)
                return Created(terms, state, replayed == b"1")
            case [b"key_reused"]:
                return NotCreated("key_reused")
            case [b"exists", now]:
                return NotCreated("exists", int(now))
            case [b"held", now]:
                return NotCreated("held", int(now))
            case [b"past", now]:
                return NotCreated("past", int(now))
            case reply:
                raise StoreError(f"create.lua answered {reply!r}")

    async def currency_of(self, guid: str) -> str | Refused:
        """The currency of a managed auction's bids, or a refusal when there is no such auction."""
        if guid in self._currencies:
            return self._currencies[guid]
        terms = await self.terms_of(guid)
        if isinstance(terms, Refused):
            return terms
        if len(self._currencies) > _MAX_REMEMBERED:
            self._currencies.clear()
        self._currencies[guid] = terms.currency
        return terms.currency

    async def terms_of(self, guid: str) -> Terms | Refused:
        """The terms of a managed auction, or a refusal when there is no such auction."""
        record = await self.read(guid)
        if record.terms is None:
            return Refused("external", self.state_of(record)) if record.exists else Refused("unknown")
        return record.terms

    async def bid(
        self,
        guid: str,
        bidder: str,
        offer: BidAmount,
        currency: str,
        *,
        confirmed: bool = False,
        idempotency_key: str | None = None,
    ) -> Accepted | Refused:
        """Decide one bid, in minor units of `currency`, which `currency_of` returned. Raises: as `create`."""
        request = ""
        if idempotency_key:
            content = f"{offer.kind} {offer.amount} {confirmed}"
            request = blake2s(content.encode(), digest_size=16).hexdigest()
        script_keys = (*keys_of_decisions(guid), keys.answer(guid, bidder, idempotency_key))
        arguments = (
            *self.shared_arguments(currency), bidder, offer.kind, or_empty(offer.amount), "1" if confirmed else "",
            _life_of_answer(idempotency_key), request,
        )  # fmt: skip
        reply = await self._decide(self._bid_script, script_keys, arguments)
        match reply:
            case [b"accepted", replayed, now, price, seq, paddle, standing, *values]:
                terms, state = self.terms_and_state(guid, replayed, now, price, values)
                if replayed != b"1":  # a replay shows a past state, which is filed already
                    if self.connection.outbox == "bids" or state.extensions or state.is_final:
                        self._announce(guid)
                    if state.is_final:
                        await self.catalogue.note(terms, state)
                return Accepted(int(seq), int(paddle), _STANDINGS[standing], state, replayed == b"1")
            case _:
                return self._refusal(guid, reply)

    async def act(self, guid: str, act: OperatorAction, actor: str, reason: str) -> ActionDone | Refused:
        """Execute one act of the operator `actor`. Raises: as `create`."""
        currency = await self.currency_of(guid)
        if isinstance(currency, Refused):
            return currency
        script, arguments = self._script_of(act, actor, reason)
        before = await self.terms_of(guid) if act.kind == "reopen" else None
        # First, so that the auction is filed even when the reply is lost. A reopening is looked at only after the
        # script's deadline: an earlier look could find the auction still closed, and it would not be looked at again.
        self.catalogue.look_at(guid, int(self.connection.timeout * 1000) if act.kind == "reopen" else 0)
        arguments = (*self.shared_arguments(currency), *arguments)
        reply = await self._decide(script, keys_of_decisions(guid), arguments)
        match reply:
            case [b"done", replayed, now, price, _, _, _, *values]:
                unpaid = values[FIELDS.index("unpaid")] == b"1"
                terms, state = self.terms_and_state(guid, replayed, now, price, values)
                self._announce(guid)
                if isinstance(before, Terms):
                    await self.catalogue.unlist(before)
                await self.catalogue.note(terms, state)
                return ActionDone(terms, state, unpaid)
            case _:
                return self._refusal(guid, reply)

    def _script_of(self, act: OperatorAction, actor: str, reason: str) -> tuple[Script, tuple[str, ...]]:
        """The script that executes an act, and its arguments after the shared ones."""
        match act.kind:
            case "void":
                return self._void_script, (actor, reason, act.bidder or "", or_empty(act.paddle))
            case "reopen" | "second_offer" | "unpaid" | "paid" | "archive" | "unarchive":
                details = (or_empty(act.closes_at), or_empty(act.paddle), str(self._reopens_ms))
                return self._correct_script, (act.kind, actor, reason, *details)
            case _:
                details = (or_empty(act.closes_at), act.title or "", or_empty(act.reserve))
                return self._act_script, (act.kind, actor, reason, *details)

    def _announce(self, guid: str) -> None:
        """Register the auction's outbox with the sender. Best effort, because that set is in another cluster slot."""
        if self.connection.outbox and self.connection.is_connected:
            self.connection.link().call("SADD", keys.OUTBOXES, guid)

    def _refusal(self, guid: str, reply: list[bytes]) -> Refused:
        match reply:
            case [b"unknown"]:
                self._currencies.pop(guid, None)
                return Refused("unknown")
            case [b"currency", _]:
                self._currencies.pop(guid, None)
                raise StoreUnavailable(f"auction {guid} was created again in another currency; send the request again")
            case [b"late"]:
                raise StoreUnavailable("the request reached the store too late and was not executed; send it again")
            case [b"damaged", value]:
                shown = value.decode("ascii", "replace")[:40]
                raise StoreUnavailable(
                    f"the price key of auction {guid} holds {shown!r} instead of its price; it must be repaired first"
                )
            case [b"key_reused"]:
                return Refused("key_reused")
            case [verdict, replayed, now, price, _, _, why, *values] if verdict in _REFUSALS:
                _, state = self.terms_and_state(guid, replayed, now, price, values)
                return Refused(_REFUSALS[verdict], state, replayed == b"1", why.decode() or None)
            case _:
                raise StoreError(f"a script answered {reply!r}")

    # --- reading -----------------------------------------------------------------------------------------------

    async def read(self, guid: str) -> Record:
        """The current record of one auction."""
        (record,) = await self.read_multi([guid])
        return record

    async def state(self, guid: str) -> State:
        """The current state of one auction; its status is `unknown` when there is none."""
        return self.state_of(await self.read(guid))

    async def read_multi(self, guids: Sequence[str]) -> list[Record]:
        """The current records of several auctions, in the same order."""
        link = self.connection.link()
        asked_at = self._clock.moment()
        replies = await asyncio.gather(*(link.transaction(*read_commands(guid)) for guid in guids))
        return [
            read_record(guid, price, fields, self._external_currency, self._clock.take_time(time, asked_at))
            for guid, (time, price, fields) in zip(guids, replies, strict=True)
        ]

    # --- states ------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """A lower bound of the store's clock, in epoch ms."""
        return self._clock.now()

    def on_state(self, listener: Callable[[State], object]) -> None:
        """Call `listener` with each current state that this object returns."""
        self._listener = listener

    def state_of(self, record: Record) -> State:
        """The state of a record at the moment when it was read."""
        state = record.state(record.read_at, self._clock.generation, self._external_currency)
        if record.invalid_value is None and self._listener is not None:
            self._listener(state)
        return state

    def terms_and_state(
        self, guid: str, replayed: bytes, now: bytes, price: bytes, values: Values
    ) -> tuple[Terms, State]:
        """The terms and the state in a script's reply; a replayed reply shows the state of that time."""
        values = [*values, *[None] * (len(FIELDS) - len(values))]  # an older release stored fewer
        record = read_record(guid, price or None, values, self._external_currency, int(now))
        if record.terms is None:
            raise StoreError(f"a script returned no terms of auction {guid}")
        if replayed == b"1":
            return record.terms, record.state(record.read_at, self._clock.generation, self._external_currency)
        return record.terms, self.state_of(record)


_STANDINGS: dict[bytes, Standing] = {standing.encode(): standing for standing in get_args(Standing)}


def or_empty(value: object) -> str:
    """A script's argument: None becomes the empty string."""
    return "" if value is None else str(value)


def _life_of_answer(idempotency_key: str | None) -> str:
    """A script's argument: the life of the stored answer in ms."""
    return str(ANSWER_LIFE_MS) if idempotency_key else ""


@lru_cache(maxsize=16_384)
def keys_of_decisions(guid: str) -> tuple[str, ...]:
    """The first seven keys of every script."""
    return (
        keys.price(guid), keys.auction(guid), keys.private(guid), keys.bids(guid), keys.paddles(guid),
        keys.voided(guid), keys.outbox(guid),
    )  # fmt: skip
