"""Start and stop of one process: its store, its service, and its end after a signal."""

import asyncio
import gc
import multiprocessing
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from types import FrameType

from sse_auction.service import Service
from sse_auction.settings import Settings
from sse_auction.store.connection import StoreError
from sse_auction.store.embedded import EmbeddedStore, embedded_store
from sse_auction.store.requirements import check_store


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


@asynccontextmanager
async def running_service(settings: Settings, *, is_server: bool = True) -> AsyncIterator[Service]:
    """A service that runs as long as the context lasts. Raises: `StoreUnavailable` without a usable store.

    A server's service drains after SIGTERM or SIGINT, and sends webhooks. A command's service has no viewers, and
    leaves webhooks to servers.
    """
    with _chosen_store(settings) as (url, embedded):
        await check_store(url, settings.store_timeout_seconds)
        service = Service(settings, url, embedded)
        try:
            await service.start(is_server=is_server)
            _tune_garbage_collection()
            with ExitStack() as until_stopped:
                if is_server:
                    until_stopped.enter_context(GracefulStop(service).installed())
                    until_stopped.enter_context(_noticing_orphanage(service))
                try:
                    yield service
                except StoreError as error:
                    raise service.explained(error) from None
        finally:
            await service.stop()


@contextmanager
def _noticing_orphanage(service: Service) -> Iterator[None]:
    """Notice when this worker's supervisor dies: without one, the worker would serve on for ever."""
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


class GracefulStop:
    """After SIGTERM or SIGINT, drains first, and passes the signal on to the server afterwards.

    A server closes its listener as soon as it gets the signal, so no balancer could see that `/readyz` fails; and it
    stops its application only when all connections are closed, but the application must end the streams. A second
    signal is passed on at once.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}  # the server's
        self._draining: asyncio.Task[None] | None = None
        self._signals = 0  # how many have come

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take the process's signals for as long as this lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread gets signals; elsewhere the caller calls `drain` itself
            return
        for each in self._handlers:
            signal.signal(each, self._on_signal)
        try:
            yield
        finally:
            for each, handler in self._handlers.items():
                if signal.getsignal(each) == self._on_signal:
                    signal.signal(each, handler)
            if self._draining is not None:
                self._draining.cancel()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 1:
            self._loop.call_soon_threadsafe(self._begin, number)
        else:
            self._pass_on(number, frame)

    def _begin(self, number: int) -> None:
        self._draining = asyncio.create_task(self._drain(number), name="drain")

    async def _drain(self, number: int) -> None:
        try:
            await self._service.drain(at_once=number == signal.SIGINT)
        finally:
            if self._signals == 1:
                self._pass_on(number, None)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        handler = self._handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def _tune_garbage_collection() -> None:
    """Collect cyclic garbage rarely, and never among what the start made.

    Streams come and go without cycles, but each is some tracked objects. With Python's thresholds the collector walks
    all of them again and again, which is a third of the hub's cost of opening 20,000 streams.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
