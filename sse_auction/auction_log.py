"""The log of an auction, as the scripts wrote it: read whole, and held against what the store says."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from sse_auction import keys
from sse_auction.decisions import Refused
from sse_auction.export import Format, lines
from sse_auction.replay import BrokenLog, Replay, differences
from sse_auction.store import Store, text_of

PAGE = 1000  # entries read at once


class AuctionLog:
    """The logs of one store's auctions."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def entries(self, guid: str, until: str = "+") -> AsyncGenerator[tuple[str, dict[str, str]], None]:
        """Every entry of an auction's log up to the id `until`, in order; read in pages."""
        start = "-"
        while True:
            page = await self._store.link().call("XRANGE", keys.bids(guid), start, until, "COUNT", PAGE)
            for entry_id, flat in page:
                yield entry_id.decode(), text_of(flat)
            if len(page) < PAGE:
                return
            start = f"({page[-1][0].decode()}"

    async def export(self, guid: str, form: Format, currency: str, *, everything: bool) -> AsyncGenerator[bytes, None]:
        """The log as lines of a file, with `everything` also what only operators may see."""
        voided = await self.voided(guid)
        async with aclosing(self.entries(guid)) as entries:
            async for line in lines(entries, form, currency=currency, voided=voided, everything=everything):
                yield line

    async def voided(self, guid: str) -> frozenset[str]:
        """The paddles whose bids are void."""
        return frozenset(paddle.decode() for paddle in await self._store.link().call("SMEMBERS", keys.voided(guid)))

    async def verify(self, guid: str) -> list[str] | Refused:
        """What differs between an auction as it is and as its log says it must be; nothing, when all is well."""
        link = self._store.link()
        hash_of, price, newest, voided, most = await link.transaction(
            ("HGETALL", keys.auction(guid)),
            ("GET", keys.price(guid)),
            ("XREVRANGE", keys.bids(guid), "+", "-", "COUNT", 1),
            ("SMEMBERS", keys.voided(guid)),
            ("HGET", keys.private(guid), "max"),
        )
        if not hash_of:
            return Refused("plain" if price is not None else "unknown")
        found = {name.decode(): value.decode("utf-8", "replace") for name, value in hash_of.items()}
        found |= {"price": (price or b"").decode("utf-8", "replace"), "max": (most or b"").decode()}
        found["voided"] = " ".join(sorted(paddle.decode() for paddle in voided))
        if not newest:
            return ["there is no log"]
        replay = Replay()
        try:
            async with aclosing(self.entries(guid, newest[0][0].decode())) as entries:
                async for entry_id, fields in entries:
                    replay.take(entry_id, fields)
        except BrokenLog as error:
            return [str(error)]
        return differences(replay.expected(), found)
