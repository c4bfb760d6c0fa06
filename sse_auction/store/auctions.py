"""Auctions in the store: create, bid, read, history.

Rule: every decision is one Lua script, made by the store's own clock, and its reply becomes a Python value in one
`match`. A low bid is a value, not an exception; exceptions mean that the store did not answer. Nothing is ever
tried again blindly.
"""

import asyncio
import logging
import math
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s, sha1
from importlib.resources import files
from typing import Any, Literal, TypeAlias, get_args

from sse_auction.auction.decisions import Accepted, Act, Created, Done, NotCreated, Offer, Refusal, Refused, Standing
from sse_auction.auction.money import exponent_of
from sse_auction.auction.state import FIELDS, Record, State, Values, read_record
from sse_auction.auction.terms import Terms
from sse_auction.metrics import STORE_ERRORS
from sse_auction.store import keys
from sse_auction.store.bid_history import entries_of, what_is_void
from sse_auction.store.catalogue import Catalogue
from sse_auction.store.clock import StoreFacts
from sse_auction.store.connection import Argument, CommandError, Link, StoreError, StoreUnavailable, connect, dial
from sse_auction.wire.requests import HistoryReply, NewAuction, Update, encode

log = logging.getLogger(__name__)

ANSWER_LIFE_MS = 24 * 3600 * 1000  # how long an idempotency key is remembered
OLDEST_VERSION = (6, 2)
SETTLED_AT_ONCE = 100  # auctions
_OUTBOX_LOOK_SECONDS = 0.25  # between looks whether there is an outbox, where the store does not say
_MOST_REMEMBERED = 100_000  # auctions: a bound, far above what one service sells in a day; it fills again by itself

_REFUSALS: dict[bytes, Refusal] = {reason.encode(): reason for reason in get_args(Refusal)}
Told: TypeAlias = Literal["", "events", "bids"]


@dataclass(frozen=True, slots=True)
class Participant:
    """A bidder in one auction; `void_reason` is an operator's, None also where nobody kept it."""

    paddle: int
    is_voided: bool = False
    void_reason: str | None = None


def shared_by(name: str) -> tuple[str, ...]:
    """The files that stand before a script that decides about an auction, in this order."""
    return ("common", "recount") if name in ("void", "correct") else ("common",)


class Script:
    """One Lua file, called by its hash; one that decides about an auction stands behind what it shares."""

    def __init__(self, name: str, *, decides: bool = True, verdicts: Collection[bytes] = ()) -> None:
        self.verdicts = verdicts  # that have no state with them
        folder = files("sse_auction.store").joinpath("lua")
        self.source = folder.joinpath(f"{name}.lua").read_text()
        if decides:
            fields = ", ".join(f"'{field}'" for field in FIELDS)
            shared = [folder.joinpath(f"{part}.lua").read_text() for part in shared_by(name)]
            self.source = "\n".join([f"local FIELDS = {{{fields}}}", *shared, self.source])
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    async def run(self, link: Link, script_keys: Sequence[str], arguments: Sequence[str]) -> Any:
        """The script's reply. A store that does not know the script did not run it, so sending it whole is safe."""
        rest: tuple[Argument, ...] = (len(script_keys), *script_keys, *arguments)
        try:
            return await link.call("EVALSHA", self.sha, *rest)
        except CommandError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
            return await link.call("EVAL", self.source, *rest)


def version_of(info: str) -> tuple[int, ...]:
    """The Redis version in a reply to `INFO server`; Valkey says which Redis it is compatible with."""
    for line in info.splitlines():
        if line.startswith("redis_version:"):
            return tuple(int(part) for part in line.partition(":")[2].split(".")[:3] if part.isdigit())
    return ()


def _check_eviction(info: str) -> None:
    """Raise `StoreUnavailable` when the store's policy, in a reply to `INFO memory`, may drop an auction."""
    policy = next((line.partition(":")[2] for line in info.splitlines() if line.startswith("maxmemory_policy:")), "")
    if policy.startswith("allkeys-"):
        raise StoreUnavailable(
            f"the store's maxmemory-policy is {policy}: when its memory is full it would drop auctions; "
            "set it to noeviction"
        )
    if policy.startswith("volatile-"):
        log.warning(
            "the store's maxmemory-policy is %s: when its memory is full it drops remembered answers, and a bid sent "
            "again could count twice; set it to noeviction",
            policy,
        )


async def check_store(url: str, timeout: float) -> None:
    """Raise `StoreUnavailable` with a sentence unless a usable Redis or Valkey answers at `url`."""
    link = await connect(url, timeout)
    try:
        info = await link.call("INFO", "server")
        version = version_of(info.decode())
        if version < OLDEST_VERSION:
            shown = ".".join(map(str, version)) or "unknown"
            raise StoreUnavailable(f"the store is Redis {shown}; 6.2 or newer, or Valkey, is needed")
        _check_eviction((await link.call("INFO", "memory")).decode())
    except CommandError as error:
        log.warning("the store does not tell about itself: %s", error)  # an ACL may forbid INFO; the rest decides
    finally:
        link.close()


class Store:
    """The auctions of one Redis or Valkey. `run` keeps it connected and must be owned by somebody's task."""

    def __init__(
        self, url: str, timeout: float, facts: StoreFacts, plain_currency: str, reopen_hours: float = 24.0
    ) -> None:
        self._url = url
        self._timeout = timeout
        self._facts = facts
        self._plain_currency = plain_currency
        self._link: Link | None = None
        self._connected = asyncio.Event()
        self._reopens_ms = int(reopen_hours * 3_600_000)
        self._outbox: Told = ""
        self._outbox_changed = asyncio.Event()
        self._create_script, self._bid_script = Script("create"), Script("bid")
        self._act_script, self._settle_script = Script("act"), Script("settle")
        self._next_due_script = Script("next_due", decides=False)
        self.catalogue = Catalogue(self)
        self._void_script, self._correct_script = Script("void"), Script("correct")
        self._asked: dict[str, asyncio.Task[Update]] = {}  # reads that have not left yet
        self._listener: Callable[[State], object] | None = None
        self._currencies: dict[str, str] = {}  # of recorded auctions; never changes while one lives

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with aclosing(dial(self._url, self._timeout, self._on_push)) as links:
            async for link in links:
                try:
                    await self._follow_outbox(link)
                except StoreError as error:
                    log.debug("the connection ends: %s", error)
                finally:
                    self._connected.clear()
                    self._link = None

    async def connected(self) -> None:
        """Wait until the store is connected."""
        await self._connected.wait()

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    def link(self) -> Link:
        """The live connection; `StoreUnavailable` where there is none."""
        if self._link is None:
            STORE_ERRORS.labels("unreachable").inc()
            raise StoreUnavailable("the store is not reachable")
        return self._link

    # --- whether others are to be told -------------------------------------------------------------------------

    @property
    def outbox(self) -> Told:
        """What the scripts put into the outboxes: as the store has it, whoever sends it, and from where."""
        return self._outbox

    async def keep_outbox(self, told: Told, life_seconds: float, *, anew: bool) -> None:
        """Have it told for so long from now; `anew`, in place of what another process has said."""
        life_ms = int(life_seconds * 1000)
        await self.link().transaction(
            ("SET", keys.WEBHOOKS, told, "PX", life_ms, *([] if anew else ["NX"])),
            ("PEXPIRE", keys.WEBHOOKS, life_ms),
        )
        self._outbox = told if anew else self._outbox or told  # at once; and then as it is read

    async def _follow_outbox(self, link: Link) -> None:
        """Be connected by `link` until that is lost, and know all the while whether there is an outbox.

        It is read before the first decision leaves, and the store says when it changes on the connection by which
        decisions go; so no decision of a process that has been cut off from elsewhere goes by what was before.
        """
        link.when_lost(self._outbox_changed.set)
        says_changes = await self._tracks_outbox(link)
        while True:
            link.check()
            self._outbox_changed.clear()
            try:
                told = await link.call("GET", keys.WEBHOOKS)
                self._outbox = "" if told is None else "bids" if told == b"bids" else "events"
            except CommandError as error:
                log.debug("whether there is an outbox cannot be read: %s", error)
            except StoreUnavailable:
                await asyncio.sleep(_OUTBOX_LOOK_SECONDS)  # it may be loading, or slow; or it is gone
                continue
            self._link = link
            self._connected.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if says_changes else _OUTBOX_LOOK_SECONDS):
                    await self._outbox_changed.wait()

    async def _tracks_outbox(self, link: Link) -> bool:
        try:
            await link.call("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", keys.WEBHOOKS)
        except CommandError as error:
            log.debug("the store does not say when there is an outbox, so it is asked: %s", error)
            return False
        return True

    def _on_push(self, push: list[Any]) -> None:
        """It has changed. Until it is read again there is one: a message for nobody does no harm."""
        self._outbox = self._outbox or "events"
        self._outbox_changed.set()

    # --- decisions ---------------------------------------------------------------------------------------------

    def _shared_arguments(self, currency: str) -> tuple[str, str, str, str]:
        """The first four arguments of every script."""
        decide_before = self._facts.now() + int(self._timeout * 1000)
        return str(decide_before), self._outbox, currency, str(exponent_of(currency))

    async def decide(
        self, script: Script, guid: str, currency: str, arguments: Sequence[str], *more_keys: str
    ) -> str | Refused:
        """What a script of another module has done with one auction, in its own word, or why it did nothing."""
        shared = self._shared_arguments(currency)
        reply = await self._decide(script, (*_keys_of_decisions(guid), *more_keys), (*shared, *arguments))
        self._announce(guid)
        return reply[0].decode() if reply[0] in script.verdicts else self._refusal(guid, reply)

    async def _decide(self, script: Script, script_keys: Sequence[str], arguments: Sequence[str]) -> list[bytes]:
        """A script's reply; its moment is the store's clock, unless it is the answer to an earlier request."""
        asked_at = self._facts.moment()
        reply: list[bytes] = await script.run(self.link(), script_keys, arguments)
        match reply:
            case [_, b"0", now, _, _, _, _, *_]:
                self._facts.take_now(int(now), asked_at)
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
        """Record a new auction; an existing one, plain or recorded, is left untouched.

        With a key, the answer to this `request` (a hash) is remembered, and given again; see `creating`. One of a
        `batch` may be created again, and is then told as it is; see `batches`.
        """
        soft = new.soft_close
        fields = {
            "title": new.title, "currency": new.currency, "start_price": new.start_price,
            "increments": new.increments.dump(), "closes_at": new.closes_at, "bidding": new.bidding,
            "aligned": "1" if new.aligned else "", "buy_now": _or_empty(new.buy_now), "buy_now_mode": new.buy_now_mode,
            "window_ms": soft.window_ms if soft else "", "extend_ms": soft.extend_ms if soft else "",
            "hard_close_at": _or_empty(new.hard_close_at), "max_extensions": _or_empty(new.max_extensions),
        }  # fmt: skip
        arguments = (
            *self._shared_arguments(new.currency), new.guid, _or_empty(new.opens_at), actor, new.seller or "",
            _or_empty(new.reserve), encode(new.priority).decode(), _life_of_answer(idempotency_key), request, batch,
            *(str(part) for field in fields.items() for part in field),
        )  # fmt: skip
        answer_key = keys.created(new.guid, actor, idempotency_key)
        script_keys = (*_keys_of_decisions(new.guid), keys.INDEX, keys.DUE, answer_key, keys.held(new.guid))
        match await self._decide(self._create_script, script_keys, arguments):
            case [b"created", replayed, now, price, _, _, _, *values]:
                terms, state = self._terms_and_state(new.guid, replayed, now, price, values)
                if replayed != b"1":  # that says how it was then, and all of it has been said
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
        """The currency in which a recorded auction takes bids, or why it takes none."""
        if guid in self._currencies:
            return self._currencies[guid]
        terms = await self.terms_of(guid)
        if isinstance(terms, Refused):
            return terms
        if len(self._currencies) > _MOST_REMEMBERED:
            self._currencies.clear()
        self._currencies[guid] = terms.currency
        return terms.currency

    async def terms_of(self, guid: str) -> Terms | Refused:
        """The terms of a recorded auction, or why there are none."""
        record = await self.read(guid)
        if record.terms is None:
            return Refused("plain", self.state_of(record)) if record.exists else Refused("unknown")
        return record.terms

    async def bid(
        self,
        guid: str,
        bidder: str,
        offer: Offer,
        currency: str,
        *,
        confirmed: bool = False,
        idempotency_key: str | None = None,
    ) -> Accepted | Refused:
        """Decide one bid, whose amount is in minor units of `currency`, which must be what `currency_of` told."""
        request = ""
        if idempotency_key:
            told = f"{offer.kind} {offer.amount} {confirmed}"
            request = blake2s(told.encode(), digest_size=16).hexdigest()
        script_keys = (*_keys_of_decisions(guid), keys.answer(guid, bidder, idempotency_key))
        arguments = (
            *self._shared_arguments(currency), bidder, offer.kind, _or_empty(offer.amount), "1" if confirmed else "",
            _life_of_answer(idempotency_key), request,
        )  # fmt: skip
        reply = await self._decide(self._bid_script, script_keys, arguments)
        match reply:
            case [b"accepted", replayed, now, price, seq, paddle, standing, *values]:
                terms, state = self._terms_and_state(guid, replayed, now, price, values)
                if replayed != b"1":  # that says how it was then, and all of it has been said
                    if self._outbox == "bids" or state.extensions or state.is_final:
                        self._announce(guid)
                    if state.is_final:
                        await self.catalogue.note(terms, state)
                return Accepted(int(seq), int(paddle), _STANDINGS[standing], state, replayed == b"1")
            case _:
                return self._refusal(guid, reply)

    async def act(self, guid: str, act: Act, actor: str, reason: str) -> Done | Refused:
        """Carry out one act of the operator `actor`."""
        currency = await self.currency_of(guid)
        if isinstance(currency, Refused):
            return currency
        script, arguments = self._script_of(act, actor, reason)
        before = await self.terms_of(guid) if act.kind == "reopen" else None
        # Before: should the answer be lost, it is still filed. Of what is over only when the script has been decided
        # or is too late: else it might be found to be over still, and then be looked at no more.
        self.catalogue.look_at(guid, int(self._timeout * 1000) if act.kind == "reopen" else 0)
        arguments = (*self._shared_arguments(currency), *arguments)
        reply = await self._decide(script, _keys_of_decisions(guid), arguments)
        match reply:
            case [b"done", replayed, now, price, _, _, _, *values]:
                unpaid = values[FIELDS.index("unpaid")] == b"1"
                terms, state = self._terms_and_state(guid, replayed, now, price, values)
                self._announce(guid)
                if isinstance(before, Terms):
                    await self.catalogue.unlist(before)
                await self.catalogue.note(terms, state)
                return Done(terms, state, unpaid)
            case _:
                return self._refusal(guid, reply)

    def _script_of(self, act: Act, actor: str, reason: str) -> tuple[Script, tuple[str, ...]]:
        """The script that carries an act out, and its arguments after those that all scripts have."""
        match act.kind:
            case "void":
                return self._void_script, (actor, reason, act.bidder or "", _or_empty(act.paddle))
            case "reopen" | "second_offer" | "unpaid" | "paid" | "archive" | "unarchive":
                details = (_or_empty(act.closes_at), _or_empty(act.paddle), str(self._reopens_ms))
                return self._correct_script, (act.kind, actor, reason, *details)
            case _:
                details = (_or_empty(act.closes_at), act.title or "", _or_empty(act.reserve))
                return self._act_script, (act.kind, actor, reason, *details)

    async def settle_due(self) -> float:
        """Do what is due by time alone, of some auctions; in how many seconds more is due.

        Any process may do it. Of many that are due each takes some at random, so that all of them do not the same.
        """
        link, now = self.link(), self._facts.now()
        count: int = await link.call("ZCOUNT", keys.DUE, "-inf", now)
        first = random.randint(0, max(0, count - SETTLED_AT_ONCE))
        found: list[tuple[bytes, float]] = await link.call(
            "ZRANGE", keys.DUE, "-inf", "+inf", "BYSCORE", "LIMIT", first, SETTLED_AT_ONCE, "WITHSCORES"
        )
        due = {guid.decode(): int(since) for guid, since in found if since <= now}
        await self._settle_all(due)
        if count >= SETTLED_AT_ONCE:
            return 0.0
        return (found[len(due)][1] - now) / 1000 if len(due) < len(found) else math.inf

    async def settle(self, guid: str) -> None:
        """Do what is due of one auction by time alone: tell of its opening, settle it when it has closed; once.

        It is filed as what it is then, and made due again when time will next do something to it.
        """
        since: float | None = await self.link().call("ZSCORE", keys.DUE, guid)
        await self._settle_all({guid: None if since is None else int(since)})

    async def _settle_all(self, due: Mapping[str, int | None]) -> None:
        """The same for several, by the moments since when they are due.

        Those that fail stay due, and the first failure is raised when the others are done. What has become due at
        another moment meanwhile stays so: somebody has decided something since, and this does not know of it.
        """
        if not due:
            return
        link = self.link()
        results = await asyncio.gather(*map(self._settle, due), return_exceptions=True)
        if self._outbox:
            await link.call("SADD", keys.OUTBOXES, *due)
        replies = {guid: reply for guid, reply in zip(due, results, strict=True) if isinstance(reply, list)}
        recorded = [(guid, reply) for guid, reply in replies.items() if len(reply) > 1]
        await self.catalogue.file(*(self._terms_and_state(guid, r[1], r[2], r[3], r[7:]) for guid, r in recorded))
        await asyncio.gather(
            *(
                self._next_due_script.run(link, [keys.DUE], [guid, _or_empty(due[guid]), reply[0].decode()])
                for guid, reply in replies.items()
            )
        )
        for error in results:
            if isinstance(error, BaseException):
                raise error

    async def _settle(self, guid: str) -> list[bytes]:
        """What settle.lua replies; the same without an auction that is recorded."""
        currency = await self.currency_of(guid)
        if isinstance(currency, Refused):
            return [b""]
        arguments = self._shared_arguments(currency)
        reply: list[bytes] = await self._settle_script.run(self.link(), _keys_of_decisions(guid), arguments)
        return reply

    def _announce(self, guid: str) -> None:
        """Let the sender hear that the outbox holds something. Best effort: it is of another slot."""
        if self._outbox and self._link is not None:
            self._link.call("SADD", keys.OUTBOXES, guid)

    def _refusal(self, guid: str, reply: list[bytes]) -> Refused:
        match reply:
            case [b"unknown"]:
                self._currencies.pop(guid, None)
                return Refused("unknown")
            case [b"currency", _]:
                self._currencies.pop(guid, None)
                raise StoreUnavailable(f"auction {guid} was created anew in another currency; send it again")
            case [b"late"]:
                raise StoreUnavailable("it reached the store too late and was not counted; send it again")
            case [b"damaged", value]:
                shown = value.decode("ascii", "replace")[:40]
                raise StoreUnavailable(
                    f"the price key of auction {guid} holds {shown!r} instead of its price; it must be repaired first"
                )
            case [b"key_reused"]:
                return Refused("key_reused")
            case [verdict, replayed, now, price, _, _, why, *values] if verdict in _REFUSALS:
                _, state = self._terms_and_state(guid, replayed, now, price, values)
                return Refused(_REFUSALS[verdict], state, replayed == b"1", why.decode() or None)
            case _:
                raise StoreError(f"a script answered {reply!r}")

    # --- reading -----------------------------------------------------------------------------------------------

    async def read(self, guid: str) -> Record:
        """One auction's record as of now."""
        (record,) = await self.read_many([guid])
        return record

    async def state(self, guid: str) -> State:
        """One auction's state as of now; `unknown` when there is none."""
        return self.state_of(await self.read(guid))

    async def update(self, guid: str) -> Update:
        """The same, encoded. All who ask in one turn of the loop share one read, which leaves after they asked."""
        shared = self._asked.get(guid)
        if shared is None:
            shared = self._asked[guid] = asyncio.create_task(self._read_update(guid))
        return await asyncio.shield(shared)  # one who goes away must not take the others' answer with him

    async def _read_update(self, guid: str) -> Update:
        del self._asked[guid]  # from here on it is too late to join
        return Update(await self.state(guid))

    async def read_many(self, guids: Sequence[str]) -> list[Record]:
        """The records of several auctions as of now, in the same order."""
        link = self.link()
        asked_at = self._facts.moment()
        replies = await asyncio.gather(*(link.transaction(*read_commands(guid)) for guid in guids))
        return [
            read_record(guid, price, fields, self._plain_currency, self._facts.take_time(time, asked_at))
            for guid, (time, price, fields) in zip(guids, replies, strict=True)
        ]

    async def history(self, guid: str, after: int, limit: int) -> HistoryReply:
        """Up to `limit` accepted bids with `seq` above `after`, in order, with the automatic bids that answer them."""
        link = self.link()
        (currency, undone), paddles = await asyncio.gather(
            link.call("HMGET", keys.auction(guid), "currency", "undone"), link.call("SMEMBERS", keys.voided(guid))
        )
        if currency is None:
            return HistoryReply([], None)
        bids: list[tuple[bytes, list[bytes]]] = []
        start = f"({after}-0"
        while len(bids) <= limit:  # what is no bid is passed over; one more says whether there is a next page
            count = limit - len(bids) + 1
            entries = await link.call("XRANGE", keys.bids(guid), start, "+", "COUNT", count)
            bids += [entry for entry in entries if entry[0].endswith(b"-0")]
            if len(entries) < count:
                break
            start = f"({entries[-1][0].decode()}"
        gone = what_is_void(paddles, undone)
        told = [
            entries_of(entry_id.decode(), text_of(flat), currency.decode(), gone) for entry_id, flat in bids[:limit]
        ]
        entries = [entry for each in told for entry in each]
        return HistoryReply(entries, entries[-1].seq if len(bids) > limit else None)

    async def participant(self, guid: str, bidder: str) -> Participant | None:
        """A bidder in an auction, if he has bid there."""
        link = self.link()
        paddle: bytes | None = await link.call("HGET", keys.paddles(guid), bidder)
        if paddle is None:
            return None
        is_voided, reason = await link.transaction(
            ("SISMEMBER", keys.voided(guid), paddle), ("HGET", keys.private(guid), b"void:" + paddle)
        )
        return Participant(int(paddle), bool(is_voided), reason.decode() if is_voided and reason else None)

    # --- states ------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """The store's clock, or a little less, in epoch ms."""
        return self._facts.now()

    def tell_of_states(self, listener: Callable[[State], object]) -> None:
        """Have `listener` hear of each state that is told here, as of now."""
        self._listener = listener

    def state_of(self, record: Record) -> State:
        """The state that a record showed when it was read."""
        state = record.state(record.read_at, self._facts.memory, self._plain_currency)
        if record.damage is None and self._listener is not None:
            self._listener(state)
        return state

    def _terms_and_state(
        self, guid: str, replayed: bytes, now: bytes, price: bytes, values: Values
    ) -> tuple[Terms, State]:
        """What a script's reply says; one that is given again says how it was then."""
        values = [*values, *[None] * (len(FIELDS) - len(values))]  # an older release remembered fewer
        record = read_record(guid, price or None, values, self._plain_currency, int(now))
        if record.terms is None:
            raise StoreError(f"a script told no terms of auction {guid}")
        if replayed == b"1":
            return record.terms, record.state(record.read_at, self._facts.memory, self._plain_currency)
        return record.terms, self.state_of(record)


_STANDINGS: dict[bytes, Standing] = {standing.encode(): standing for standing in get_args(Standing)}


def _or_empty(value: object) -> str:
    """A script's argument: nothing is the empty string."""
    return "" if value is None else str(value)


def _life_of_answer(idempotency_key: str | None) -> str:
    """A script's argument: for how many ms it remembers its answer."""
    return str(ANSWER_LIFE_MS) if idempotency_key else ""


@lru_cache(maxsize=16_384)
def _keys_of_decisions(guid: str) -> tuple[str, ...]:
    """The first seven keys of every script."""
    return (
        keys.price(guid), keys.auction(guid), keys.private(guid), keys.bids(guid), keys.paddles(guid),
        keys.voided(guid), keys.outbox(guid),
    )  # fmt: skip


@lru_cache(maxsize=16_384)
def read_commands(guid: str) -> tuple[tuple[str, ...], ...]:
    """The commands of the transaction that reads one auction, for `read_record`, and the moment at which it does."""
    return ("TIME",), ("GET", keys.price(guid)), ("HMGET", keys.auction(guid), *FIELDS)


def _pairs(flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
    each = iter(flat)
    return dict(zip(each, each, strict=True))


def text_of(flat: Sequence[bytes]) -> dict[str, str]:
    """The fields of a stream's entry."""
    return {name.decode(): value.decode() for name, value in _pairs(flat).items()}
