"""The demo: a few lots and house bidders, so that the pages show moving prices at once.

Of all processes that share a store, one runs it, by a lease. The lots are ordinary auctions that close with time.
"""

import asyncio
import logging
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sse_auction.auction.decisions import BidAmount
from sse_auction.auction.money import parse_amount
from sse_auction.auction.state import State
from sse_auction.store import keys
from sse_auction.store.catalogue import Cursor
from sse_auction.store.connection import StoreError
from sse_auction.store.lease import Lease
from sse_auction.store.parts import Store
from sse_auction.wire.requests import CreateRequest, new_auction

log = logging.getLogger(__name__)

GUID_PREFIX = "demo-"
LEASE_SECONDS = 5.0
HOUSE_BIDDERS = 6
HOUSE_LIMIT = 8  # times the start price
MAX_PAUSE_SECONDS = 2.0  # between two bids of the house


@dataclass(frozen=True, slots=True)
class Lot:
    """A lot of the demo's catalogue."""

    title: str
    currency: str
    start_price: str
    increments: str
    minutes: int


CATALOGUE = (
    Lot("Blue-and-white porcelain vase, Kangxi style", "CNY", "1200.00", "ten-percent", 12),
    Lot("Chronograph, steel, 1968", "CHF", "850.00", "flat:25.00", 7),
    Lot("Woodblock print, evening rain at Karasaki", "JPY", "30000", "yahoo-jp", 9),
    Lot("First edition, travels in two volumes", "GBP", "90.00", "ebay-us", 5),
    Lot("Pearl necklace, Gulf, 1930s", "KWD", "140.000", "flat:5.000", 15),
    Lot("Walnut writing desk, about 1790", "EUR", "640.00", "ebay-us", 10),
)


class Demo:
    """Keeps the catalogue on sale and lets the house bid."""

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self._store = store
        self._now = now
        self._holder = secrets.token_hex(8)
        self._on_sale: dict[Lot, str] = {}

    async def run(self) -> None:
        """Run until cancelled; while the store is not reachable, it waits."""
        while True:
            try:
                if await Lease(self._store.connection, keys.DEMO_LEASE).hold(self._holder, LEASE_SECONDS):
                    await self._open_missing_lots()
                    await self._bid_once()
            except StoreError as error:
                log.debug("the demo waits: %s", error)
            await asyncio.sleep(random.uniform(0.2, MAX_PAUSE_SECONDS))

    async def _open_missing_lots(self) -> None:
        on_sale = {lot: guid for lot, guid in self._on_sale.items() if await self._is_open(guid)}
        if len(on_sale) < len(CATALOGUE):
            by_title = await self._open_lots_of_any_process()
            on_sale = {lot: by_title.get(lot.title) or await self._open(lot) for lot in CATALOGUE}
        self._on_sale = on_sale

    async def _is_open(self, guid: str) -> bool:
        return (await self._store.auctions.state(guid)).status == "open"

    async def _open_lots_of_any_process(self) -> dict[str, str]:
        """Guids by title of the open demo lots, also those of an earlier process or holder of the lease."""
        found: dict[str, str] = {}
        cursor: Cursor | None = None
        while True:
            page = await self._store.catalogue.page("open", cursor, 200)
            found |= {terms.title: terms.guid for terms, _ in page.auctions if terms.guid.startswith(GUID_PREFIX)}
            cursor = page.next
            if cursor is None:
                return found

    async def _open(self, lot: Lot) -> str:
        guid = f"{GUID_PREFIX}{secrets.token_hex(4)}"
        life_ms = int(lot.minutes * 60_000 * random.uniform(0.7, 1.3))
        request = CreateRequest(
            title=lot.title,
            currency=lot.currency,
            start_price=lot.start_price,
            increments=lot.increments,
            closes_at=self._now() + life_ms,
            seller="demo-seller",
        )
        await self._store.auctions.create(new_auction(request, guid, lot.currency), "demo")
        return guid

    async def _bid_once(self) -> None:
        lot = random.choice(CATALOGUE)
        state = await self._store.auctions.state(self._on_sale[lot])
        if state.next_bid is None or self._has_gone_far(lot, state):
            return
        bidder = f"house-{random.randint(1, HOUSE_BIDDERS)}"
        offer = BidAmount("price", parse_amount(state.next_bid, lot.currency))
        await self._store.auctions.bid(state.guid, bidder, offer, lot.currency)

    def _has_gone_far(self, lot: Lot, state: State) -> bool:
        """Whether the price is too high for the house, which keeps the prices of a long-running demo realistic."""
        limit = parse_amount(lot.start_price, lot.currency) * HOUSE_LIMIT
        return state.price is not None and parse_amount(state.price, lot.currency) > limit
