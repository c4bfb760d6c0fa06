"""How fresh are prices, and how busy is the server, while one auction is written hundreds of times a second?

1,000 watchers, 300 and 1,000 writes a second for 5 s. Two figures at each delivery: the age of the price that came,
which is now minus its write; and for how long a newer one went unseen, which is now minus the OLDEST write that is
newer than what this watcher showed before. A server may skip prices, and should; it may not show an old one for long.
This one shows at most 20 states a second, so that 50 ms of the latter are its pace, which spares viewer and worker.
The end is when the last price is at every watcher.
"""

from functools import partial

from benchmarks.bench import Answer, Bench, Column, Goal, Row, figure
from benchmarks.stage import Figures, stage

WATCHERS = 1000
SECONDS = 5.0
PATIENCE_SECONDS = 5.0  # after the last write; a server that is not done by then is cut off there
MAX_FOR_RECIPE = 300  # writes a second, which it is seconds behind already
HELD = 0.98  # of all writes, to have been taken when the burst ends


def ask(bench: Bench) -> Answer:
    rows: list[Row] = []
    contenders = bench.pick(("ours", "nchan", "socketio", "recipe"), ("ours", "nchan"))
    for rate in bench.pick((300, 1000), (300,)):
        if rate > MAX_FOR_RECIPE:
            contenders = contenders[:-1]
        rows += bench.alternate(contenders, f"{rate:,}/s", partial(measure, rate=rate))
    goals = []
    for condition in dict.fromkeys(row.condition for row in rows):
        goals += [
            Goal(
                f"age of a price when it comes, p99 at {condition}, ms",
                figure(rows, "age_p99_ms", "ours", condition),
                60,
            ),
            Goal(
                f"a newer price unseen for, p99 at {condition}, ms", figure(rows, "stale_p99_ms", "ours", condition), 60
            ),
            Goal(f"share of a core at {condition}", figure(rows, "server_share", "ours", condition), 0.4),
            Goal(f"last price at everyone at {condition}, ms", figure(rows, "final_ms", "ours", condition), 100),
        ]
    return Answer(
        "burst",
        __doc__ or "",
        [
            Column("age_p50_ms", "age p50, ms"),
            Column("age_p99_ms", "age p99, ms"),
            Column("stale_p50_ms", "unseen p50, ms"),
            Column("stale_p99_ms", "unseen p99, ms"),
            Column("server_share", "server, cores", 2),
            Column("store_share", "store, cores", 2),
            Column("generator_share", "generator, cores", 2),
            Column("per_watcher", "prices per watcher and second", 1),
            Column("final_ms", "last price at everyone, ms"),
            Column("taken_share", "writes taken in time", 2),
            Column("behind", "watchers without the last price"),
        ],
        rows,
        goals,
        notes=[sentence for row in rows if (sentence := falling_behind(row))],
        plot="age_p99_ms",
    )


def falling_behind(row: Row) -> str | None:
    """Says so where a contender could not hold the rate."""
    figures = row.figures
    if not figures:
        return None
    if figures["behind"]:
        return (
            f"{row.title} could not hold {row.condition}: {PATIENCE_SECONDS:g} s after the last write "
            f"{figures['behind']:.0f} watchers still lacked the last price; its figures are cut off there."
        )
    if figures["taken_share"] < HELD:
        taken = f"{figures['taken_share']:.0%}"
        return f"{row.title} could not hold {row.condition}: when the burst ended it had taken {taken} of the writes."
    return None


def measure(name: str, rate: float) -> Figures:
    with stage(name) as on:
        on.prime(1)
        on.open(WATCHERS)
        on.warm_up(10, 1.0)
        figures = on.deliver(rate, SECONDS, PATIENCE_SECONDS / 2)
        return {**figures, "per_watcher": figures["deliveries"] / WATCHERS / SECONDS}
