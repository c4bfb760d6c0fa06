"""The rules on a real store, next to their model: tables of cases, and any order of commands.

`RULES_STEPS=100000` goes through that many commands instead of a few thousand.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from sse_auction.auction.decisions import BidAmount, OperatorAction
from sse_auction.auction.money import MAX_MINOR_UNITS
from sse_auction.wire.replies import SoftCloseSeconds
from sse_auction.wire.requests import BuyNowRequest
from tests.support.bench import AMOUNTS, BIDDERS, FAR, RUNS, STEPS_PER_RUN, Bench, Both, running_bench
from tests.support.harness import StoreProcess


@pytest.fixture(scope="module")
def bench(own_store: StoreProcess) -> Iterator[Bench]:
    """On a store that no service uses: it would settle an auction behind the model's back, when a machine is slow."""
    with running_bench(own_store) as made:
        yield made


# --- tables ------------------------------------------------------------------------------------------------------

ANN, BOB = "ann", "bob"


@pytest.mark.parametrize(
    ("maxima", "reserve", "price", "leader", "met"),
    [
        ([(ANN, 5000)], None, "10.00", 1, None),
        ([(ANN, 5000), (BOB, 2000)], None, "20.50", 1, None),
        ([(ANN, 5000), (BOB, 2000), (BOB, 6000)], None, "51.00", 2, None),
        ([(ANN, 5000), (BOB, 5000)], None, "50.00", 1, None),
        ([(ANN, 5000), (BOB, 5001)], None, "50.01", 2, None),
        ([(ANN, 8000)], "80.00", "80.00", 1, True),
        ([(ANN, 7000), (BOB, 3000)], "80.00", "31.00", 1, False),
        ([(ANN, 7000), (ANN, 8000)], "80.00", "80.00", 1, True),
    ],
)
def test_the_vectors_of_proxy_bidding(
    bench: Bench, maxima: list[tuple[str, int]], reserve: str | None, price: str, leader: int, met: bool | None
) -> None:
    both = bench.create(bidding="proxy", reserve=reserve)
    for bidder, amount in maxima:
        assert both.bid(bidder, BidAmount("max", amount)) in ("leading", "outbid")
    state = both.check()
    assert (state.price, state.leader, state.reserve_met) == (price, leader, met)


@pytest.mark.parametrize(
    ("currency", "increments", "start", "at", "step"),
    [
        ("USD", "ebay-us", "0.01", at, step)
        for at, step in [
            (99, 5), (100, 25), (499, 25), (500, 50), (2499, 50), (2500, 100), (9999, 100), (10000, 250), (24999, 250),
            (25000, 500), (49999, 500), (50000, 1000), (99999, 1000), (100000, 2500), (249999, 2500), (250000, 5000),
            (499999, 5000), (500000, 10000), (9_000_000, 10000),
        ]
    ]
    + [("JPY", "yahoo-jp", "1", at, step) for at, step in [(999, 10), (1000, 100), (4999, 100), (5000, 250),
       (9999, 250), (10000, 500), (49999, 500), (50000, 1000)]]
    + [("KWD", "flat:0.005", "0.001", 1234, 5), ("JPY", "ten-percent", "1", 1001, 101)]
    + [("KWD", "ten-percent", "0.001", 1, 1)],
)  # fmt: skip
def test_the_step_at_each_bands_edge(
    bench: Bench, currency: str, increments: str, start: str, at: int, step: int
) -> None:
    both = bench.create(currency=currency, increments=increments, start_price=start)
    assert both.price(ANN, at) == "leading"
    assert both.price(BOB, at + step - 1) == "too_low"
    assert both.price(BOB, at + step) == "leading"


def test_the_largest_amounts_are_exact(bench: Bench) -> None:
    both = bench.create(bidding="proxy", increments="flat:0.01")
    assert both.bid(ANN, BidAmount("max", MAX_MINOR_UNITS - 1)) == "leading"
    assert both.bid(BOB, BidAmount("max", MAX_MINOR_UNITS - 2)) == "outbid"
    assert both.check().price == "90071992547409.90"
    assert both.bid(BOB, BidAmount("max", MAX_MINOR_UNITS)) == "leading"
    assert both.check().price == "90071992547409.91"


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_the_exact_millisecond(bench: Bench, offset: int) -> None:
    """The store decides at a moment t; for any t, opening and closing are exact to the millisecond."""
    seen = set()
    for _ in range(400):
        both = bench.create()
        now = both.now()
        both.move(opens_at=now + 1 + offset)  # at most a millisecond from the decision: both sides occur
        seen.add(both.price(ANN, 1000))
        other = bench.create()
        now = other.now()
        other.move(closes_at=now + 1 + offset)
        seen.add(other.price(ANN, 1000))
        if seen == {"leading", "not_open"}:
            break
    assert seen == {"leading", "not_open"}


def test_priority_wins_a_tie_but_not_among_equals(bench: Bench) -> None:
    both = bench.create(bidding="proxy", priority=["bob", "cat"])
    both.bid(ANN, BidAmount("max", 5000))
    assert both.bid(BOB, BidAmount("max", 5000)) == "leading"
    assert both.check().price == "50.00"
    other = bench.create(bidding="proxy", priority=["bob", "cat"])
    other.bid(BOB, BidAmount("max", 5000))
    assert other.bid("cat", BidAmount("max", 5000)) == "outbid"


def test_a_void_goes_through_a_log_of_any_length(bench: Bench) -> None:
    both = bench.create(bidding="proxy", increments="flat:0.01")
    for number in range(2500):
        assert both.price(f"b{number % 7}", 1000 + number * 10) in ("leading", "outbid")
    assert both.act(OperatorAction("void", bidder="b6")) == "done"
    assert both.act(OperatorAction("void", paddle=1)) == "done"
    both.check()


# --- any order of commands ----------------------------------------------------------------------------------------


def machine(bench: Bench) -> type[RuleBasedStateMachine]:
    class Auctions(RuleBasedStateMachine):
        both: Both
        may_move = False

        @initialize(
            bidding=st.sampled_from(["manual", "proxy", "proxy"]),
            increments=st.sampled_from(["ebay-us", "flat:1", "ten-percent"]),
            aligned=st.sampled_from([False, False, True]),
            reserve=st.none() | st.sampled_from(["10.00", "18.00", "25.00"]),
            buy_now=st.none() | st.builds(BuyNowRequest, st.sampled_from(["26.00", "60.00"]),
                                          st.sampled_from(["ceiling", "until_first_bid"])),
            soft=st.none() | st.sampled_from([SoftCloseSeconds(60, 60), SoftCloseSeconds(5, 600)]),
            most=st.none() | st.integers(0, 3),
            hard=st.none() | st.integers(0, 90_000),
            may_move=st.booleans(),
        )  # fmt: skip
        def begin(
            self, bidding: str, increments: str, aligned: bool, reserve: str | None, buy_now: Any, soft: Any,
            most: int | None, hard: int | None, may_move: bool,
        ) -> None:  # fmt: skip
            self.may_move = may_move
            closes_at = bench.now() + FAR
            self.both = bench.create(
                bidding=bidding, increments=increments, aligned=aligned, reserve=reserve, buy_now=buy_now,
                soft_close=soft, max_extensions=most, hard_close_at=None if hard is None else closes_at + hard,
                closes_at=closes_at, seller="sam", priority=["dan"],
            )  # fmt: skip

        @rule(bidder=st.sampled_from(BIDDERS), kind=st.sampled_from(["price", "max"]), amount=AMOUNTS,
              confirmed=st.sampled_from([True, True, False]))  # fmt: skip
        def any_bid(self, bidder: str, kind: Any, amount: int, confirmed: bool) -> None:
            self.both.bid(bidder, BidAmount(kind, amount), confirmed=confirmed)

        @rule(bidder=st.sampled_from(BIDDERS), steps=st.integers(0, 4))
        def next_bid(self, bidder: str, steps: int) -> None:
            model = self.both.model
            base = model.next_bid()
            self.both.bid(bidder, BidAmount("price", base + steps * model.increments.step(base)))

        @rule(bidder=st.sampled_from(BIDDERS), delta=st.sampled_from([-1, 0, 0, 1]))
        def meet_the_maximum(self, bidder: str, delta: int) -> None:
            self.both.bid(bidder, BidAmount("max", max(1, self.both.model.contest.max + delta)))

        @rule(bidder=st.sampled_from(BIDDERS))
        def buy(self, bidder: str) -> None:
            self.both.bid(bidder, BidAmount("buy_now"))

        @rule(kind=st.sampled_from(["pause", "pause", "resume", "resume", "resume", "cancel", "close"]),
              chance=st.integers(0, 3))  # fmt: skip
        def operate(self, kind: Any, chance: int) -> None:
            if kind in ("pause", "resume") or chance == 0:
                self.both.act(OperatorAction(kind))

        @rule(later=st.sampled_from([-1, 0, 1, 30_000, FAR, FAR]))
        def reopen(self, later: int) -> None:
            self.both.act(OperatorAction("reopen", closes_at=max(self.both.model.closes_at, self.both.now()) + later))

        @rule(paddle=st.none() | st.integers(1, 5))
        def offer_again(self, paddle: int | None) -> None:
            self.both.act(OperatorAction("second_offer", paddle=paddle))

        @rule(kind=st.sampled_from(["unpaid", "paid", "archive", "unarchive"]))
        def note(self, kind: Any) -> None:
            self.both.act(OperatorAction(kind))

        @rule(later=st.sampled_from([-1, 0, 1, 30_000]), kind=st.sampled_from(["extend", "edit"]))
        def extend(self, later: int, kind: Any) -> None:
            self.both.act(OperatorAction(kind, closes_at=self.both.model.closes_at + later))

        @rule(reserve=st.sampled_from([None, 900, 1500, 1800, 2600]), title=st.sampled_from([None, "Vase"]))
        def edit(self, reserve: int | None, title: str | None) -> None:
            self.both.act(OperatorAction("edit", reserve=reserve, title=title))

        @rule(bidder=st.sampled_from(BIDDERS), by_paddle=st.booleans())
        def void(self, bidder: str, by_paddle: bool) -> None:
            paddle = self.both.model.paddles.get(bidder, 99)
            self.both.act(OperatorAction("void", paddle=paddle) if by_paddle else OperatorAction("void", bidder=bidder))

        # No preconditions: the choice of a command must not depend on the clock, or a run could not be repeated.

        @rule(left=st.sampled_from([1, 500, 4000, 30_000, 61_000, FAR]))
        def come_closer_to_the_end(self, left: int) -> None:
            now, model = self.both.now(), self.both.model
            if self.may_move and model.outcome is None and model.opens_at < now:
                self.both.move(closes_at=now + left)

        @rule(ahead=st.sampled_from([-5, 1, 60_000]))
        def move_the_opening(self, ahead: int) -> None:
            now, model = self.both.now(), self.both.model
            if self.may_move and model.outcome is None and now + ahead < model.closes_at:
                self.both.move(opens_at=now + ahead)

        @rule()
        def read(self) -> None:
            self.both.check()

        def teardown(self) -> None:
            """The log leads to the state, unless a test has changed the times directly."""
            if not self.may_move:
                bench.do(bench.store.settlement.settle(self.both.guid))
                assert self.both.verify() == []

    return Auctions


@pytest.mark.timeout(90 + RUNS)
def test_any_order_of_commands(bench: Bench) -> None:
    profile = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS_PER_RUN,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(machine(bench), settings=profile)
