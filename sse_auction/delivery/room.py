"""One watched auction: its newest state, its viewers, and who of them still is to get it.

What its source publishes is pushed to the viewers. What was told to somebody in another way, such as a bid's reply, may
be newer for a moment: it is the least that newcomers and pollers are shown, and gives way to what is published next.

A state is handed to viewers in portions, so that a crowd's share of the loop never keeps bids and polls waiting.
A newer state that comes meanwhile is what the rest gets; those who have had the older one then wait behind them. So
everybody's turn comes within one round, however fast states follow each other.
"""

import asyncio
import time
from itertools import islice

from sse_auction.auction.state import State
from sse_auction.auction.version import Version
from sse_auction.delivery.events import Update
from sse_auction.delivery.subscriber import Subscriber


class Room:
    """One watched auction."""

    __slots__ = ("_waiting", "ahead", "among_many", "guid", "ready", "sent_at", "single", "told", "told_at", "update")

    def __init__(self, guid: str) -> None:
        self.guid = guid
        self.update: Update | None = None  # what was published last
        self.told: Update | None = None  # what somebody was told since, if that is newer
        self.told_at = 0.0  # monotonic seconds
        self.ready = asyncio.Event()
        self.sent_at = 0.0
        # Viewers by the order in which they came, which is that of their objects in memory: a tenth quicker to go
        # through than a set. Those who watch this auction alone, and those who watch several.
        self.single: dict[Subscriber, None] = {}
        self.among_many: dict[Subscriber, None] = {}
        # The few who have seen more than was published: shown what was told, resumed from a process that was further,
        # or shown a plain price that has fallen since. They are passed over until something newer than that comes.
        self.ahead: dict[Subscriber, Version] = {}
        self._waiting: dict[Subscriber, None] = {}  # who still is to get the newest state, in this order

    @property
    def is_empty(self) -> bool:
        """Whether nobody watches."""
        return not self.single and not self.among_many

    @property
    def is_waited_in(self) -> bool:
        """Whether somebody still is to get the newest state."""
        return bool(self._waiting)

    @property
    def newest(self) -> Update | None:
        """The newest state that anybody here was shown."""
        return self.told or self.update

    def admit(self, subscriber: Subscriber, seen: Version | None, now: int, *, many: bool) -> None:
        """Let a viewer in and give him the newest state, unless he has seen it or more."""
        (self.among_many if many else self.single)[subscriber] = None
        newest = self.newest
        if newest is not None and (seen is None or seen.is_superseded_by(newest.seen)):
            self._hand(newest, [subscriber], now)
            seen = newest.seen
        if seen is not None and (self.update is None or seen != self.update.seen):
            self.ahead[subscriber] = seen

    def dismiss(self, subscriber: Subscriber) -> None:
        """Forget a viewer."""
        self.single.pop(subscriber, None)
        self.among_many.pop(subscriber, None)
        self.ahead.pop(subscriber, None)
        self._waiting.pop(subscriber, None)

    def hear(self, update: Update, moment: float) -> None:
        """Somebody is told `update`, at this moment: show no newcomer less."""
        newest = self.newest
        if newest is None or _is_newer(update.state, newest.state):
            self.told, self.told_at = update, moment

    def take(self, update: Update, now: int, asked_at: float) -> bool:
        """Make `update` the newest state; whether it is news for those who have seen the one before.

        What was told gives way to what was asked for afterwards, whatever that is: the store knows best. Of what was
        under way at the same time, the newer one counts.
        """
        told, self.told = self.told, None
        if told is not None and asked_at < self.told_at and not _is_newer(update.state, told.state):
            update = told
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
        self.update = before
        self.serve(len(self._waiting), now)  # a plain price fell: who still waits for the higher one gets that first
        self.update = update
        for subscriber in (*self.single, *self.among_many):  # the lower one is true for newcomers only
            self.ahead.setdefault(subscriber, before.seen)
        return False

    def call_all(self) -> None:
        """Let everybody wait for the newest state for whom it is news."""
        assert self.update is not None
        newest = self.update.seen
        self._waiting.update(self.single)
        self._waiting.update(self.among_many)
        for subscriber, seen in list(self.ahead.items()):
            if seen == newest or seen.is_superseded_by(newest):
                del self.ahead[subscriber]
            if not seen.is_superseded_by(newest):
                self._waiting.pop(subscriber, None)

    def serve(self, most: int, now: int) -> int:
        """Hand the newest state to the first `most` of those who wait for it; how many those were."""
        assert self.update is not None
        portion = list(islice(self._waiting, most))
        if len(portion) == len(self._waiting):
            self._waiting.clear()
        else:
            for subscriber in portion:
                del self._waiting[subscriber]
        self.sent_at = time.monotonic()
        self._hand(self.update, portion, now)
        return len(portion)

    def _hand(self, update: Update, portion: list[Subscriber], now: int) -> None:
        guid = self.guid
        if self.among_many:
            many = [subscriber for subscriber in portion if subscriber in self.among_many]
            portion = [subscriber for subscriber in portion if subscriber in self.single] if many else portion
            event = update.event_among_many(now)
            for subscriber in many:
                subscriber.offer(guid, event)
        if not portion:
            return
        event = update.event(now)
        if update.is_final:
            for subscriber in portion:
                subscriber.end("closed", guid, event)
            return
        for subscriber in portion:  # the innermost loop of the service
            if subscriber.ready is not None:
                subscriber.ready.write(event)
                subscriber.events += 1
            else:
                subscriber.offer(guid, event)

    def seconds_to_closing(self, now: int) -> float | None:
        """How long an open auction still is open, as far as is known; None for others."""
        newest = self.newest
        if newest is None or newest.state.status != "open" or newest.state.changes_at is None:
            return None
        return (newest.state.changes_at - now) / 1000


def _is_newer(state: State, before: State) -> bool:
    """Whether a state is not the one `before`, nor an earlier one: by the revision, or else by the store's clock."""
    if state.tag == before.tag:
        return False
    if state.rev != before.rev and state.epoch == before.epoch:
        return state.rev > before.rev
    return state.now >= before.now
