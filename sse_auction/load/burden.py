"""The load on the process of a load run: a client that is too busy measures itself, not the service."""

import asyncio
import time
from array import array

from sse_auction.load.figures import percentile, samples, summary
from sse_auction.load.report import ClientLimits, client_limits

LAG_EVERY_SECONDS = 0.02


class Burden:
    """The load on this process: its event loop's lag, and its CPU time second by second."""

    def __init__(self) -> None:
        self.lag_ms: array[float] = samples()
        self._cpu_shares: array[float] = samples()
        self._cpu_at, self._at = time.process_time(), time.monotonic()

    async def watch_loop(self) -> None:
        """Sample the lag until cancelled."""
        while True:
            due = time.monotonic() + LAG_EVERY_SECONDS
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.lag_ms.append(max(0.0, time.monotonic() - due) * 1000)

    def take_cpu_share(self) -> float:
        """The used share of a core since the last call; it is also added to the samples."""
        cpu_at, at = time.process_time(), time.monotonic()
        share = (cpu_at - self._cpu_at) / max(at - self._at, 1e-6)
        self._cpu_at, self._at = cpu_at, at
        self._cpu_shares.append(share)
        return share

    def limits(self) -> ClientLimits:
        """Whether this process limited the figures of the run."""
        if not self._cpu_shares:  # a run of less than a second
            self.take_cpu_share()
        return client_limits(summary(self.lag_ms), percentile(sorted(self._cpu_shares), 0.9))
