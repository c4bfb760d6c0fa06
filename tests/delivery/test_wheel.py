"""The timing wheel: every entry comes out once, not before its time and not much after it."""

import time

from hypothesis import given
from hypothesis import strategies as st

from sse_auction.delivery.wheel import TimingWheel

TICK_SECONDS = 0.25


def started() -> TimingWheel[int]:
    wheel = TimingWheel[int](TICK_SECONDS)
    wheel.start()
    return wheel


@given(st.lists(st.floats(0, 20), max_size=30))
def test_each_entry_comes_out_once_and_within_a_tick_of_its_moment(delays: list[float]) -> None:
    wheel, now = started(), time.monotonic()
    first = int(now / TICK_SECONDS)
    for number, delay in enumerate(delays):
        wheel.add(number, now + delay)
    came: dict[int, int] = {}
    for sweep in range(1, int(20 / TICK_SECONDS) + 4):
        for entry in wheel.sweep():
            assert entry not in came
            came[entry] = first + sweep
    assert came.keys() == set(range(len(delays)))
    for number, slot in came.items():
        at, moment = slot * TICK_SECONDS, now + delays[number]
        # `add` looks at the clock too, a moment later than this test does.
        assert moment < at <= moment + 2 * TICK_SECONDS
    assert wheel.is_empty


def test_an_entry_that_is_removed_does_not_come_out() -> None:
    wheel, now = started(), time.monotonic()
    slots = {entry: wheel.add(entry, now + 1) for entry in range(2)}
    wheel.remove(0, slots[0])
    wheel.remove(0, slots[0])
    assert [entry for _ in range(8) for entry in wheel.sweep()] == [1]


def test_nothing_is_put_into_a_slot_that_was_swept() -> None:
    """A timer that woke early has swept a slot before its time by the clock; an entry put there then was lost."""
    wheel = started()
    wheel.sweep()
    wheel.sweep()
    wheel.add(7, time.monotonic())
    assert wheel.sweep() == {7}
