"""What does the server's CPU cost per delivered price, and how late is the last watcher?

All watchers watch one auction: 2,000 of them at 10 prices a second, and 8,000 at 2 a second. CPU is that of the
server's processes over the whole window, divided by the prices that reached a watcher; the store's is apart.
Lateness is from the write (for nchan and the floor: from publishing) until the last watcher has it.
"""

from collections.abc import Sequence
from functools import partial

from benchmarks.bench import Answer, Bench, Column, Goal, Row, ratio
from benchmarks.contenders import CONTENDERS
from benchmarks.stage import Figures, stage

MAX_FOR_RECIPE = 8000  # watchers; the recipe takes half a minute to open so many, and is far behind with fewer
PEERS = ("ours", "nchan", "floor", "socketio", "recipe")


def ask(bench: Bench) -> Answer:
    rows: list[Row] = []
    for watchers, rate in bench.pick([(2000, 10), (8000, 2)], [(2000, 10)]):
        contenders = bench.pick(PEERS if watchers < MAX_FOR_RECIPE else PEERS[:-1], PEERS[:3])
        condition = f"{watchers:,} watchers, {rate}/s"
        seconds = bench.pick(7.0, 4.0)
        rows += bench.alternate(contenders, condition, partial(measure, watchers=watchers, rate=rate, seconds=seconds))
    return Answer(
        "fanout",
        __doc__ or "",
        [
            Column("cpu_us", "server CPU per delivery, µs", 1),
            Column("store_us_per_write", "store CPU per write, µs"),
            Column("server_share", "server, cores", 2),
            Column("generator_share", "generator, cores", 2),
            Column("last_p50_ms", "to the last watcher p50, ms"),
            Column("last_p99_ms", "p99, ms"),
            Column("stale_p99_ms", "staleness p99 of all, ms"),
        ],
        rows,
        goals(rows),
        notes=[
            "At 2 writes a second a run has few of them: the p99 to the last watcher is then the worst write of a run.",
            "socket.io sends only the price, as the ancestor did; all others send an event of the same size as ours.",
        ],
        plot="cpu_us",
    )


def goals(rows: Sequence[Row]) -> list[Goal]:
    """The bounds on CPU under each condition, and on lateness under the last and largest."""
    found = []
    conditions = list(dict.fromkeys(row.condition for row in rows))
    for condition in conditions:
        for peer, bound in (("nchan", 0.75), ("floor", 1.45)):
            over = ratio(rows, "cpu_us", "ours", peer, condition)
            found.append(Goal(f"CPU per delivery over that of {CONTENDERS[peer].title}, {condition}", over, bound))
    if len(conditions) > 1:
        late = ratio(rows, "last_p99_ms", "ours", "nchan", conditions[-1])
        found.append(Goal(f"p99 to the last watcher over that of nginx + nchan, {conditions[-1]}", late, 0.8))
    return found


def measure(name: str, watchers: int, rate: float, seconds: float) -> Figures:
    with stage(name) as on:
        on.prime(1)
        on.open(watchers)
        on.warm_up(rate, 1.0)
        return on.deliver(rate, seconds)
