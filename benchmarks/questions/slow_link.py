"""How old is what a reader on a bad link sees?

One auction, 50 writes a second for 30 s, 100 ordinary watchers, and readers that take 2 KB a second each: less than
is sent. Their staleness at a moment is that moment minus the oldest write that they do not show yet, looked at ten
times a second. It must stay bounded, the others must notice nothing, and the server must not grow. Three such
readers watch at once, which stands for three runs; the worst moment of each is taken, and the median of the three.
"""

import statistics

import numpy as np

from benchmarks.bench import Answer, Bench, Column, Goal, figure
from benchmarks.instruments import freshness
from benchmarks.stage import Figures, stage

READERS = 3
BYTES_PER_SECOND = 2000
WATCHERS = 100
RATE = 50
SECONDS = 30.0
LOOKS_PER_SECOND = 10


def ask(bench: Bench) -> Answer:
    rows = bench.alternate(("ours", "recipe"), f"{BYTES_PER_SECOND / 1000:g} KB/s, {RATE} writes/s", measure, runs=1)
    return Answer(
        "slow-link",
        __doc__ or "",
        [
            Column("slow_max_s", "slow readers: staleest moment, s", 1),
            Column("slow_first_s", "mean of seconds 5 to 15, s", 1),
            Column("slow_end_s", "mean of the last 10 s, s", 1),
            Column("slow_events", "prices each was shown"),
            Column("stale_p99_ms", "the others: staleness p99, ms"),
            Column("growth_mb", "the server grew by, MB", 1),
        ],
        rows,
        [
            Goal("staleest moment of a reader at 2 KB/s, s", figure(rows, "slow_max_s", "ours"), 2.0),
            Goal("staleness p99 of the others, ms", figure(rows, "stale_p99_ms", "ours"), 100.0),
            Goal("growth of the server, MB", figure(rows, "growth_mb", "ours"), 1.0),
        ],
        plot="lines",
    )


def measure(name: str) -> tuple[Figures, dict[str, list[float]]]:
    with stage(name) as on:
        on.prime(1)
        on.open(WATCHERS)
        on.warm_up(RATE, 2.0)
        path = on.directory / "slow"
        on.generator.do(
            "slow", port=on.contender.port, request=on.contender.request, marker=on.contender.marker,
            guid=on.guids[0], count=READERS, bytes_per_second=BYTES_PER_SECOND, path=str(path),
        )  # fmt: skip
        first, before = on.next_price, on.pss()
        figures = on.deliver(RATE, SECONDS, 1.0)
        grown = on.pss() - before
        on.generator.do("drain_slow")
        writes = on.written()[0]
        moments = np.arange(writes[0], writes[-1], 1 / LOOKS_PER_SECOND)
        readers = freshness.read_slow(path)
        stale = [freshness.shown_over_time(at, price, writes, first, moments) for at, price in readers]
        early, late = slice(5 * LOOKS_PER_SECOND, 15 * LOOKS_PER_SECOND), slice(-10 * LOOKS_PER_SECOND, None)
        lines = {"x": (moments - moments[0]).tolist(), "y": np.median(np.array(stale), axis=0).tolist()}
        return {
            **figures,
            "slow_max_s": statistics.median(float(each.max()) for each in stale),
            "slow_first_s": statistics.median(float(each[early].mean()) for each in stale),
            "slow_end_s": statistics.median(float(each[late].mean()) for each in stale),
            "slow_events": statistics.median(len(at) for at, _ in readers),
            "growth_mb": grown / 2**20,
        }, lines
