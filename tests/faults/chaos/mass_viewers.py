"""Thousands of viewers, each as small as possible: a connection, and the last bytes that it received."""

import asyncio
import random
import socket
import time
from collections.abc import Callable

TAIL_BYTES = 700  # of the last data: a state and a retry field


class Viewer(asyncio.Protocol):
    """One open stream."""

    __slots__ = ("closed_at", "ended_at", "events", "first", "guid", "is_counted", "mass_viewers", "tail", "transport")

    def __init__(self, mass_viewers: "MassViewers", guid: str) -> None:
        self.mass_viewers = mass_viewers
        self.guid = guid
        self.first = b""  # the first data
        self.tail = b""
        self.events = 0
        self.ended_at: float | None = None
        self.closed_at: float | None = None
        self.is_counted = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"GET /auctions/{self.guid}/stream HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self.events += data.count(b"event: price")
        if b"event: closed" in data:
            self.closed_at = time.monotonic()
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        if not self.is_counted:
            self.first = data
            self.is_counted = True
            self.mass_viewers.answered += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended_at = time.monotonic()
        if not self.is_counted:
            self.mass_viewers.answered += 1  # its end is an answer too
        self.mass_viewers.open -= 1

    @property
    def is_busy(self) -> bool:
        """Whether it was turned away."""
        return b"event: busy" in self.tail

    @property
    def has_retry(self) -> bool:
        """Whether the last that it received is when to come back."""
        return b"retry: " in self.tail[-20:]


class MassViewers:
    """All viewers, on connections of this process."""

    def __init__(self, port: int, rng: random.Random) -> None:
        self.viewers: list[Viewer] = []
        self.open = 0
        self.answered = 0
        self._port = port
        self._rng = rng

    async def open_all(self, guids: list[str], at_once: int = 200) -> None:
        """Open a stream for each of these auctions, in their order, `at_once` at a time."""
        waiting = iter(guids)

        async def enter() -> None:
            for guid in waiting:
                await self.add(guid)

        await asyncio.gather(*(enter() for _ in range(at_once)))

    async def add(self, guid: str) -> Viewer:
        """Open one stream."""
        viewer = Viewer(self, guid)
        self.viewers.append(viewer)
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: viewer, "127.0.0.1", self._port, family=socket.AF_INET)
            self.open += 1
        except OSError:
            viewer.ended_at = time.monotonic()
            self.answered += 1
        return viewer

    def of(self, guid: str) -> list[Viewer]:
        """The viewers of an auction."""
        return [viewer for viewer in self.viewers if viewer.guid == guid]

    def leave(self) -> None:
        """Drop all connections."""
        for viewer in self.viewers:
            if viewer.transport is not None:
                viewer.transport.abort()


def all_of(viewers: list[Viewer], holds: Callable[[Viewer], bool]) -> str | None:
    """None if it holds for all; else for how many it does not hold, and the last data of one of them."""
    wrong = [viewer for viewer in viewers if not holds(viewer)]
    return f"{len(wrong)} of {len(viewers)}; one got {wrong[0].tail[-200:]!r}" if wrong else None
