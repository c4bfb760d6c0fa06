"""Creates several auctions at once: all of them or none, even when the process dies in the middle.

Rule: the auctions are first staged where nothing shows them (`_stage`); then every guid is held, so that no other
request can take it (`_hold`); then one key decides (`decide.lua`). A process that dies before the decision leaves only
keys that expire. After the decision any process that finds the batch carries it out: creating an auction again changes
nothing. Each step touches keys of one cluster slot: an auction's, or the batch's own.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2s
from itertools import count

from sse_auction.auction.decisions import Created, NotCreated
from sse_auction.auction.terms import NewAuction
from sse_auction.store import keys
from sse_auction.store.auctions import Auctions
from sse_auction.store.connection import StoreError
from sse_auction.store.lease import Lease
from sse_auction.store.scripts import Script

log = logging.getLogger(__name__)

STAGED_LIFE_MS = 15 * 60_000  # of auctions that were staged and never decided
HELD_LIFE_MS = 5 * 60_000  # of a guid; 100,000 auctions take a minute or two from the first hold to the last one
REMEMBERED_MS = 24 * 3600_000  # how long a batch that is sent again is recognised, as the idempotency key of a bid
LEASE_SECONDS = 2.0  # then another process continues the batch of a dead one
LOOK_SECONDS = 0.5
AT_ONCE = 200  # auctions


class Taken(Exception):
    """No auction of the batch was created: `refused` has the indices of those that cannot be, and the reasons."""

    def __init__(self, refused: Sequence[tuple[int, NotCreated]]) -> None:
        super().__init__(f"{len(refused)} auctions cannot be created")
        self.refused = refused


class OtherBatch(Exception):
    """The key of a batch was used for other auctions."""


@dataclass(frozen=True, slots=True)
class Item:
    """One auction of a batch. `line` holds all that is needed to create it; its format belongs to the caller."""

    guid: str
    closes_at: int
    line: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """The auctions to create. A batch that is sent again has the same `name`; `content` is a hash of the auctions."""

    name: str
    items: Sequence[Item]
    content: str


def name_of(who: str, key: str | None) -> str:
    """The name of the batch that `who` sends with this idempotency key; without a key the name is unique."""
    return blake2s(f"{len(who)}:{who}{key or secrets.token_hex(16)}".encode(), digest_size=16).hexdigest()


class Batches:
    """The batches of one store."""

    _decide = Script("decide", decides=False)

    def __init__(self, auctions: Auctions, read_line: Callable[[bytes], tuple[NewAuction, str]]) -> None:
        self._auctions = auctions
        self._connection = auctions.connection
        self._read_line = read_line  # from an item's line to the auction and its creator

    async def run(self) -> None:
        """Carry out batches that other processes left unfinished, until cancelled."""
        while True:
            try:
                await self.resume()
            except StoreError as error:
                log.debug("no batch can be looked for now: %s", error)
            await asyncio.sleep(LOOK_SECONDS * random.uniform(0.8, 1.2))

    async def resume(self) -> None:
        """Carry out the decided batches that are not complete, unless another process holds their lease."""
        link = self._connection.link()
        oldest = self._auctions.now() - STAGED_LIFE_MS
        for each in await link.call("ZRANGE", keys.BATCHES, 0, -1):
            name, me = each.decode(), secrets.token_hex(8)
            if not await link.call("EXISTS", keys.decided(name)):
                await link.call("ZREMRANGEBYSCORE", keys.BATCHES, "-inf", oldest)
            elif await self._lease(name).hold(me, LEASE_SECONDS):
                async for _ in self._carry_out(name, me):
                    pass

    async def create(self, batch: Batch) -> tuple[bool, AsyncGenerator[Created | NotCreated, None]]:
        """(whether the batch had been decided before, the result of each auction in order).

        Once this returns, all auctions will be created, even if the caller does not iterate over the results.
        Raises: `Taken` and `OtherBatch` (none is created), `StoreError` (the outcome may be unknown; send the
        same batch with the same key again).
        """
        link = self._connection.link()
        me = secrets.token_hex(8)
        decided: bytes | None = await link.call("GET", keys.decided(batch.name))
        if decided is None:
            await self._stage(batch, me)
            await self._hold(batch)
            await link.call("ZADD", keys.BATCHES, self._auctions.now(), batch.name)  # others can now continue it
            await self._lease(batch.name).hold(me, LEASE_SECONDS)
            script_keys = (keys.decided(batch.name), keys.staged(batch.name, me))
            arguments = (f"{me} {batch.content}", str(len(batch.items)))
            decided = await self._decide.run(link, script_keys, arguments)
            if not decided:
                raise StoreError("the store has lost the staged auctions; nothing was created, send them again")
        attempt, content = decided.decode().split()
        if content != batch.content:
            raise OtherBatch
        return attempt != me, self._carry_out(batch.name, me)

    async def _carry_out(self, name: str, me: str) -> AsyncGenerator[Created | NotCreated, None]:
        """Create the auctions of a decided batch and yield each result; an existing one yields its present state.

        While another process holds the batch's lease, this waits; when that process dies, its lease expires.
        """
        link, lease = self._connection.link(), self._lease(name)
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
        return Lease(self._connection, keys.batch_lease(name))

    async def _create(self, name: str, line: bytes) -> Created | NotCreated:
        new, actor = self._read_line(line)
        return await self._auctions.create(new, actor, batch=name)

    async def _stage(self, batch: Batch, attempt: str) -> None:
        """Write the auctions of the batch to its list."""
        link, key = self._connection.link(), keys.staged(batch.name, attempt)
        for items in _portions(batch.items):
            await link.transaction(("RPUSH", key, *(item.line for item in items)), ("PEXPIRE", key, STAGED_LIFE_MS))

    async def _hold(self, batch: Batch) -> None:
        """Hold every guid, or none. Raises: `Taken` with the auctions that cannot be created."""
        link, now = self._connection.link(), self._auctions.now()
        held: list[str] = []
        taken: list[tuple[int, NotCreated]] = []
        try:
            for start, items in zip(count(0, AT_ONCE), _portions(batch.items), strict=False):
                replies = await asyncio.gather(*(link.transaction(*_hold(item.guid, batch.name)) for item in items))
                for place, item, (was_free, holder, exists) in zip(count(start), items, replies, strict=False):
                    is_ours = holder == batch.name.encode()
                    held += [item.guid] * is_ours
                    if is_ours and not was_free:  # held by an earlier attempt of the same batch
                        link.call("PEXPIRE", keys.held(item.guid), HELD_LIFE_MS)
                    if refused := _refused(item, bool(exists), is_ours, now):
                        taken.append((place, refused))
            if taken:
                raise Taken(taken)
        except BaseException:  # also a cancellation; a hold that cannot be released expires
            for guid in held:
                link.call("DEL", keys.held(guid))
            raise


def _hold(guid: str, name: str) -> tuple[tuple[str | int, ...], ...]:
    key = keys.held(guid)
    return (
        ("SET", key, name, "NX", "PX", HELD_LIFE_MS), ("GET", key), ("EXISTS", keys.price(guid), keys.auction(guid)),
    )  # fmt: skip


def _refused(item: Item, exists: bool, is_ours: bool, now: int) -> NotCreated | None:
    if exists:
        return NotCreated("exists", now)
    if not is_ours:
        return NotCreated("held", now)
    return NotCreated("past", now) if item.closes_at <= now else None


def _portions(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))
