"""Delivery to crowds in batches: between two batches the event loop does other work."""

import asyncio
import time
from collections.abc import Callable, Iterable
from itertools import islice

from sse_auction.delivery.room import Room
from sse_auction.delivery.subscriber import HEARTBEAT, Subscriber
from sse_auction.metrics import FANOUT_SECONDS, STATES_DELIVERED

BATCH_SIZE = 256  # subscribers in one turn of the loop: 2 to 3 ms


class Batches:
    """Delivers to rooms in turn, and changes of liveness before all else. `clock` is the store's, in epoch ms."""

    def __init__(self, clock: Callable[[], int], heartbeat: Callable[[], bytes]) -> None:
        self._clock = clock
        self._heartbeat = heartbeat
        self._partly_served: dict[Room, float] = {}  # rooms with subscribers that still wait, and since when
        self._liveness_pending: dict[Subscriber, None] = {}
        self._is_scheduled = False

    def queue_room(self, room: Room) -> None:
        """Deliver to the subscribers that wait in a room: a batch at once, the rest in the next turns of the loop."""
        if room not in self._partly_served:
            self._deliver(room, time.perf_counter())

    def queue_liveness(self, subscribers: Iterable[Subscriber]) -> None:
        """Send a heartbeat, which says whether prices are live, in batches as above."""
        self._liveness_pending.update(dict.fromkeys(subscribers))
        self._send_liveness()

    def forget(self, subscriber: Subscriber) -> None:
        """Remove a subscriber that has left."""
        self._liveness_pending.pop(subscriber, None)

    def _deliver(self, room: Room, since: float) -> None:
        STATES_DELIVERED.inc(room.deliver_batch(BATCH_SIZE, self._clock()))
        if room.has_pending:
            self._partly_served[room] = since
            self._continue_soon()
        else:
            FANOUT_SECONDS.observe(time.perf_counter() - since)

    def _send_liveness(self) -> None:
        event = self._heartbeat()
        for subscriber in list(islice(self._liveness_pending, BATCH_SIZE)):
            del self._liveness_pending[subscriber]
            subscriber.send(HEARTBEAT, event)
        if self._liveness_pending:
            self._continue_soon()

    def _continue_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._continue)

    def _continue(self) -> None:
        """Deliver the next batch, of each room in turn."""
        self._is_scheduled = False
        if self._liveness_pending:
            self._send_liveness()
        elif self._partly_served:
            room = next(iter(self._partly_served))
            self._deliver(room, self._partly_served.pop(room))
        if self._liveness_pending or self._partly_served:
            self._continue_soon()
