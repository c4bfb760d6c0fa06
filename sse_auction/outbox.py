"""What is to be told to others: a stream per auction, written by the scripts that decide (`tell` in lua/common.lua).

Its oldest entry is told first, and leaves it when it was told, or given up. Which auctions have something to tell is a
set of its own, kept by whoever decides, as best effort; `find` mends what a crash has left out of it.
"""

import asyncio
from collections.abc import Mapping

from sse_auction import keys
from sse_auction.lease import Lease
from sse_auction.store import Store, text_of

PAGE = 1000  # auctions looked through at once


class Outbox:
    """The outboxes of one store's auctions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def now(self) -> int:
        """The store's clock, by which messages are stamped; epoch ms."""
        return self._store.now()

    def sender(self, guid: str) -> Lease:
        """The lease of the one process that tells of an auction."""
        return Lease(self._store, keys.sender(guid))

    async def waiting(self) -> list[str]:
        """Auctions that have something to tell."""
        return [guid.decode() for guid in await self._store.link().call("SMEMBERS", keys.OUTBOXES)]

    async def find(self) -> None:
        """Look through all recorded auctions for such: whoever wrote there may have died before he said so."""
        link = self._store.link()
        start = 0
        while guids := await link.call("ZRANGE", keys.INDEX, start, start + PAGE - 1):
            lengths = await asyncio.gather(*(link.call("XLEN", keys.outbox(guid.decode())) for guid in guids))
            if told := [guid for guid, length in zip(guids, lengths, strict=True) if length]:
                await link.call("SADD", keys.OUTBOXES, *told)
            start += PAGE

    async def oldest(self, guid: str) -> tuple[str, dict[str, str]] | None:
        """(id, fields) of what is to be told next of an auction; None, and it no longer waits, when that is nothing."""
        link = self._store.link()
        found = await link.call("XRANGE", keys.outbox(guid), "-", "+", "COUNT", 1)
        if not found:
            await link.call("SREM", keys.OUTBOXES, guid)
            found = await link.call("XRANGE", keys.outbox(guid), "-", "+", "COUNT", 1)
            if not found:
                return None
            await link.call("SADD", keys.OUTBOXES, guid)  # something had come just then
        entry_id, flat = found[0]
        return entry_id.decode(), text_of(flat)

    async def drop(self, guid: str, entry_id: str) -> None:
        """It has been told."""
        await self._store.link().call("XDEL", keys.outbox(guid), entry_id)

    async def give_up(self, guid: str, entry_id: str, fields: Mapping[str, str]) -> None:
        """It could not be told: keep it apart, as a dead letter, under the id by which receivers know it."""
        link = self._store.link()
        kept = {**fields, "id": fields.get("id", entry_id)}
        await link.call("SADD", keys.DEAD, guid)  # before, lest a crash hide it; and after, lest a `revive` have
        await link.transaction(("XADD", keys.dead(guid), "*", *_flat(kept)), ("XDEL", keys.outbox(guid), entry_id))
        await link.call("SADD", keys.DEAD, guid)

    async def dead_letters(self) -> list[tuple[str, dict[str, str]]]:
        """(guid, fields) of all that could not be told; `id` is among the fields."""
        link = self._store.link()
        guids = sorted(guid.decode() for guid in await link.call("SMEMBERS", keys.DEAD))
        pages = await asyncio.gather(*(link.call("XRANGE", keys.dead(guid), "-", "+") for guid in guids))
        return [(guid, text_of(flat)) for guid, page in zip(guids, pages, strict=True) for _, flat in page]

    async def revive(self, guid: str) -> int:
        """Have an auction's dead letters told again, after what still waits; how many those are."""
        link = self._store.link()
        await link.call("SREM", keys.DEAD, guid)
        letters = await link.call("XRANGE", keys.dead(guid), "-", "+")
        for entry_id, flat in letters:
            await link.transaction(("XADD", keys.outbox(guid), "*", *flat), ("XDEL", keys.dead(guid), entry_id))
        await link.call("SADD", keys.OUTBOXES, guid)
        return len(letters)


def _flat(fields: Mapping[str, str]) -> list[str]:
    return [part for field in fields.items() for part in field]
