"""The store's clock as this process estimates it, and the store's generation.

Only the store's clock decides. Between two readings it is estimated from the monotonic clock, so a step of this
machine's wall clock has no effect. Every reply with the store's time bounds the difference of the two clocks: the
store stamped it after the request left and before the reply arrived. `now` is the lower bound. It is never ahead of
the store, so no auction is shown as open or closed too early; and it is never before a moment that the store has
reported to this process.
"""

import time
from collections.abc import Callable, Sequence

_DRIFT = 1000  # two clocks drift apart by at most 1/1000 while both are slewed: 500 ppm each
_STEP_US = 1_000_000  # slewing cannot explain such a difference: the store's clock was set


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class StoreClock:
    """The store's clock (epoch ms) and the name of its unbroken data."""

    def __init__(self, monotonic_us: Callable[[], int] = _monotonic_us) -> None:
        self.generation = ""
        self.times_set = 0  # how often the store's clock is known to have been set
        self.moment = monotonic_us  # this process's clock, which times requests; an integer, so that sums are exact
        self._min_us = self._max_us = 0  # bounds of the store's clock minus the monotonic clock
        self._bounded_at: int | None = None  # when these bounds held; the clocks may have drifted apart since

    def now(self) -> int:
        """A lower bound of the store's clock, in epoch ms."""
        if self._bounded_at is None:
            return int(time.time() * 1000)  # no reply has carried the store's time yet
        moment = self.moment()
        return (moment + self._min_us - (moment - self._bounded_at) // _DRIFT) // 1000

    def take_time(self, reply: Sequence[bytes], asked_at: int) -> int:
        """Learn from a reply to `TIME`, requested at the moment `asked_at`; returns the store's time in epoch ms."""
        store_us = int(reply[0]) * 1_000_000 + int(reply[1])
        self._bound(store_us, store_us, asked_at)
        return store_us // 1000

    def take_now(self, now: int, asked_at: int) -> None:
        """Learn from a script's `now` (epoch ms); the script was called at the moment `asked_at`."""
        self._bound(now * 1000, now * 1000 + 999, asked_at)

    def _bound(self, earliest_us: int, latest_us: int, asked_at: int) -> None:
        """The store's clock was between these two at some moment between `asked_at` and now."""
        moment = self.moment()
        low, high = earliest_us - moment, latest_us - asked_at
        if self._bounded_at is not None:
            drift, since = divmod(moment - self._bounded_at, _DRIFT)
            moment -= since  # the remainder of the division counts next time
            known_min, known_max = self._min_us - drift, self._max_us + drift
            if low <= known_max and high >= known_min:
                low, high = max(low, known_min), min(high, known_max)
            else:  # set, or slewed faster than clocks drift: the old bounds are wrong
                self.times_set += max(low - known_max, known_min - high) > _STEP_US
        self._min_us, self._max_us, self._bounded_at = low, high, moment
