"""A viewer's stream, as the hub sees it, and the queue of one slot in which the newest state waits for a slow one."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol, TypeAlias

from sse_auction.metrics import STATES_CONFLATED

log = logging.getLogger(__name__)

EndReason: TypeAlias = Literal["closed", "life", "draining", "failed", "stalled"]


RETRY = "retry"  # the slot of what is no event: how soon to come back
HEARTBEAT = "hb"


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

    def take_items(self) -> list[Item]:
        """All that waits, maybe nothing."""
        return [self.get_nowait() for _ in range(self.qsize())]

    def take_all(self) -> bytes:
        """The bytes of all that waits, maybe none."""
        return b"".join(item.data for item in self.take_items())

    def count_events(self) -> int:
        """How many events wait; a retry field is none."""
        return len(self._queue) - (RETRY in self._queue)


class Writer(Protocol):
    """What takes bytes at once, such as a transport."""

    def write(self, data: bytes) -> None: ...


class Subscriber:
    """One viewer's stream; the two ways to deliver are its subclasses."""

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
        self.request = request  # the id of the request that opened a stream; empty for whoever waits in another way
        self.guids: tuple[str, ...] = ()  # of the auctions that he watches
        # Takes what comes next for him at once; None where he is behind, or has ended: then it must be offered.
        self.ready: Writer | None = None
        self.opened_at = self.sent_at = time.monotonic()  # sent: to him alone; the room knows what went to everybody
        self.events = 0  # that were sent to him
        self.behind_since: float | None = None  # since when he has not taken what was sent last
        self.end_reason: EndReason | None = None
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
    """A viewer whose bytes are taken from his queue, each piece as soon as it is there, until the end.

    Whoever takes them passes them on before he takes more. So something that waits here means that the viewer has
    not taken what was sent last: `on_slow` is told, and `cut_by` called when that has lasted too long.
    """

    __slots__ = ("_on_slow", "cut_by", "queue")

    def __init__(self, request: str, on_slow: Callable[[Subscriber], None]) -> None:
        super().__init__(request)
        self.queue = LatestQueue()
        self.cut_by: Callable[[], object] = _nobody
        self._on_slow = on_slow

    def offer(self, slot: str, data: bytes) -> None:
        if self.end_reason is not None:
            return
        if self.behind_since is None and not self.queue.empty():
            self.behind_since = time.monotonic()
            self._on_slow(self)
        self.queue.put_nowait(Item(slot, data))

    def end(self, reason: EndReason, slot: str, data: bytes) -> None:
        self.offer(slot, data)
        self.end_reason = self.end_reason or reason

    def cut(self) -> None:
        self.cut_by()

    def __aiter__(self) -> "QueuedSubscriber":
        return self

    async def __anext__(self) -> bytes:
        if items := await self.take():
            return b"".join(item.data for item in items)
        raise StopAsyncIteration

    async def take(self) -> list[Item]:
        """Whatever comes for him next, as soon as there is something; nothing after an ending."""
        if self.end_reason is not None and self.queue.empty():
            return []
        first = await self.queue.get()
        self.behind_since = None
        self.events += (first.slot != RETRY) + self.queue.count_events()
        return [first, *self.queue.take_items()]


def _nobody() -> None:
    pass
