"""The rules while the store's clock is set during an auction: the model, the store and the log agree.

`RULES_STEPS=100000` goes through that many commands, as in tests/store/test_rules.py.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from sse_auction.auction.decisions import BidAmount, OperatorAction
from sse_auction.wire.replies import SoftCloseSeconds
from sse_auction.wire.requests import BuyNowRequest
from tests.support.bench import AMOUNTS, BIDDERS, FAR, RUNS, STEPS_PER_RUN, Bench, Both, running_bench
from tests.support.clock import Clock
from tests.support.harness import store_process

HOUR = 3600


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Clock:
    return Clock(tmp_path_factory.mktemp("clock") / "clock")


@pytest.fixture(scope="module")
def bench(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench on a store with a clock that can be set."""
    process = store_process("valkey", tmp_path_factory.mktemp("store"))
    process.command = [*clock.prefix, *process.command]
    process.start()
    try:
        with running_bench(process) as made:
            # No command is too late, though its sender does not know the new time.
            made.store.connection.timeout = 10.0 * HOUR
            yield made
    finally:
        process.stop()


@pytest.fixture(autouse=True)
def set_right(clock: Clock) -> Iterator[None]:
    yield
    clock.set(0)


def test_what_has_bids_stays_open_and_its_log_is_right(bench: Bench, clock: Clock) -> None:
    both = bench.create(bidding="proxy")
    assert both.bid("ann", BidAmount("max", 5000)) == "leading"
    clock.set(-HOUR)
    assert both.bid("bob", BidAmount("max", 2000)) == "outbid", "before the opening, by the clock as it is now"
    assert both.verify() == []
    assert both.act(OperatorAction("void", bidder="ann")) == "done"
    assert both.act(OperatorAction("void", bidder="bob")) == "done"
    assert both.bid("cat", BidAmount("max", 2000)) == "leading", "void bids do not close it again"
    assert both.verify() == []


def test_what_is_bought_under_a_clock_set_back_ends_no_earlier_than_it_begins(bench: Bench, clock: Clock) -> None:
    both = bench.create(buy_now=BuyNowRequest("60.00", "ceiling"))
    both.price("ann", 1000)
    clock.set(-HOUR)
    assert both.bid("bob", BidAmount("buy_now")) == "winning"
    state = both.check()
    assert (state.opens_at or 0) <= (state.closes_at or 0)
    assert both.verify() == []


def machine(bench: Bench, clock: Clock) -> type[RuleBasedStateMachine]:
    class Auctions(RuleBasedStateMachine):
        both: Both

        @initialize(
            bidding=st.sampled_from(["manual", "proxy", "proxy"]),
            reserve=st.none() | st.sampled_from(["10.00", "18.00"]),
            buy_now=st.none() | st.builds(BuyNowRequest, st.just("60.00"), st.sampled_from(["ceiling"])),
            soft=st.none() | st.sampled_from([SoftCloseSeconds(60, 60), SoftCloseSeconds(2000, 4000)]),
            hard=st.none() | st.sampled_from([0, 60_000, 2 * FAR]),
            opens_in=st.none() | st.sampled_from([600_000, 1_800_000]),
        )  # fmt: skip
        def begin(self, bidding: str, reserve: str | None, buy_now: Any, soft: Any, hard: Any, opens_in: Any) -> None:
            clock.set(0)
            now = bench.now()
            self.both = bench.create(
                bidding=bidding, reserve=reserve, buy_now=buy_now, soft_close=soft, closes_at=now + FAR, seller="sam",
                hard_close_at=None if hard is None else now + FAR + hard,
                opens_at=None if opens_in is None else now + opens_in, priority=["dan"],
            )  # fmt: skip

        @rule(seconds=st.sampled_from([-3 * HOUR, -HOUR, -60, 0, 0, 0, 1500, 1900, 3590, 3700, 2 * HOUR]))
        def set_the_clock(self, seconds: int) -> None:
            clock.set(seconds)

        @rule(bidder=st.sampled_from(BIDDERS), kind=st.sampled_from(["price", "max", "max"]), amount=AMOUNTS)
        def any_bid(self, bidder: str, kind: Any, amount: int) -> None:
            self.both.bid(bidder, BidAmount(kind, amount))

        @rule(bidder=st.sampled_from(BIDDERS), steps=st.integers(0, 4))
        def next_bid(self, bidder: str, steps: int) -> None:
            model = self.both.model
            base = model.next_bid()
            self.both.bid(bidder, BidAmount("price", base + steps * model.increments.step(base)))

        @rule(more=st.integers(1, 3000))
        def raise_the_maximum(self, more: int) -> None:
            model = self.both.model
            leader = next((who for who, paddle in model.paddles.items() if paddle == model.contest.leader), "ann")
            self.both.bid(leader, BidAmount("max", max(model.contest.max, model.next_bid()) + more))

        @rule(bidder=st.sampled_from(BIDDERS))
        def buy(self, bidder: str) -> None:
            self.both.bid(bidder, BidAmount("buy_now"))

        @rule(kind=st.sampled_from(["pause", "resume", "resume", "cancel", "close"]), chance=st.integers(0, 5))
        def operate(self, kind: Any, chance: int) -> None:
            if kind in ("pause", "resume") or chance == 0:
                self.both.act(OperatorAction(kind))

        @rule(later=st.sampled_from([1, 30_000, FAR]), kind=st.sampled_from(["extend", "edit"]))
        def extend(self, later: int, kind: Any) -> None:
            self.both.act(OperatorAction(kind, closes_at=self.both.model.closes_at + later))

        @rule(reserve=st.sampled_from([None, 900, 1500, 1800, "keep"]), title=st.sampled_from([None, "Lot", "Vase"]))
        def edit(self, reserve: Any, title: str | None) -> None:
            self.both.act(OperatorAction("edit", reserve=reserve, title=title))

        @rule(bidder=st.sampled_from(BIDDERS))
        def void(self, bidder: str) -> None:
            self.both.act(OperatorAction("void", bidder=bidder))

        @rule()
        def settle(self) -> None:
            self.both.settle()

        @invariant()
        def the_log_leads_to_what_is_there(self) -> None:
            if hasattr(self, "both"):
                self.both.check()
                assert self.both.verify() == []

    return Auctions


@pytest.mark.timeout(90 + 2 * RUNS)
def test_any_order_of_commands_under_a_clock_that_is_set(bench: Bench, clock: Clock) -> None:
    profile = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS_PER_RUN,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(machine(bench, clock), settings=profile)
