"""The parts of one process and the tasks that drive them.

Every task has its owner here. When a task dies of a bug, that is loud: the probes turn red, the streams end politely,
and the process stops, so that its supervisor starts a new one.
"""

import asyncio
import logging
import os
import resource
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Literal, TypeAlias

from sse_auction.auctioneer import Auctioneer
from sse_auction.delivery.hub import Hub
from sse_auction.delivery.mirror import Mirror
from sse_auction.demo import Demo
from sse_auction.metrics import DRAIN_PROGRESS, DRAINING, LOOP_LAG, MIRROR_STALENESS, STORE_FULL, STREAMS_BEHIND, TASKS
from sse_auction.settings import Settings
from sse_auction.store.clock import StoreClock
from sse_auction.store.connection import StoreError, StoreUnavailable
from sse_auction.store.embedded import EmbeddedStore
from sse_auction.store.parts import Store
from sse_auction.store.store_connection import OutboxContent
from sse_auction.webhooks import Webhooks

log = logging.getLogger(__name__)

# It goes on to `draining` when it is asked to leave, or to `failed` when a part of it dies, and ends as `stopped`.
Phase: TypeAlias = Literal["serving", "draining", "failed", "stopped"]

FIRST_READ_TIMEOUT_SECONDS = 5.0
DRAIN_MARGIN_SECONDS = 0.5  # for viewers that are slow to take their ending; then they are aborted
STREAMS_SHARE_OF_DESCRIPTORS = 0.95  # the rest is for bids, polls and probes
VITAL_SIGNS_SECONDS = 0.25


def max_streams() -> int:
    """How many streams this process may hold and still have descriptors for bids and polls."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return int(limit * STREAMS_SHARE_OF_DESCRIPTORS)


class Service:
    """Store, mirror, hub, and the tasks that drive them; `lifecycle.running_service` makes it."""

    def __init__(self, settings: Settings, url: str, embedded: EmbeddedStore | None = None) -> None:
        self.settings = settings
        self._embedded = embedded
        self._clock = StoreClock()
        self.now = self._clock.now
        self.store = Store(url, settings.store_timeout_seconds, self._clock, settings.currency, settings.reopen_hours)
        self.auctioneer = Auctioneer(self.store, settings.currency)
        self.mirror = Mirror(url, self._clock, max_rate=settings.max_rate, external_currency=settings.currency)
        self.hub = Hub(
            self.mirror,
            self.now,
            heartbeat_seconds=settings.heartbeat_seconds,
            stream_life_seconds=settings.stream_life_seconds,
            max_streams=min(settings.max_streams, max_streams()),
            stall_seconds=settings.stall_seconds,
        )
        self.store.auctions.on_state(self.hub.show)
        self.phase: Phase = "serving"
        self.failure: str | None = None  # why it failed
        self._drain_seconds = settings.drain_seconds
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, is_server: bool) -> None:
        """Start the tasks; returns when the store has been read. Raises: `StoreUnavailable`."""
        self._own("store", self.store.connection.run())
        self._own("mirror", self.mirror.run(publish_to=self.hub))
        self._own("hub", self.hub.run())
        self._own("settling", self.store.settlement.run())
        self._own("catalogue", self.store.catalogue.keep())
        self._own("batches", self.auctioneer.batches.run())
        self._own("vital signs", self._watch_vital_signs())
        webhooks = self._webhooks() if is_server else None
        try:
            async with asyncio.timeout(FIRST_READ_TIMEOUT_SECONDS):
                await self.store.connection.connected()
                if webhooks is not None:  # before anything is decided here
                    await webhooks.claim()
                    self._own("webhooks", webhooks.run())
                await self.mirror.live()
        except TimeoutError:
            raise StoreUnavailable("the store does not answer") from None
        if self.settings.demo:
            self._own("demo", Demo(self.store, self.now).run())

    def _webhooks(self) -> Webhooks | None:
        settings = self.settings
        if settings.webhook_url is None:
            return None
        content: OutboxContent = "bids" if settings.webhook_bids else "events"
        give_up_seconds = settings.webhook_give_up_seconds
        return Webhooks(self.store.outbox, settings.webhook_url, settings.webhook_secrets, content, give_up_seconds)

    async def _watch_vital_signs(self) -> None:
        """Update the gauges that change by time alone, until cancelled."""
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
        self.phase = "stopped"
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def drain(self, *, at_once: bool = False) -> None:
        """Take no new streams, and end the open ones spread over the drain window; returns when it is over.

        `/readyz` fails for all of the window, so that balancers notice. With `at_once` there are no balancers, and it
        is over when the last stream has ended.
        """
        window = self._drain_seconds
        if self.phase == "serving":
            self.phase = "draining"
            log.info("draining: streams end within %g s", window)
            self.hub.drain(window)
        with suppress(TimeoutError):
            async with asyncio.timeout(window + DRAIN_MARGIN_SECONDS):
                if not at_once:
                    await asyncio.sleep(window)
                await self.hub.emptied()
        self.hub.abort_rest()

    @property
    def is_draining(self) -> bool:
        """Whether this process is about to stop."""
        return self.phase != "serving"

    @property
    def store_trouble(self) -> str | None:
        """Why the embedded store refuses some writes now, in a sentence."""
        return None if self._embedded is None else self._embedded.trouble

    def explained(self, error: StoreError) -> StoreError:
        """The store's error, with the cause where it is known."""
        return error if self._embedded is None else self._embedded.explained(error)

    def _own(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_end)
        self._tasks.append(task)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if self.phase == "stopped":
            return
        error = None if task.cancelled() else task.exception()
        self._fail(f"the {task.get_name()} has died: {error!r}", error)

    def _fail(self, failure: str, error: BaseException | None = None) -> None:
        self.phase, self.failure = "failed", failure
        log.critical("%s; this process stops", failure, exc_info=error)
        self.hub.fail()
        os.kill(os.getpid(), signal.SIGTERM)

    def on_orphaned(self) -> None:
        """Called when the supervisor of this worker was killed: make room at once for the next one's workers."""
        self._drain_seconds = 0.0
        self._fail("the supervisor has died")
