"""Readers on bad links: some read so many bytes a second, some have stopped reading.

A reader's own receive buffer is set to the least that the kernel allows (2.3 KB), so that what is stale waits where
it would on a bad link: with the sender. It reads a tenth of its rate ten times a second.
"""

import asyncio
import contextlib
import socket
import time
from array import array
from pathlib import Path
from typing import Any

from benchmarks.instruments.frames import Memo, SseDecoder

READS_PER_SECOND = 10
OPEN_TIMEOUT_SECONDS = 10.0
SILENCE_SECONDS = 0.5  # after which a pipe that is drained is taken for empty


class SlowReader:
    """One reader with a socket of its own, and all prices it has completed: when, and which."""

    def __init__(self, port: int, request: bytes, marker: bytes) -> None:
        self.connection = socket.socket()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self.connection.connect(("127.0.0.1", port))
        self.connection.sendall(request)
        self.connection.setblocking(False)
        self.decoder = SseDecoder(marker, Memo())
        self.at, self.price = array("d"), array("I")
        self.has_ended = False

    def read(self, most: int) -> int:
        """Take up to `most` bytes that are there; how many there were."""
        try:
            data = self.connection.recv(most)
        except BlockingIOError:
            return 0
        except OSError:  # cut by the server
            data = b""
        if not data:
            self.has_ended = True
            return 0
        for price in self.decoder.feed(data):
            self.at.append(time.monotonic())
            self.price.append(price)
        return len(data)


class SlowReaders:
    """`count` readers of one auction; they read `bytes_per_second`, or with 0 nothing after the first price."""

    def __init__(
        self, port: int, request: str, marker: str, guid: str, count: int, bytes_per_second: int, path: str
    ) -> None:
        wanted = request.replace("{guid}", guid).encode()
        self._readers = [SlowReader(port, wanted, marker.encode()) for _ in range(count)]
        self._rate = bytes_per_second
        self._path = Path(path)
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> dict[str, Any]:
        """Wait for each reader's first price, then begin to read slowly."""
        deadline = time.monotonic() + OPEN_TIMEOUT_SECONDS
        for each in self._readers:
            while not each.price:
                each.read(256)
                if time.monotonic() > deadline or each.has_ended:
                    raise TimeoutError("a slow reader got no first price")
                await asyncio.sleep(0.001)
        if self._rate:
            self._task = asyncio.create_task(self._read_slowly())
        return {"at": time.monotonic()}

    @property
    def shown(self) -> list[int]:
        """How many prices each reader has completed."""
        return [len(each.price) for each in self._readers]

    async def _read_slowly(self) -> None:
        portion = self._rate // READS_PER_SECOND
        due = time.monotonic()
        while True:
            due += 1 / READS_PER_SECOND
            await asyncio.sleep(due - time.monotonic())
            for each in self._readers:
                each.read(portion)

    async def drain(self) -> dict[str, Any]:
        """Read all that is left as fast as it comes; what each reader had shown before is saved first."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        shown = self.shown
        with self._path.open("wb") as file:
            for each in self._readers:
                file.write(len(each.at).to_bytes(8, "little"))
                each.at.tofile(file)
                each.price.tofile(file)
        silent_since = time.monotonic()
        while time.monotonic() - silent_since < SILENCE_SECONDS:
            if sum(each.read(65536) for each in self._readers if not each.has_ended):
                silent_since = time.monotonic()
            await asyncio.sleep(0.001)
        stale = [len(each.price) - before for each, before in zip(self._readers, shown, strict=True)]
        return {"stale": stale, "ended": sum(each.has_ended for each in self._readers)}

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for each in self._readers:
            each.connection.close()
