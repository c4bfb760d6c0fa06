"""One process's working parts, started and stopped together.

Every task has its owner here. A task that dies of a bug is loud: the probes turn red, the streams end politely, and
the process is told to stop, for its supervisor to start a new one.
"""

import asyncio
import gc
import logging
import os
import random
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from types import FrameType
from typing import Any, Literal

from sse_auction.auction_log import AuctionLog
from sse_auction.auth import Tokens, secret_of
from sse_auction.demo import Demo
from sse_auction.embedded import embedded_store
from sse_auction.facts import StoreFacts
from sse_auction.hub import Hub
from sse_auction.link import StoreError, StoreUnavailable
from sse_auction.mirror import Mirror
from sse_auction.outbox import Outbox
from sse_auction.rate import RateLimit
from sse_auction.settings import Settings
from sse_auction.store import SETTLED_AT_ONCE, Store, check_store
from sse_auction.webhooks import Webhooks

log = logging.getLogger(__name__)

FIRST_READ_TIMEOUT_SECONDS = 5.0
SETTLE_SECONDS = 0.8  # between looks for auctions that have closed: settled within a second or two


async def settle_always(store: Store) -> None:
    """Settle what has closed, watched or not, until cancelled. Every process does; the store sees that it is once."""
    while True:
        try:
            while await store.settle_due() == SETTLED_AT_ONCE:
                pass
        except StoreError as error:
            log.debug("nothing can be settled now: %s", error)
        await asyncio.sleep(SETTLE_SECONDS * random.uniform(0.8, 1.2))


@contextmanager
def store_url(settings: Settings) -> Iterator[str]:
    """The URL of the store: the one that is set, or the embedded one's, kept running as long as this lasts."""
    if settings.redis_url is not None:
        yield settings.redis_url
    else:
        with embedded_store(settings.data_dir) as url:
            yield url


class Service:
    """Store, mirror, hub, tokens, and the tasks that drive them; made by `running_service`."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.tokens = Tokens(secret_of(settings))
        self.bid_rate = RateLimit(settings.bid_rate)
        self._facts = StoreFacts()
        self.now = self._facts.now
        told: Literal["", "events", "bids"] = "bids" if settings.webhook_bids else "events"
        self.store = Store(
            url, settings.store_timeout_seconds, self._facts, settings.currency, told if settings.webhook_url else ""
        )
        self.log = AuctionLog(self.store)
        self.mirror = Mirror(url, self._facts, max_rate=settings.max_rate, plain_currency=settings.currency)
        self.hub = Hub(
            self.mirror,
            self.now,
            heartbeat_seconds=settings.heartbeat_seconds,
            stream_life_seconds=settings.stream_life_seconds,
            max_streams=settings.max_streams,
            stall_seconds=settings.stall_seconds,
        )
        self.mirror.publish_to(self.hub)
        self.failure: str | None = None
        self.is_draining = False
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, is_server: bool) -> None:
        """Start the tasks; returns when the store has been read, raises `StoreUnavailable` when it cannot be."""
        self._own("store", self.store.run())
        self._own("mirror", self.mirror.run())
        self._own("hub", self.hub.run())
        self._own("settling", settle_always(self.store))
        if is_server and (url := self.settings.webhook_url) and (secret := self.settings.webhook_secret):
            give_up_seconds = self.settings.webhook_give_up_seconds
            self._own("webhooks", Webhooks(Outbox(self.store), url, secret, give_up_seconds).run())
        try:
            async with asyncio.timeout(FIRST_READ_TIMEOUT_SECONDS):
                await self.store.connected()
                await self.mirror.live()
        except TimeoutError:
            raise StoreUnavailable("the store does not answer") from None
        _tune_garbage_collection()
        if self.settings.demo:
            self._own("demo", Demo(self.store, self.now).run())

    async def stop(self) -> None:
        """Stop the tasks and wait until they have ended."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def drain(self) -> None:
        """Begin to leave: take no new streams, end the open ones spread over the drain window."""
        if not self.is_draining:
            self.is_draining = True
            self.hub.drain(self.settings.drain_seconds)

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if self._stopping:
            return
        error = None if task.cancelled() else task.exception()
        self.failure = f"the {task.get_name()} has died: {error!r}"
        log.critical("%s; this process stops", self.failure, exc_info=error)
        self.is_draining = True
        self.hub.fail()
        os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def running_service(settings: Settings, *, is_server: bool = True) -> AsyncIterator[Service]:
    """A service that runs as long as the context lasts; `StoreUnavailable` when there is no usable store.

    A server's service drains when the process is told to stop, and sends webhooks; a command's has no viewers to see
    off, and leaves the sending to servers.
    """
    with store_url(settings) as url:
        await check_store(url, settings.store_timeout_seconds)
        service = Service(settings, url)
        try:
            await service.start(is_server=is_server)
            with _drain_at_signals(service) if is_server else nullcontext():
                yield service
        finally:
            await service.stop()


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
def _drain_at_signals(service: Service) -> Iterator[None]:
    """Begin to drain when the process is told to stop, then do what the server has installed for that.

    A server tells its application of a stop only when all connections are gone; but it is the application's part to
    end the streams.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals can be had in the main thread only; whoever runs us elsewhere calls `drain` himself
        return
    loop = asyncio.get_running_loop()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}

    def drain_first(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(service.drain)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for each in before:
        signal.signal(each, drain_first)
    try:
        yield
    finally:
        for each, handler in before.items():
            if signal.getsignal(each) is drain_first:
                signal.signal(each, handler)
