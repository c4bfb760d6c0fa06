"""One auction in the store and in the model of the rules: every command goes to both, and they must agree."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from hypothesis import strategies as st

from sse_auction.auction.decisions import Accepted, ActionDone, BidAmount, Created, OperatorAction, Refused
from sse_auction.auction.state import State
from sse_auction.store.clock import StoreClock
from sse_auction.store.parts import Store
from sse_auction.wire.requests import CreateRequest, new_auction
from tests.support.harness import StoreProcess
from tests.support.rules_model import Model

STEPS_PER_RUN = 40
RUNS = int(os.environ.get("RULES_STEPS", "4000")) // STEPS_PER_RUN
CURRENCY = "USD"
FAR = 3_600_000  # ms
GUIDS = (f"rules-{number}" for number in count())
AMOUNTS = st.one_of(st.integers(1, 40).map(lambda units: units * 50), st.integers(900, 3000), st.integers(1, 10**7))
BIDDERS = ["ann", "bob", "cat", "dan", "sam"]


def public(state: State) -> dict[str, Any]:
    """The fields of a real state that the model has."""
    names = (
        "title", "price", "status", "bids", "leader", "next_bid", "opens_at", "closes_at", "extensions", "reserve_met",
        "outcome", "paused", "buy_now", "rev",
    )  # fmt: skip
    return {name: getattr(state, name) for name in names}


@dataclass
class Bench:
    """A store, and an event loop that executes one command after the other."""

    process: StoreProcess
    loop: asyncio.AbstractEventLoop
    store: Store

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def now(self) -> int:
        """The store's clock."""
        with self.process.client() as client:
            seconds, micros = client.time()
            return int(seconds * 1000 + micros // 1000)

    def create(self, **terms: Any) -> "Both":
        usual = {
            "title": "Lot",
            "start_price": "10.00",
            "currency": CURRENCY,
            "increments": "ebay-us",
            "soft_close": None,
        }
        wanted = {"closes_at": self.now() + FAR, **usual, **terms}
        new = new_auction(CreateRequest(**wanted), next(GUIDS), CURRENCY)
        made = self.do(self.store.auctions.create(new))
        assert isinstance(made, Created)
        both = Both(self, new.guid, new.currency, Model.of(new, made.state.opens_at or 0))
        both.compare(made.state)
        return both


@dataclass
class Both:
    """One auction in the store and in the model: every command goes to both, and they must agree."""

    bench: Bench
    guid: str
    currency: str
    model: Model

    def compare(self, state: State) -> None:
        assert public(state) == self.model.shown(state.now)

    def bid(self, bidder: str, offer: BidAmount, *, confirmed: bool = True) -> str:
        store = self.bench.store
        result = self.bench.do(store.auctions.bid(self.guid, bidder, offer, self.currency, confirmed=confirmed))
        assert result.state is not None
        verdict = self.model.bid(result.state.now, bidder, offer, confirmed=confirmed)
        real = result.standing if isinstance(result, Accepted) else result.reason
        assert real == verdict
        if isinstance(result, Accepted):
            assert (result.seq, result.paddle) == (self.model.seq_of(bidder), self.model.paddles[bidder])
        self.compare(result.state)
        return verdict

    def price(self, bidder: str, amount: int) -> str:
        return self.bid(bidder, BidAmount("price", amount))

    def act(self, act: OperatorAction) -> str:
        result = self.bench.do(self.bench.store.auctions.act(self.guid, act, "the-house", "a reason"))
        assert isinstance(result, (ActionDone, Refused))
        assert result.state is not None
        verdict = self.model.act(result.state.now, act)
        assert ("done" if isinstance(result, ActionDone) else result.reason) == verdict
        if isinstance(result, ActionDone):
            assert (result.unpaid, result.terms.archived) == (self.model.unpaid, self.model.archived)
        self.compare(result.state)
        return verdict

    def move(self, *, opens_at: int | None = None, closes_at: int | None = None) -> None:
        """Set the auction's times, which no command can do: a test then need not wait for the store's clock."""
        moved = {"opens_at": opens_at, "closes_at": closes_at}
        with self.bench.process.client() as client:
            for name, moment in moved.items():
                if moment is not None:
                    client.hset(f"{{AuctionMaxPrice-{self.guid}}}:auction", name, str(moment))
                    setattr(self.model, name, moment)

    def now(self) -> int:
        return self.bench.now()

    def check(self) -> State:
        """The state as it is read; it must be equal to the model's."""
        state: State = self.bench.do(self.bench.store.auctions.state(self.guid))
        self.compare(state)
        return state

    def settle(self) -> None:
        """Settle what time decides; repeat if the auction's end came during the call."""
        while True:
            before = self.now()
            self.bench.do(self.bench.store.settlement.settle(self.guid))
            if self.model.is_over(before) == self.model.is_over(self.now()):
                self.model.settle(before)
                return

    def verify(self) -> list[str] | Refused:
        """The differences between the log and the store."""
        found: list[str] | Refused = self.bench.do(self.bench.store.verification.verify(self.guid))
        return found


@contextmanager
def running_bench(process: StoreProcess) -> Iterator[Bench]:
    """A bench on a store that runs already."""
    loop = asyncio.new_event_loop()
    store = Store(process.url, 10.0, StoreClock(), CURRENCY)
    running = loop.create_task(store.connection.run())
    loop.run_until_complete(store.connection.connected())
    try:
        yield Bench(process, loop, store)
    finally:
        running.cancel()
        loop.run_until_complete(asyncio.gather(running, return_exceptions=True))
        loop.close()
