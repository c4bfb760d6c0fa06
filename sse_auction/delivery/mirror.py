"""The mirror: keeps the watched auctions of this process equal to the store.

By server-assisted client-side caching (`CLIENT TRACKING ON`, default mode, RESP3) on one connection of its own:
it reads an auction's keys there, and the store says once when any of them changes, whoever wrote it. The auction is
then read again, at once, or when a pacing interval has passed since its last read. So a burst of writes between two
reads costs one message and one read: the store itself conflates, and the last write is never missed, because the
message for it always comes after the read before it.

- Losing the connection means: not live, and everything is read again on the next one.
- The store is asked for its time every second with a deadline, so that a frozen one is noticed within 3 s.
- Time alone opens and closes auctions: the mirror reads an auction when its time has come, with the store's clock in
  the same transaction: what it then reads is final.
- When the store's clock was set, everything is read again.
- A price key that holds no price is logged once and shown to nobody; the last good state stays.
- Where the store refuses tracking, watched auctions are read every `POLL_SECONDS` instead.
"""

import asyncio
import contextlib
import logging
import math
import time
from contextlib import aclosing
from typing import Any

from sse_auction.auction.state import Record
from sse_auction.delivery.hub import Hub
from sse_auction.metrics import MIRROR_LIVE, MIRROR_POLLING, MIRROR_READ_SECONDS, MIRROR_READS, STORE_ERRORS
from sse_auction.store import keys
from sse_auction.store.clock import StoreClock
from sse_auction.store.connection import CommandError, Connection, StoreError, reconnecting
from sse_auction.store.generation import name_generation
from sse_auction.store.records import read_commands, read_record

log = logging.getLogger(__name__)

WATCHDOG_SECONDS = 1.0
ANSWER_TIMEOUT_SECONDS = 1.5  # with the above: a frozen store is noticed within 2.5 s
POLL_SECONDS = 0.25
MAX_WAIT_SECONDS = 60.0  # for an opening or a closing, at a clock that may drift by a millisecond a second
BATCH = 200  # auctions read in one pipeline: some ms of work, so that bids and polls get their turn


class Watched:
    """One watched auction: when it was read, and whether it must be read again."""

    __slots__ = ("dirty_since", "guid", "invalid_value", "read_at", "timer")

    def __init__(self, guid: str) -> None:
        self.guid = guid
        self.dirty_since: float | None = None
        self.read_at = float("-inf")
        self.invalid_value: str | None = None
        self.timer: asyncio.TimerHandle | None = None  # of the moment at which time changes the status


class Mirror:
    """Publishes the states of watched auctions to the hub. `run` must be owned by somebody's task."""

    def __init__(self, url: str, clock: StoreClock, *, max_rate: float, external_currency: str) -> None:
        self._url = url
        self._clock = clock
        self._pace_seconds = 1 / max_rate
        self._external_currency = external_currency
        self._hub: Hub | None = None
        self._watched: dict[str, Watched] = {}
        self._due: dict[str, Watched] = {}  # to be read now, in this order
        self._wake = asyncio.Event()
        self._memory_lost = False
        self._times_set = 0  # how often the store's clock had been set when everything was read
        self._tracking = True
        self._look_again_at = 0.0  # by the loop's clock
        self._true_at = time.monotonic()  # when everything watched last was known to be as the store had it
        self._trouble = ""  # why it is not live, as logged
        self._live = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether everything watched is as the store has it."""
        return self._live.is_set()

    async def live(self) -> None:
        """Wait until that is so."""
        await self._live.wait()

    def staleness_seconds(self) -> float:
        """Since when what is shown may differ from what the store has."""
        unread = min((watched.dirty_since or math.inf for watched in self._due.values()), default=math.inf)
        return time.monotonic() - min(unread, self._true_at)

    def publish_to(self, hub: Hub) -> None:
        """Name the hub that gets the states (it is made after its source)."""
        self._hub = hub

    # --- what is watched ---------------------------------------------------------------------------------------

    def watch(self, guid: str) -> None:
        """Begin to publish an auction's states, the present one at once."""
        watched = self._watched[guid] = Watched(guid)
        self._mark_dirty(watched)

    def unwatch(self, guid: str) -> None:
        """Stop. The store forgets the keys with the next message about them, which is ignored here."""
        watched = self._watched.pop(guid)
        self._due.pop(guid, None)
        if watched.timer is not None:
            watched.timer.cancel()

    def refresh(self, guid: str) -> None:
        """Read an auction again, if it is watched, though nobody said that it changed."""
        if watched := self._watched.get(guid):
            self._mark_dirty(watched)

    def _mark_dirty(self, watched: Watched) -> None:
        if watched.dirty_since is not None:
            return
        now = time.monotonic()
        watched.dirty_since = now
        readable_at = watched.read_at + self._pace_seconds
        if readable_at <= now:
            self._read_soon(watched)
        else:
            asyncio.get_running_loop().call_later(readable_at - now, self._read_soon, watched)

    def _read_soon(self, watched: Watched) -> None:
        if self._watched.get(watched.guid) is watched:
            self._due[watched.guid] = watched
            self._wake.set()

    def _mark_all_dirty(self) -> None:
        for watched in self._watched.values():
            if watched.dirty_since is None:
                watched.dirty_since = time.monotonic()
            self._due[watched.guid] = watched
        self._wake.set()

    # --- following the store -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the store until cancelled, whatever happens to it."""
        async with aclosing(reconnecting(self._url, ANSWER_TIMEOUT_SECONDS, self._on_push, "mirror")) as links:
            async for link in links:
                try:
                    await self._follow(link)
                except StoreError as error:
                    STORE_ERRORS.labels("mirror").inc()
                    self._complain(str(error))
                finally:
                    self._set_live(False)

    def _complain(self, trouble: str) -> None:
        """Log why prices are not live; the same trouble once, however often it is met before they are live again."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.error("%s; prices are not live until it answers again", trouble)

    async def _follow(self, link: Connection) -> None:
        """Keep everything watched true over one link; returns by raising `StoreError` when that ends."""
        link.when_lost(self._wake.set)
        await self._start_tracking(link)
        self._clock.generation = await name_generation(link)
        self._memory_lost = False
        self._mark_all_dirty()
        for _ in range(0, len(self._due), BATCH):
            await self._read_due(link)
        self._set_live(True)  # only now: everything that was watched has been read
        while True:
            await self._wait_for_work(link)
            if self._memory_lost:
                self._memory_lost = False
                self._clock.generation = await name_generation(link)
            await self._read_due(link)

    async def _wait_for_work(self, link: Connection) -> None:
        """Wait until something is due, and look at the store every so often, whatever else happens.

        With tracking, the look is one question to know that the store lives; without, everything is read again.
        """
        link.check()
        if not self._due and not self._memory_lost:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._look_again_at):
                    await self._wake.wait()
        now = asyncio.get_running_loop().time()
        if now < self._look_again_at:
            return
        self._look_again_at = now + (WATCHDOG_SECONDS if self._tracking else POLL_SECONDS)
        if self._tracking:
            await self._read_time(link)
            if self._times_set != self._clock.times_set:
                self._times_set = self._clock.times_set
                self._mark_all_dirty()
        else:
            self._memory_lost = True  # nobody tells, so its name is asked for each time
            self._mark_all_dirty()

    async def _read_time(self, link: Connection) -> None:
        sent_at, asked_at = time.monotonic(), self._clock.moment()
        reply = await link.call("TIME")
        self._true_at = max(self._true_at, sent_at)  # it would have told of changes before this answer
        self._clock.take_time(reply, asked_at)

    async def _read_due(self, link: Connection) -> None:
        """Read a batch of what is due, in one pipeline."""
        batch = [self._due.pop(guid) for guid in list(self._due)[:BATCH]]
        if not batch:
            return
        started = time.monotonic()
        for watched in batch:
            if watched.dirty_since is not None:
                MIRROR_READ_SECONDS.observe(started - watched.dirty_since)
            watched.dirty_since = None  # from here on, a message about it means another read
            watched.read_at = started
        sent_at, asked_at = time.monotonic(), self._clock.moment()
        try:
            replies = await asyncio.gather(*(link.transaction(*read_commands(watched.guid)) for watched in batch))
        except StoreError:
            self._due.update((watched.guid, watched) for watched in batch if watched.guid in self._watched)
            raise
        MIRROR_READS.inc(len(batch))
        self._true_at = sent_at
        for watched, (clock, price, fields) in zip(batch, replies, strict=True):
            now = self._clock.take_time(clock, asked_at)
            if self._watched.get(watched.guid) is watched:
                record = read_record(watched.guid, price, fields, self._external_currency, now)
                self._show(watched, record, sent_at)

    def _show(self, watched: Watched, record: Record, asked_at: float) -> None:
        """Publish what was asked for at this monotonic second, and come back when time changes it."""
        if record.invalid_value is not None:
            if record.invalid_value != watched.invalid_value:
                log.warning("the price key of auction %s holds no price: %.80r", record.guid, record.invalid_value)
            watched.invalid_value = record.invalid_value
            if self._hub is not None and self._hub.has_state(record.guid):
                return
        else:
            watched.invalid_value = None
        state = record.state(record.read_at, self._clock.generation, self._external_currency)
        if watched.timer is not None:
            watched.timer.cancel()
            watched.timer = None
        if state.changes_at is not None:
            self._come_back(watched, state.changes_at)
        if self._hub is not None:
            self._hub.publish(state, asked_at)

    def _come_back(self, watched: Watched, moment: int) -> None:
        """Look after an auction at a moment of the store's clock; before that in between, for clocks drift apart."""
        delay = min(max(0.001, (moment - self._clock.now()) / 1000), MAX_WAIT_SECONDS)
        watched.timer = asyncio.get_running_loop().call_later(delay, self._look_after, watched, moment)

    def _look_after(self, watched: Watched, moment: int) -> None:
        """Read at once, not paced, if an opening or a closing is due."""
        watched.timer = None
        if self._clock.now() < moment:
            self._come_back(watched, moment)
        else:
            watched.dirty_since = time.monotonic()
            self._read_soon(watched)

    def _set_live(self, live: bool) -> None:
        if live == self.is_live:
            return
        if live:
            self._live.set()
        else:
            self._live.clear()
        log.info("prices are live" if live else "prices are not live")
        if live:
            self._trouble = ""
        MIRROR_LIVE.set(live)
        if self._hub is not None:
            self._hub.set_live(live)

    # --- what the store says -----------------------------------------------------------------------------------

    async def _start_tracking(self, link: Connection) -> None:
        tracking_before = self._tracking
        try:
            await link.call("CLIENT", "TRACKING", "ON")
            self._tracking = True
        except CommandError as error:
            self._tracking = False
            if tracking_before:
                log.warning("the store refuses CLIENT TRACKING (%s): watched prices are polled instead", error)
        MIRROR_POLLING.set(not self._tracking)

    def _on_push(self, push: list[Any]) -> None:
        """An invalidation: these keys changed, or (None) all of them did."""
        if push[0] != b"invalidate":
            return
        if push[1] is None:
            self._memory_lost = True
            self._mark_all_dirty()
            return
        for key in push[1]:
            if key == keys.MEMORY.encode():
                self._memory_lost = True
                self._mark_all_dirty()
            elif (guid := keys.guid_of(key)) and (watched := self._watched.get(guid)):
                self._mark_dirty(watched)
