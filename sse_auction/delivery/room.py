"""One watched auction: its newest state, its subscribers, and which of them still wait for that state.

A state that the source publishes is pushed to the subscribers. A state that this process has shown in another way, such
as a bid's reply, may be newer for a moment: newcomers and polls get no less, and the next published state replaces it.

A state is delivered in batches, so that a crowd never keeps bids and polls waiting. When a newer state comes in
between, the remaining subscribers get the newer one, and those that got the older one queue behind them. So each
subscriber gets its turn in every round, however fast states follow each other.
"""

import asyncio
import time
from itertools import islice

from sse_auction.auction.state import State
from sse_auction.auction.version import Version
from sse_auction.delivery.events import Update
from sse_auction.delivery.subscriber import StateSubscriber, Subscriber


class Room:
    """One watched auction."""

    __slots__ = (
        "_pending",
        "ahead",
        "guid",
        "multi",
        "ready",
        "sent_at",
        "shown",
        "shown_at",
        "single",
        "states",
        "update",
    )

    def __init__(self, guid: str) -> None:
        self.guid = guid
        self.update: Update | None = None  # what was published last
        self.shown: Update | None = None  # what was shown since in another way, if that is newer
        self.shown_at = 0.0  # monotonic seconds
        self.ready = asyncio.Event()
        self.sent_at = 0.0
        # Subscribers in the order in which they came, which is that of their objects in memory: a loop over a dict is
        # a tenth quicker than over a set. Those of this auction alone, those of several, and those of states.
        self.single: dict[Subscriber, None] = {}
        self.multi: dict[Subscriber, None] = {}
        self.states: dict[StateSubscriber, None] = {}
        # The few that have seen more than was published: they got what was shown, resumed from a process that was
        # further, or have seen an external price that has fallen since. They wait for something newer than that.
        self.ahead: dict[Subscriber, Version] = {}
        self._pending: dict[Subscriber, None] = {}  # still to get the newest state, in this order

    @property
    def is_empty(self) -> bool:
        """Whether there is no subscriber."""
        return not (self.single or self.multi or self.states)

    @property
    def has_pending(self) -> bool:
        """Whether a subscriber still waits for the newest state."""
        return bool(self._pending)

    @property
    def newest(self) -> Update | None:
        """The newest state that this process has shown in any way."""
        return self.shown or self.update

    def add(self, subscriber: Subscriber, seen: Version | None, now: int, *, multi: bool) -> None:
        """Add a subscriber and send it the newest state, unless it has seen that or more."""
        if isinstance(subscriber, StateSubscriber):
            self.states[subscriber] = None
        else:
            (self.multi if multi else self.single)[subscriber] = None
        newest = self.newest
        if newest is not None and (seen is None or seen.is_superseded_by(newest.seen)):
            self._deliver(newest, [subscriber], now)
            seen = newest.seen
        if seen is not None and (self.update is None or seen != self.update.seen):
            self.ahead[subscriber] = seen

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        if isinstance(subscriber, StateSubscriber):
            del self.states[subscriber]
        self.single.pop(subscriber, None)
        self.multi.pop(subscriber, None)
        self.ahead.pop(subscriber, None)
        self._pending.pop(subscriber, None)

    def show(self, update: Update, moment: float) -> None:
        """Note that this process shows `update` in another way at this moment: newcomers and polls get no less."""
        newest = self.newest
        if newest is None or _is_newer(update.state, newest.state):
            self.shown, self.shown_at = update, moment

    def accept(self, update: Update, now: int, asked_at: float) -> bool:
        """Make `update` the newest state, and queue all subscribers for it if it is news to them; whether it is.

        It replaces what was shown before the source asked for it, whatever that was: the store knows best. Of two
        states that were on their way at the same time, the newer one counts.
        """
        shown, self.shown = self.shown, None
        if shown is not None and asked_at < self.shown_at and not _is_newer(update.state, shown.state):
            update = shown
        before, self.update = self.update, update
        if before is None:
            self.ready.set()
        elif before.state.tag == update.state.tag:
            return False
        elif not before.seen.is_superseded_by(update.seen):
            self._accept_older(update, before, now)
            return False
        self._queue_all()
        return True

    def _accept_older(self, update: Update, before: Update, now: int) -> None:
        """Take a state that is no news to those who have seen the one before."""
        self.update = before
        if update.seen.rev < before.seen.rev:
            return  # an older revision: read by a slower way, or from a replica that lags
        self.deliver_batch(len(self._pending), now)  # an external price fell: the higher one is still due to these
        self.update = update
        for subscriber in (*self.single, *self.multi, *self.states):  # the lower one is true for newcomers only
            self.ahead.setdefault(subscriber, before.seen)

    def _queue_all(self) -> None:
        """Queue all subscribers to which the newest state is news."""
        assert self.update is not None
        newest = self.update.seen
        self._pending.update(self.single)
        self._pending.update(self.multi)
        self._pending.update(dict.fromkeys(self.states))
        for subscriber, seen in list(self.ahead.items()):
            if seen == newest or seen.is_superseded_by(newest):
                del self.ahead[subscriber]
            if not seen.is_superseded_by(newest):
                self._pending.pop(subscriber, None)

    def deliver_batch(self, max_size: int, now: int) -> int:
        """Deliver the newest state to the first `max_size` subscribers that wait for it; how many those were."""
        assert self.update is not None
        batch = list(islice(self._pending, max_size))
        if len(batch) == len(self._pending):
            self._pending.clear()
        else:
            for subscriber in batch:
                del self._pending[subscriber]
        self.sent_at = time.monotonic()
        self._deliver(self.update, batch, now)
        return len(batch)

    def _deliver(self, update: Update, batch: list[Subscriber], now: int) -> None:
        if self.multi or self.states:
            batch = self._deliver_to_others(update, batch, now)
        if not batch:
            return
        guid = self.guid
        event = update.event(now)
        if update.is_final:
            for subscriber in batch:
                subscriber.end("closed", guid, event)
            return
        for subscriber in batch:  # the innermost loop of the service
            if subscriber.ready is not None:
                subscriber.ready.write(event)
                subscriber.events += 1
            else:
                subscriber.send(guid, event)

    def _deliver_to_others(self, update: Update, batch: list[Subscriber], now: int) -> list[Subscriber]:
        """Deliver to those that do not watch this auction alone as a stream; returns the rest of the batch."""
        if self.states:
            for subscriber in batch:
                if isinstance(subscriber, StateSubscriber):
                    subscriber.send_update(update)
        if multi := [subscriber for subscriber in batch if subscriber in self.multi]:
            event = update.multi_event(now)
            for subscriber in multi:
                subscriber.send(self.guid, event)
        return [subscriber for subscriber in batch if subscriber in self.single]

    def seconds_to_closing(self, now: int) -> float | None:
        """In how many seconds an open auction closes, as far as is known; None for others."""
        newest = self.newest
        if newest is None or newest.state.status != "open" or newest.state.changes_at is None:
            return None
        return (newest.state.changes_at - now) / 1000


def _is_newer(state: State, before: State) -> bool:
    """Whether a state is later than the one `before`: by the revision, or else by the store's clock."""
    if state.tag == before.tag:
        return False
    if state.rev != before.rev and state.epoch == before.epoch:
        return state.rev > before.rev
    return state.now >= before.now
