"""Erases a bidder's personal data: a pseudonym replaces the bidder's id in all data of auctions that are over.

Rule: one auction is erased completely or not at all. Its streams (log, outbox, dead letters) are copied entry by entry
under the same ids, and one script replaces the streams with the copies if no entry was added meanwhile. So every step
is short and the log stays complete. When a crash interrupts an erasure, the next one does it again; copies that
remain hold no id, and expire.

The keys of stored answers to bids contain a digest of the id. They expire after a day and are not changed.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import msgspec

from sse_auction.auction.decisions import Refused
from sse_auction.auction.terms import Terms
from sse_auction.store import keys
from sse_auction.store.auctions import Auctions
from sse_auction.store.connection import Argument, StoreUnavailable
from sse_auction.store.scripts import Script

AUCTIONS_AT_ONCE = 200
ENTRIES_AT_ONCE = 500
COPY_LIFE_SECONDS = 3600
MAX_TRIES = 20  # while messages enter and leave the auction's outbox

_NAMES = (b"bidder", b"seller")  # names of fields that hold a bidder's id
_LIST = b"priority"  # the name of a field that holds several ids, as a JSON array


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of an erasure: how many auctions it changed, and those that are not over yet."""

    auctions: int
    still_open: list[str]


@dataclass(frozen=True, slots=True)
class Pseudonym:
    """Another name for a bidder, in one auction."""

    bidder: str
    name: str = field(default_factory=lambda: f"erased-{secrets.token_hex(8)}")

    def of_field(self, name: bytes, value: bytes) -> bytes:
        """A field's value without the bidder's id."""
        if name in _NAMES and value == self.bidder.encode():
            return self.name.encode()
        if name == _LIST and self.bidder in (names := msgspec.json.decode(value or b"[]", type=list[str])):
            return msgspec.json.encode([self.name if each == self.bidder else each for each in names])
        return value

    def of_entry(self, flat: Sequence[bytes]) -> list[bytes]:
        """The fields of an entry without the bidder's id."""
        return [
            part
            for name, value in zip(flat[::2], flat[1::2], strict=True)
            for part in (name, self.of_field(name, value))
        ]


class Erasure:
    """Erases bidders from one store's auctions."""

    def __init__(self, auctions: Auctions) -> None:
        self._auctions = auctions
        self._connection = auctions.connection
        self.script = Script("erase", verdicts=[b"erased", b"changed"])

    async def erase(self, bidder: str, actor: str, reason: str) -> Erased:
        """Erase a bidder from all auctions that are over.

        Raises: `StoreUnavailable`; the outcome is then unknown for one auction, and a repeated call continues.
        """
        auctions, still_open = 0, dict[str, None]()
        async for guid in self._taken_part_in(bidder):
            if await self._erase_from(guid, bidder, actor, reason):
                auctions += 1
            else:
                still_open[guid] = None
        return Erased(auctions, list(still_open))

    async def _taken_part_in(self, bidder: str) -> AsyncIterator[str]:
        """The auctions that hold a bidder's id, found page by page among all auctions."""
        async for guids in self._all_auctions():
            known = await asyncio.gather(*(self._knows(guid, bidder) for guid in guids))
            for guid, is_known in zip(guids, known, strict=True):
                if is_known:
                    yield guid

    async def _all_auctions(self) -> AsyncIterator[list[str]]:
        link, cursor = self._connection.link(), b"0"
        while True:
            cursor, flat = await link.call("ZSCAN", keys.INDEX, cursor, "COUNT", AUCTIONS_AT_ONCE)
            yield [guid.decode() for guid in flat[::2]]
            if cursor == b"0":
                break
        for unsent in (keys.OUTBOXES, keys.DEAD):  # deleted auctions may still have messages
            guids = await link.call("SMEMBERS", unsent)
            for start in range(0, len(guids), AUCTIONS_AT_ONCE):
                yield [guid.decode() for guid in guids[start : start + AUCTIONS_AT_ONCE]]

    async def _knows(self, guid: str, bidder: str) -> bool:
        paddle, (seller, priority), exists = await self._connection.link().transaction(
            ("HGET", keys.paddles(guid), bidder),
            ("HMGET", keys.private(guid), "seller", "priority"),
            ("EXISTS", keys.auction(guid)),
        )
        pseudonym = Pseudonym(bidder)
        if paddle or seller == bidder.encode() or pseudonym.of_field(_LIST, priority or b"") != (priority or b""):
            return True
        if exists:
            return False
        left = (keys.outbox(guid), keys.dead(guid))
        return any(await asyncio.gather(*(self._is_named_in(key, pseudonym) for key in left)))

    # --- one auction ---------------------------------------------------------------------------------------------

    async def _erase_from(self, guid: str, bidder: str, actor: str, reason: str) -> bool:
        """Whether the auction is over and holds the bidder's id no longer."""
        for _ in range(MAX_TRIES):
            if not await self._knows(guid, bidder):
                return True  # another erasure was faster
            record = await self._auctions.read(guid)
            if record.terms is not None and not self._auctions.state_of(record).is_final:
                return False
            verdict = await self._replace(guid, bidder, actor, reason, record.terms)
            if verdict != "changed":
                return verdict == "erased"  # otherwise the auction was reopened meanwhile
        raise StoreUnavailable(f"auction {guid} changed repeatedly while it was copied; repeat the erasure")

    async def _replace(self, guid: str, bidder: str, actor: str, reason: str, terms: Terms | None) -> str | Refused:
        """Copy one auction's streams and run erase.lua; its verdict, or the refusal."""
        pseudonym, token = Pseudonym(bidder), secrets.token_hex(8)
        streams = (keys.bids(guid), keys.outbox(guid), keys.dead(guid))
        copies = [keys.copy_of(stream, token) for stream in streams]
        made = [await self._copy(*both, pseudonym) for both in zip(streams, copies, strict=True)]
        seller, priority = await self._connection.link().call("HMGET", keys.private(guid), "seller", "priority")
        arguments = (
            actor, reason, bidder, pseudonym.name, pseudonym.of_field(b"seller", seller or b"").decode(),
            pseudonym.of_field(_LIST, priority or b"").decode(), *(mark for mark, _ in made),
            "".join("1" if is_copied else "0" for _, is_copied in made),
        )  # fmt: skip
        currency = terms.currency if terms else "USD"  # for a deleted auction any currency will do
        return await self._auctions.decide(self.script, guid, currency, arguments, keys.dead(guid), *copies)

    async def _copy(self, stream: str, copy: str, pseudonym: Pseudonym) -> tuple[str, bool]:
        """(mark of the stream's content, whether it was copied); a stream is copied when it names the bidder."""
        link = self._connection.link()
        newest, length = await asyncio.gather(
            link.call("XREVRANGE", stream, "+", "-", "COUNT", 1), link.call("XLEN", stream)
        )
        last = newest[0][0].decode() if newest else ""
        is_named = await self._is_named_in(stream, pseudonym)
        if is_named:
            async for page in self._pages(stream, last):
                added: list[tuple[Argument, ...]] = [
                    ("XADD", copy, entry_id, *pseudonym.of_entry(flat)) for entry_id, flat in page
                ]
                # In one transaction: a process that is killed in between must not leave a copy that never expires.
                await link.transaction(*added, ("EXPIRE", copy, COPY_LIFE_SECONDS))
        return f"{last} {length}", is_named

    async def _is_named_in(self, stream: str, pseudonym: Pseudonym) -> bool:
        async for page in self._pages(stream, "+"):
            if any(pseudonym.of_entry(flat) != flat for _, flat in page):
                return True
        return False

    async def _pages(self, stream: str, until: str) -> AsyncIterator[list[tuple[bytes, list[bytes]]]]:
        start = "-"
        while page := await self._connection.link().call("XRANGE", stream, start, until, "COUNT", ENTRIES_AT_ONCE):
            yield page
            start = f"({page[-1][0].decode()}"
