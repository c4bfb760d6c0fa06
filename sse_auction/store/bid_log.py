"""Reads an auction's log: all entries, a page of its bids, and its bidders."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from sse_auction.auction.history import HistoryEntry, entries_of, what_is_void
from sse_auction.store import keys
from sse_auction.store.records import text_of
from sse_auction.store.store_connection import StoreConnection

PAGE = 1000  # entries read at once


@dataclass(frozen=True, slots=True)
class Participant:
    """A bidder in one auction. `void_reason` is the operator's text; None also when no reason was stored."""

    paddle: int
    is_voided: bool = False
    void_reason: str | None = None


class BidLog:
    """The logs of one store's auctions, and the bidders in them."""

    def __init__(self, connection: StoreConnection) -> None:
        self._connection = connection

    async def entries(self, guid: str, until: str = "+") -> AsyncGenerator[tuple[str, dict[str, str]], None]:
        """The entries of an auction's log up to the id `until`, in order, as (id, fields); read in pages."""
        start = "-"
        while True:
            page = await self._connection.link().call("XRANGE", keys.bids(guid), start, until, "COUNT", PAGE)
            for entry_id, flat in page:
                yield entry_id.decode(), text_of(flat)
            if len(page) < PAGE:
                return
            start = f"({page[-1][0].decode()}"

    async def voided(self, guid: str) -> frozenset[str]:
        """The paddles with void bids, and the entries of purchases that a reopening has undone."""
        link = self._connection.link()
        paddles, undone = await asyncio.gather(
            link.call("SMEMBERS", keys.voided(guid)), link.call("HGET", keys.auction(guid), "undone")
        )
        return what_is_void(paddles, undone)

    async def history(self, guid: str, after: int, limit: int) -> tuple[list[HistoryEntry], int | None]:
        """Up to `limit` accepted bids with `seq` above `after`, in order, with the automatic bids that answer them.

        The second value is the `after` of the next page, or None.
        """
        link = self._connection.link()
        (currency, undone), paddles = await asyncio.gather(
            link.call("HMGET", keys.auction(guid), "currency", "undone"), link.call("SMEMBERS", keys.voided(guid))
        )
        if currency is None:
            return [], None
        bids: list[tuple[bytes, list[bytes]]] = []
        start = f"({after}-0"
        while len(bids) <= limit:  # other entries are skipped; one bid more shows that there is a next page
            count = limit - len(bids) + 1
            entries = await link.call("XRANGE", keys.bids(guid), start, "+", "COUNT", count)
            bids += [entry for entry in entries if entry[0].endswith(b"-0")]
            if len(entries) < count:
                break
            start = f"({entries[-1][0].decode()}"
        gone = what_is_void(paddles, undone)
        per_bid = [
            entries_of(entry_id.decode(), text_of(flat), currency.decode(), gone) for entry_id, flat in bids[:limit]
        ]
        entries = [entry for each in per_bid for entry in each]
        return entries, entries[-1].seq if len(bids) > limit else None

    async def participant(self, guid: str, bidder: str) -> Participant | None:
        """A bidder in an auction; None when the bidder has not bid there."""
        link = self._connection.link()
        paddle: bytes | None = await link.call("HGET", keys.paddles(guid), bidder)
        if paddle is None:
            return None
        is_voided, reason = await link.transaction(
            ("SISMEMBER", keys.voided(guid), paddle), ("HGET", keys.private(guid), b"void:" + paddle)
        )
        return Participant(int(paddle), bool(is_voided), reason.decode() if is_voided and reason else None)
