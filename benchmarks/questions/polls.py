"""How many polls of a price does one worker answer?

64 kept-alive clients that GET `/auctions/<guid>/price`: of an auction that is watched here (answered from memory) and
of one that is not (read from the store), with and without the tag that makes it a 304. Next to it: bare Starlette
that answers every GET with a ready-made body of the same size.
"""

from functools import partial

import httpx

from benchmarks.bench import Answer, Bench, Column, Goal, Row, ratio
from benchmarks.stage import Figures, stage

CLIENTS = 64
REQUEST = "GET /auctions/lot-0/price HTTP/1.1\r\nHost: auctions.example.com\r\nAccept: application/json\r\n{tag}\r\n"
CONDITIONS = {
    "watched, 200": (True, 200),
    "watched, 304": (True, 304),
    "unwatched, 200": (False, 200),
    "unwatched, 304": (False, 304),
}


def ask(bench: Bench) -> Answer:
    rows: list[Row] = []
    for condition in bench.pick(list(CONDITIONS), ["watched, 200"]):
        watched, status = CONDITIONS[condition]
        rows += bench.alternate(("ours", "bare"), condition, partial(measure, watched=watched, status=status))
    return Answer(
        "polls",
        __doc__ or "",
        [
            Column("per_second", "replies per second"),
            Column("p50_ms", "p50, ms", 1),
            Column("p99_ms", "p99, ms", 1),
            Column("server_share", "server, cores", 2),
            Column("store_share", "store, cores", 2),
            Column("generator_share", "generator, cores", 2),
        ],
        rows,
        [
            Goal(
                f"over bare Starlette's, {condition}",
                ratio(rows, "per_second", "ours", "bare", condition),
                0.7,
                "at least",
            )
            for condition in dict.fromkeys(row.condition for row in rows)
        ],
        plot="per_second",
    )


def measure(name: str, watched: bool, status: int) -> Figures:
    with stage(name) as on:
        tag = ""
        if name == "ours":
            on.prime(1)
            if watched:
                on.open(1)
            if status == 304:
                etag = httpx.get(f"http://127.0.0.1:{on.contender.port}/auctions/lot-0/price").headers["etag"]
                tag = f"If-None-Match: {etag}\r\n"
        figures, statuses = on.exchange(REQUEST.replace("{tag}", tag), CLIENTS, 2.0)
        if name == "ours" and set(statuses) != {str(status)}:
            raise RuntimeError(f"not all replies were {status}: {statuses}")
        return figures
