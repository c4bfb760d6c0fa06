"""How long do a bid, a poll and a probe take while the worker hands prices to 8,000 watchers as fast as it can?

One auction with 8,000 watchers is written 50 times a second, of which the service shows up to 20, more than one core
can deliver: the worker is busy all the time. Four kept-alive clients in a process of their own send bids to other
auctions, polls, and probes, each kind in turn for 4 s; the same without a write is beside it. Four busy processes
share this machine's cores, so a part of the wait is theirs and not the loop's.
"""

from functools import partial
from typing import Any

from benchmarks.bench import Answer, Bench, Column, Goal, Row, figure
from benchmarks.contenders.ours import Ours
from benchmarks.instruments.workers import worker
from benchmarks.questions.bids import REQUEST, create
from benchmarks.stage import Figures, shares, stage

WATCHERS = 8000
WRITES_PER_SECOND = 50
CLIENTS = 4
AUCTIONS = 64
SECONDS = 4.0
MARGIN_SECONDS = 1.0  # of every kind: connecting, and what an exchange does not count
GET = "GET {path} HTTP/1.1\r\nHost: auctions.example.com\r\n\r\n"
QUIET, BUSY = "no writes", f"{WRITES_PER_SECOND} writes/s to {WATCHERS:,} watchers"
KINDS = ("bid", "poll", "probe")


def ask(bench: Bench) -> Answer:
    rows: list[Row] = []
    for condition in (QUIET, BUSY):
        rows += bench.alternate(("ours",), condition, partial(measure, busy=condition == BUSY))
    return Answer(
        "responsiveness",
        __doc__ or "",
        [
            *(Column(f"{kind}_p50_ms", f"{kind} p50, ms", 1) for kind in KINDS),
            *(Column(f"{kind}_p99_ms", f"{kind} p99, ms", 1) for kind in KINDS),
            Column("delivered_per_second", "prices delivered per second"),
            Column("server_share", "server, cores", 2),
            Column("generator_share", "generator, cores", 2),
        ],
        rows,
        [Goal(f"{kind} p99, {BUSY}, ms", figure(rows, f"{kind}_p99_ms", "ours", BUSY), 50) for kind in KINDS],
        plot="bid_p99_ms",
    )


def measure(name: str, busy: bool) -> Figures:
    with stage(name) as on, worker("generator") as prober:
        on.prime(1)
        on.open(WATCHERS)
        on.warm_up(2, 1.0)
        guids = [f"other-{number}" for number in range(AUCTIONS)]
        create(on.contender.port, guids)
        tokens = Ours.tokens()
        bidders = [tokens.issue(f"bidder-{number}") for number in range(AUCTIONS)]
        requests: dict[str, dict[str, Any]] = {
            "bid": {"request": REQUEST, "guids": guids, "tokens": bidders},
            "poll": {"request": GET.format(path="/auctions/lot-0/price")},
            "probe": {"request": GET.format(path="/livez")},
        }
        seconds = (SECONDS + MARGIN_SECONDS) * len(KINDS)
        on.generator.do("record")
        before = on.snapshot()
        if busy:
            on.begin_writing(WRITES_PER_SECOND, seconds)
        figures: Figures = {}
        for kind, request in requests.items():
            reply = prober.do("exchange", port=on.contender.port, clients=CLIENTS, seconds=SECONDS, **request)
            expected = "201" if kind == "bid" else "200"
            if set(reply["statuses"]) != {expected} or reply["lost"]:
                raise RuntimeError(f"of the {kind}s not all were answered {expected}: {reply}")
            figures |= {f"{kind}_p50_ms": reply["p50_ms"], f"{kind}_p99_ms": reply["p99_ms"]}
        if busy:
            on.end_writing()
        after = on.snapshot()
        delivered = on.generator.do("save", path=str(on.directory / "deliveries"))["deliveries"]
        figures |= shares(before, after, delivered, 0)
        return {**figures, "delivered_per_second": delivered / figures["seconds"]}
