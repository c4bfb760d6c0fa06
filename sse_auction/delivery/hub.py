"""The hub: who watches which auction, and what each viewer gets next.

Rules:
- A state is encoded once per auction and handed to all its viewers in one loop; to a crowd in portions, between which
  the event loop does whatever else there is to do.
- The newest state wins: a viewer has one slot per auction, in which a newer state replaces a waiting one. States in
  between may be skipped, the last one never is, and nothing replaces an ending.
- What anybody here was told, in a bid's reply or by a read, is the least that pollers and newcomers are shown.
- Nobody is shown less than he has seen (`Version.is_superseded_by` decides): a revision never goes back, and a plain
  auction's viewer gets higher prices only.
- No timer and no task per viewer: heartbeats and the ends of streams come from one sweep over a timing wheel.

Pure asyncio: it imports neither redis nor starlette, and does not know where states come from. How fast they come is
its source's business; see the mirror, which paces its reads.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol, TypeAlias

from sse_auction.auction.state import State
from sse_auction.auction.version import Version
from sse_auction.delivery.batches import Batches
from sse_auction.delivery.drain import QUIET_BEFORE_CLOSING_SECONDS, drain_moment
from sse_auction.delivery.events import Update, heartbeat_event, retry_field
from sse_auction.delivery.room import Room
from sse_auction.delivery.subscriber import HEARTBEAT, RETRY, QueuedSubscriber, Subscriber
from sse_auction.delivery.wheel import TimingWheel
from sse_auction.metrics import ROOMS, STREAMS, STREAMS_ENDED

BusyReason: TypeAlias = Literal["draining", "too_many_streams", "store_unavailable"]

TICK_SECONDS = 0.25  # of the wheel: how late a heartbeat or an end may be
SHORTEST_LIFE = 0.8  # of the longest; the rest is chance, so that a crowd that came at once does not leave at once
RECONNECT_MS = (2000, 4000)  # after a line was lost; a crowd that lost it at once comes back spread out
RECONNECT_AFTER_LIFE_MS = (50, 500)  # one stream's end is no crowd: its viewer should miss as little as can be
RECONNECT_AFTER_DRAIN_MS = (500, 3000)
DRAIN_SHARE = 0.8  # of the window; the rest is for those who are slow to take their ending
HEARTBEAT_SPREAD = 0.2  # a crowd that got a price at once does not get its heartbeats at once


class Source(Protocol):
    """Where states come from: told which auctions are watched, it publishes theirs."""

    def watch(self, guid: str) -> None: ...

    def unwatch(self, guid: str) -> None: ...


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
        self._wheel = TimingWheel[Subscriber](TICK_SECONDS)
        self._batches = Batches(clock, self.heartbeat)
        self._behind: set[Subscriber] = set()  # who has not taken what was sent last, and some who have by now
        self._empty = asyncio.Event()  # told when the last viewer has left
        self._drained_from: int | None = None  # how many viewers there were when it began to drain
        self._live = False

    # --- viewers -----------------------------------------------------------------------------------------------

    @property
    def busy_reason(self) -> BusyReason | None:
        """Why no further stream can be opened, or None."""
        if self._drained_from is not None:
            return "draining"
        return "too_many_streams" if len(self._subscribers) >= self._max_streams else None

    @contextmanager
    def subscribe(
        self, guids: Sequence[str], seen: Version | None = None, *, many: bool = False, request: str = ""
    ) -> Iterator[QueuedSubscriber]:
        """Watch auctions for as long as the context lasts; see `enter`. `request` is the id of a stream's request."""
        subscriber = QueuedSubscriber(request, self.on_slow)
        self.enter(subscriber, guids, seen, many=many)
        try:
            yield subscriber
        finally:
            self.leave(subscriber)

    def enter(self, subscriber: Subscriber, guids: Sequence[str], seen: Version | None, *, many: bool) -> None:
        """Let a viewer watch auctions, until `leave`.

        `seen` is what a viewer of one auction already shows: he is sent nothing twice. With `many`, events carry no
        id and an auction's end does not end the stream.
        """
        subscriber.heartbeat_seconds = self._heartbeat_seconds * (1 - random.random() * HEARTBEAT_SPREAD)
        subscriber.ends_at = subscriber.sent_at + self._stream_life_seconds * random.uniform(SHORTEST_LIFE, 1)
        self._subscribers.add(subscriber)
        self._empty.clear()
        STREAMS.inc()
        self._schedule(subscriber)
        subscriber.offer(RETRY, retry_field(*RECONNECT_MS))
        now = self._clock()
        for guid in guids:
            self._room(guid).admit(subscriber, seen, now, many=many)
        subscriber.guids = tuple(guids)  # only now: all of these rooms are there
        if seen is not None or not self._live:  # who gets no state shall know at once that the line works
            subscriber.offer(HEARTBEAT, self.heartbeat())

    def _room(self, guid: str) -> Room:
        room = self._rooms.get(guid)
        if room is None:
            room = self._rooms[guid] = Room(guid)
            ROOMS.inc()
            self._source.watch(guid)
        return room

    def _rooms_of(self, subscriber: Subscriber) -> list[Room]:
        return [self._rooms[guid] for guid in subscriber.guids]

    def leave(self, subscriber: Subscriber) -> None:
        """Forget a viewer, and the auctions that nobody watches without him."""
        self._subscribers.discard(subscriber)
        STREAMS.dec()
        STREAMS_ENDED.labels(subscriber.end_reason or "gone").inc()
        if subscriber.request:
            subscriber.log_end()
        self._unschedule(subscriber)
        self._batches.forget(subscriber)
        self._behind.discard(subscriber)
        for room in self._rooms_of(subscriber):
            room.dismiss(subscriber)
            if room.is_empty:
                del self._rooms[room.guid]
                ROOMS.dec()
                self._source.unwatch(room.guid)
        subscriber.guids = ()
        if not self._subscribers:
            self._empty.set()

    def heartbeat(self) -> bytes:
        """The event that says that the line works, what time it is, and whether prices are live."""
        return heartbeat_event(self._clock(), self._live)

    def on_slow(self, subscriber: Subscriber) -> None:
        """A viewer has begun not to take what he is sent: look after him when his time for that is up."""
        self._behind.add(subscriber)
        self._unschedule(subscriber)
        self._schedule(subscriber)

    def count_behind(self) -> int:
        """How many viewers have not taken what was sent to them last."""
        self._behind = {subscriber for subscriber in self._behind if subscriber.behind_since is not None}
        return len(self._behind)

    def state_of(self, guid: str) -> Update | None:
        """The newest state of a watched auction if it is live and time has not changed it since; else None."""
        room = self._rooms.get(guid)
        newest = room.newest if room is not None and self._live else None
        if newest is None:
            return None
        changes_at = newest.state.changes_at
        return None if changes_at is not None and changes_at <= self._clock() else newest

    async def first_state(self, guid: str, timeout: float) -> Update | None:
        """A watched auction's newest state, waiting for it where there is none yet; None when the time is up."""
        room = self._rooms[guid]
        if room.newest is None:
            try:
                async with asyncio.timeout(timeout):
                    await room.ready.wait()
            except TimeoutError:
                return None
        return room.newest

    def has_state(self, guid: str) -> bool:
        """Whether a watched auction has any state, however old."""
        room = self._rooms.get(guid)
        return room is not None and room.newest is not None

    # --- states ------------------------------------------------------------------------------------------------

    def hear(self, state: State) -> None:
        """Take a state that somebody here is told otherwise: pollers and newcomers are shown no less from now on."""
        room = self._rooms.get(state.guid)
        if room is not None:
            room.hear(Update(state), time.monotonic())

    def publish(self, state: State, asked_at: float = math.inf) -> None:
        """Take a state for which the source asked at this monotonic second, and hand it to viewers if it is news."""
        room = self._rooms.get(state.guid)
        if room is None or not room.take(Update(state), self._clock(), asked_at):
            return
        room.call_all()
        self._batches.queue_room(room)

    def set_live(self, live: bool) -> None:
        """Tell every viewer when the prices stop or start again to be live."""
        if live != self._live:
            self._live = live
            self._batches.queue_liveness(self._subscribers)

    # --- the sweep ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Turn the wheel until cancelled."""
        self._wheel.start()
        while True:
            await asyncio.sleep(self._wheel.seconds_to_sweep)
            for subscriber in self._wheel.sweep():
                self._look_after(subscriber, time.monotonic())

    def _look_after(self, subscriber: Subscriber, now: float) -> None:
        """Cut a stalled stream, end one whose time is up, break a silence, and come back when the next is due."""
        behind_since = subscriber.behind_since
        if behind_since is not None and now - behind_since >= self._stall_seconds:
            subscriber.end_reason = "stalled"
            subscriber.cut()
            return
        if now >= subscriber.ends_at:
            if self._drained_from is not None or not self._closes_soon(subscriber):
                self._end(subscriber)
            subscriber.ends_at = now + 1.0
        if now - self._heard_at(subscriber) >= subscriber.heartbeat_seconds:
            subscriber.offer(HEARTBEAT, self.heartbeat())
            subscriber.sent_at = now
        self._schedule(subscriber)

    def _closes_soon(self, subscriber: Subscriber) -> bool:
        """Whether an auction that he watches is about to close: nobody's stream ends then for its age."""
        return any(seconds < QUIET_BEFORE_CLOSING_SECONDS for seconds in self._closings(subscriber))

    def _closings(self, subscriber: Subscriber) -> list[float]:
        """In how many seconds the auctions of a viewer close."""
        times = [room.seconds_to_closing(self._clock()) for room in self._rooms_of(subscriber)]
        return [seconds for seconds in times if seconds is not None]

    def _heard_at(self, subscriber: Subscriber) -> float:
        """When a viewer was last sent anything, in monotonic seconds."""
        return max(subscriber.sent_at, *(room.sent_at for room in self._rooms_of(subscriber)))

    def _end(self, subscriber: Subscriber) -> None:
        """End one stream; its viewer comes back soon when it only grew old, later when this process goes away."""
        if self._drained_from is not None:
            subscriber.end("draining", RETRY, retry_field(*RECONNECT_AFTER_DRAIN_MS))
        else:
            subscriber.end("life", RETRY, retry_field(*RECONNECT_AFTER_LIFE_MS))

    def _schedule(self, subscriber: Subscriber) -> None:
        """Put a viewer into the wheel at the moment at which something may be due for him."""
        heard_at = self._heard_at(subscriber) if subscriber.guids else subscriber.sent_at
        due = min(heard_at + subscriber.heartbeat_seconds, subscriber.ends_at)
        if subscriber.behind_since is not None:
            due = min(due, subscriber.behind_since + self._stall_seconds)
        subscriber.tick = self._wheel.add(subscriber, due)

    def _unschedule(self, subscriber: Subscriber) -> None:
        self._wheel.remove(subscriber, subscriber.tick)

    # --- the end -----------------------------------------------------------------------------------------------

    def drain(self, window_seconds: float) -> None:
        """Take no new streams, and end those that are open at random moments within the window.

        None is ended in the last moments of its auction, if the window is long enough to end it before or after.
        """
        now = time.monotonic()
        self._drained_from = len(self._subscribers)
        window_seconds *= DRAIN_SHARE
        for subscriber in list(self._subscribers):
            self._unschedule(subscriber)
            subscriber.ends_at = now + drain_moment(self._closings(subscriber), window_seconds)
            if subscriber.ends_at <= now:
                self._end(subscriber)
            self._schedule(subscriber)

    @property
    def drain_progress(self) -> float:
        """The share of the viewers who were there when draining began and who have left; 0 before."""
        if self._drained_from is None:
            return 0.0
        return 1 - len(self._subscribers) / self._drained_from if self._drained_from else 1.0

    async def emptied(self) -> None:
        """Wait until the last viewer has left."""
        if self._subscribers:
            await self._empty.wait()

    def cut_rest(self) -> None:
        """Let everybody go at once who is still there."""
        for subscriber in list(self._subscribers):
            subscriber.cut()

    def fail(self) -> None:
        """Something here has died: end all streams, so that their viewers go to a process that works."""
        self._drained_from = len(self._subscribers)
        for subscriber in list(self._subscribers):
            subscriber.end("failed", RETRY, retry_field(*RECONNECT_AFTER_DRAIN_MS))
