"""The script accepts the bids that a state offers, under any terms and at any price."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_auction.auction.decisions import Accepted, BidAmount, Refused
from sse_auction.auction.money import EXPONENTS, MAX_MINOR_UNITS, format_amount, parse_amount
from sse_auction.auction.state import State
from sse_auction.wire.requests import BandRequest, BuyNowRequest
from tests.support.bench import Bench, running_bench
from tests.support.harness import StoreProcess

FAR_UP = MAX_MINOR_UNITS - 500
BANDS = [BandRequest("0", "5"), BandRequest("20", "10")]


@pytest.fixture(scope="module")
def bench(valkey: StoreProcess) -> Iterator[Bench]:
    with running_bench(valkey) as running:
        yield running


@dataclass
class Lot:
    """One auction, directly in the store, created again for each bid that is tried at the same price."""

    bench: Bench
    terms: dict[str, Any]
    before: tuple[int, ...]  # steps above the next bid, in minor units, of the earlier bids
    guid: str = ""

    def state(self) -> State:
        """The state of a new auction after the same bids."""
        both = self.bench.create(**self.terms)
        self.guid = both.guid
        state: State = self.bench.do(self.bench.store.auctions.state(self.guid))
        for number, above in enumerate(self.before):
            if state.next_bid is None:
                break
            result = self.bid(
                parse_amount(state.next_bid, state.currency) + above, f"bidder-{number % 2}", confirmed=True
            )
            state = result.state or state
        return state

    def bid(self, amount: int, who: str = "the-next", *, confirmed: bool = False) -> Accepted | Refused:
        kind: Any = "max" if self.terms["bidding"] == "proxy" else "price"
        store, currency = self.bench.store, self.terms["currency"]
        result = self.bench.do(
            store.auctions.bid(self.guid, who, BidAmount(kind, amount), currency, confirmed=confirmed)
        )
        assert isinstance(result, (Accepted, Refused))
        return result


@st.composite
def lots(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Terms, and steps of the first bids: small amounts and amounts near the limits."""
    currency = draw(st.sampled_from(["JPY", "USD", "KWD"]))
    start = draw(st.one_of(st.integers(1, 4), st.integers(1, 2_000), st.integers(FAR_UP, MAX_MINOR_UNITS)))
    steps = sorted(draw(st.lists(st.integers(1, 400), min_size=1, max_size=4)))
    starts = [0, *sorted(draw(st.sets(st.integers(1, 3_000), min_size=len(steps) - 1, max_size=len(steps) - 1)))]
    rows = [BandRequest(format_amount(at, currency), format_amount(step, currency))
            for at, step in zip(starts, steps, strict=True)]  # fmt: skip
    sale = draw(st.one_of(st.none(), st.integers(start, min(start + 1_000, MAX_MINOR_UNITS))))
    mode: Any = draw(st.sampled_from(["ceiling", "until_first_bid"]))
    terms = {
        "currency": currency, "start_price": format_amount(start, currency),
        "increments": draw(st.sampled_from([rows, "ten-percent"])),
        "aligned": draw(st.booleans()), "bidding": draw(st.sampled_from(["manual", "proxy"])),
        "buy_now": None if sale is None else BuyNowRequest(format_amount(sale, currency), mode),
    }  # fmt: skip
    return terms, tuple(draw(st.lists(st.sampled_from([0, 0, 1, 7, 50, 333]), max_size=3)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lot=lots())
def test_every_bid_that_is_offered_is_taken_as_an_ordinary_bid(
    bench: Bench, lot: tuple[dict[str, Any], tuple[int, ...]]
) -> None:
    terms, before = lot
    tried = Lot(bench, terms, before)
    state = tried.state()
    amounts = [parse_amount(each, state.currency) for each in state.next_bids]
    assert amounts == sorted(set(amounts))
    assert all(len(each.partition(".")[2]) == EXPONENTS[state.currency] for each in state.next_bids)
    for number, amount in enumerate(amounts):
        if number:
            assert tried.state().next_bids == state.next_bids
        result = tried.bid(amount)
        assert isinstance(result, Accepted), f"{amount} was offered in {state} and is {result}"
        assert result.standing != "winning", "it was bought, without a confirmation"
    if state.is_final:
        assert state.next_bids == ()
    elif amounts:
        assert state.next_bids[0] == state.next_bid
        tried.state()
        assert isinstance(tried.bid(amounts[0] - 1), Refused), "the first is the least"
    elif state.next_bid is not None:
        tried.state()
        result = tried.bid(parse_amount(state.next_bid, state.currency))
        assert isinstance(result, Accepted)
        assert result.standing == "winning", "nothing is offered only where a bid would buy"


@pytest.mark.parametrize(
    ("terms", "offered"),
    [
        ({"increments": BANDS}, ("10.00", "15.00", "20.00")),
        ({"start_price": "15", "increments": BANDS},
         ("15.00", "20.00", "30.00")),
        ({"start_price": "15", "increments": BANDS,
          "aligned": True}, ("15.00", "20.00", "25.00")),
        ({"increments": "ten-percent"}, ("10.00", "11.00", "12.10")),
        ({"increments": "ten-percent", "aligned": True}, ("10.00", "11.00", "12.00")),
        ({"buy_now": BuyNowRequest("11.50", "ceiling"), "increments": "flat:1"}, ("10.00", "11.00")),
        ({"buy_now": BuyNowRequest("10.00", "ceiling"), "increments": "flat:1"}, ()),
        ({"buy_now": BuyNowRequest("10.00"), "increments": "flat:1"}, ("10.00", "11.00", "12.00")),
        ({"start_price": "0.01", "increments": "flat:1"}, ("0.01",)),
        ({"start_price": format_amount(MAX_MINOR_UNITS - 150, "USD"), "increments": "flat:1"},
         (format_amount(MAX_MINOR_UNITS - 150, "USD"), format_amount(MAX_MINOR_UNITS - 50, "USD"))),
    ],
)  # fmt: skip
def test_what_is_offered_before_the_first_bid(bench: Bench, terms: dict[str, Any], offered: tuple[str, ...]) -> None:
    state = bench.create(**terms).check()
    assert state.next_bids == offered
