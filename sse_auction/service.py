"""One process's working parts, started and stopped together.

Every task has its owner here. A task that dies of a bug is loud: the probes turn red, the streams end politely, and
the process is told to stop, for its supervisor to start a new one.
"""

import asyncio
import gc
import logging
import multiprocessing
import os
import random
import resource
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any

from sse_auction.auth import Tokens, secret_of
from sse_auction.batches import Batches
from sse_auction.delivery.hub import Hub
from sse_auction.delivery.mirror import Mirror
from sse_auction.demo import Demo
from sse_auction.gate import Gate
from sse_auction.metrics import DRAIN_PROGRESS, DRAINING, LOOP_LAG, MIRROR_STALENESS, STORE_FULL, STREAMS_BEHIND, TASKS
from sse_auction.rate import RateLimit
from sse_auction.settings import Settings
from sse_auction.store.auctions import Store, Told, check_store
from sse_auction.store.check import AuctionLog
from sse_auction.store.clock import StoreFacts
from sse_auction.store.connection import StoreError, StoreUnavailable
from sse_auction.store.embedded import EmbeddedStore, embedded_store
from sse_auction.store.outbox import Outbox
from sse_auction.webhooks import Webhooks

log = logging.getLogger(__name__)

FIRST_READ_TIMEOUT_SECONDS = 5.0
DRAIN_MARGIN_SECONDS = 0.5  # for viewers who are slow to take their ending; then they are cut
STREAMS_SHARE_OF_DESCRIPTORS = 0.95  # the rest is for bids, polls and probes
VITAL_SIGNS_SECONDS = 0.25
POLLS_PER_TURN = 32  # 2 ms of work
MOST_WAITING_POLLS = 4000  # some KB each
SETTLE_SECONDS = 0.8  # between looks for what time alone has opened or closed, unless it is known to be sooner
LEAST_SETTLE_SECONDS = 0.002  # for everybody else's turn; and should the store's clock have been set back


def most_streams() -> int:
    """How many streams this process may hold and still have descriptors for bids and polls."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(limit * STREAMS_SHARE_OF_DESCRIPTORS)


async def settle_always(store: Store) -> None:
    """Settle what has closed, watched or not, until cancelled. Every process does; the store sees that it is once."""
    while True:
        pause = SETTLE_SECONDS * random.uniform(0.8, 1.2)
        try:
            pause = min(pause, await store.settle_due())
        except StoreError as error:
            log.debug("nothing can be settled now: %s", error)
        await asyncio.sleep(max(pause, LEAST_SETTLE_SECONDS))


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """The URL of the store: the one that is set, or the embedded one's, kept running as long as this lasts."""
    with _chosen_store(settings) as (url, _):
        yield url


@contextmanager
def _chosen_store(settings: Settings) -> Iterator[tuple[str, EmbeddedStore | None]]:
    if settings.redis_url is not None:
        yield settings.redis_url, None
    else:
        with embedded_store(settings.data_dir) as embedded:
            yield embedded.url, embedded


class Service:
    """Store, mirror, hub, tokens, and the tasks that drive them; made by `running_service`."""

    def __init__(self, settings: Settings, url: str, embedded: EmbeddedStore | None = None) -> None:
        self.settings = settings
        self._embedded = embedded
        self._facts = StoreFacts()
        self.now = self._facts.now
        self.tokens = Tokens(secret_of(settings), self.now)
        self.bid_rate = RateLimit(settings.bid_rate)
        self.polls = Gate(POLLS_PER_TURN, MOST_WAITING_POLLS)
        self.store = Store(url, settings.store_timeout_seconds, self._facts, settings.currency, settings.reopen_hours)
        self.log = AuctionLog(self.store)
        self.batches = Batches(self.store, settings.currency)
        self.mirror = Mirror(url, self._facts, max_rate=settings.max_rate, plain_currency=settings.currency)
        self.hub = Hub(
            self.mirror,
            self.now,
            heartbeat_seconds=settings.heartbeat_seconds,
            stream_life_seconds=settings.stream_life_seconds,
            max_streams=min(settings.max_streams, most_streams()),
            stall_seconds=settings.stall_seconds,
        )
        self.mirror.publish_to(self.hub)
        self.store.tell_of_states(self.hub.hear)
        self.failure: str | None = None
        self.is_leaving = False  # it has been told to stop
        self._drain_seconds = settings.drain_seconds
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, is_server: bool) -> None:
        """Start the tasks; returns when the store has been read, raises `StoreUnavailable` when it cannot be."""
        self._own("store", self.store.run())
        self._own("mirror", self.mirror.run())
        self._own("hub", self.hub.run())
        self._own("settling", settle_always(self.store))
        self._own("catalogue", self.store.catalogue.keep())
        self._own("batches", self.batches.run())
        self._own("vital signs", self._watch_vital_signs())
        webhooks = self._webhooks() if is_server else None
        try:
            async with asyncio.timeout(FIRST_READ_TIMEOUT_SECONDS):
                await self.store.connected()
                if webhooks is not None:  # before anything is decided here
                    await webhooks.claim()
                    self._own("webhooks", webhooks.run())
                await self.mirror.live()
        except TimeoutError:
            raise StoreUnavailable("the store does not answer") from None
        _tune_garbage_collection()
        if self.settings.demo:
            self._own("demo", Demo(self.store, self.now).run())

    def _webhooks(self) -> Webhooks | None:
        settings = self.settings
        if settings.webhook_url is None:
            return None
        told: Told = "bids" if settings.webhook_bids else "events"
        give_up_seconds = settings.webhook_give_up_seconds
        return Webhooks(Outbox(self.store), settings.webhook_url, settings.webhook_secrets, told, give_up_seconds)

    async def _watch_vital_signs(self) -> None:
        """Keep the gauges true that change by time alone, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + VITAL_SIGNS_SECONDS
            await asyncio.sleep(VITAL_SIGNS_SECONDS)
            LOOP_LAG.set(max(0.0, loop.time() - due))
            MIRROR_STALENESS.set(self.mirror.staleness_seconds())
            STORE_FULL.set(self._embedded is not None and self._embedded.is_full)
            TASKS.set(len(asyncio.all_tasks()))
            STREAMS_BEHIND.set(self.hub.count_behind())
            DRAINING.set(self.is_draining)
            DRAIN_PROGRESS.set(self.hub.drain_progress)

    async def stop(self) -> None:
        """Stop the tasks, the latest first, for they may give back what they hold; returns when they have ended."""
        self._stopping = True
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def drain(self, *, at_once: bool = False) -> None:
        """Leave: take no new streams, and end the open ones spread over the drain window; returns when it is over.

        For all of the window `/readyz` fails, for balancers to notice; `at_once` means that there are none, and the
        end of the last stream is the end.
        """
        self.is_leaving = True
        window = self._drain_seconds
        if self.failure is None:
            log.info("draining: streams end within %g s", window)
            self.hub.drain(window)
        with suppress(TimeoutError):
            async with asyncio.timeout(window + DRAIN_MARGIN_SECONDS):
                if not at_once:
                    await asyncio.sleep(window)
                await self.hub.emptied()
        self.hub.cut_rest()

    @property
    def is_draining(self) -> bool:
        """Whether the process is on its way out."""
        return self.is_leaving or self.failure is not None

    @property
    def store_trouble(self) -> str | None:
        """Why the embedded store does not take everything now, in a sentence."""
        return None if self._embedded is None else self._embedded.trouble

    def explained(self, error: StoreError) -> StoreError:
        """The store's error, with the cause where it is known."""
        return error if self._embedded is None else self._embedded.explained(error)

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        self._fail(f"the {task.get_name()} has died: {error!r}", error)

    def _fail(self, failure: str, error: BaseException | None = None) -> None:
        self.failure = failure
        log.critical("%s; this process stops", failure, exc_info=error)
        self.hub.fail()
        os.kill(os.getpid(), signal.SIGTERM)

    def on_orphaned(self) -> None:
        """The supervisor of this worker was killed: make room at once for those of the next one."""
        self._drain_seconds = 0.0
        self._fail("the supervisor has died")


@asynccontextmanager
async def running_service(settings: Settings, *, is_server: bool = True) -> AsyncIterator[Service]:
    """A service that runs as long as the context lasts; `StoreUnavailable` when there is no usable store.

    A server's service drains when the process is told to stop, and sends webhooks; a command's has no viewers to see
    off, and leaves the sending to servers.
    """
    with _chosen_store(settings) as (url, embedded):
        await check_store(url, settings.store_timeout_seconds)
        service = Service(settings, url, embedded)
        try:
            await service.start(is_server=is_server)
            with ExitStack() as until_stopped:
                if is_server:
                    until_stopped.enter_context(_drain_before_stopping(service))
                    until_stopped.enter_context(_noticing_orphanage(service))
                try:
                    yield service
                except StoreError as error:
                    raise service.explained(error) from None
        finally:
            await service.stop()


@contextmanager
def _noticing_orphanage(service: Service) -> Iterator[None]:
    """Notice that this is a worker whose supervisor has gone: it would serve on with nobody to stop it."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def on_end() -> None:
        loop.remove_reader(supervisor.sentinel)
        service.on_orphaned()

    loop.add_reader(supervisor.sentinel, on_end)
    try:
        yield
    finally:
        loop.remove_reader(supervisor.sentinel)


def _tune_garbage_collection() -> None:
    """Look for cyclic garbage rarely, and never among what the start made.

    Streams come and go without cycles, but each is some tracked objects, and with Python's thresholds the collector
    walked all of them again and again: opening 20,000 streams cost 14 µs each in the hub, and 10 µs like this
    (8 µs with no collector at all).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@contextmanager
def _drain_before_stopping(service: Service) -> Iterator[None]:
    """When the process is told to stop, see the viewers off first; only then let the server know.

    A server closes its listener as soon as it hears of it, so that nobody could see that `/readyz` fails; and it tells
    its application only when all connections are gone, but it is the application's part to end the streams. Whoever
    says it twice does not want to wait.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals can be had in the main thread only; whoever runs us elsewhere calls `drain` himself
        return
    loop = asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    leaving: list[asyncio.Task[None]] = []
    server_knows = threading.Event()

    async def leave(number: int) -> None:
        try:
            await service.drain(at_once=number == signal.SIGINT)
        finally:
            if not server_knows.is_set():
                pass_on(number, None)

    def begin(number: int) -> None:
        leaving.append(asyncio.create_task(leave(number), name="leaving"))

    def pass_on(number: int, frame: FrameType | None) -> None:
        server_knows.set()
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def on_signal(number: int, frame: FrameType | None) -> None:
        if service.is_leaving:
            pass_on(number, frame)
        else:
            service.is_leaving = True
            loop.call_soon_threadsafe(begin, number)

    for each in before:
        signal.signal(each, on_signal)
    try:
        yield
    finally:
        for each, handler in before.items():
            if signal.getsignal(each) is on_signal:
                signal.signal(each, handler)
        for task in leaving:
            task.cancel()
