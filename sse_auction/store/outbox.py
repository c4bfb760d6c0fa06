"""The outboxes: one stream of messages per auction, written by the scripts that decide (`emit` in lua/common.lua).

Messages are sent oldest first. A message leaves the stream when it was delivered, or when it becomes a dead letter.
One set names the auctions with pending messages. The processes that decide maintain it as best effort; `reindex` adds
the auctions that a crash left out.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sse_auction.store import keys
from sse_auction.store.clock import StoreClock
from sse_auction.store.lease import Lease
from sse_auction.store.records import text_of
from sse_auction.store.scripts import Script
from sse_auction.store.store_connection import OutboxContent, StoreConnection

PAGE = 100  # messages of an auction read at once
SEARCHED_AT_ONCE = 500  # auctions
_WHOLE_NUMBERS = frozenset(
    {"seq", "paddle", "passed", "leader", "extensions", "opens_at", "closes_at", "hard_close_at"}
)
_NULL_WHEN_EMPTY = frozenset({"price", "leader", "outcome"})  # as in the state; other empty fields are left out
_NOT_DATA = frozenset({"event", "at", "rev", "id", "reserve"})  # scripts write no reserve; it must never be sent


@dataclass(frozen=True, slots=True)
class Message:
    """One message about an auction: its entry in the stream, and the fields as the script wrote them."""

    guid: str
    entry: str
    fields: Mapping[str, str]

    @property
    def written_at(self) -> int:
        """When the message was written, by the store's clock; epoch ms."""
        return int(self.entry.partition("-")[0])

    def payload(self) -> dict[str, Any]:
        """The JSON object that receivers get; each value has the same type as in the state."""
        data: dict[str, Any] = {}
        for name, value in self.fields.items():
            if name in _NOT_DATA or (value == "" and name not in _NULL_WHEN_EMPTY):
                continue
            data[name] = None if value == "" else int(value) if name in _WHOLE_NUMBERS else value
        return {
            "id": f"{self.guid}/{self.fields.get('id') or self.entry}",
            "event": self.fields["event"],
            "guid": self.guid,
            "at": int(self.fields["at"]),
            "rev": int(self.fields["rev"]),
            "data": data,
        }


class Outbox:
    """The outboxes of one store's auctions."""

    def __init__(self, connection: StoreConnection, clock: StoreClock) -> None:
        self._connection = connection
        self._clock = clock
        self._ack_script = Script("ack", decides=False)
        self._cursor = 0  # of the search through all auctions

    def now(self) -> int:
        """The store's clock, which stamps the messages; epoch ms."""
        return self._clock.now()

    @property
    def is_kept(self) -> bool:
        """Whether the processes write messages now."""
        return bool(self._connection.outbox)

    async def keep(self, content: OutboxContent, life_seconds: float, *, anew: bool) -> None:
        """Have all processes write messages for `life_seconds` from now; see `StoreConnection.keep_outbox`."""
        await self._connection.keep_outbox(content, life_seconds, anew=anew)

    def lease(self) -> Lease:
        """The lease of the one process that sends."""
        return Lease(self._connection, keys.SENDER)

    async def pending(self) -> list[str]:
        """The auctions with pending messages."""
        return [guid.decode() for guid in await self._connection.link().call("SMEMBERS", keys.OUTBOXES)]

    async def reindex(self) -> bool:
        """Search some of all managed auctions for pending messages; whether these were the last of them.

        A process may have died after it wrote a message and before it added the auction to the set.
        """
        link = self._connection.link()
        cursor, flat = await link.call("ZSCAN", keys.INDEX, self._cursor, "COUNT", SEARCHED_AT_ONCE)
        guids: Sequence[bytes] = flat[::2]
        lengths = await asyncio.gather(*(link.call("XLEN", keys.outbox(guid.decode())) for guid in guids))
        if found := [guid for guid, length in zip(guids, lengths, strict=True) if length]:
            await link.call("SADD", keys.OUTBOXES, *found)
        self._cursor = int(cursor)
        return self._cursor == 0

    async def oldest(self, guid: str) -> list[Message]:
        """The next messages of an auction, in order; an auction without messages leaves the set."""
        link = self._connection.link()
        if not (found := await self._read(guid)):
            await link.call("SREM", keys.OUTBOXES, guid)
            if found := await self._read(guid):
                await link.call("SADD", keys.OUTBOXES, guid)  # a message arrived in between
        return found

    async def _read(self, guid: str) -> list[Message]:
        page = await self._connection.link().call("XRANGE", keys.outbox(guid), "-", "+", "COUNT", PAGE)
        return [Message(guid, entry.decode(), text_of(flat)) for entry, flat in page]

    async def ack(self, message: Message) -> None:
        """Remove a delivered message. Outcome unknown on `StoreTimeout`: the message may then be sent again."""
        guid = message.guid
        await self._ack_script.run(self._connection.link(), (keys.outbox(guid), keys.auction(guid)), (message.entry,))

    async def give_up(self, message: Message) -> None:
        """Move an undeliverable message to the dead letters, under the id that receivers know."""
        link, guid = self._connection.link(), message.guid
        kept = {**message.fields, "id": message.fields.get("id", message.entry)}
        flat = [part for field in kept.items() for part in field]
        await link.call("SADD", keys.DEAD, guid)  # before, against a crash; and after, against `retry_dead`
        await link.transaction(("XADD", keys.dead(guid), "*", *flat), ("XDEL", keys.outbox(guid), message.entry))
        await link.call("SADD", keys.DEAD, guid)
        await self.ack(message)  # the message is gone already; this deletes the outbox of a deleted auction

    async def dead_letters(self) -> list[Message]:
        """All dead letters."""
        link = self._connection.link()
        guids = sorted(guid.decode() for guid in await link.call("SMEMBERS", keys.DEAD))
        pages = await asyncio.gather(*(link.call("XRANGE", keys.dead(guid), "-", "+") for guid in guids))
        return [
            Message(guid, entry.decode(), text_of(flat))
            for guid, page in zip(guids, pages, strict=True)
            for entry, flat in page
        ]

    async def retry_dead(self, guid: str) -> int:
        """Put an auction's dead letters behind its pending messages; how many there are."""
        link = self._connection.link()
        await link.call("SREM", keys.DEAD, guid)
        letters = await link.call("XRANGE", keys.dead(guid), "-", "+")
        for entry_id, flat in letters:
            await link.transaction(("XADD", keys.outbox(guid), "*", *flat), ("XDEL", keys.dead(guid), entry_id))
        await link.call("SADD", keys.OUTBOXES, guid)
        return len(letters)
