"""How much memory does an idle watcher cost the server?

8,000 streams of one auction, asked for with the headers of a real browser, each with its first price and then left
alone. PSS of the server's processes before and after, divided by the watchers; the kernel's socket buffers are in
neither, and alike for all.
"""

import time

from benchmarks.bench import Answer, Bench, Column, Goal, ratio
from benchmarks.stage import Figures, stage

REST_SECONDS = 2.0  # for the server to forget what it needed only to open them


def ask(bench: Bench) -> Answer:
    watchers = bench.pick(8000, 4000)
    contenders = bench.pick(("ours", "nchan", "socketio", "recipe"), ("ours", "nchan"))
    rows = bench.alternate(contenders, f"{watchers:,} watchers", lambda name: measure(name, watchers))
    return Answer(
        "memory",
        __doc__ or "",
        [
            Column("kb_per_watcher", "PSS per watcher, KB", 1),
            Column("empty_mb", "without watchers, MB"),
            Column("full_mb", "with all of them, MB"),
        ],
        rows,
        [Goal("memory per idle watcher over nchan's", ratio(rows, "kb_per_watcher", "ours", "nchan"), 1.0)],
        plot="kb_per_watcher",
    )


def measure(name: str, watchers: int) -> Figures:
    with stage(name) as on:
        on.prime(1)
        empty = on.pss()
        on.open(watchers)
        time.sleep(REST_SECONDS)
        full = on.pss()
        on.check_watchers()
        return {
            "kb_per_watcher": (full - empty) / watchers / 1024,
            "empty_mb": empty / 2**20,
            "full_mb": full / 2**20,
        }
