"""How many bids a second does one worker accept over HTTP?

64 kept-alive clients, each sending its next bid when it has the last one's reply; 256 auctions, 256 bidders, tokens
checked, every bid higher than the one before and logged, on a store with `appendfsync always`. What one fsync takes
on this disk is measured before each run. Next to it: the same decision with one EVALSHA per request over redis-py's
pool, and bare Starlette that returns the body of a POST.
"""

import time
from functools import partial

import httpx

from benchmarks.bench import Answer, Bench, Column, Goal, ratio
from benchmarks.contenders.ours import Ours
from benchmarks.instruments.processes import fsync_ms
from benchmarks.stage import Figures, stage

CLIENTS = 64
AUCTIONS = 256
BIDDERS = 256
REQUEST = (
    "POST /auctions/{guid}/bids HTTP/1.1\r\nHost: auctions.example.com\r\nAuthorization: Bearer {token}\r\n"
    "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
)


def ask(bench: Bench) -> Answer:
    seconds = bench.pick(5.0, 3.0)
    contenders = bench.pick(("ours", "evalsha", "bare"), ("ours", "bare"))
    rows = bench.alternate(contenders, f"{CLIENTS} clients", partial(measure, seconds=seconds))
    return Answer(
        "bids",
        __doc__ or "",
        [
            Column("per_second", "accepted per second"),
            Column("p50_ms", "p50, ms", 1),
            Column("p99_ms", "p99, ms", 1),
            Column("server_share", "server, cores", 2),
            Column("store_share", "store, cores", 2),
            Column("generator_share", "generator, cores", 2),
            Column("fsync_ms", "one fsync, ms", 2),
        ],
        rows,
        [
            Goal("over bare Starlette's echoes", ratio(rows, "per_second", "ours", "bare"), 0.55, "at least"),
            Goal("p99 over bare Starlette's", ratio(rows, "p99_ms", "ours", "bare"), 3.0),
        ],
        plot="per_second",
    )


def measure(name: str, seconds: float) -> Figures:
    tokens = Ours.tokens()
    bidders = [tokens.issue(f"bidder-{number}") for number in range(BIDDERS)]
    guids = [f"lot-{number}" for number in range(AUCTIONS)]
    with stage(name, durable=True) as on:
        if name != "bare":
            create(on.contender.port, guids)
        disk = fsync_ms(on.directory)
        figures, statuses = on.exchange(REQUEST, CLIENTS, seconds, guids=guids, tokens=bidders)
        if set(statuses) != {"201"}:
            raise RuntimeError(f"not all bids were accepted: {statuses}")
        return {**figures, "fsync_ms": disk}


def create(port: int, guids: list[str]) -> None:
    """Record the auctions, with the operator's token."""
    headers = {"Authorization": f"Bearer {Ours.tokens().issue('the-house', role='operator')}"}
    terms = {"start_price": "10.00", "currency": "CNY", "increments": "flat:1.00"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        for guid in guids:
            body = {**terms, "guid": guid, "title": guid, "closes_at": int(time.time() * 1000) + 3_600_000}
            client.post("/auctions", json=body).raise_for_status()
