"""How many streams a second can one worker open?

4,000 streams of one auction, 128 of them under way at a time, each counted when its first price has come: a crowd
that comes back after its line or its server was lost. Bare Starlette sends one ready-made event and looks nothing up.
"""

from benchmarks.bench import Answer, Bench, Column, Goal, ratio
from benchmarks.bench import figure as figure_of
from benchmarks.stage import Figures, shares, stage

STREAMS = 4000
WARM_UP = 200


def ask(bench: Bench) -> Answer:
    rows = bench.alternate(("ours", "nchan", "bare"), f"{STREAMS:,} streams", measure)
    return Answer(
        "opening",
        __doc__ or "",
        [
            Column("per_second", "streams per second"),
            Column("open_us", "server CPU per stream, µs"),
            Column("server_share", "server, cores", 2),
            Column("generator_share", "generator, cores", 2),
        ],
        rows,
        [
            Goal("streams opened per second", figure_of(rows, "per_second", "ours"), 4000, "at least"),
            Goal("over bare Starlette's", ratio(rows, "per_second", "ours", "bare"), 1.0, "at least"),
        ],
        plot="per_second",
    )


def measure(name: str) -> Figures:
    with stage(name) as on:
        if name != "bare":
            on.prime(1)
        on.open(WARM_UP)
        before = on.snapshot()
        reply = on.open(STREAMS)
        figures = shares(before, on.snapshot(), STREAMS, 0)
        return {**figures, "per_second": STREAMS / reply["seconds"], "open_us": figures["cpu_us"]}
