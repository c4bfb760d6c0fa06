"""A byte-level proxy between the service and its store: it delays, splits, swallows and cuts what goes through.

It does not know what the bytes mean. Each direction of a connection is one task that reads a piece, applies the faults
that are set at that moment, and writes it on.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PIECE_BYTES = 65_536


class Connection:
    """The two sockets of one connection through the proxy."""

    def __init__(self, service: asyncio.StreamWriter, store: asyncio.StreamWriter) -> None:
        self.service = service
        self.store = store
        self.is_silent = False  # half-open: it is open for both ends, and nothing comes through any more

    def abort(self) -> None:
        for writer in (self.service, self.store):
            writer.transport.abort()


class Proxy:
    """Faults to set at any time; made by `running_proxy`."""

    def __init__(self, rng: random.Random, store_path: Path) -> None:
        self.delay_seconds = 0.0  # up to this much, at random, for each piece
        self.splits = False  # into pieces of a few bytes, each written alone
        self.swallows_replies = False  # answers of the store never arrive
        self.replies_before_cut: int | None = None  # bytes; then the connection that carries them is cut
        self.cuts = 0
        self._rng = rng
        self._store_path = store_path
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either end leaves."""
        try:
            store_reader, store_writer = await asyncio.open_unix_connection(str(self._store_path))
        except OSError:
            writer.transport.abort()
            return
        connection = Connection(writer, store_writer)
        self._connections.add(connection)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await asyncio.wait(
                (
                    asyncio.create_task(self._carry(reader, store_writer, connection, is_reply=False)),
                    asyncio.create_task(self._carry(store_reader, writer, connection, is_reply=True)),
                ),
                return_when=asyncio.ALL_COMPLETED,
            )
        finally:
            connection.abort()
            self._connections.discard(connection)
            self._tasks.discard(task)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection, *, is_reply: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self._rng.uniform(0, self.delay_seconds))
                if connection.is_silent or (is_reply and self.swallows_replies):
                    continue
                if is_reply and self.replies_before_cut is not None:
                    data, is_cut = data[: self.replies_before_cut], len(data) >= self.replies_before_cut
                    self.replies_before_cut -= len(data)
                else:
                    is_cut = False
                await self._write(writer, data)
                if is_cut:
                    self.replies_before_cut = None
                    self.cuts += 1
                    break
        connection.abort()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        while data:
            size = self._rng.randint(1, 40) if self.splits else len(data)
            writer.write(data[:size])
            data = data[size:]
            await writer.drain()
            if self.splits:
                await asyncio.sleep(0)

    def cut_all(self) -> None:
        """Cut every connection at once."""
        for connection in list(self._connections):
            self.cuts += 1
            connection.abort()

    def silence_all(self) -> None:
        """Let nothing through any more on the present connections; new ones work."""
        for connection in self._connections:
            connection.is_silent = True

    async def stop(self) -> None:
        for connection in list(self._connections):
            connection.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)


@asynccontextmanager
async def running_proxy(rng: random.Random, path: Path, store_path: Path) -> AsyncIterator[Proxy]:
    """A proxy that listens on the unix socket `path` and speaks to the one at `store_path`."""
    proxy = Proxy(rng, store_path)
    server = await asyncio.start_unix_server(proxy.accept, str(path))
    try:
        yield proxy
    finally:
        server.close()
        await proxy.stop()
