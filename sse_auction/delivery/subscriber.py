"""A subscriber: the receiving end of a subscription at the hub, and the queue in which the newest state waits for it.

There are three kinds. A `DirectStream` (in `direct`) writes SSE bytes to its own connection. An `EventSubscriber` has
its SSE bytes taken from its queue. A `StateSubscriber` has states taken from it, before they are made into bytes.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeAlias

from sse_auction.delivery.events import Update
from sse_auction.metrics import STATES_CONFLATED

log = logging.getLogger(__name__)

EndReason: TypeAlias = Literal["closed", "life", "draining", "failed", "stalled"]

RETRY = "retry"  # the slot of the SSE field that says how soon to reconnect; it is no event
HEARTBEAT = "hb"


class Item(NamedTuple):
    """What waits for a subscriber: the slot that it replaces (a guid, or a kind of event), and SSE bytes or a state."""

    slot: str
    data: bytes
    update: Update | None = None


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

    def take_items(self) -> list[Item]:
        """All that waits; may be empty."""
        return [self.get_nowait() for _ in range(self.qsize())]

    def take_all(self) -> bytes:
        """The bytes of all that waits; may be empty."""
        return b"".join(item.data for item in self.take_items())

    def count_events(self) -> int:
        """How many events wait; a retry field is none."""
        return len(self._queue) - (RETRY in self._queue)


class Writer(Protocol):
    """What takes bytes at once, such as a transport."""

    def write(self, data: bytes) -> None: ...


class Subscriber:
    """One subscription. The hub makes and schedules it; subclasses say how it is delivered."""

    __slots__ = (
        "behind_since",
        "end_reason",
        "ends_at",
        "events",
        "guids",
        "heartbeat_seconds",
        "opened_at",
        "ready",
        "request",
        "sent_at",
        "tick",
    )  # fmt: skip

    def __init__(self, request: str) -> None:
        self.request = request  # the id of the request that opened a stream; empty for any other subscription
        self.guids: tuple[str, ...] = ()  # the auctions that it watches
        # Takes the next bytes at once; None while the subscriber is behind or has ended: then use `send`.
        self.ready: Writer | None = None
        self.opened_at = self.sent_at = time.monotonic()  # sent to this one alone; a room has its own `sent_at`
        self.events = 0  # how many were sent
        self.behind_since: float | None = None  # since when it has not taken what was sent last
        self.end_reason: EndReason | None = None
        self.heartbeat_seconds = self.ends_at = 0.0  # set by the hub
        self.tick = 0  # its place in the hub's timing wheel

    def send(self, slot: str, data: bytes) -> None:
        """Send `data`, in place of what still waits in that slot. Does nothing after `end`."""
        raise NotImplementedError

    def end(self, reason: EndReason, slot: str, data: bytes) -> None:
        """Send `data` as the last event, after what waits in other slots."""
        raise NotImplementedError

    def abort(self) -> None:
        """Close at once, and drop what waits: the other end does not take it."""
        raise NotImplementedError

    def log_end(self) -> None:
        """Log the end of a stream, with its request's id."""
        reason, age = self.end_reason or "gone", round(time.monotonic() - self.opened_at, 3)
        fields = {
            "request": self.request, "auctions": self.guids, "reason": reason, "age_seconds": age,
            "events": self.events,
        }  # fmt: skip
        names = ", ".join(self.guids[:3])
        log.info("a stream of %s ended: %s after %g s and %d events", names, reason, age, self.events, extra=fields)


class QueuedSubscriber(Subscriber):
    """A subscriber with a queue, from which a consumer takes items, until the end.

    The consumer passes on what it takes before it takes more. So an item that still waits when the next one comes
    means that the other end has not taken the last one: then `on_slow` is called, and `on_abort` when that lasts
    too long.
    """

    __slots__ = ("_on_slow", "on_abort", "queue")

    def __init__(self, request: str, on_slow: Callable[[Subscriber], None]) -> None:
        super().__init__(request)
        self.queue = LatestQueue()
        self.on_abort: Callable[[], object] = _do_nothing
        self._on_slow = on_slow

    def send(self, slot: str, data: bytes) -> None:
        self._put(Item(slot, data))

    def _put(self, item: Item) -> None:
        if self.end_reason is not None:
            return
        if self.behind_since is None and not self.queue.empty():
            self.behind_since = time.monotonic()
            self._on_slow(self)
        self.queue.put_nowait(item)

    def end(self, reason: EndReason, slot: str, data: bytes) -> None:
        self.send(slot, data)
        self.end_reason = self.end_reason or reason

    def abort(self) -> None:
        self.on_abort()

    async def take(self) -> list[Item]:
        """All items, as soon as there is one. An empty list after the end."""
        if self.end_reason is not None and self.queue.empty():
            return []
        first = await self.queue.get()
        self.behind_since = None
        self.events += (first.slot != RETRY) + self.queue.count_events()
        return [first, *self.queue.take_items()]


class EventSubscriber(QueuedSubscriber):
    """Iterates over SSE bytes."""

    __slots__ = ()

    def __aiter__(self) -> "EventSubscriber":
        return self

    async def __anext__(self) -> bytes:
        if items := await self.take():
            return b"".join(item.data for item in items)
        raise StopAsyncIteration


class States(Protocol):
    """The newest states, as the hub knows them."""

    @property
    def is_live(self) -> bool: ...

    def state_of(self, guid: str) -> Update | None: ...


class StateSubscriber(QueuedSubscriber):
    """Gets states before they are made into bytes; retry fields and heartbeats come as bytes.

    It iterates over the watched auctions' newest states, each as soon as it changes. None means that prices are not
    live; when they are live again, all states follow. A cancelled step loses nothing but the news that it waited for.
    """

    __slots__ = ("_changed", "_states", "_was_live")

    def __init__(self, request: str, on_slow: Callable[[Subscriber], None], states: States) -> None:
        super().__init__(request, on_slow)
        self._states = states
        self._changed: dict[str, None] = {}
        self._was_live = True

    def send_update(self, update: Update) -> None:
        """Send a state, in place of an older one of the same auction that still waits."""
        self._put(Item(update.guid, b"", update))

    def __aiter__(self) -> "StateSubscriber":
        return self

    async def __anext__(self) -> Update | None:
        while True:
            while self._changed:
                guid = next(iter(self._changed))
                del self._changed[guid]
                if update := self._states.state_of(guid):
                    return update
            items = await self.take()
            if not items:
                raise StopAsyncIteration
            if not self._states.is_live:
                if self._was_live:
                    self._was_live = False
                    return None
            elif self._was_live:
                self._changed.update((item.slot, None) for item in items if item.update is not None)
            else:
                self._was_live = True
                self._changed.update(dict.fromkeys(self.guids))


def _do_nothing() -> None:
    pass
