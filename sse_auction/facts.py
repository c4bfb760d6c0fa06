"""What this process knows of the store beyond the auctions: its clock and its memory.

The only clock that decides is the store's. Between two looks at it, it is estimated from the monotonic clock, so
that a step of this machine's wall clock moves nothing. The mirror keeps these facts true; everybody else reads.
"""

import time
from collections.abc import Sequence

_DRIFT = 0.001  # how far two clocks may part per second while one is being slewed: 500 ppm each, at most
_STEP_MS = 1000  # a difference that no slow round trip explains: the store's clock was set


class StoreFacts:
    """The store's clock (epoch ms) and the name of its unbroken memory."""

    def __init__(self) -> None:
        self.memory = ""
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000  # until the store has been asked
        self._round_trip = float("inf")
        self._measured_at = 0.0

    def now(self) -> int:
        """The store's clock, estimated, in epoch ms."""
        return int(time.monotonic() * 1000 + self._offset_ms)

    def observe_time(self, reply: Sequence[bytes], sent_at: float, received_at: float) -> int:
        """Take a reply to `TIME`, asked and answered at these monotonic seconds, into account; returns it in epoch ms.

        An answer counts that bounds the error better: it came quicker than the last that counted, whose bound grows
        as the clocks drift.
        """
        told_ms = int(reply[0]) * 1000 + int(reply[1]) // 1000
        offset = told_ms - (sent_at + received_at) * 500
        round_trip = received_at - sent_at
        bound = self._round_trip + (received_at - self._measured_at) * _DRIFT
        if round_trip <= bound or abs(offset - self._offset_ms) > _STEP_MS + round_trip * 1000:
            self._offset_ms, self._round_trip, self._measured_at = offset, round_trip, received_at
        return told_ms
