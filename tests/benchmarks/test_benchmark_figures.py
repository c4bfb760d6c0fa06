"""The figures from the logs of writes and deliveries: which viewers were stale, and for how long."""

import numpy as np
import pytest

from benchmarks.instruments import freshness


def delivered(*events: tuple[float, int, int], shown: list[int]) -> freshness.Deliveries:
    at, watcher, price = zip(*events, strict=True)
    return freshness.in_order(np.array(at), np.array(watcher), np.array(price), shown)


def test_staleness_is_counted_from_the_oldest_write_that_was_not_shown() -> None:
    writes = np.array([[10.0, 20.0, 30.0]])  # of the prices 2, 3 and 4
    log = delivered((11.0, 0, 2), (31.0, 0, 4), (10.5, 1, 2), (20.5, 1, 3), (32.0, 1, 4), shown=[1, 1])
    samples, _ = freshness.staleness(log, writes, 2, 99.0)
    assert sorted(samples) == [0.5, 0.5, 1.0, 2.0, 11.0], "the price skipped at 20 was shown at 31, by a newer one"


def test_the_age_of_a_delivery_is_counted_from_the_write_that_came() -> None:
    writes = np.array([[10.0, 20.0], [12.0, 22.0]])  # of the prices 2 and 3 of two auctions
    log = delivered((11.0, 0, 2), (14.0, 1, 2), (23.0, 0, 3), (26.0, 1, 3), (27.0, 0, 1), shown=[1, 1])
    assert sorted(freshness.ages(log, writes, 2)) == [1.0, 2.0, 3.0, 4.0], "older prices are no deliveries"


def test_a_watcher_that_never_got_the_last_price_counts_as_stale_until_the_end() -> None:
    log = delivered((11.0, 0, 2), shown=[1, 1])
    samples, _ = freshness.staleness(log, np.array([[10.0, 20.0]]), 2, 50.0)
    assert sorted(samples) == [1.0, 30.0, 40.0]
    figures = freshness.figures(log, np.array([[10.0, 20.0]]), 2, 50.0)
    assert (figures["behind"], figures["final_ms"]) == (2, 30_000)


def test_the_last_watcher_of_a_write_may_be_served_by_a_newer_one() -> None:
    writes = np.array([[10.0, 20.0]])
    log = delivered((11.0, 0, 2), (21.0, 0, 3), (22.0, 1, 3), shown=[1, 1])
    assert list(freshness.latency_to_last(log, writes, 2, 99.0)) == [12.0, 2.0]


def test_repeats_and_older_prices_are_no_deliveries() -> None:
    log = delivered((11.0, 0, 2), (12.0, 0, 2), (21.0, 0, 3), (22.0, 0, 2), (11.0, 1, 1), shown=[1, 1])
    assert (log.repeats, list(log.price)) == (3, [2, 3])


def test_watchers_are_counted_to_their_own_auctions() -> None:
    writes = np.array([[10.0], [20.0], [30.0]])
    events = [(time + 1 + number, number, 2) for number, time in enumerate([10.0, 20.0, 30.0] * 2)]
    log = delivered(*events, shown=[1] * 6)
    samples, auction = freshness.staleness(log, writes, 2, 99.0)
    assert sorted(zip(auction, samples, strict=True)) == [(0, 1), (0, 4), (1, 2), (1, 5), (2, 3), (2, 6)]
    assert freshness.figures(log, writes, 2, 99.0)["worst_auction"] == pytest.approx(4.5 / 3.5)


def test_a_reader_is_stale_from_the_first_write_that_it_lacks() -> None:
    writes, moments = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.5, 2.5, 3.5, 9.0])
    stale = freshness.shown_over_time(np.array([1.2, 8.0]), np.array([2, 4]), writes, 2, moments)
    assert list(stale) == [0.0, 0.0, 0.5, 1.5, 0.0]
