"""The short path: a subscriber whose SSE bytes go from the hub straight to its connection's transport.

Once the response has begun, the server's HTTP protocol hands the connection over to a `DirectStream`, and everything
that served the request (parser, scope, task, frames) is freed: what stays per viewer is this one object and the
transport. A state is then one `write` per viewer, which is one `send` to the kernel.

A viewer whose socket did not take all of the last write is behind: what comes next waits in its one-slot queue, newest
wins, until the socket has taken everything. So at most one state and a half is on its way to it here;
`TCP_NOTSENT_LOWAT` on the listening socket bounds what the kernel holds back (see `server.listen`).

The body ends with the connection (`Connection: close`), so frames need no chunk headers, and are the same bytes for
every viewer on either path.
"""

import asyncio
import time
from typing import Protocol

from sse_auction.delivery.hub import Hub
from sse_auction.delivery.subscriber import RETRY, EndReason, Item, LatestQueue, Subscriber

EXTENSION = "sse_auction.transport"  # in the ASGI scope's extensions: the connection's transport, where it can be had


class ReleasableConnection(Protocol):
    """What the server's HTTP protocol must offer."""

    def end_body_with_connection(self) -> None:
        """Send the coming response without chunking; the end of the connection is the end of the body."""

    def hand_over(self, successor: "DirectStream") -> None:
        """Give the connection, on which the response has begun, to `successor` for good."""


class DirectStream(Subscriber, asyncio.Protocol):
    """A subscriber and its connection in one."""

    __slots__ = ("_connections", "_hub", "_queue", "_transport")

    def __init__(self, hub: Hub, request: str) -> None:
        super().__init__(request)
        self._hub = hub
        self._transport: asyncio.Transport | None = None
        self._connections: set[object] | None = None
        self.behind_since = time.monotonic()  # until it has a transport, everything waits
        self._queue: LatestQueue | None = LatestQueue()

    def start(self, transport: asyncio.Transport, connections: set[object], head: bytes) -> None:
        """Deliver to `transport` from now on, after the response's `head`.

        `connections` is the set for which the server waits at shutdown.
        """
        self._transport = transport
        self._connections = connections
        connections.add(self)
        transport.set_write_buffer_limits(high=0)  # `pause_writing` is called whenever the kernel does not take all
        self._send_waiting(head)

    def send(self, slot: str, data: bytes) -> None:
        if self.ready is not None:
            self.ready.write(data)
            self.events += slot != RETRY
        elif self._queue is not None and self.end_reason is None:
            self._queue.put_nowait(Item(slot, data))

    def end(self, reason: EndReason, slot: str, data: bytes) -> None:
        if self.end_reason is None:
            self.send(slot, data)
            self.end_reason = reason
            self.ready = None
            self._close_if_done()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _close_if_done(self) -> None:
        if self.end_reason is not None and self._queue is None and self._transport is not None:
            self._transport.close()

    # --- called by the transport -----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        self.ready = None
        self.behind_since = time.monotonic()
        self._queue = LatestQueue()
        self._hub.on_slow(self)

    def resume_writing(self) -> None:
        self._send_waiting()

    def _send_waiting(self, head: bytes = b"") -> None:
        waiting = head
        if self._queue is not None:
            self.events += self._queue.count_events()
            waiting += self._queue.take_all()
        self._queue = self.behind_since = None
        if self._transport is not None:
            if self.end_reason is None:
                self.ready = self._transport
            if waiting:
                self._transport.write(waiting)  # may call `pause_writing`
        self._close_if_done()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ready = None
        self._hub.leave(self)
        if self._connections is not None:
            self._connections.discard(self)

    def shutdown(self) -> None:
        """Called when the server stops. The hub ends the streams, spread over the drain window."""
