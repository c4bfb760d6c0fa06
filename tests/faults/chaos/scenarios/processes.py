"""Processes that are killed: the service, the store, one worker of several; parts of the service that crash."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx

from tests.faults.chaos.crowd import Watcher
from tests.faults.chaos.stage import (
    BACK_WITHIN_SECONDS,
    SLACK_SECONDS,
    TRUE_WITHIN_SECONDS,
    Report,
    Scenario,
    Size,
    descriptors,
    staged,
)
from tests.support.harness import server_process


async def service_killed(seed: int, size: Size, directory: Path) -> Report:
    """`kill -9` of the service, started again.

    Must hold: every watcher is live again within 5 s of the return.
    """
    async with staged(seed, size, directory) as stage:
        for _ in range(size.rounds):
            await asyncio.to_thread(stage.server.stop, signal.SIGKILL)
            await asyncio.sleep(stage.rng.uniform(0, 0.5))
            await asyncio.to_thread(stage.server.restart_on_same_port)
            await stage.all_live(time.monotonic(), BACK_WITHIN_SECONDS, "the service's return")
            await stage.calm()
        await stage.rest()
        return stage.report()


async def store_killed(seed: int, size: Size, directory: Path) -> Report:
    """`kill -9` of the store, started again.

    Must hold: streams stay open; "not live" is shown within 3 s, the truth within 2 s of the return; bids meanwhile
    get 503.
    """
    async with staged(seed, size, directory) as stage:
        endings = _endings(stage.crowd.watchers)
        for _ in range(size.rounds):
            killed_at = time.monotonic()
            await asyncio.to_thread(stage.store.stop)
            await asyncio.sleep(stage.rng.uniform(0.5, 3))
            await asyncio.to_thread(stage.store.start)
            await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the store's return")
            stage.claim_told(killed_at, "the store was killed")
            await stage.calm()
        stage.claim(_endings(stage.crowd.watchers) == endings, "a stream ended because the store was away")
        stage.claim(stage.crowd.notes.counts["answered 503"] > 0, "no client asked while the store was away")
        await stage.rest()
        return stage.report()


def _endings(watchers: list[Watcher]) -> int:
    return sum(len(watcher.endings) for watcher in watchers)


async def worker_killed(seed: int, size: Size, directory: Path) -> Report:
    """`kill -9` of one worker of four.

    Must hold: its watchers are live again within 5 s; another takes its place.
    """
    async with staged(seed, size, directory, workers=4) as stage:
        for number in range(size.rounds):
            victim = max(_alive(stage.server.workers()), key=descriptors)  # which has streams
            os.kill(victim, signal.SIGKILL)
            in_place = partial(lambda expected: len(stage.server.workers()) == expected, 5 + number)
            await stage.until(in_place, "a worker in its place")
            await stage.until_metric("sse_auction_streams", len(stage.crowd.watchers))
            await stage.calm()
        stage.claim(stage.crowd.notes.counts["reconnects"] > 0, "no stream was on a worker that was killed")
        longest = max(watcher.longest_outage_seconds for watcher in stage.crowd.watchers)
        stage.claim(longest < BACK_WITHIN_SECONDS + SLACK_SECONDS, f"a watcher was without live prices for {longest} s")
        await stage.rest()
        return stage.report()


def _alive(pids: list[int]) -> Iterator[int]:
    return (pid for pid in pids if not all_gone([pid]))


async def supervisor_killed(seed: int, size: Size, directory: Path) -> Report:
    """`kill -9` of the supervisor of four workers.

    Must hold: the workers end too: they end their streams with a `retry:`, and free the port.
    """
    async with staged(seed, size, directory, workers=4) as stage:
        for number in range(size.rounds):
            await asyncio.to_thread(stage.server.stop, signal.SIGKILL)
            gone = partial(all_gone, stage.server.workers()[-4:])
            await stage.until(gone, "the end of its workers", BACK_WITHIN_SECONDS)
            await asyncio.to_thread(stage.server.restart_on_same_port)
            returned_at = time.monotonic()
            in_place = partial(lambda expected: len(stage.server.workers()) == expected, 8 + 4 * number)
            await stage.until(in_place, "four new workers")
            await stage.all_live(returned_at, BACK_WITHIN_SECONDS, "the service's return")
            await stage.calm()
        stage.claim(bool(stage.server.log_lines(reason="failed")), "no stream ended with a retry field")
        await stage.rest()
        return stage.report()


def all_gone(pids: list[int]) -> bool:
    """Whether none of these processes is left."""
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def part_dies(part: str) -> Scenario:
    """The mirror, the hub's sweep or the settling dies of a planted bug."""

    async def scenario(seed: int, size: Size, directory: Path) -> Report:
        """A planted bug kills that part.

        Must hold: `/livez` and `/readyz` are red and name it; streams end with a `retry:`; exit code 1.
        """
        server = server_process(directory)
        server.command = [sys.executable, "-m", "tests.faults.chaos.crashable", part, "serve", "--port", "0"]
        async with staged(seed, size, directory, server=server, SSE_AUCTION_DRAIN_SECONDS="1") as stage:
            stage.allowed_errors = ("PlantedBug",)
            assert server.process is not None
            server.send_signal(signal.SIGUSR1)
            died_at = time.monotonic()
            await stage.until(lambda: any(watcher.endings for watcher in stage.crowd.watchers), "the streams' end")
            async with httpx.AsyncClient(base_url=server.url) as client:
                for probe in ("/livez", "/readyz"):
                    reply = await client.get(probe)
                    stage.claim(reply.status_code == 503, f"{probe} was answered {reply.status_code} after a death")
                    stage.claim(part in reply.text, f"{probe} says {reply.text}")
            code = await asyncio.to_thread(server.process.wait, 10)
            stage.measure("longest until the exit (s)", time.monotonic() - died_at)
            stage.claim(code == 1, f"the exit code is {code}")
            for watcher in stage.crowd.watchers:
                stage.claim(bool(watcher.retry_ms), f"{watcher.name} did not receive when to come back")
            stage.claim(stage.logged("a stream of"), "no line reports the end of a stream")
            stage.claim(
                bool(server.log_lines(reason="failed")), "no line reports that streams ended because of the failure"
            )
            server.process = None
            server.command = server_process(directory).command
            await asyncio.to_thread(server.restart_on_same_port)
            await stage.all_live(time.monotonic(), BACK_WITHIN_SECONDS, "the supervisor's restart")
            await stage.rest()
            return stage.report()

    return scenario
