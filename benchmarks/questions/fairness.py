"""Is every auction served alike when many are busy at once?

1,000 auctions with 5 watchers each, every auction written twice a second: 2,000 writes and 10,000 deliveries a
second. Staleness as for a burst; the worst auction is that with the highest median, over the median of all medians.
"""

from benchmarks.bench import Answer, Bench, Column, Goal, figure
from benchmarks.stage import Figures, stage

AUCTIONS = 1000
WATCHERS_EACH = 5
RATE_EACH = 2
SECONDS = 8.0


def ask(bench: Bench) -> Answer:
    condition = f"{AUCTIONS:,} auctions x {WATCHERS_EACH} watchers"
    rows = bench.alternate(("ours", "nchan", "recipe"), condition, measure)
    return Answer(
        "fairness",
        __doc__ or "",
        [
            Column("stale_p50_ms", "staleness p50, ms", 2),
            Column("stale_p99_ms", "p99, ms", 1),
            Column("worst_ms", "worst auction's median, ms", 2),
            Column("worst_auction", "worst auction's median over the median's", 2),
            Column("cpu_us", "server CPU per delivery, µs", 1),
            Column("server_share", "server, cores", 2),
            Column("store_share", "store, cores", 2),
            Column("generator_share", "generator, cores", 2),
            Column("taken_share", "writes taken in time", 2),
            Column("behind", "watchers without the last price"),
        ],
        rows,
        [
            Goal("staleness p99, ms", figure(rows, "stale_p99_ms", "ours"), 100),
            Goal("worst auction's median over the median auction's", figure(rows, "worst_auction", "ours"), 2.0),
        ],
        plot="stale_p99_ms",
    )


def measure(name: str) -> Figures:
    with stage(name) as on:
        on.prime(AUCTIONS)
        on.open(AUCTIONS * WATCHERS_EACH)
        on.warm_up(AUCTIONS * RATE_EACH, 1.0)
        return on.deliver(AUCTIONS * RATE_EACH, SECONDS, 5.0)
