"""How soon has a receiver the news that 1,000 lots have closed, and how soon after the sender was killed?

The lots close in the same millisecond; the receiver answers at once. One worker, and four: the time from the closing
until the last `closed` has come. Then two servers, of which the one that sends is killed (kill -9) in the middle of
1,000 closings: the time until the receiver hears anything again.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.bench import Answer, Bench, Column, Goal, figure
from benchmarks.contenders.base import Store as StoreProcess
from benchmarks.contenders.base import wait_until
from benchmarks.contenders.ours import SECRET
from benchmarks.instruments.processes import cpu_seconds, end, tree
from benchmarks.stage import Figures
from sse_auction.store.clock import StoreClock
from sse_auction.store.parts import Store
from sse_auction.wire.requests import CreateRequest, new_auction

LOTS = 1000
LEAD_SECONDS = 6.0  # from the first creation to the closing
ONE, FOUR, KILLED = "one worker", "four workers", "the sender of two is killed"


def ask(bench: Bench) -> Answer:
    rows = []
    for condition, workers in ((ONE, 1), (FOUR, 4)):
        rows += bench.alternate(("ours",), condition, partial(measure, workers=workers))
    rows += bench.alternate(("ours",), KILLED, measure_killed)
    return Answer(
        "webhooks",
        __doc__ or "",
        [
            Column("told_seconds", "from the closing to the last message, s", 2),
            Column("per_second", "messages a second", 0),
            Column("server_ms", "server CPU per message, ms", 2),
            Column("silent_seconds", "silence after the kill, s", 2),
        ],
        rows,
        [
            Goal("1,000 closings sent by one worker, s", figure(rows, "told_seconds", "ours", ONE), 2.0),
            Goal("by four, s", figure(rows, "told_seconds", "ours", FOUR), 2.0),
            Goal("silence after the kill, s", figure(rows, "silent_seconds", "ours", KILLED), 3.0),
        ],
    )


def measure(name: str, workers: int) -> Figures:
    with _scene(WEB_CONCURRENCY=str(workers)) as scene:
        server = scene.start_server()
        closes_at = asyncio.run(_create(scene.store.url))
        wait_until(lambda: len(scene.times("opened")) == LOTS, "the openings are sent", server)
        _sleep_until(closes_at / 1000 - 0.1)
        before = cpu_seconds([server.pid])
        wait_until(lambda: len(scene.times("closed")) >= LOTS, "the closings are sent", server)
        times = scene.times("closed")
        return {
            "told_seconds": max(times) - closes_at / 1000,
            "per_second": LOTS / (max(times) - min(times)),
            "server_ms": (cpu_seconds([server.pid]) - before) / LOTS * 1000,
        }


def measure_killed(name: str) -> Figures:
    with _scene() as scene:
        first = scene.start_server()
        closes_at = asyncio.run(_create(scene.store.url))
        wait_until(lambda: len(scene.times("opened")) == LOTS, "the openings are sent", first)
        other = scene.start_server()
        _sleep_until(closes_at / 1000)
        wait_until(lambda: len(scene.times("closed")) >= LOTS // 4, "some are sent", first)
        for pid in reversed(tree(first.pid)):
            os.kill(pid, signal.SIGKILL)
        killed_at = time.time()
        wait_until(lambda: len(set(scene.guids("closed"))) == LOTS, "all are sent", other)
        later = [each for each in scene.times("closed") if each > killed_at + 0.1]  # what was on its way is not counted
        return {"silent_seconds": min(later) - killed_at, "told_seconds": max(later) - closes_at / 1000}


@dataclass
class Scene:
    """A store, a receiver, and what it has heard."""

    store: StoreProcess
    directory: Path
    settings: dict[str, str]
    servers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    heard: list[tuple[float, str, str]] = field(default_factory=list)

    def times(self, event: str) -> list[float]:
        return [at for at, each, _ in list(self.heard) if each == event]

    def guids(self, event: str) -> list[str]:
        return [guid for _, each, guid in list(self.heard) if each == event]

    def start_server(self) -> "subprocess.Popen[bytes]":
        path = self.directory / f"server-{len(self.servers)}.log"
        with path.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "sse_auction", "serve", "--port", "0"],
                env={**os.environ, **self.settings}, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.servers.append(process)
        workers = int(self.settings.get("WEB_CONCURRENCY", "1"))
        wait_until(lambda: path.read_text().count("startup complete") >= workers, "the server", process)
        return process

    def listen(self, receiver: "subprocess.Popen[bytes]") -> None:
        assert receiver.stdout is not None
        for line in receiver.stdout:
            at, event, guid = line.decode().split()
            self.heard.append((float(at), event, guid))


@contextmanager
def _scene(**settings: str) -> Iterator[Scene]:
    with ExitStack() as until_end:
        directory = Path(until_end.enter_context(tempfile.TemporaryDirectory(prefix="bench-webhooks-")))
        store = StoreProcess(directory, durable=True)
        until_end.callback(end, store.process)
        receiver = subprocess.Popen([sys.executable, "-m", "benchmarks.instruments.receiver"], stdout=subprocess.PIPE)
        until_end.callback(end, receiver)
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        base = {
            "REDIS_URL": store.url, "SSE_AUCTION_SECRET": SECRET, "SSE_AUCTION_DRAIN_SECONDS": "0",
            "SSE_AUCTION_DATA_DIR": str(directory / "data"), "SSE_AUCTION_WEBHOOK_SECRET": SECRET,
            "SSE_AUCTION_WEBHOOK_URL": f"http://127.0.0.1:{port}/",
        }  # fmt: skip
        scene = Scene(store, directory, {**base, **settings})
        threading.Thread(target=scene.listen, args=(receiver,), daemon=True).start()
        try:
            yield scene
        finally:
            for server in scene.servers:
                end(server)


async def _create(url: str) -> int:
    """Create the lots; when they close, in epoch ms."""
    store = Store(url, 10.0, StoreClock(), "CNY")
    running = asyncio.create_task(store.connection.run())
    await store.connection.connected()
    closes_at = int((time.time() + LEAD_SECONDS) * 1000)
    terms = CreateRequest(title="x", start_price="1.00", closes_at=closes_at)
    await asyncio.gather(*(store.auctions.create(new_auction(terms, f"lot-{number}", "CNY")) for number in range(LOTS)))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return closes_at


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))
