"""What becomes of a reader that stops reading?

One auction, 50 writes a second for 15 s, 100 ordinary watchers, and ten readers that read nothing after their first
price. Here a viewer may take nothing for 5 s (SSE_AUCTION_STALL_SECONDS=5; the peers have no such setting). When are
they gone, seen by the sockets that the server holds, counted from the moment they stopped? How many old prices lie
in the kernel for each, to be read when it wakes? Does the server grow? Ten readers at once, one run.
"""

import time

from benchmarks.bench import Answer, Bench, Column, Goal, figure
from benchmarks.instruments import processes
from benchmarks.stage import Figures, stage

READERS = 10
WATCHERS = 100
RATE = 50
SECONDS = 15.0
STALL_SECONDS = 5.0
LOOK_SECONDS = 0.1


def ask(bench: Bench) -> Answer:
    rows = bench.alternate(("ours", "nchan", "recipe"), f"{READERS} stalled of {READERS + WATCHERS}", measure, runs=1)
    return Answer(
        "stalled",
        __doc__ or "",
        [
            Column("gone_s", "the last of them gone after, s (15: never)", 1),
            Column("held", "still held after 15 s"),
            Column("stale", "old prices in the kernel for each"),
            Column("growth_mb", "the server grew by, MB", 1),
        ],
        rows,
        [
            Goal("stalled readers still held at the end", figure(rows, "held", "ours"), 0),
            Goal("gone after, s: the setting, and what the kernel takes first", figure(rows, "gone_s", "ours"), 10.0),
            Goal("growth of the server, MB", figure(rows, "growth_mb", "ours"), 1.0),
        ],
    )


def measure(name: str) -> Figures:
    with stage(name, SSE_AUCTION_STALL_SECONDS=str(STALL_SECONDS)) as on:
        on.prime(1)
        on.open(WATCHERS)
        on.warm_up(RATE, 1.0)
        without = processes.open_sockets(on.contender.pids)
        stopped = on.generator.do(
            "slow", port=on.contender.port, request=on.contender.request, marker=on.contender.marker,
            guid=on.guids[0], count=READERS, bytes_per_second=0, path=str(on.directory / "slow"),
        )["at"]  # fmt: skip
        before = on.pss()
        on.begin_writing(RATE, SECONDS)
        gone_at, held = stopped + SECONDS, READERS
        while time.monotonic() < stopped + SECONDS:
            held = processes.open_sockets(on.contender.pids) - without
            if held <= 0:
                gone_at = time.monotonic()
                break
            time.sleep(LOOK_SECONDS)
        on.end_writing()
        grown = on.pss() - before
        drained = on.generator.do("drain_slow")
        return {
            "gone_s": gone_at - stopped,
            "held": float(max(0, held)),
            "stale": sum(drained["stale"]) / READERS,
            "growth_mb": grown / 2**20,
        }
