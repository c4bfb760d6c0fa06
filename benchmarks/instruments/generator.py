"""The load generator: one process that holds all watchers and notes when each price reached each of them.

Rules:
- One socket per watcher, asyncio protocols on uvloop, no task per watcher; nothing on the hot path but a comparison
  of bytes and three appends. What the log means is worked out afterwards, by `freshness`.
- Its clock is `time.monotonic()`, which all processes of one machine share; `writer` uses the same.
- Its own garbage collector is off, so that its pauses are not taken for the server's.

It obeys commands, one JSON object a line on stdin, each answered by one line; see `Generator.commands`.
"""

import asyncio
import contextlib
import gc
import json
import socket
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.instruments.exchange import exchange
from benchmarks.instruments.frames import Memo, SseDecoder, WebSocketDecoder, masked_text
from benchmarks.instruments.processes import raise_descriptor_limit
from benchmarks.instruments.slow import SlowReaders

SOURCE_ADDRESSES = 8  # 127.0.0.2 and on: each has 28,000 ports towards one server
OPENING_AT_ONCE = 128  # connections that wait for their first price; below every server's backlog
IP_BIND_ADDRESS_NO_PORT = 24  # choose the port when connecting, so that one port serves several destinations


class Log:
    """Every delivery: when (monotonic seconds), to which watcher, which price."""

    def __init__(self) -> None:
        self.is_on = False
        self.at, self.watcher, self.price = array("d"), array("I"), array("I")

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            for column in (self.at, self.watcher, self.price):
                column.tofile(file)
        self.at, self.watcher, self.price = array("d"), array("I"), array("I")


class Watcher(asyncio.Protocol):
    """One watcher of one auction."""

    def __init__(self, number: int, crowd: "Crowd", request: bytes) -> None:
        self.number = number
        self.shown = 0
        self.is_ready = False
        self.transport: asyncio.Transport | None = None
        self._crowd = crowd
        self._request = request
        if crowd.kind == "socketio":
            self.decoder: SseDecoder | WebSocketDecoder = WebSocketDecoder(crowd.marker, crowd.memo, self._obey)
        else:
            self.decoder = SseDecoder(crowd.marker, crowd.memo)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a TCP connection's transport is a Transport
        transport.write(self._request)  # type: ignore[attr-defined]  # as above

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        prices = self.decoder.feed(data)
        if not prices:
            return
        self.shown = prices[-1]
        if self._crowd.log.is_on:
            log = self._crowd.log
            for price in prices:
                log.at.append(now)
                log.watcher.append(self.number)
                log.price.append(price)
        if not self.is_ready:
            self._ready()

    def _ready(self) -> None:
        if not self.is_ready:
            self.is_ready = True
            self._crowd.on_ready(self)

    def _obey(self, message: bytes) -> None:
        """Engine.io and socket.io: connect, log in with the page's known price, answer pings."""
        assert self.transport is not None
        if message.startswith(b"0"):
            self.transport.write(masked_text(b"40"))
        elif message.startswith(b"40"):
            login = {"userid": self.number, "username": "viewer", "guid": self._crowd.guid_of(self.number)}
            text = json.dumps(["login", {**login, "nowprice": "1.00"}]).encode()
            self.transport.write(masked_text(b"420" + text))
        elif message.startswith(b"430"):
            self._ready()
        elif message == b"2":
            self.transport.write(masked_text(b"3"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.on_lost(self)


class Crowd:
    """All watchers of one server."""

    def __init__(self, port: int, kind: str, request: str, marker: str, guids: list[str]) -> None:
        self.kind, self.marker, self.guids = kind, marker.encode(), guids
        self.memo, self.log = Memo(), Log()
        self.watchers: list[Watcher] = []
        self.lost = 0
        self._requests = [request.replace("{guid}", guid).encode() for guid in guids]
        self._port = port
        self._closing = False
        self._wanted = self._opening = 0
        self._opened = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    def guid_of(self, number: int) -> str:
        return self.guids[number % len(self.guids)]

    @property
    def ready(self) -> int:
        return sum(each.is_ready for each in self.watchers)

    async def open(self, count: int, timeout: float) -> None:
        """Open `count` more; returns when each has its first price, or when the time is up."""
        self._opened.clear()
        self._wanted = len(self.watchers) + count
        for _ in range(min(OPENING_AT_ONCE, count)):
            self._open_next()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._opened.wait(), timeout)

    def _open_next(self) -> None:
        number = len(self.watchers)
        if number >= self._wanted:
            if not self._opening:
                self._opened.set()
            return
        watcher = Watcher(number, self, self._requests[number % len(self._requests)])
        self.watchers.append(watcher)
        self._opening += 1
        task = asyncio.create_task(self._connect(watcher))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, watcher: Watcher) -> None:
        try:
            connection = connected_socket(self._port, watcher.number)
            await asyncio.get_running_loop().create_connection(lambda: watcher, sock=connection)
        except OSError:  # refused: counted, and it never becomes ready
            self.on_lost(watcher)

    def on_ready(self, watcher: Watcher) -> None:
        self._opening -= 1
        self._open_next()

    def on_lost(self, watcher: Watcher) -> None:
        if self._closing:
            return
        self.lost += 1
        if not watcher.is_ready:
            self._opening -= 1
            self._open_next()

    async def wait(self, price: int, timeout: float) -> int:
        """Wait until all show `price` or a higher one; how many do in the end."""
        deadline = time.monotonic() + timeout
        while True:
            reached = sum(each.shown >= price for each in self.watchers)
            if reached == len(self.watchers) or time.monotonic() > deadline:
                return reached
            await asyncio.sleep(0.02)

    def close(self) -> None:
        self._closing = True
        for each in self.watchers:
            if each.transport is not None:
                each.transport.abort()


def connected_socket(port: int, number: int) -> socket.socket:
    """A connected, non-blocking socket from one of several loopback addresses."""
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.bind((f"127.0.0.{2 + number % SOURCE_ADDRESSES}", 0))
    connection.connect(("127.0.0.1", port))  # at once on loopback, as the backlog has room
    connection.setblocking(False)
    return connection


class Generator:
    """Obeys commands until its stdin ends."""

    def __init__(self) -> None:
        self.crowd: Crowd | None = None
        self.slow: SlowReaders | None = None
        self.commands: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
            "open": self.open, "wait": self.wait, "record": self.record, "save": self.save, "close": self.close,
            "exchange": self.exchange, "slow": self.open_slow, "drain_slow": self.drain_slow, "state": self.state,
        }  # fmt: skip

    async def open(
        self, port: int, kind: str, request: str, marker: str, guids: list[str], count: int, timeout: float
    ) -> dict[str, Any]:
        if self.crowd is None:
            self.crowd = Crowd(port, kind, request, marker, guids)
        started = time.monotonic()
        await self.crowd.open(count, timeout)
        return {"seconds": time.monotonic() - started, **await self.state()}

    async def state(self) -> dict[str, Any]:
        """How many streams have had a price, how many were lost, and all events that were no price."""
        crowd = self.crowd
        if crowd is None:
            return {"ready": 0, "lost": 0, "other_events": 0, "slow_shown": self.slow.shown if self.slow else []}
        others = sum(each.decoder.other_events for each in crowd.watchers if isinstance(each.decoder, SseDecoder))
        return {"ready": crowd.ready, "lost": crowd.lost, "other_events": others}

    async def wait(self, price: int, timeout: float) -> dict[str, Any]:
        assert self.crowd is not None
        return {"reached": await self.crowd.wait(price, timeout)}

    async def record(self) -> dict[str, Any]:
        """Log from now on; what each watcher shows at this moment."""
        assert self.crowd is not None
        self.crowd.log.is_on = True
        return {"at": time.monotonic(), "shown": [each.shown for each in self.crowd.watchers]}

    async def save(self, path: str) -> dict[str, Any]:
        """Stop logging and write the log."""
        assert self.crowd is not None
        self.crowd.log.is_on = False
        at = time.monotonic()
        count = len(self.crowd.log.at)
        self.crowd.log.save(Path(path))
        return {"at": at, "deliveries": count, "lost": self.crowd.lost}

    async def open_slow(self, **options: Any) -> dict[str, Any]:
        self.slow = SlowReaders(**options)
        return await self.slow.open()

    async def drain_slow(self) -> dict[str, Any]:
        assert self.slow is not None
        return await self.slow.drain()

    async def exchange(self, **options: Any) -> dict[str, Any]:
        return await exchange(**options)

    async def close(self) -> dict[str, Any]:
        if self.crowd is not None:
            self.crowd.close()
        if self.slow is not None:
            self.slow.close()
        self.crowd = self.slow = None
        return {}

    async def run(self) -> None:
        reader = asyncio.StreamReader(limit=2**26)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            options = json.loads(line)
            try:
                answer = await self.commands[options.pop("do")](**options)
            except Exception as error:  # noqa: BLE001  # goes back to the process that asked, which raises it
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def main() -> None:
    raise_descriptor_limit()
    gc.collect()
    gc.freeze()
    gc.disable()
    uvloop.run(Generator().run())


if __name__ == "__main__":
    main()
