"""The hub: who watches which auction, and what each subscriber gets next.

Rules:
- A state is encoded once per auction and delivered to all its viewers in one loop; to a crowd in batches, between
  which the event loop does other work.
- The newest state wins: a subscriber has one slot per auction, in which a newer state replaces a waiting one. States in
  between may be skipped, the last one never is, and nothing replaces an ending.
- A state that this process has shown in any way, such as in a bid's reply, is the least that polls and newcomers get.
- A viewer never gets less than it has seen (`Version.is_superseded_by` decides): a revision never goes back, and a
  viewer of an external auction gets higher prices only.
- No timer and no task per viewer: heartbeats and the ends of streams come from one sweep over a timing wheel.

Pure asyncio: it imports neither redis nor starlette, and does not know where states come from. The source decides how
fast they come; see the mirror, which paces its reads.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol, TypeAlias, TypeVar

from sse_auction.auction.state import State
from sse_auction.auction.version import Version
from sse_auction.delivery.batches import Batches
from sse_auction.delivery.drain import QUIET_BEFORE_CLOSING_SECONDS, drain_moment
from sse_auction.delivery.events import Update, heartbeat_event, retry_field
from sse_auction.delivery.room import Room
from sse_auction.delivery.subscriber import HEARTBEAT, RETRY, EventSubscriber, StateSubscriber, Subscriber
from sse_auction.delivery.wheel import TimingWheel
from sse_auction.metrics import ROOMS, STREAMS, STREAMS_ENDED

_S = TypeVar("_S", bound=Subscriber)

BusyReason: TypeAlias = Literal["draining", "too_many_streams", "store_unavailable"]

TICK_SECONDS = 0.25  # of the wheel: how late a heartbeat or an end may be
MIN_LIFE_SHARE = 0.8  # of the longest life; the rest is random, so that a crowd does not reconnect at once
RECONNECT_MS = (2000, 4000)  # after a lost connection; a crowd that lost it at once comes back spread out
# The end of one old stream makes no crowd: its viewer should miss as little as possible.
RECONNECT_AFTER_MS = {"life": (50, 500), "draining": (500, 3000), "failed": (500, 3000)}
DRAIN_SHARE = 0.8  # of the window; the rest is for viewers that are slow to take their ending
HEARTBEAT_SPREAD = 0.2  # a crowd that got a price at once does not get its heartbeats at once


class Source(Protocol):
    """Where states come from. It publishes the states of the auctions that it is asked to watch."""

    def watch(self, guid: str) -> None: ...

    def unwatch(self, guid: str) -> None: ...


class Hub:
    """All rooms and subscribers of this process. `run` is its sweep; a task must own it."""

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
        self._behind: set[Subscriber] = set()  # all that have not taken what was sent last, and some that have by now
        self._empty = asyncio.Event()  # set while there is no subscriber
        self._drained_from: int | None = None  # how many subscribers there were when it closed to new ones
        self._live = False

    # --- subscribers -------------------------------------------------------------------------------------------

    @property
    def busy_reason(self) -> BusyReason | None:
        """Why no further stream can be opened, or None."""
        if self._drained_from is not None:
            return "draining"
        return "too_many_streams" if len(self._subscribers) >= self._max_streams else None

    @property
    def is_live(self) -> bool:
        """Whether prices are live: the source knows that every watched auction is as the store has it."""
        return self._live

    def subscribe(
        self, guids: Sequence[str], seen: Version | None = None, *, multi: bool = False, request: str = ""
    ) -> AbstractContextManager[EventSubscriber]:
        """Watch auctions as SSE events for as long as the context lasts; see `enter`."""
        return self._entered(EventSubscriber(request, self.on_slow), guids, seen, multi=multi)

    def watch(
        self, guids: Sequence[str], seen: Version | None = None, *, request: str = ""
    ) -> AbstractContextManager[StateSubscriber]:
        """Watch auctions as states for as long as the context lasts; see `enter`."""
        return self._entered(StateSubscriber(request, self.on_slow, self), guids, seen, multi=True)

    @contextmanager
    def _entered(self, subscriber: _S, guids: Sequence[str], seen: Version | None, *, multi: bool) -> Iterator[_S]:
        self.enter(subscriber, guids, seen, multi=multi)
        try:
            yield subscriber
        finally:
            self.leave(subscriber)

    def enter(self, subscriber: Subscriber, guids: Sequence[str], seen: Version | None, *, multi: bool) -> None:
        """Let a subscriber watch auctions, until `leave`.

        `seen` is what the viewer of one auction already shows: it gets nothing twice. With `multi`, events carry no
        id and an auction's end does not end the stream. The hub ends it by age, and when this process stops.
        """
        subscriber.heartbeat_seconds = self._heartbeat_seconds * (1 - random.random() * HEARTBEAT_SPREAD)
        subscriber.ends_at = subscriber.sent_at + self._stream_life_seconds * random.uniform(MIN_LIFE_SHARE, 1)
        self._subscribers.add(subscriber)
        self._empty.clear()
        STREAMS.inc()
        self._schedule(subscriber)
        subscriber.send(RETRY, retry_field(*RECONNECT_MS))
        now = self._clock()
        for guid in guids:
            self._room(guid).add(subscriber, seen, now, multi=multi)
        subscriber.guids = tuple(guids)  # only now: all of these rooms are there
        if seen is not None or not self._live:  # a viewer that gets no state learns at once that the connection works
            subscriber.send(HEARTBEAT, self.heartbeat())

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
        """Remove a subscriber, and unwatch the auctions that it was the last to watch."""
        self._subscribers.discard(subscriber)
        STREAMS.dec()
        STREAMS_ENDED.labels(subscriber.end_reason or "gone").inc()
        if subscriber.request:
            subscriber.log_end()
        self._unschedule(subscriber)
        self._batches.forget(subscriber)
        self._behind.discard(subscriber)
        for room in self._rooms_of(subscriber):
            room.remove(subscriber)
            if room.is_empty:
                del self._rooms[room.guid]
                ROOMS.dec()
                self._source.unwatch(room.guid)
        subscriber.guids = ()
        if not self._subscribers:
            self._empty.set()

    def heartbeat(self) -> bytes:
        """The heartbeat event of this moment."""
        return heartbeat_event(self._clock(), self._live)

    def on_slow(self, subscriber: Subscriber) -> None:
        """Called when a subscriber stops taking what is sent; schedules its stall check."""
        self._behind.add(subscriber)
        self._unschedule(subscriber)
        self._schedule(subscriber)

    def count_behind(self) -> int:
        """How many subscribers have not taken what was sent to them last."""
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
        """A watched auction's newest state. Waits for the first one; None after `timeout` seconds without."""
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

    def show(self, state: State) -> None:
        """Note a state that this process shows in another way: polls and newcomers get no less from now on."""
        room = self._rooms.get(state.guid)
        if room is not None:
            room.show(Update(state), time.monotonic())

    def publish(self, state: State, asked_at: float = math.inf) -> None:
        """Accept a state from the source, which asked for it at this monotonic second; deliver it if it is news."""
        room = self._rooms.get(state.guid)
        if room is not None and room.accept(Update(state), self._clock(), asked_at):
            self._batches.queue_room(room)

    def set_live(self, live: bool) -> None:
        """Note whether prices are live, and send a heartbeat, which says so, to all when that changes."""
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
        """Abort a stalled stream, end one whose time is up, send a due heartbeat, and schedule the next look."""
        behind_since = subscriber.behind_since
        if behind_since is not None and now - behind_since >= self._stall_seconds:
            subscriber.end_reason = "stalled"
            subscriber.abort()
            return
        if now >= subscriber.ends_at:
            if self._drained_from is not None or not self._closes_soon(subscriber):
                self._end(subscriber, "life" if self._drained_from is None else "draining")
            subscriber.ends_at = now + 1.0
        if now - self._last_sent_at(subscriber) >= subscriber.heartbeat_seconds:
            subscriber.send(HEARTBEAT, self.heartbeat())
            subscriber.sent_at = now
        self._schedule(subscriber)

    def _closes_soon(self, subscriber: Subscriber) -> bool:
        """Whether an auction that it watches is about to close: then no stream ends because of its age."""
        return any(seconds < QUIET_BEFORE_CLOSING_SECONDS for seconds in self._closings(subscriber))

    def _closings(self, subscriber: Subscriber) -> list[float]:
        """In how many seconds the auctions of a subscriber close."""
        times = [room.seconds_to_closing(self._clock()) for room in self._rooms_of(subscriber)]
        return [seconds for seconds in times if seconds is not None]

    def _last_sent_at(self, subscriber: Subscriber) -> float:
        """When anything was last sent to a subscriber, in monotonic seconds."""
        return max(subscriber.sent_at, *(room.sent_at for room in self._rooms_of(subscriber)))

    def _end(self, subscriber: Subscriber, reason: Literal["life", "draining", "failed"]) -> None:
        subscriber.end(reason, RETRY, retry_field(*RECONNECT_AFTER_MS[reason]))

    def _schedule(self, subscriber: Subscriber) -> None:
        """Put a subscriber into the wheel at the moment at which something may be due for it."""
        last_sent_at = self._last_sent_at(subscriber) if subscriber.guids else subscriber.sent_at
        due = min(last_sent_at + subscriber.heartbeat_seconds, subscriber.ends_at)
        if subscriber.behind_since is not None:
            due = min(due, subscriber.behind_since + self._stall_seconds)
        subscriber.tick = self._wheel.add(subscriber, due)

    def _unschedule(self, subscriber: Subscriber) -> None:
        self._wheel.remove(subscriber, subscriber.tick)

    # --- the end -----------------------------------------------------------------------------------------------

    def drain(self, window_seconds: float) -> None:
        """Take no new streams, and end the open ones at random moments within the window.

        No stream ends in the last moments of its auction, if the window is long enough to end it before or after.
        """
        now = time.monotonic()
        self._drained_from = len(self._subscribers)
        window_seconds *= DRAIN_SHARE
        for subscriber in list(self._subscribers):
            self._unschedule(subscriber)
            subscriber.ends_at = now + drain_moment(self._closings(subscriber), window_seconds)
            if subscriber.ends_at <= now:
                self._end(subscriber, "draining")
            self._schedule(subscriber)

    @property
    def drain_progress(self) -> float:
        """The share of the subscribers that have left since draining began; 0 before it began."""
        if self._drained_from is None:
            return 0.0
        return 1 - len(self._subscribers) / self._drained_from if self._drained_from else 1.0

    async def emptied(self) -> None:
        """Wait until the last subscriber has left."""
        if self._subscribers:
            await self._empty.wait()

    def abort_rest(self) -> None:
        """Abort all streams that are still open."""
        for subscriber in list(self._subscribers):
            subscriber.abort()

    def fail(self) -> None:
        """End all streams, so that their clients reconnect to a process that works."""
        self._drained_from = len(self._subscribers)
        for subscriber in list(self._subscribers):
            self._end(subscriber, "failed")
