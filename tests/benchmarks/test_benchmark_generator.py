"""The load generator, against servers that send known frames at known times."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders.base import BROWSER_HEAD
from benchmarks.instruments import exchange, freshness
from benchmarks.instruments.workers import Worker, worker
from tests.support.harness import until_async
from tests.support.instruments import CHUNKED_HEAD, HEARTBEAT, PLAIN_HEAD, chunked, do, event, receive_frame, text_frame


class FrameServer:
    """Answers every request with a head and a first piece, and then sends what the test passes to `send`."""

    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting
        self.writers: list[asyncio.StreamWriter] = []
        self.heard: list[bytes] = []
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._greeting)
        self.writers.append(writer)
        with suppress(ConnectionError):  # the generator has left
            while data := await reader.read(4096):
                self.heard.append(data)
        writer.close()

    async def send(self, frame: bytes, piece: int = 100_000) -> None:
        for start in range(0, len(frame), piece):
            for writer in self.writers:
                writer.write(frame[start : start + piece])
            await asyncio.gather(*(writer.drain() for writer in self.writers))
            if piece < len(frame):
                await asyncio.sleep(0.001)  # the pieces arrive separately

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FrameServer"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self.writers:
                writer.transport.abort()
            await server.wait_closed()


@pytest.fixture
def generator() -> Iterator[Worker]:
    with worker("generator") as running:
        yield running


async def watch(generator: Worker, server: FrameServer, count: int, kind: str = "sse") -> None:
    request = BROWSER_HEAD.replace("{path}", "/auctions/{guid}/stream")
    marker = '"price":"' if kind == "sse" else '"nowprice":"'
    opened = await do(
        generator, "open", port=server.port, kind=kind, request=request, marker=marker, guids=["lot-0"], count=count,
        timeout=20.0,
    )  # fmt: skip
    assert (opened["ready"], opened["lost"]) == (count, 0)


async def test_percentiles_are_those_of_the_delays_that_were_made(generator: Worker, directory: Path) -> None:
    """Write k is dated `delays[k]` before it is sent: the figures show that delay plus the delivery."""
    delays = np.arange(1, 101) * 0.1
    writes: list[float] = []
    read_at: list[float] = []  # by all watchers, at the latest
    loop = asyncio.get_running_loop()  # its clock is time.monotonic(), like the generator's
    async with FrameServer(CHUNKED_HEAD + chunked(event(1))).running() as server:
        await watch(generator, server, 20)
        recorded = await do(generator, "record")
        for number, delay in enumerate(delays):
            writes.append(loop.time() - delay)
            await server.send(chunked(event(2 + number)))
            await do(generator, "wait", price=2 + number, timeout=20.0)
            read_at.append(loop.time())
        saved = await do(generator, "save", path=str(directory / "log"))
    assert saved["deliveries"] == 20 * len(delays)
    log = freshness.read_deliveries(directory / "log", recorded["shown"])
    figures = freshness.figures(log, np.array([writes]), 2, saved["at"])
    most = np.array(read_at) - np.array(writes)
    for percent in (50, 99):
        min_ms, max_ms = (freshness.percentile_ms(np.repeat(each, 20), percent) for each in (delays, most))
        assert min_ms <= figures[f"stale_p{percent}_ms"] <= figures[f"last_p{percent}_ms"] <= max_ms
    assert delays[-1] * 1000 <= figures["final_ms"] <= most[-1] * 1000
    assert (figures["repeats"], figures["behind"]) == (0, 0)


@pytest.mark.parametrize("piece", [7, 100, 100_000])
async def test_no_delivery_is_lost_or_doubled_on_the_wire(generator: Worker, directory: Path, piece: int) -> None:
    async with FrameServer(CHUNKED_HEAD + chunked(event(1))).running() as server:
        await watch(generator, server, 5)
        recorded = await do(generator, "record")
        await server.send(chunked(event(2), HEARTBEAT, event(3)[:40], event(3)[40:] + event(4)), piece)
        assert await do(generator, "wait", price=4, timeout=20.0) == {"reached": 5}
        assert (await do(generator, "state"))["other_events"] == 5
        await do(generator, "save", path=str(directory / "log"))
    log = freshness.read_deliveries(directory / "log", recorded["shown"])
    assert (list(log.watcher), list(log.price)) == (sorted([0, 1, 2, 3, 4] * 3), [2, 3, 4] * 5)


async def test_a_socketio_watcher_connects_logs_in_answers_pings_and_sees_prices(generator: Worker) -> None:
    greeting = (
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text_frame(b"0{}") + text_frame(b"40{}") + text_frame(b"430[]")
    )
    async with FrameServer(greeting).running() as server:
        await watch(generator, server, 2, "socketio")
        await server.send(text_frame(b"2") + receive_frame(2, 300), 5)
        assert await do(generator, "wait", price=2, timeout=20.0) == {"reached": 2}
        heard = b"".join(server.heard)
        assert heard.count(b'420["login"') == heard.count(b"\x81\x81\x00\x00\x00\x003") == 2


async def test_streams_that_end_are_reported(generator: Worker) -> None:
    async with FrameServer(PLAIN_HEAD + event(1)).running() as server:
        await watch(generator, server, 3)
        server.writers[0].close()

        async def one_is_lost() -> bool:
            return (await do(generator, "state"))["lost"] == 1  # type: ignore[no-any-return]  # a JSON answer

        await until_async(one_is_lost, "the news of the lost stream")


async def test_a_slow_reader_takes_its_rate_and_finds_the_rest_when_it_wakes(
    generator: Worker, directory: Path
) -> None:
    async with FrameServer(PLAIN_HEAD + event(1)).running() as server:
        options = {"port": server.port, "request": "GET / HTTP/1.1\r\n\r\n", "marker": '"price":"', "guid": "lot-0"}
        path = str(directory / "slow")
        await do(generator, "slow", **options, count=2, bytes_per_second=0, path=path)
        await server.send(b"".join(event(number) for number in range(2, 102)))
        drained = await do(generator, "drain_slow")
        assert drained == {"stale": [100, 100], "ended": 0}
        assert [list(prices) for _, prices in freshness.read_slow(directory / "slow")] == [[1], [1]]


async def test_a_reader_of_two_kilobytes_a_second_gets_no_more(generator: Worker, directory: Path) -> None:
    async def has_shown(count: int) -> bool:
        shown: list[int] = (await do(generator, "state"))["slow_shown"]
        return shown[0] >= count

    loop = asyncio.get_running_loop()
    async with FrameServer(PLAIN_HEAD + event(1)).running() as server:
        options = {"port": server.port, "request": "GET / HTTP/1.1\r\n\r\n", "marker": '"price":"', "guid": "lot-0"}
        started = loop.time()
        await do(generator, "slow", **options, count=1, bytes_per_second=2000, path=str(directory / "slow"))
        await server.send(b"".join(event(number) for number in range(2, 102)))
        await until_async(lambda: has_shown(11), "ten more prices")
        greeting = 512  # bytes that may have been read at once, before the reader slows down
        assert loop.time() - started >= (10 * len(event(5)) - greeting) / 2000


class CountingServer:
    """Answers 204 at once while the generator warms up; then takes 60 ms, and every third reply is a refusal in pieces.

    The next request on a connection shows that the generator has read the reply before, and so what it has counted.
    """

    WARM_UP_REPLIES = 3

    def __init__(self) -> None:
        self.open_connections = 0
        self.read: Counter[str] = Counter()  # replies after the warm-up that were read
        self.read_in_warm_up: list[float] = []  # when that was known, of the others
        self.min_ms: list[float] = []  # for each in `read`: it took no less
        self.max_ms: list[float] = []  # and no more
        self.first_came_at = 0.0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.first_came_at = self.first_came_at or asyncio.get_running_loop().time()
        self.open_connections += 1
        try:
            await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):  # the generator has left
            writer.transport.abort()
        self.open_connections -= 1

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(self.WARM_UP_REPLIES):
            answered_before = loop.time()
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            self.read_in_warm_up.append(loop.time())
        await asyncio.sleep(self.first_came_at + exchange.WARM_UP_SECONDS - loop.time())
        for number in itertools.count(1):
            asked_at = loop.time()
            await asyncio.sleep(0.06)
            before_last_byte = loop.time()
            if number % 3:
                status = "304"
                writer.write(b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')
            else:
                status = "409"
                writer.write(b"HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\n\r\nab")
                await asyncio.sleep(0.01)
                before_last_byte = loop.time()
                writer.write(b"cde")
            await reader.readuntil(b"\r\n\r\n")
            self.read[status] += 1
            self.min_ms.append((before_last_byte - asked_at) * 1000)
            self.max_ms.append((loop.time() - answered_before) * 1000)
            answered_before = before_last_byte


async def test_replies_are_counted_by_status_and_timed(generator: Worker) -> None:
    counting = CountingServer()

    async def all_have_left() -> bool:
        return counting.open_connections == 0

    async with await asyncio.start_server(counting.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        asked_at = asyncio.get_running_loop().time()
        reply = await do(generator, "exchange", port=port, request=request, clients=4, seconds=1.5)
        await until_async(all_have_left, "the end of all connections")
    warmed_up_at = asked_at + exchange.WARM_UP_SECONDS  # or later
    statuses = reply["statuses"]
    assert statuses.pop("204", 0) <= sum(at > warmed_up_at for at in counting.read_in_warm_up)
    assert len(counting.read_in_warm_up) == 4 * CountingServer.WARM_UP_REPLIES
    assert statuses == dict(counting.read)
    assert statuses["409"] > 0
    for percent in (50, 99):
        least, most = np.percentile(counting.min_ms, percent), np.percentile(counting.max_ms, percent)
        assert 60 <= least <= reply[f"p{percent}_ms"] <= most
    assert reply["lost"] == 0
