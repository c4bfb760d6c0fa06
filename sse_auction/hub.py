"""The hub: who watches which auction, and what each viewer gets next.

Rules:
- A state is encoded once per auction and handed to all its viewers in one loop.
- The newest state wins: a viewer has one slot per auction, in which a newer state replaces a waiting one. States in
  between may be skipped, the last one never is, and nothing replaces an ending.
- Nobody is shown less than he has seen (`Seen.is_superseded_by` decides): a revision never goes back, and a plain
  auction's viewer gets higher prices only.
- No timer and no task per viewer: heartbeats and the ends of streams come from one sweep over a timing wheel.

Pure asyncio: it imports neither redis nor starlette, and does not know where states come from. How fast they come is
its source's business; see the mirror, which paces its reads.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, Protocol, TypeAlias

from sse_auction.auction import Seen, State
from sse_auction.metrics import (
    FANOUT_SECONDS,
    ROOMS,
    STATES_CONFLATED,
    STATES_DELIVERED,
    STREAMS,
    STREAMS_ENDED,
)
from sse_auction.wire import Update, heartbeat_event, retry_field

EndReason: TypeAlias = Literal["closed", "life", "draining", "failed", "stalled"]
BusyReason: TypeAlias = Literal["draining", "too_many_streams", "store_unavailable"]

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25  # of the wheel: how late a heartbeat or an end may be
QUIET_BEFORE_CLOSING_MS = 30_000  # in which no stream's life ends: every viewer sees the hammer fall
SHORTEST_LIFE = 0.8  # of the longest; the rest is chance, so that a crowd that came at once does not leave at once
RECONNECT_MS = (2000, 4000)  # after a line was lost; a crowd that lost it at once comes back spread out
RECONNECT_AFTER_LIFE_MS = (
    50,
    500,
)  # one stream's end is no crowd: its viewer should miss as little as can be
RECONNECT_AFTER_DRAIN_MS = (500, 3000)
HEARTBEAT_SPREAD = 0.2  # a crowd that got a price at once does not get its heartbeats at once


class Source(Protocol):
    """Where states come from: told which auctions are watched, it publishes theirs."""

    def watch(self, guid: str) -> None: ...

    def unwatch(self, guid: str) -> None: ...


class Item(NamedTuple):
    """What waits for a viewer: SSE bytes, and the slot they replace (a guid, or a kind of event)."""

    slot: str
    data: bytes


class LatestQueue(asyncio.Queue[Item]):
    """A queue with one place per slot: a newer item replaces the one that waits there, and keeps its turn."""

    def _init(self, maxsize: int) -> None:
        self._queue: dict[str, Item] = {}

    def _put(self, item: Item) -> None:
        if item.slot in self._queue:
            STATES_CONFLATED.inc()
        self._queue[item.slot] = item

    def _get(self) -> Item:
        return self._queue.pop(next(iter(self._queue)))

    def take_all(self) -> bytes:
        """The bytes of all that waits, maybe none."""
        return b"".join(self.get_nowait().data for _ in range(self.qsize()))


class Subscriber:
    """One viewer's stream, as the hub sees it; the two ways to deliver are its subclasses."""

    __slots__ = ("behind_since", "ends_at", "heartbeat_seconds", "rooms", "sent_at", "tick", "why_ended")

    def __init__(self) -> None:
        self.rooms: tuple[Room, ...] = ()
        self.sent_at = time.monotonic()  # of what went to him alone; the room knows what went to everybody
        self.behind_since: float | None = None  # since when he has not taken what was sent last
        self.why_ended: EndReason | None = None
        self.heartbeat_seconds = self.ends_at = 0.0  # the hub sets these, and finds him in its wheel by the tick
        self.tick = 0

    def offer(self, slot: str, data: bytes) -> None:
        """Give him `data` next, instead of what still waits in that slot; nothing follows an ending."""
        raise NotImplementedError

    def end(self, reason: EndReason, slot: str, data: bytes) -> None:
        """Give him `data` as his last, after what still waits in other slots."""
        raise NotImplementedError

    def cut(self) -> None:
        """Let him go at once, with nothing more: he takes nothing."""
        raise NotImplementedError


class QueuedSubscriber(Subscriber):
    """A viewer whose bytes are taken from his queue, each piece as soon as it is there, until the end."""

    __slots__ = ("queue",)

    def __init__(self) -> None:
        super().__init__()
        self.queue = LatestQueue()

    def offer(self, slot: str, data: bytes) -> None:
        if self.why_ended is None:
            self.queue.put_nowait(Item(slot, data))

    def end(self, reason: EndReason, slot: str, data: bytes) -> None:
        self.offer(slot, data)
        self.why_ended = self.why_ended or reason

    def __aiter__(self) -> "QueuedSubscriber":
        return self

    async def __anext__(self) -> bytes:
        if self.why_ended is not None and self.queue.empty():
            raise StopAsyncIteration
        first = await self.queue.get()
        return first.data + self.queue.take_all()


class Room:
    """One watched auction: its newest state and its viewers."""

    __slots__ = ("ahead", "among_many", "guid", "ready", "sent_at", "single", "update")

    def __init__(self, guid: str) -> None:
        self.guid = guid
        self.update: Update | None = None
        self.ready = asyncio.Event()
        self.sent_at = 0.0
        self.single: set[Subscriber] = set()  # streams of this auction alone
        self.among_many: set[Subscriber] = set()  # streams of several auctions
        # The few who have seen more than the newest state: resumed from a process that was further, or shown a
        # plain price that has fallen since. They are passed over until something newer than that comes.
        self.ahead: dict[Subscriber, Seen] = {}

    @property
    def is_empty(self) -> bool:
        return not self.single and not self.among_many

    def greet(self, subscriber: Subscriber, now: int) -> None:
        """Give a newcomer the newest state, unless he has seen it or more."""
        if self.update is None:
            return
        seen = self.ahead.pop(subscriber, None)
        if seen is None or seen.is_superseded_by(self.update.seen):
            self._hand(subscriber, self.update, now)
        elif seen != self.update.seen:
            self.ahead[subscriber] = seen

    def _hand(self, subscriber: Subscriber, update: Update, now: int) -> None:
        if subscriber in self.among_many:
            subscriber.offer(self.guid, update.event_among_many(now))
        elif update.is_final:
            subscriber.end("closed", self.guid, update.event(now))
        else:
            subscriber.offer(self.guid, update.event(now))

    def take(self, update: Update) -> bool:
        """Make `update` the newest state; whether it is news for those who have seen the one before."""
        before, self.update = self.update, update
        if before is None:
            self.ready.set()
            return True
        if before.state.tag == update.state.tag:
            return False
        if before.seen.is_superseded_by(update.seen):
            return True
        if update.seen.rev < before.seen.rev:
            self.update = before  # an older revision: read by a slower way, or from a replica that lags
            return False
        for subscriber in (*self.single, *self.among_many):  # a plain price fell: true for newcomers only
            self.ahead.setdefault(subscriber, before.seen)
        return False

    def broadcast(self, now: int) -> int:
        """Hand the newest state to all for whom it is news; how many those are."""
        update = self.update
        assert update is not None
        for subscriber, seen in list(self.ahead.items()):
            if seen.is_superseded_by(update.seen):
                del self.ahead[subscriber]
        single = self.single - self.ahead.keys() if self.ahead else self.single
        many = self.among_many - self.ahead.keys() if self.ahead else self.among_many
        self.sent_at = time.monotonic()
        if single:
            event = update.event(now)
            if update.is_final:
                for subscriber in single:
                    subscriber.end("closed", self.guid, event)
            else:
                for subscriber in single:
                    subscriber.offer(self.guid, event)
        if many:
            event = update.event_among_many(now)
            for subscriber in many:
                subscriber.offer(self.guid, event)
        return len(single) + len(many)

    def closes_soon(self, now: int) -> bool:
        """Whether the auction is about to close."""
        closes_at = self.update.state.changes_at if self.update and self.update.state.status == "open" else None
        return closes_at is not None and closes_at - now < QUIET_BEFORE_CLOSING_MS


class Hub:
    """All rooms and viewers of this process. `run` is its sweep and must be owned by somebody's task."""

    def __init__(
        self,
        source: Source,
        clock: Callable[[], int],
        *,
        heartbeat_seconds: float,
        stream_life_seconds: float,
        max_streams: int,
        stall_seconds: float = 30.0,
    ) -> None:
        self._source = source
        self._clock = clock
        self._heartbeat_seconds = heartbeat_seconds
        self._stream_life_seconds = stream_life_seconds
        self._max_streams = max_streams
        self._stall_seconds = stall_seconds
        self._rooms: dict[str, Room] = {}
        self._subscribers: set[Subscriber] = set()
        self._wheel: dict[int, set[Subscriber]] = {}
        self._live = False
        self._draining = False

    # --- viewers -----------------------------------------------------------------------------------------------

    @property
    def busy_reason(self) -> BusyReason | None:
        """Why no further stream can be opened, or None."""
        if self._draining:
            return "draining"
        return "too_many_streams" if len(self._subscribers) >= self._max_streams else None

    @contextmanager
    def subscribe(
        self, guids: Sequence[str], seen: Seen | None = None, *, many: bool = False
    ) -> Iterator[QueuedSubscriber]:
        """Watch auctions for as long as the context lasts; see `enter`."""
        subscriber = QueuedSubscriber()
        self.enter(subscriber, guids, seen, many=many)
        try:
            yield subscriber
        finally:
            self.leave(subscriber)

    def enter(self, subscriber: Subscriber, guids: Sequence[str], seen: Seen | None, *, many: bool) -> None:
        """Let a viewer watch auctions, until `leave`.

        `seen` is what a viewer of one auction already shows: he is sent nothing twice. With `many`, events carry no
        id and an auction's end does not end the stream.
        """
        subscriber.heartbeat_seconds = self._heartbeat_seconds * (1 - random.random() * HEARTBEAT_SPREAD)
        subscriber.ends_at = subscriber.sent_at + self._stream_life_seconds * random.uniform(SHORTEST_LIFE, 1)
        self._subscribers.add(subscriber)
        STREAMS.inc()
        self._schedule(subscriber)
        subscriber.offer("retry", retry_field(*RECONNECT_MS))
        subscriber.rooms = tuple(self._room(guid) for guid in guids)
        now = self._clock()
        for room in subscriber.rooms:
            (room.among_many if many else room.single).add(subscriber)
            if seen is not None:
                room.ahead[subscriber] = seen
            room.greet(subscriber, now)
        if seen is not None or not self._live:  # who gets no state shall know at once that the line works
            subscriber.offer("hb", heartbeat_event(now, self._live))

    def _room(self, guid: str) -> Room:
        room = self._rooms.get(guid)
        if room is None:
            room = self._rooms[guid] = Room(guid)
            ROOMS.inc()
            self._source.watch(guid)
        return room

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a viewer, and the auctions that nobody watches without him."""
        self._subscribers.discard(subscriber)
        STREAMS.dec()
        STREAMS_ENDED.labels(subscriber.why_ended or "gone").inc()
        self._unschedule(subscriber)
        for room in subscriber.rooms:
            room.single.discard(subscriber)
            room.among_many.discard(subscriber)
            room.ahead.pop(subscriber, None)
            if room.is_empty:
                del self._rooms[room.guid]
                ROOMS.dec()
                self._source.unwatch(room.guid)
        subscriber.rooms = ()

    def fell_behind(self, subscriber: Subscriber) -> None:
        """A viewer has begun not to take what he is sent: look after him when his time for that is up."""
        self._unschedule(subscriber)
        self._schedule(subscriber)

    def state_of(self, guid: str) -> Update | None:
        """The newest state of a watched auction if it is live and time has not changed it since; else None."""
        room = self._rooms.get(guid)
        if room is None or room.update is None or not self._live:
            return None
        changes_at = room.update.state.changes_at
        return None if changes_at is not None and changes_at <= self._clock() else room.update

    async def first_state(self, guid: str, timeout: float) -> Update | None:
        """A watched auction's newest state, waiting for it where there is none yet; None when the time is up."""
        room = self._rooms[guid]
        if room.update is None:
            try:
                async with asyncio.timeout(timeout):
                    await room.ready.wait()
            except TimeoutError:
                return None
        return room.update

    def has_state(self, guid: str) -> bool:
        """Whether a watched auction has any state, however old."""
        room = self._rooms.get(guid)
        return room is not None and room.update is not None

    # --- states ------------------------------------------------------------------------------------------------

    def publish(self, state: State) -> None:
        """Take a state from the source and hand it to the auction's viewers if it is news."""
        room = self._rooms.get(state.guid)
        if room is None or not room.take(Update(state)):
            return
        started = time.perf_counter()
        STATES_DELIVERED.inc(room.broadcast(self._clock()))
        FANOUT_SECONDS.observe(time.perf_counter() - started)

    def set_live(self, live: bool) -> None:
        """Tell every viewer when the prices stop or start again to be live."""
        if live == self._live:
            return
        self._live = live
        event = heartbeat_event(self._clock(), live)
        for subscriber in self._subscribers:
            subscriber.offer("hb", event)

    # --- the sweep ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turn the wheel until cancelled."""
        tick = int(time.monotonic() / TICK_SECONDS)
        while True:
            await asyncio.sleep((tick + 1) * TICK_SECONDS - time.monotonic())
            tick += 1
            for subscriber in self._wheel.pop(tick, ()):
                self._look_after(subscriber, time.monotonic())

    def _look_after(self, subscriber: Subscriber, now: float) -> None:
        """Cut a stalled stream, end one whose time is up, break a silence, and come back when the next is due."""
        behind_since = subscriber.behind_since
        if behind_since is not None and now - behind_since >= self._stall_seconds:
            subscriber.why_ended = "stalled"
            log.info("a viewer of %s took nothing for %g s and is cut", _names(subscriber), now - behind_since)
            subscriber.cut()
            return
        if now >= subscriber.ends_at:
            if self._draining or not any(room.closes_soon(self._clock()) for room in subscriber.rooms):
                self._end(subscriber)
            subscriber.ends_at = now + 1.0
        if now - self._heard_at(subscriber) >= subscriber.heartbeat_seconds:
            subscriber.offer("hb", heartbeat_event(self._clock(), self._live))
            subscriber.sent_at = now
        self._schedule(subscriber)

    def _heard_at(self, subscriber: Subscriber) -> float:
        """When a viewer was last sent anything, in monotonic seconds."""
        return max(subscriber.sent_at, *(room.sent_at for room in subscriber.rooms))

    def _end(self, subscriber: Subscriber) -> None:
        """End one stream; its viewer comes back soon when it only grew old, later when this process goes away."""
        if self._draining:
            subscriber.end("draining", "retry", retry_field(*RECONNECT_AFTER_DRAIN_MS))
        else:
            subscriber.end("life", "retry", retry_field(*RECONNECT_AFTER_LIFE_MS))

    def _schedule(self, subscriber: Subscriber) -> None:
        """Put a viewer into the wheel at the moment at which something may be due for him."""
        heard_at = self._heard_at(subscriber) if subscriber.rooms else subscriber.sent_at
        due = min(heard_at + subscriber.heartbeat_seconds, subscriber.ends_at)
        if subscriber.behind_since is not None:
            due = min(due, subscriber.behind_since + self._stall_seconds)
        subscriber.tick = int(max(due, time.monotonic()) / TICK_SECONDS) + 1
        self._wheel.setdefault(subscriber.tick, set()).add(subscriber)

    def _unschedule(self, subscriber: Subscriber) -> None:
        slot = self._wheel.get(subscriber.tick)
        if slot is not None:
            slot.discard(subscriber)
            if not slot:
                del self._wheel[subscriber.tick]

    # --- the end -----------------------------------------------------------------------------------------------

    def drain(self, window_seconds: float) -> None:
        """Take no new streams, and end those that are open at random moments within the window."""
        self._draining = True
        now = time.monotonic()
        for subscriber in self._subscribers:
            self._unschedule(subscriber)
            subscriber.ends_at = now + random.random() * max(0.0, window_seconds - TICK_SECONDS)
            if subscriber.ends_at <= now:
                self._end(subscriber)
            self._schedule(subscriber)

    def fail(self) -> None:
        """Something here has died: end all streams, so that their viewers go to a process that works."""
        self._draining = True
        for subscriber in self._subscribers:
            subscriber.end("failed", "retry", retry_field(*RECONNECT_AFTER_DRAIN_MS))


def _names(subscriber: Subscriber) -> str:
    return ", ".join(room.guid for room in subscriber.rooms[:3])
