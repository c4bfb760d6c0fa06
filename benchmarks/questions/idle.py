"""What do 19,000 idle streams with heartbeats cost?

One worker, one auction, nothing is written; each stream hears a heartbeat when 15 s were idle (nchan: a ping every
15 s). CPU over 15 s, beginning when the first heartbeats are due. Fewer streams where the machine does not let a
process have that many sockets; the table says how many there were.
"""

import time

from benchmarks.bench import Answer, Bench, Column, Goal, figure
from benchmarks.instruments.processes import max_watchers
from benchmarks.stage import Figures, shares, stage

STREAMS = 19_000
HEARTBEAT_SECONDS = 15.0


def ask(bench: Bench) -> Answer:
    streams = max_watchers(STREAMS)
    rows = bench.alternate(("ours", "nchan"), f"{streams:,} streams", lambda name: measure(name, streams))
    return Answer(
        "idle",
        __doc__ or "",
        [
            Column("streams", "streams held"),
            Column("server_percent", "server, % of a core", 1),
            Column("beats_per_stream", "heartbeats per stream in 15 s", 2),
            Column("beat_us", "server CPU per heartbeat, µs", 1),
            Column("generator_share", "generator, cores", 2),
        ],
        rows,
        [
            Goal("CPU share, % of a core", figure(rows, "server_percent", "ours"), 5.0),
            Goal("streams held", figure(rows, "streams", "ours"), STREAMS, "at least"),
        ],
        notes=[] if streams == STREAMS else [f"This machine lets a process have sockets for {streams:,} streams only."],
        plot="server_percent",
    )


def measure(name: str, streams: int) -> Figures:
    with stage(name, PING_SECONDS=f"{HEARTBEAT_SECONDS:.0f}") as on:
        on.prime(1)
        opened = on.open(streams)
        time.sleep(max(0.0, HEARTBEAT_SECONDS * 0.85 - opened["seconds"] / 2))
        before, beats = on.snapshot(), on.generator.do("state")["other_events"]
        time.sleep(HEARTBEAT_SECONDS)
        after, state = on.snapshot(), on.generator.do("state")
        on.check_watchers()
        heard = state["other_events"] - beats
        figures = shares(before, after, heard, 0)
        return {
            **figures,
            "streams": float(state["ready"] - state["lost"]),
            "server_percent": figures["server_share"] * 100,
            "beats_per_stream": heard / streams,
            "beat_us": figures["cpu_us"],
        }
