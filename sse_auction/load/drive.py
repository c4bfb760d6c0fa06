"""Drives a load run: creates its auctions, starts streams and bidders, ends them, and watches its own process.

Rule: `figures` defines each figure and `report` judges it; this module does neither. There is one process, one event
loop and one monotonic clock, so no clocks have to be compared.
"""

import asyncio
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpx

from sse_auction.auction.texts import counted
from sse_auction.client.interface import ClientError
from sse_auction.client.opening import open_client
from sse_auction.client.stream import SILENCE_SECONDS
from sse_auction.load.bidding import Bidders
from sse_auction.load.burden import Burden
from sse_auction.load.figures import (
    ANSWER_SECONDS,
    BidCounts,
    Ledger,
    Lot,
    StreamCounts,
    View,
    summary,
)
from sse_auction.load.report import Bids, Phase, Progress, Report, Streams
from sse_auction.load.viewer import Viewer
from sse_auction.settings import Settings
from sse_auction.wire.requests import CreateRequest

SPARE_DESCRIPTORS = 64  # the loop's own, files, name look-ups
MAX_IN_FLIGHT = 1000  # bids; a service that does not answer must not use up all descriptors
CLOSES_AFTER_SECONDS = 600  # after the run: the clocks of client and service may differ by minutes
SETTLE_SECONDS = 10.0  # twice the longest pause before a reconnect


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of a run. `tokens` are the bidders'; `rate` is bids per second of all bidders; times in seconds.

    `guids` are the auctions to use; without them, `auctions` new ones are created with the operator's `token`.
    """

    url: str
    token: str
    guids: tuple[str, ...]
    auctions: int
    streams: int
    tokens: tuple[str, ...]
    rate: float
    ramp: float
    duration: float

    @property
    def seconds(self) -> float:
        """The time from the first stream to the last bid."""
        return self.ramp + self.duration


async def run_load(plan: Plan, settings: Settings, show: Callable[[Progress], None]) -> Report:
    """Run `plan` to its end or to Ctrl-C; calls `show` every second. Raises: `ClientError` when it cannot continue."""
    max_in_flight = _make_room(plan)
    lots = await _open_lots(plan, settings)
    run = _Run(plan, lots, max_in_flight, show)
    with _interrupts(run.interrupt):
        return await run.run()


class _Run:
    def __init__(self, plan: Plan, lots: Sequence[Lot], max_in_flight: int, show: Callable[[Progress], None]) -> None:
        self._plan = plan
        self._lots = lots
        self._show = show
        self._verify = httpx.create_ssl_context()  # made once: it takes longer than opening a stream
        self._views = [View(lots[number % len(lots)]) for number in range(plan.streams)]
        self._ledger = Ledger()
        self._streams = StreamCounts()
        self._bids = BidCounts()
        self._burden = Burden()
        self._stopped = asyncio.Event()
        self._interrupted = False
        self._bidders = Bidders(
            [self._open_http(token) for token in plan.tokens], lots, self._ledger, self._bids, max_in_flight,
            self._stopped,
        )  # fmt: skip
        self._phase: Phase = "ramp"
        self._started = time.monotonic()

    def interrupt(self) -> None:
        """End the run early; there is still a report."""
        self._interrupted = True
        self._stopped.set()

    async def run(self) -> Report:
        self._started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            watching: list[asyncio.Task[None]] = []
            aside = [
                tasks.create_task(self._burden.watch_loop()),
                tasks.create_task(self._report_progress()),
                tasks.create_task(self._ramp_streams(tasks, watching)),
            ]
            if self._plan.tokens:
                await self._bidders.run(self._plan.rate, self._plan.ramp, self._plan.seconds)
            await self._until_stopped(self._started + self._plan.seconds - time.monotonic())
            self._phase = "last answers"
            await self._until_all_current()
            answers = await self._answers()
            report = self._report(answers)  # before this run ends its own streams
            for task in aside + watching:
                task.cancel()
        if self._bidders.trouble is not None:
            raise ClientError(
                f"{self._bidders.trouble} (bidders' tokens come from --tokens, or are made with SSE_AUCTION_SECRET)"
            )
        return report

    def _open_http(self, token: str | None = None) -> httpx.AsyncClient:
        """A separate client for each watcher and bidder, with its own connection and cookies, like a browser."""
        return httpx.AsyncClient(
            base_url=self._plan.url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            verify=self._verify,
            timeout=httpx.Timeout(ANSWER_SECONDS, read=ANSWER_SECONDS if token else SILENCE_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=1),
        )

    async def _ramp_streams(self, tasks: asyncio.TaskGroup, watching: list[asyncio.Task[None]]) -> None:
        for number, view in enumerate(self._views):
            await asyncio.sleep(self._started + self._plan.ramp * number / len(self._views) - time.monotonic())
            viewer = Viewer(self._open_http, view, self._ledger, self._streams)
            watching.append(tasks.create_task(viewer.run()))
        await asyncio.sleep(self._started + self._plan.ramp - time.monotonic())
        self._phase = "full load"

    async def _until_stopped(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)):
                await self._stopped.wait()

    async def _until_all_current(self) -> None:
        """Wait for streams that do not show the last price yet, such as those that reconnect."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and not self._stopped.is_set():
            if not self._down() and not any(view.is_behind for view in self._views):
                return
            await self._until_stopped(0.05)

    def _down(self) -> int:
        """The number of streams that are neither open nor over."""
        return len(self._views) - self._streams.open - self._streams.done

    async def _answers(self) -> bool:
        """Whether the service still answers. Streams cannot show it, because there may be none."""
        async with self._open_http() as http:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    return (await http.get(f"/auctions/{self._lots[0].guid}/price")).is_success
            except (httpx.HTTPError, TimeoutError):
                return False

    async def _report_progress(self) -> None:
        deliveries = bids = lags = 0
        while True:
            await asyncio.sleep(1)
            self._ledger.settle(time.monotonic())
            lag = self._burden.lag_ms
            self._show(
                Progress(
                    phase=self._phase,
                    elapsed=time.monotonic() - self._started,
                    total=self._plan.seconds,
                    streams_wanted=self._plan.streams,
                    streams_open=self._streams.open,
                    drops=self._streams.drops,
                    reconnects=self._streams.reconnects,
                    bids_due=self._bids.due,
                    bids_accepted=self._bids.accepted,
                    errors=self._bids.failed.total() + self._bids.unknown + self._bids.unsent,
                    delivery_ms=summary(self._ledger.delivery_ms[deliveries:]),
                    bid_ms=summary(self._bids.latency_ms[bids:]),
                    lag_ms=summary(lag[lags:]),
                    cpu_share=self._burden.take_cpu_share(),
                )
            )
            deliveries, bids, lags = len(self._ledger.delivery_ms), len(self._bids.latency_ms), len(lag)

    def _report(self, answers: bool) -> Report:
        now = time.monotonic()
        self._ledger.finish(self._views, now)
        watched_ms = sum(now - view.since for view in self._views if view.since is not None) * 1000
        streams, bids = self._streams, self._bids
        return Report(
            url=self._plan.url,
            auctions=[lot.guid for lot in self._lots],
            seconds=round(now - self._started, 3),
            interrupted=self._interrupted,
            answered_at_end=answers,
            streams=Streams(
                wanted=self._plan.streams,
                opened=streams.opened,
                open_at_end=streams.open,
                drops=streams.drops,
                reconnects=streams.reconnects,
                busy=streams.busy,
                not_live=streams.not_live,
                ends=dict(streams.ends),
                events=self._ledger.events,
                foreign=self._ledger.foreign,
                regressions=self._ledger.regressions,
                behind=sum(view.is_behind for view in self._views),
                down=self._down(),
                opening_ms=summary(streams.opening_ms),
            ),
            bids=Bids(
                bidders=len(self._plan.tokens),
                due=bids.due,
                accepted=bids.accepted,
                refused=dict(bids.refused),
                failed=dict(bids.failed),
                unknown=bids.unknown,
                unsent=bids.unsent,
                latency_ms=summary(bids.latency_ms),
            ),
            delivery_ms=summary(self._ledger.delivery_ms),
            staleness_ms=summary(self._ledger.staleness_ms),
            stale_share=round(sum(self._ledger.staleness_ms) / watched_ms, 6) if watched_ms else 0.0,
            client=self._burden.limits(),
        )


# --- before the run ------------------------------------------------------------------------------------------------


def _make_room(plan: Plan) -> int:
    """Raise the descriptor limit; how many bids may be in flight besides all streams. Raises: `ClientError`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = plan.streams + 2 * len(plan.tokens) + SPARE_DESCRIPTORS
    if hard == resource.RLIM_INFINITY:
        return MAX_IN_FLIGHT
    if needed > hard:
        crowd = f"{counted(plan.streams, 'stream')} and {counted(len(plan.tokens), 'bidder')}"
        raise ClientError(
            f"{crowd} need {needed} open files, and this process may have {hard}; "
            "raise the hard limit (ulimit -Hn), or ask for fewer"
        )
    return min(MAX_IN_FLIGHT, hard - needed + len(plan.tokens))


async def _open_lots(plan: Plan, settings: Settings) -> list[Lot]:
    """The auctions of the run: the named ones, or new ones."""
    async with open_client(plan.url, plan.token, settings) as client:
        if plan.guids:
            lots = [Lot(guid) for guid in dict.fromkeys(plan.guids)]
            for lot in lots:
                lot.learn(await client.price(lot.guid))
            if plan.tokens and not any(lot.takes_bids for lot in lots):
                raise ClientError(f"none of these takes bids now: {', '.join(lot.guid for lot in lots)}")
            return lots
        lots = []
        run = f"load-{int(time.time())}-{time.monotonic_ns() % 0xFFFF:04x}"
        for number in range(1, plan.auctions + 1):
            request = CreateRequest(
                title=f"Load test {number}",
                start_price="1.00",
                currency="CNY",
                closes_at=int((time.time() + plan.seconds + CLOSES_AFTER_SECONDS) * 1000),
            )
            lots.append(lot := Lot(f"{run}-{number}"))
            try:
                lot.learn((await client.create(request, lot.guid)).state)
            except ClientError as error:
                raise ClientError(
                    f"no auction could be created: {error} (--token gives an operator's token, --guid an auction)"
                ) from None
        return lots


@contextmanager
def _interrupts(interrupt: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C ends the run early, the second one at once."""
    loop = asyncio.get_running_loop()

    def once() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        interrupt()

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job: its shell ignores Ctrl-C
        yield
        return
    loop.add_signal_handler(signal.SIGINT, once)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
