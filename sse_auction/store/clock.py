"""What this process knows of the store beyond the auctions: its clock and its memory.

The only clock that decides is the store's. Between two looks at it, it is estimated from the monotonic clock, so
that a step of this machine's wall clock moves nothing. Every reply that carries the store's time bounds how far the
two are apart: it was stamped after it was asked for and before it came. `now` is the lower bound. It never runs ahead
of the store, so nothing is shown as open or closed before the store would say so; and it is never before a moment
that the store has told this process.
"""

import time
from collections.abc import Callable, Sequence

_DRIFT = 1000  # two clocks part by at most one part of so many while they are being slewed: 500 ppm each
_STEP_US = 1_000_000  # a difference that no slewing explains: the store's clock was set


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1000


class StoreClock:
    """The store's clock (epoch ms) and the name of its unbroken memory."""

    def __init__(self, monotonic_us: Callable[[], int] = _monotonic_us) -> None:
        self.generation = ""
        self.times_set = 0  # how often the store's clock was set, as far as is known
        self.moment = monotonic_us  # this process's clock, by which requests are timed; whole, for sums to be exact
        self._least_us = self._most_us = 0  # the store's clock less the monotonic one is from the one up to the other
        self._bounded_at: int | None = None  # when that was so; since then the clocks may have drifted apart

    def now(self) -> int:
        """The store's clock, or a little less, in epoch ms."""
        if self._bounded_at is None:
            return int(time.time() * 1000)  # the store has not been asked
        moment = self.moment()
        return (moment + self._least_us - (moment - self._bounded_at) // _DRIFT) // 1000

    def take_time(self, reply: Sequence[bytes], asked_at: int) -> int:
        """Learn from a reply to `TIME` that was asked for at the moment `asked_at`; returns it in epoch ms."""
        told_us = int(reply[0]) * 1_000_000 + int(reply[1])
        self._bound(told_us, told_us, asked_at)
        return told_us // 1000

    def take_now(self, now: int, asked_at: int) -> None:
        """Learn from a script's `now`, in epoch ms, which was asked for at the moment `asked_at`."""
        self._bound(now * 1000, now * 1000 + 999, asked_at)

    def _bound(self, earliest_us: int, latest_us: int, asked_at: int) -> None:
        """The store's clock showed something between these, when this process's showed something since `asked_at`."""
        moment = self.moment()
        least, most = earliest_us - moment, latest_us - asked_at
        if self._bounded_at is not None:
            drift, since = divmod(moment - self._bounded_at, _DRIFT)
            moment -= since  # what is left of the division counts next time
            known_least, known_most = self._least_us - drift, self._most_us + drift
            if least <= known_most and most >= known_least:
                least, most = max(least, known_least), min(most, known_most)
            else:  # set, or slewed faster than clocks drift: what was known holds no longer
                self.times_set += max(least - known_most, known_least - most) > _STEP_US
        self._least_us, self._most_us, self._bounded_at = least, most, moment
