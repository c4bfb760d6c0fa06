"""Many auctions at once, all of them or none, whoever dies in the middle.

Rule: what is to be created is written down first, where nothing shows it (`_stage`); then every guid is held, so that
nobody else can take it (`_hold`); then one key decides (`decide.lua`). Who dies before that leaves only keys that
expire. What is decided is carried out, by whoever finds it: creating one again changes nothing. Each step touches keys
of one cluster slot: an auction's, or the batch's own.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2s

import msgspec

from sse_auction.auction.decisions import Created, NotCreated
from sse_auction.lots import Lot
from sse_auction.refusals import explain_not_created
from sse_auction.store import keys
from sse_auction.store.auctions import Script, Store
from sse_auction.store.connection import StoreError
from sse_auction.store.lease import Lease
from sse_auction.wire.requests import CreateRequest, encode, new_auction

log = logging.getLogger(__name__)

STAGED_LIFE_MS = 15 * 60_000  # of what was written down and never decided
HELD_LIFE_MS = 5 * 60_000  # of a guid; 100,000 auctions take a minute or two from the first hold to the last one
REMEMBERED_MS = 24 * 3600_000  # how long the same batch sent again is known, as an idempotency key of a bid
LEASE_SECONDS = 2.0  # after which another process goes on with what a dead one has begun
LOOK_SECONDS = 0.5
AT_ONCE = 200  # auctions


class Taken(Exception):
    """Auctions of a batch that cannot be created, so none was; the message has a line for each."""


class OtherBatch(Exception):
    """The key of a batch was used for other auctions."""


class _Entry(msgspec.Struct):
    """One auction as it is written down."""

    guid: str
    currency: str
    actor: str
    request: CreateRequest


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be created, under a name that is the same when it is sent again."""

    name: str
    lots: Sequence[Lot]
    actor: str

    @property
    def content(self) -> str:
        """A hash of what is wanted but for its moments: `+2h` is another one each time it is read."""
        digest = blake2s(digest_size=16)
        for lot in self.lots:
            digest.update(encode(msgspec.structs.replace(lot.request, opens_at=None, closes_at=0, hard_close_at=None)))
        return digest.hexdigest()


def name_of(who: str, key: str | None) -> str:
    """The name of the batch that `who` sends with this idempotency key; without one, it is like no other."""
    return blake2s(f"{len(who)}:{who}{key or secrets.token_hex(16)}".encode(), digest_size=16).hexdigest()


class Batches:
    """The batches of one store."""

    _decide = Script("decide", decides=False)

    def __init__(self, store: Store, currency: str) -> None:
        self._store = store
        self._currency = currency  # of auctions that name none

    async def run(self) -> None:
        """Carry out what others have left, until cancelled."""
        while True:
            try:
                await self.resume()
            except StoreError as error:
                log.debug("no batch can be looked for now: %s", error)
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))

    async def resume(self) -> None:
        """Carry out what was decided and is not done, unless somebody is at it."""
        link = self._store.link()
        oldest = self._store.now() - STAGED_LIFE_MS
        for each in await link.call("ZRANGE", keys.BATCHES, 0, -1):
            name, me = each.decode(), secrets.token_hex(8)
            if not await link.call("EXISTS", keys.decided(name)):
                await link.call("ZREMRANGEBYSCORE", keys.BATCHES, "-inf", oldest)
            elif await self._lease(name).hold(me, LEASE_SECONDS):
                async for _ in self._carry_out(name, me):
                    pass

    async def create(self, batch: Batch) -> tuple[bool, AsyncGenerator[Created | NotCreated, None]]:
        """(whether it had been decided before, what comes of each auction in its order, to be gone through).

        Raises: `Taken` when none of it is created, `OtherBatch`, `StoreError`. From the return on all of it is created,
        sooner or later, also if nobody goes through what came of it.
        """
        link = self._store.link()
        me = secrets.token_hex(8)
        decided: bytes | None = await link.call("GET", keys.decided(batch.name))
        if decided is None:
            await self._stage(batch, me)
            await self._hold(batch)
            await link.call("ZADD", keys.BATCHES, self._store.now(), batch.name)  # for whoever must go on
            await self._lease(batch.name).hold(me, LEASE_SECONDS)
            script_keys = (keys.decided(batch.name), keys.staged(batch.name, me))
            arguments = (f"{me} {batch.content}", str(len(batch.lots)))
            decided = await self._decide.run(link, script_keys, arguments)
            if not decided:
                raise StoreError("the store has lost what it was given; nothing was created, send it again")
        attempt, content = decided.decode().split()
        if content != batch.content:
            raise OtherBatch
        return attempt != me, self._carry_out(batch.name, me)

    async def _carry_out(self, name: str, me: str) -> AsyncGenerator[Created | NotCreated, None]:
        """Create what was decided, and tell what came of each; one that it has created already is told as it is now.

        While another process is at it, that one is waited for; should it die, its lease ends.
        """
        link, lease = self._store.link(), self._lease(name)
        while True:
            if await lease.hold(me, LEASE_SECONDS) or not await link.call("ZSCORE", keys.BATCHES, name):
                break
            await asyncio.sleep(LOOK_SECONDS)
        decided: bytes = await link.call("GET", keys.decided(name)) or b""
        staged = keys.staged(name, decided.partition(b" ")[0].decode())
        start = 0
        while page := await link.call("LRANGE", staged, start, start + AT_ONCE - 1):
            await lease.hold(me, LEASE_SECONDS)
            for result in await asyncio.gather(*(self._create(name, entry) for entry in page)):
                yield result
            start += AT_ONCE
        remembered = (("PEXPIRE", key, REMEMBERED_MS) for key in (staged, keys.decided(name)))
        await link.transaction(*remembered)
        await link.call("ZREM", keys.BATCHES, name)
        await lease.release(me)

    def _lease(self, name: str) -> Lease:
        return Lease(self._store, keys.batch_lease(name))

    async def _create(self, name: str, line: bytes) -> Created | NotCreated:
        entry = msgspec.json.decode(line, type=_Entry)
        new = new_auction(entry.request, entry.guid, entry.currency, was_accepted=True)
        return await self._store.create(new, entry.actor, batch=name)

    async def _stage(self, batch: Batch, attempt: str) -> None:
        """Write down what is to be created."""
        link, key = self._store.link(), keys.staged(batch.name, attempt)
        for lots in _portions(batch.lots):
            lines = [encode(_Entry(lot.guid, self._currency, batch.actor, lot.request)) for lot in lots]
            await link.transaction(("RPUSH", key, *lines), ("PEXPIRE", key, STAGED_LIFE_MS))

    async def _hold(self, batch: Batch) -> None:
        """Hold every guid, or none: `Taken` names those that cannot be created."""
        link, now = self._store.link(), self._store.now()
        held: list[str] = []
        taken: list[str] = []
        try:
            for lots in _portions(batch.lots):
                replies = await asyncio.gather(*(link.transaction(*_hold(lot.guid, batch.name)) for lot in lots))
                for lot, (was_free, holder, exists) in zip(lots, replies, strict=True):
                    is_ours = holder == batch.name.encode()
                    held += [lot.guid] * is_ours
                    if is_ours and not was_free:  # held by an earlier try of the same
                        link.call("PEXPIRE", keys.held(lot.guid), HELD_LIFE_MS)
                    if refused := _refused(lot, bool(exists), is_ours, now):
                        said = explain_not_created(lot.guid, lot.request.closes_at, refused)[1]
                        taken.append(f"line {lot.line}: {said}")
            if taken:
                raise Taken("\n".join(taken))
        except BaseException:  # also when the one who asked has left; what cannot be given back expires
            for guid in held:
                link.call("DEL", keys.held(guid))
            raise


def _hold(guid: str, name: str) -> tuple[tuple[str | int, ...], ...]:
    key = keys.held(guid)
    return (
        ("SET", key, name, "NX", "PX", HELD_LIFE_MS), ("GET", key), ("EXISTS", keys.price(guid), keys.auction(guid)),
    )  # fmt: skip


def _refused(lot: Lot, exists: bool, is_ours: bool, now: int) -> NotCreated | None:
    if exists:
        return NotCreated("exists", now)
    if not is_ours:
        return NotCreated("held", now)
    return NotCreated("past", now) if lot.request.closes_at <= now else None


def _portions(lots: Sequence[Lot]) -> Iterator[Sequence[Lot]]:
    return (lots[start : start + AT_ONCE] for start in range(0, len(lots), AT_ONCE))
