"""A limit on how often each sender may do something: one token bucket per sender, in bounded memory."""

import time
from collections import OrderedDict

_MAX_SENDERS = 100_000  # remembered; the least recent one is forgotten first
BURST_SECONDS = 2.0  # the requests of this time, at the allowed rate, may come at once


class RateLimit:
    """Allows each sender `per_second` on average; 0 allows everything."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._burst = max(1.0, per_second * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # sender: (tokens, monotonic seconds)

    def wait_seconds(self, sender: str) -> float:
        """0 when `sender` may continue, which is then counted; else the seconds to wait."""
        if self._per_second == 0:
            return 0.0
        now = time.monotonic()
        tokens, at = self._buckets.get(sender, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._per_second)
        wait = max(0.0, (1 - tokens) / self._per_second)
        self._buckets[sender] = (tokens if wait else tokens - 1, now)
        self._buckets.move_to_end(sender)
        if len(self._buckets) > _MAX_SENDERS:
            self._buckets.popitem(last=False)
        return wait
