"""All users of one connection to the store, wired together."""

from sse_auction.store.auctions import Auctions
from sse_auction.store.bid_log import BidLog
from sse_auction.store.check import Verification
from sse_auction.store.clock import StoreClock
from sse_auction.store.deletion import Deletion
from sse_auction.store.erasure import Erasure
from sse_auction.store.outbox import Outbox
from sse_auction.store.settlement import Settlement
from sse_auction.store.store_connection import StoreConnection


class Store:
    """The users of one connection to the store. A task of the owner must run it (`connection.run`).

    `timeout` (seconds) is the deadline of each call. `external_currency` is the currency of external auctions.
    """

    def __init__(
        self, url: str, timeout: float, clock: StoreClock, external_currency: str, reopen_hours: float = 24.0
    ) -> None:
        self.clock = clock
        self.connection = StoreConnection(url, timeout)
        self.auctions = Auctions(self.connection, clock, external_currency, reopen_hours)
        self.catalogue = self.auctions.catalogue
        self.settlement = Settlement(self.auctions)
        self.bid_log = BidLog(self.connection)
        self.verification = Verification(self.auctions, self.bid_log)
        self.deletion = Deletion(self.auctions)
        self.erasure = Erasure(self.auctions)
        self.outbox = Outbox(self.connection, clock)
