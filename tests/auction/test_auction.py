"""The domain's pure functions: increments, the state at a moment, and versions that a viewer has seen."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_auction.auction.increments import Increments
from sse_auction.auction.money import MAX_MINOR_UNITS, AmountError
from sse_auction.auction.state import Record
from sse_auction.auction.terms import Terms, is_guid
from sse_auction.auction.version import Version
from sse_auction.delivery.events import Update
from sse_auction.store.records import FIELDS, read_record

NO_HASH = [None] * len(FIELDS)
TERMS = Terms("g", "Lot", "CNY", 1000, Increments(((0, 100),)), 100, 200, created_at=50, original_closes_at=200)


@pytest.mark.parametrize("guid", ["a", "A-Z_9", "x" * 64, "0f0f0f0f-0000-4000-8000-000000000000"])
def test_guids_that_can_name_an_auction(guid: str) -> None:
    assert is_guid(guid)


@pytest.mark.parametrize("guid", ["", "x" * 65, "a b", "a{b}", "a\n", "ü", "a/b", "a.b", "stream"])
def test_guids_that_cannot(guid: str) -> None:
    assert not is_guid(guid)


@pytest.mark.parametrize(
    ("name", "currency", "steps"),
    [("flat:2.50", "CNY", {0: 250, 10**9: 250}), ("ten-percent", "CNY", {0: 1, 1: 1, 10: 1, 11: 2, 12345: 1235}),
     ("ebay-us", "USD", {0: 5, 99: 5, 100: 25, 499: 25, 500: 50, 2499: 50, 2500: 100, 9999: 100, 10000: 250,
                         500000: 10000}),
     ("yahoo-jp", "JPY", {0: 10, 999: 10, 1000: 100, 4999: 100, 5000: 250, 10000: 500, 50000: 1000})],
)  # fmt: skip
def test_presets_step_by_the_band_that_the_price_is_in(name: str, currency: str, steps: dict[int, int]) -> None:
    increments = Increments.from_preset(name, currency)
    assert {price: increments.step(price) for price in steps} == steps
    assert Increments.load(increments.dump()) == increments


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [([], "0 bands"), ([("1", "1")], "must start at 0"), ([("0", "0")], "not above 0"),
     ([("0", "1"), ("0", "2")], "does not start above"), ([("0", "5"), ("10", "1")], "below the step before"),
     ([("0", "0.001")], "decimals"), ([("0", "1")] * 101, "101 bands")],
)  # fmt: skip
def test_an_increment_table_that_contradicts_itself_is_refused(rows: list[tuple[str, str]], complaint: str) -> None:
    with pytest.raises(AmountError, match=complaint):
        Increments.from_table(rows, "CNY")


@pytest.mark.parametrize(("name", "complaint"), [("ebay-us", "do not fit JPY"), ("flat:0", "not above 0"), ("x", "no")])
def test_a_preset_that_does_not_fit_the_currency_is_refused(name: str, complaint: str) -> None:
    with pytest.raises(AmountError, match=complaint):
        Increments.from_preset(name, "JPY")


def test_status_and_revision_follow_the_clock_to_the_millisecond() -> None:
    record = Record("g", TERMS, None, rev=7)
    states = [record.state(now, "m", "EUR") for now in (99, 100, 199, 200)]
    assert [state.status for state in states] == ["upcoming", "open", "open", "closed"]
    assert [state.rev for state in states] == [7, 8, 8, 9]
    assert [state.next_bid for state in states] == ["10.00", "10.00", "10.00", None]
    assert [state.changes_at for state in states] == [100, 200, 200, None]


def test_an_external_auction_has_no_revision_and_the_configured_currency() -> None:
    state = Record("g", None, "99.50").state(5, "m", "EUR")
    assert (state.status, state.rev, state.currency, state.price, state.bids) == ("open", 0, "EUR", "99.50", None)
    assert Record("g", None, None).state(5, "m", "EUR").status == "unknown"


def test_the_epoch_changes_with_the_stores_generation_and_with_a_recreated_auction() -> None:
    def epoch(record: Record, memory: str) -> str:
        return record.state(150, memory, "CNY").tag.split("-")[0]

    again = Terms("g", "Lot", "CNY", 1000, TERMS.increments, 100, 200, created_at=51, original_closes_at=200)
    epochs = [epoch(Record("g", TERMS, None), "m"), epoch(Record("g", TERMS, None), "n"),
              epoch(Record("g", again, None), "m"), epoch(Record("g", None, None), "m")]  # fmt: skip
    assert len(set(epochs)) == 4


@given(st.text(max_size=40), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_with_any_value_of_the_price_key_the_tag_is_safe_as_an_event_id(text: str, currency: str) -> None:
    state = read_record("g", text.encode(), NO_HASH, currency).state(1, "memory", currency)
    assert re.fullmatch(r"[0-9A-Za-z.-]{1,128}", state.tag)
    assert Version.of_tag(state.tag) == Update(state).seen


@pytest.mark.parametrize("tag", ["", "x", "a-1", "a-1-2-3", "a-1-1\r\nb", "g-1-1", "a--1", "a-1-1.", "a-1-" + "9" * 40])
def test_a_foreign_tag_says_nothing(tag: str) -> None:
    assert Version.of_tag(tag) is None


def seen(tag: str) -> Version:
    found = Version.of_tag(tag)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("shown", "newer", "is_news"),
    [("a-1-5", "a-1-5", False), ("a-1-5", "a-2-5", True), ("a-2-5", "a-1-9", False), ("a-2-5", "b-1-1", True),
     ("a-2-5", "a-2-6", True), ("a-2-", "a-2-6", True), ("a-0-5", "a-0-6", True), ("a-0-5", "a-0-4", False),
     ("a-0-5", "a-0-", True), ("a-0-", "a-0-1", True), ("a-0-", "a-0-", False), ("a-0-5.0", "a-0-5.00", False),
     ("a-0-9", "a-0-10", True)],
)  # fmt: skip
def test_a_viewer_gets_only_what_supersedes_what_it_has_seen(shown: str, newer: str, is_news: bool) -> None:
    assert seen(shown).is_superseded_by(seen(newer)) is is_news


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)), min_size=1, max_size=8))
def test_any_table_that_is_taken_raises_the_price_at_every_price(rows: list[tuple[int, int]]) -> None:
    bands = [(0, 1), *sorted(rows)]
    ascending = all(a < b and s <= t for (a, s), (b, t) in pairwise(bands))
    text = [(str(start), str(step)) for start, step in bands]
    if not ascending:
        with pytest.raises(AmountError):
            Increments.from_table(text, "JPY")
        return
    increments = Increments.from_table(text, "JPY")
    assert all(increments.step(start) == step for start, step in bands)


def test_the_last_possible_price_has_no_next_bid() -> None:
    terms = Terms("g", "Lot", "JPY", 1, Increments(()), 0, 10, 0, 10)
    assert Record("g", terms, str(MAX_MINOR_UNITS)).state(1, "m", "CNY").next_bid is None


@pytest.mark.parametrize("price", [b"abc", b"", b"1.005", None, Exception("WRONGTYPE")])
def test_a_managed_auction_with_a_damaged_price_shows_nothing_false(price: bytes | Exception | None) -> None:
    fields = {"title": "Lot", "currency": "CNY", "start_price": "1000", "increments": "0:100", "opens_at": "0",
              "closes_at": "9", "created_at": "0", "rev": "3", "bids": "3", "leader": "1"}  # fmt: skip
    record = read_record("g", price, [fields.get(name, "").encode() for name in FIELDS], "CNY")
    assert not record.exists
    assert record.state(1, "m", "CNY").status == "unknown"
