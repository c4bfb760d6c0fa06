"""Start and stop of one process: its store, its service, and how it leaves when it is told to."""

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
    """A service that runs as long as the context lasts; `StoreUnavailable` when there is no usable store.

    A server's service drains when the process is told to stop, and sends webhooks; a command's has no viewers to see
    off, and leaves the sending to servers.
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


class GracefulStop:
    """When the process is told to stop, sees the viewers off first; only then lets the server know.

    A server closes its listener as soon as it hears of it, so that nobody could see that `/readyz` fails; and it tells
    its application only when all connections are gone, but it is the application's part to end the streams. A second
    signal is passed on at once.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}  # the server's
        self._draining: list[asyncio.Task[None]] = []
        self._is_passed_on = threading.Event()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Take the process's signals for as long as this lasts."""
        if threading.current_thread() is not threading.main_thread():
            yield  # signals can be had in the main thread only; elsewhere the caller calls `drain` itself
            return
        for each in self._handlers:
            signal.signal(each, self._on_signal)
        try:
            yield
        finally:
            for each, handler in self._handlers.items():
                if signal.getsignal(each) == self._on_signal:
                    signal.signal(each, handler)
            for task in self._draining:
                task.cancel()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._service.is_leaving:
            self._pass_on(number, frame)
        else:
            self._service.is_leaving = True
            self._loop.call_soon_threadsafe(self._begin, number)

    def _begin(self, number: int) -> None:
        self._draining.append(asyncio.create_task(self._drain(number), name="leaving"))

    async def _drain(self, number: int) -> None:
        try:
            await self._service.drain(at_once=number == signal.SIGINT)
        finally:
            if not self._is_passed_on.is_set():
                self._pass_on(number, None)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self._is_passed_on.set()
        handler = self._handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def _tune_garbage_collection() -> None:
    """Look for cyclic garbage rarely, and never among what the start made.

    Streams come and go without cycles, but each is some tracked objects, and with Python's thresholds the collector
    walked all of them again and again: opening 20,000 streams cost 14 µs each in the hub, and 10 µs like this
    (8 µs with no collector at all).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
