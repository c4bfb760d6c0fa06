"""A stage: one contender that runs, with a generator that watches it and a writer that raises its prices.

Rule: a window is measured as a whole: the CPU of every party from one snapshot to the next, and all deliveries in
between. Each stage has processes, a store and a directory of its own, and leaves nothing behind.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, Contender
from benchmarks.instruments import freshness, processes
from benchmarks.instruments.processes import Snapshot
from benchmarks.instruments.workers import Worker, worker

OPEN_TIMEOUT_SECONDS = 60.0
PRIMING_RATE = 2000.0  # writes a second, of the first price of each auction
SETTLE_SECONDS = 10.0  # for a server that is behind to take all that was written; then it is reported as behind

Figures = dict[str, float]


@dataclass
class Stage:
    """What a question works with."""

    contender: Contender
    generator: Worker
    writer: Worker
    directory: Path
    guids: Sequence[str] = ()
    next_price: int = 1

    # --- before ------------------------------------------------------------------------------------------------

    def prime(self, auctions: int) -> None:
        """Give `auctions` auctions their first price."""
        self.guids = [f"lot-{number}" for number in range(auctions)]
        self.writer.do("connect", **self.contender.target())
        self._write(PRIMING_RATE, auctions / PRIMING_RATE)
        self.writer.do("settle", timeout=SETTLE_SECONDS)

    def open(self, watchers: int) -> dict[str, Any]:
        """Open streams, in turn over all auctions; returns when each has its first price."""
        reply = self.generator.do(
            "open", port=self.contender.port, kind=self.contender.kind, request=self.contender.request,
            marker=self.contender.marker, guids=list(self.guids) or ["lot-0"], count=watchers,
            timeout=OPEN_TIMEOUT_SECONDS,
        )  # fmt: skip
        if reply["lost"] or reply["ready"] < watchers:
            raise RuntimeError(f"of {watchers} streams {reply['ready']} were opened and {reply['lost']} lost")
        return reply

    def snapshot(self) -> Snapshot:
        parties = {
            "server": self.contender.pids, "store": self.contender.store_pids,
            "generator": [self.generator.pid], "writer": [self.writer.pid],
        }  # fmt: skip
        return Snapshot.take(time.monotonic(), parties)

    def pss(self) -> int:
        return processes.pss_bytes(self.contender.pids)

    def exchange(self, request: str, clients: int, seconds: float, **bids: Any) -> tuple[Figures, dict[str, int]]:
        """Drive kept-alive connections in a closed loop; the figures, and how many replies had which status."""
        before = self.snapshot()
        reply = self.generator.do(
            "exchange", port=self.contender.port, request=request, clients=clients, seconds=seconds, **bids
        )
        used = shares(before, self.snapshot(), 0, 0)
        if reply["lost"]:
            raise RuntimeError(f"{reply['lost']} connections were lost")
        figures = {key: value for key, value in used.items() if key.endswith("_share")}
        return {**figures, **{key: reply[key] for key in ("per_second", "p50_ms", "p99_ms")}}, reply["statuses"]

    # --- a window ----------------------------------------------------------------------------------------------

    def begin_writing(self, rate: float, seconds: float) -> None:
        """Write `rate` times a second over all auctions, while something else is done."""
        self.writer.begin(
            "write", guids=list(self.guids), rate=rate, seconds=seconds, first=self.next_price,
            path=str(self.directory / "writes"),
        )  # fmt: skip

    def end_writing(self) -> dict[str, Any]:
        """Wait until all is written; how much that was."""
        reply = self.writer.answer()
        self.next_price = reply["last"] + 1
        return reply

    def _write(self, rate: float, seconds: float) -> dict[str, Any]:
        self.begin_writing(rate, seconds)
        return self.end_writing()

    def check_watchers(self) -> None:
        """Raise unless every watcher that was opened gets one more price: none was dropped on the way."""
        self._write(PRIMING_RATE, len(self.guids) / PRIMING_RATE)
        watchers = self.generator.do("state")["ready"]
        reached = self.generator.do("wait", price=self.next_price - 1, timeout=SETTLE_SECONDS)["reached"]
        if reached < watchers:
            raise RuntimeError(f"only {reached} of {watchers} watchers got one more price")

    def warm_up(self, rate: float, seconds: float, timeout_seconds: float = 5.0) -> None:
        """Writes that are not measured, until everybody has them."""
        self._write(rate, seconds)
        self.writer.do("settle", timeout=timeout_seconds)
        self.generator.do("wait", price=self.next_price - 1, timeout=timeout_seconds)

    def written(self) -> freshness.Floats:
        """The times of the last window's writes, one row per auction."""
        return freshness.read_writes(self.directory / "writes", len(self.guids))

    def deliver(self, rate: float, seconds: float, timeout_seconds: float = SETTLE_SECONDS) -> Figures:
        """Write at `rate` for `seconds`, wait until everybody has the last price, and work out all figures."""
        shown = [max(price, 1) for price in self.generator.do("record")["shown"]]
        first = self.next_price
        before = self.snapshot()
        written = self._write(rate, seconds)
        settled = self.writer.do("settle", timeout=timeout_seconds)
        self.generator.do("wait", price=self.next_price - 1, timeout=timeout_seconds)
        after = self.snapshot()
        log = self.directory / "deliveries"
        saved = self.generator.do("save", path=str(log))
        if saved["lost"]:
            raise RuntimeError(f"{saved['lost']} streams were lost")
        deliveries = freshness.read_deliveries(log, shown)
        return {
            **freshness.figures(deliveries, self.written(), first, saved["at"]),
            **shares(before, after, saved["deliveries"], written["writes"]),
            "writes_per_second": written["writes"] / written["seconds"],
            "taken_share": written["taken"] / written["writes"],
            "untaken": settled["written"] - settled["taken"],
        }


def shares(before: Snapshot, after: Snapshot, deliveries: int, writes: int) -> Figures:
    """CPU of each party: per delivery or write in µs, and as a share of one core."""
    used, took = after.used_since(before), after.at - before.at
    return {
        "seconds": took,
        "deliveries": float(deliveries),
        "cpu_us": used["server"] / max(1, deliveries) * 1e6,
        "generator_us": used["generator"] / max(1, deliveries) * 1e6,
        "store_us_per_write": used["store"] / max(1, writes) * 1e6,
        **{f"{party}_share": seconds / took for party, seconds in used.items()},
    }


@contextmanager
def stage(name: str, *, durable: bool = False, **settings: str) -> Iterator[Stage]:
    """Start a contender and its workers; all end with the context."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as path:
        directory = Path(path)
        contender = CONTENDERS[name](directory, durable=durable, **settings)
        try:
            contender.start()
            with (
                worker("generator") as generator,
                worker("writer") as writer,
            ):
                yield Stage(contender, generator, writer, directory)
        except Exception as error:
            log = directory / "server.log"
            if log.exists():
                error.add_note(f"its log ends with: {log.read_text()[-800:]}")
            raise
        finally:
            contender.stop()
