"""Does a proxy bid cost more in an auction that has many, and how long does a void hold the store?

Bids straight into the store, each awaited alone: by fresh bidders, below the leader's maximum, in an auction of nobody
and in one of 10,000 bids by 5,000 bidders. Then the leader of the large one is voided, which goes through its whole
log; meanwhile another connection asks for the time again and again.
"""

import asyncio
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.bench import Answer, Bench, Column, Goal, figure
from benchmarks.contenders.base import Store as StoreProcess
from benchmarks.instruments.processes import end
from benchmarks.stage import Figures
from sse_auction.auction.decisions import Accepted, ActionDone, BidAmount, OperatorAction
from sse_auction.store.clock import StoreClock
from sse_auction.store.connection import connect
from sse_auction.store.parts import Store
from sse_auction.wire.requests import CreateRequest, new_auction

BIDS, BIDDERS = 10_000, 5_000
MEASURED = 1000  # bids
AT_ONCE = 500  # bids while the large auction is filled
EMPTY, LARGE = "an empty auction", f"{BIDS:,} bids of {BIDDERS:,} bidders"
HIGHEST = 2_000_000_00  # minor units: the leader's maximum, which nobody reaches


def ask(bench: Bench) -> Answer:
    rows = []
    for condition in (EMPTY, LARGE):
        rows += bench.alternate(("ours",), condition, partial(measure, large=condition == LARGE))
    over = [figure(rows, "bid_us", "ours", condition) for condition in (LARGE, EMPTY)]
    return Answer(
        "proxy",
        __doc__ or "",
        [
            Column("bid_us", "a bid p50, µs"),
            Column("bid_p99_us", "p99, µs"),
            Column("void_ms", "a void, ms", 1),
            Column("held_ms", "longest that another call waited meanwhile, ms", 1),
        ],
        rows,
        [
            Goal("a bid in the large auction over one in the empty", over[0] / over[1] if all(over) else None, 1.5),  # type: ignore[operator]  # neither is None
            Goal("a void in the large auction, ms", figure(rows, "void_ms", "ours", LARGE), 200),
        ],
    )


def measure(name: str, large: bool) -> Figures:
    with tempfile.TemporaryDirectory(prefix="bench-proxy-") as path:
        process = StoreProcess(Path(path), durable=False)
        try:
            return asyncio.run(_measure(process.url, large))
        finally:
            end(process.process)


async def _measure(url: str, large: bool) -> Figures:
    store = Store(url, 10.0, StoreClock(), "CNY")
    running = asyncio.create_task(store.connection.run())
    await store.connection.connected()
    try:
        terms = CreateRequest(
            title="x", start_price="1.00", closes_at=int(time.time() * 1000) + 3_600_000, bidding="proxy"
        )
        await store.auctions.create(new_auction(terms, "g", "CNY"))
        await _bid(store, "the-leader", HIGHEST)
        if large:
            for first in range(0, BIDS, AT_ONCE):
                numbers = range(first, min(first + AT_ONCE, BIDS))
                await asyncio.gather(*(_bid(store, f"b{each % BIDDERS}", 1000 + each * 1000) for each in numbers))
        base = 1000 + (BIDS if large else 0) * 1000
        took = []
        for number in range(MEASURED):
            started = time.perf_counter()
            await _bid(store, f"late-{number}", base + number * 1000)
            took.append((time.perf_counter() - started) * 1e6)
        took.sort()
        return {
            "bid_us": statistics.median(took),
            "bid_p99_us": took[int(0.99 * len(took))],
            **await _void(store, url),
        }
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _bid(store: Store, bidder: str, amount: int) -> None:
    result = await store.auctions.bid("g", bidder, BidAmount("max", amount), "CNY", confirmed=True)
    if not isinstance(result, Accepted):
        raise RuntimeError(f"a bid of {amount} was refused: {result}")


async def _void(store: Store, url: str) -> Figures:
    other = await connect(url, 10.0)
    waits: list[float] = []

    async def ask_the_time() -> None:
        while True:
            started = time.perf_counter()
            await other.call("TIME")
            waits.append(time.perf_counter() - started)

    asking = asyncio.create_task(ask_the_time())
    await asyncio.sleep(0.05)
    waits.clear()
    started = time.perf_counter()
    done = await store.auctions.act("g", OperatorAction("void", bidder="the-leader"), "bench", "to see what it costs")
    took = time.perf_counter() - started
    await asyncio.sleep(0.05)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    other.close()
    if not isinstance(done, ActionDone):
        raise RuntimeError(f"the void was refused: {done}")
    return {"void_ms": took * 1000, "held_ms": max(waits) * 1000}
