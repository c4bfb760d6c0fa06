"""What a scenario runs on: a store, the service, an auction, a crowd; and the checks at the end."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from tests.faults.chaos import invariants
from tests.faults.chaos.crowd import Crowd
from tests.faults.chaos.proxy import Proxy, running_proxy
from tests.support.harness import OPERATOR, Server, StoreProcess, bidder, create, server_process, store_process, until
from tests.support.machine import MachineDelay, children_of

BACK_WITHIN_SECONDS = 5.0  # every watcher, after the service's return
NOT_LIVE_WITHIN_SECONDS = 3.0  # of a store's silence
TRUE_WITHIN_SECONDS = 2.0  # of the store's return
SLACK_SECONDS = 1.0  # on a machine that runs three scenarios at once
AT_REST_WITHIN_SECONDS = 20.0


@dataclass(frozen=True)
class Size:
    """The sizes of a scenario."""

    watchers: int
    pollers: int
    bidders: int
    calm_seconds: float  # before, between and after faults
    rounds: int  # of faults
    freeze_seconds: float
    mass_viewers: int  # streams in great numbers
    window_seconds: float  # for draining
    overload_streams: int  # and half as many polls, a fifth as many bids a second
    overload_seconds: float
    is_timed: bool  # whether the machine has no other load, so that latencies mean something


FULL = Size(
    watchers=40,
    pollers=6,
    bidders=10,
    calm_seconds=1.5,
    rounds=3,
    freeze_seconds=15,
    mass_viewers=5000,
    window_seconds=10,
    overload_streams=10_000,
    overload_seconds=8,
    is_timed=True,
)
SHORT = Size(
    watchers=10,
    pollers=3,
    bidders=5,
    calm_seconds=0.4,
    rounds=1,
    freeze_seconds=3.5,
    mass_viewers=500,
    window_seconds=4,
    overload_streams=1000,
    overload_seconds=4,
    is_timed=False,
)


@dataclass
class Report:
    """What a scenario counted, and what was violated."""

    counts: dict[str, float] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)


Scenario: TypeAlias = Callable[[int, Size, Path], Coroutine[Any, Any, Report]]  # of a seed and a directory


@dataclass
class Stage:
    """The processes and clients of one scenario; made by `staged`."""

    seed: int
    size: Size
    directory: Path
    rng: random.Random
    store: StoreProcess
    server: Server
    crowd: Crowd
    proxy: Proxy | None
    violations: list[str] = field(default_factory=list)
    counts: dict[str, float] = field(default_factory=dict)
    allowed_errors: tuple[str, ...] = ()

    @property
    def guid(self) -> str:
        return self.crowd.guid

    def machine_delay(self) -> MachineDelay:
        """What the machine adds from now on to a request: to this process, the store, and one of the servers."""
        store = [] if self.store.process is None else [self.store.process.pid]
        server = [] if self.server.process is None else [self.server.process.pid]
        return MachineDelay(store, server + [worker for pid in server for worker in children_of(pid)])

    async def calm(self, seconds: float | None = None) -> None:
        """Let the crowd continue for a while."""
        await asyncio.sleep(self.size.calm_seconds * self.rng.uniform(0.7, 1.3) if seconds is None else seconds)
        self.crowd.check_alive()

    def claim(self, holds: bool, sentence: str) -> None:
        """Record a violation unless it holds."""
        if not holds:
            self.violations.append(sentence)

    def measure(self, name: str, value: float) -> None:
        """Keep the largest value of its name."""
        self.counts[name] = round(max(value, self.counts.get(name, 0.0)), 3)

    async def until(
        self, condition: Callable[[], Any], what: str, within_seconds: float = AT_REST_WITHIN_SECONDS
    ) -> bool:
        """Wait for something; a violation when it does not come."""
        deadline = time.monotonic() + within_seconds
        while not condition():
            if time.monotonic() > deadline:
                self.violations.append(f"{what} did not come true within {within_seconds:g} s")
                return False
            await asyncio.sleep(0.01)
        return True

    async def more_unavailable(self, number: int, why: str) -> None:
        """Wait until that many more requests were answered 503."""
        before = self.crowd.notes.counts["answered 503"]
        await self.until(lambda: self.crowd.notes.counts["answered 503"] >= before + number, f"a 503 because {why}")

    async def all_live(self, since: float, within: float, what: str, *, noticed: bool = False) -> None:
        """Wait until every watcher has received that prices are live; measure and claim the time since `since`.

        With `noticed`, each must have received first that they are not.
        """
        if noticed:
            await self.until(partial(self._all_told, since), f"the news of {what}")
        await self.until(lambda: all(each.is_live for each in self.crowd.watchers), f"live prices after {what}")
        took = max(each.live_changes[-1][0] for each in self.crowd.watchers) - since
        self.measure(f"longest until live after {what} (s)", max(0.0, took))
        self.claim(took <= within + SLACK_SECONDS, f"a watcher was live {took:.2f} s after {what}")

    def _all_told(self, since: float) -> bool:
        return all(watcher.first_change(live=False, after=since) is not None for watcher in self.crowd.watchers)

    def claim_told(self, since: float, what: str) -> None:
        """Claim that every watcher received in time that prices are not live."""
        for watcher in self.crowd.watchers:
            took = watcher.first_change(live=False, after=since)
            self.claim(took is not None, f"{watcher.name} never received that prices are not live: {what}")
            self.measure(f"longest until watchers know that prices are not live: {what} (s)", took or 0.0)
            late = took is not None and took > NOT_LIVE_WITHIN_SECONDS + SLACK_SECONDS
            self.claim(not late, f"{watcher.name} received {took} s after it that prices are not live: {what}")

    async def ready(self) -> None:
        """Wait until the service is ready."""
        await asyncio.to_thread(until, lambda: is_ready(self.server), "readiness")

    async def until_metric(self, name: str, value: float) -> None:
        """Wait until a metric has a value."""
        deadline = time.monotonic() + AT_REST_WITHIN_SECONDS
        while (shown := await self.metric(name)) != value:
            if time.monotonic() > deadline:
                self.violations.append(f"{name} is {shown} and not {value}")
                return
            await asyncio.sleep(0.05)

    async def metric(self, name: str, **labels: str) -> float:
        return await asyncio.to_thread(lambda: self.server.metric(name, **labels))

    def logged(self, words: str) -> bool:
        """Whether a line of the service's log has these words."""
        return any(words in line["message"] for line in self.server.log_lines())

    async def rest(self) -> None:
        """Let all clients finish, and check that they agree with the store and with each other."""
        await self.ready()
        await self.crowd.stop_asking()
        self.crowd.check_alive()
        with self.store.client() as site:
            entries, _ = invariants.log_of(site, self.guid)
            watchers = self.crowd.watchers
            await self.until(lambda: not any(invariants.at_rest(site, self.guid, watchers, entries)), "rest")
            self.violations += invariants.at_rest(site, self.guid, watchers, entries)
            await self.act("close", reason="the end of the scenario")
            await self.until(lambda: all(watcher.is_closed for watcher in watchers), "the end of every stream")
            entries, rest = invariants.log_of(site, self.guid)
        history = self.crowd.history
        self.violations += self.crowd.notes.violations
        self.violations += invariants.of_the_log(entries, history)
        self.violations += invariants.of_the_history(entries, history)
        self.violations += invariants.of_the_ending(watchers, entries, rest)
        self.counts["bids found in the log"] = len(entries)
        self.claim(len(entries) > 0, "no bid was accepted, so nothing was tried")

    async def act(self, kind: str, **body: Any) -> None:
        """Send an operator's action on the crowd's auction."""
        async with httpx.AsyncClient(base_url=self.server.url, headers=OPERATOR) as client:
            reply = await client.post(f"/auctions/{self.guid}/{kind}", json=body)
            self.claim(reply.status_code == 200, f"{kind} was answered {reply.status_code}: {reply.text}")

    async def poll(self, guid: str) -> dict[str, Any]:
        """The state of any auction."""
        async with httpx.AsyncClient(base_url=self.server.url) as client:
            state: dict[str, Any] = (await client.get(f"/auctions/{guid}/price")).json()
            return state

    async def bid(self, guid: str, price: str) -> httpx.Response:
        """One bid in any auction, by a bidder that is not in the crowd."""
        async with httpx.AsyncClient(base_url=self.server.url, headers=bidder("stranger")) as client:
            return await client.post(f"/auctions/{guid}/bids", json={"price": price})

    def report(self) -> Report:
        """What was counted and violated."""
        notes = self.crowd.notes
        errors = [line for line in self.server.log_lines() if "exception" in line or "Traceback" in line["message"]]
        for line in errors:
            if not any(words in str(line) for words in self.allowed_errors):
                self.violations.append(f"a traceback in the log: {line}")
        self.measure("longest not live (s)", max((w.longest_outage_seconds for w in self.crowd.watchers), default=0.0))
        self.measure("slowest answer (s)", notes.slowest_seconds)
        return Report({**dict(sorted(notes.counts.items())), **self.counts}, self.violations)


@asynccontextmanager
async def staged(
    seed: int, size: Size, directory: Path, *, behind_proxy: bool = False, store_prefix: tuple[str, ...] = (),
    server: Server | None = None, workers: int = 1, environment: Mapping[str, str] | None = None, **settings: str,
) -> AsyncIterator[Stage]:  # fmt: skip
    """Start everything; the crowd runs inside the block, and has stopped after it."""
    rng = random.Random(seed)
    async with AsyncExitStack() as stack:
        store = store_process("valkey", directory)
        store.command = [*store_prefix, *store.command]
        stack.callback(store.stop)
        await asyncio.to_thread(store.start)
        url, proxy = store.url, None
        if behind_proxy:
            path = directory / "proxy.sock"
            proxy = await stack.enter_async_context(running_proxy(rng, path, directory / "store.sock"))
            url = f"unix://{path}"
        usual = {"REDIS_URL": url, "WEB_CONCURRENCY": str(workers), "SSE_AUCTION_HEARTBEAT_SECONDS": "2"}
        server = server or server_process(directory)
        server.environment = {**server.environment, **usual, **(environment or {}), **settings}
        stack.callback(_stop, server)
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(until, lambda: len(server.workers()) == workers, "all workers")
        guid = f"chaos-{seed}"
        await asyncio.to_thread(create, server, guid)
        crowd = Crowd(rng, server.port, guid, watchers=size.watchers, pollers=size.pollers, bidders=size.bidders)
        stage = Stage(seed, size, directory, rng, store, server, crowd, proxy)
        crowd.notes.machine_delay = stage.machine_delay
        crowd.start()
        stack.push_async_callback(crowd.leave)
        await stage.until(lambda: all(watcher.is_live for watcher in crowd.watchers), "the crowd's first states")
        await stage.calm()
        yield stage


def _stop(server: Server) -> None:
    if server.process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)  # its workers too
        server.process.wait()


def is_ready(server: Server) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return server.is_ready()
    return False


def memory_kib(pid: int) -> int:
    """A process's resident memory."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
