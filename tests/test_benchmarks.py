"""The benchmarks' own instruments: what the generator logs, what the writer writes, what is made of it."""

import asyncio
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import exchange, freshness, processes, report
from benchmarks.bench import Answer, Column, Goal, Row
from benchmarks.contenders.base import BROWSER_HEAD, claim_port
from benchmarks.frames import BadStream, Memo, SseDecoder, WebSocketDecoder
from benchmarks.stage import stage
from benchmarks.workers import Worker, worker
from benchmarks.writer import state
from tests.harness import StoreProcess, until, until_async

MARKER = b'"price":"'
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
CHUNKED_HEAD = PLAIN_HEAD[:-2] + b"Transfer-Encoding: chunked\r\n\r\n"
HEARTBEAT = b'event: hb\ndata: {"now":1}\n\n'


def event(price: int, line: bytes = b"\n") -> bytes:
    return line.join([b"id: 1", b"event: price", b"data: " + state("lot-0", price).encode(), b"", b""])


def chunked(*payloads: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(payload), payload) for payload in payloads)


def text_frame(text: bytes) -> bytes:
    length = len(text)
    if length < 126:
        return b"\x81" + bytes([length]) + text
    return (
        b"\x81"
        + (b"\x7e" + length.to_bytes(2, "big") if length < 65536 else b"\x7f" + length.to_bytes(8, "big"))
        + text
    )


def receive_frame(price: int, padding: int = 0) -> bytes:
    return text_frame(b'42["receive",{"nowprice":"%d.00","x":"%b"}]' % (price, b"x" * padding))


# --- decoding ----------------------------------------------------------------------------------------------------

SSE_STREAMS = {
    "plain": PLAIN_HEAD + b"retry: 3000\n" + event(1) + HEARTBEAT + event(2) + event(3),
    "crlf": PLAIN_HEAD + event(1, b"\r\n") + b": comment\r\n\r\n" + event(2, b"\r\n") + event(3, b"\r\n"),
    "an event a chunk": CHUNKED_HEAD + chunked(event(1), HEARTBEAT, event(2), event(3)),
    "several events a chunk": CHUNKED_HEAD + chunked(event(1) + HEARTBEAT + event(2), event(3)),
    "chunks that tear events": CHUNKED_HEAD
    + chunked(event(1)[:57], event(1)[57:] + event(2)[:3], event(2)[3:], event(3)),
    "chunks of one byte": CHUNKED_HEAD
    + chunked(*[bytes([byte]) for byte in event(1) + event(2) + HEARTBEAT + event(3)]),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize("name", SSE_STREAMS)
def test_every_price_is_found_once_however_the_bytes_are_torn(name: str, size: int) -> None:
    stream = SSE_STREAMS[name]
    memo = Memo()
    for _ in range(2):  # the second decoder shares what the first has left in the memo
        decoder = SseDecoder(MARKER, memo)
        found = [price for start in range(0, len(stream), size) for price in decoder.feed(stream[start : start + size])]
        assert found == [1, 2, 3]


def test_a_price_counts_when_its_event_is_complete_and_not_before() -> None:
    decoder = SseDecoder(MARKER, Memo())
    assert decoder.feed(CHUNKED_HEAD + chunked(event(1))) == (1,)
    frame = chunked(event(2))
    assert decoder.feed(frame[:-3]) == ()
    assert decoder.feed(frame[-3:]) == (2,)


def test_what_is_remembered_of_equal_bytes_is_not_used_in_the_middle_of_a_frame() -> None:
    memo = Memo()
    first, second = SseDecoder(MARKER, memo), SseDecoder(MARKER, memo)
    tail = b'data: {"price":"7.00"}\n\n'
    for decoder in (first, second):
        decoder.feed(PLAIN_HEAD + event(1))
    assert first.feed(tail) == (7,)
    assert memo.data == tail
    assert second.feed(b'data: {"price":"5.00"}\n') == ()
    assert second.feed(tail) == (5,), "the event began with another line"
    assert second.feed(tail) == (7,)


def test_heartbeats_are_counted_for_each_watcher() -> None:
    memo = Memo()
    for _ in range(2):
        decoder = SseDecoder(MARKER, memo)
        decoder.feed(PLAIN_HEAD + event(1))
        assert decoder.feed(HEARTBEAT) == decoder.feed(HEARTBEAT + event(2))[1:] == ()
        assert decoder.other_events == 2


def test_any_answer_but_a_stream_is_an_error() -> None:
    with pytest.raises(BadStream, match="503"):
        SseDecoder(MARKER, Memo()).feed(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_prices_are_found_in_websocket_frames_of_any_size(size: int) -> None:
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text_frame(b"0{}") + text_frame(b'40{"sid":"x"}')
    stream += receive_frame(1) + receive_frame(2, 200) + text_frame(b"2") + receive_frame(3, 70_000)
    messages: list[bytes] = []
    decoder = WebSocketDecoder(b'"nowprice":"', Memo(), messages.append)
    found = [price for start in range(0, len(stream), size) for price in decoder.feed(stream[start : start + size])]
    assert (found, messages) == ([1, 2, 3], [b"0{}", b'40{"sid":"x"}', b"2"])


# --- what the logs mean --------------------------------------------------------------------------------------------


def delivered(*events: tuple[float, int, int], shown: list[int]) -> freshness.Deliveries:
    at, watcher, price = zip(*events, strict=True)
    return freshness.in_order(np.array(at), np.array(watcher), np.array(price), shown)


def test_staleness_is_counted_from_the_oldest_write_that_was_not_shown() -> None:
    writes = np.array([[10.0, 20.0, 30.0]])  # of the prices 2, 3 and 4
    log = delivered((11.0, 0, 2), (31.0, 0, 4), (10.5, 1, 2), (20.5, 1, 3), (32.0, 1, 4), shown=[1, 1])
    samples, _ = freshness.staleness(log, writes, 2, 99.0)
    assert sorted(samples) == [0.5, 0.5, 1.0, 2.0, 11.0], "the price skipped at 20 was shown at 31, by a newer one"


def test_a_watcher_that_never_got_the_last_price_counts_as_stale_until_the_end() -> None:
    log = delivered((11.0, 0, 2), shown=[1, 1])
    samples, _ = freshness.staleness(log, np.array([[10.0, 20.0]]), 2, 50.0)
    assert sorted(samples) == [1.0, 30.0, 40.0]
    figures = freshness.figures(log, np.array([[10.0, 20.0]]), 2, 50.0)
    assert (figures["behind"], figures["final_ms"]) == (2, 30_000)


def test_the_last_watcher_of_a_write_may_be_served_by_a_newer_one() -> None:
    writes = np.array([[10.0, 20.0]])
    log = delivered((11.0, 0, 2), (21.0, 0, 3), (22.0, 1, 3), shown=[1, 1])
    assert list(freshness.latency_to_last(log, writes, 2, 99.0)) == [12.0, 2.0]


def test_repeats_and_older_prices_are_no_deliveries() -> None:
    log = delivered((11.0, 0, 2), (12.0, 0, 2), (21.0, 0, 3), (22.0, 0, 2), (11.0, 1, 1), shown=[1, 1])
    assert (log.repeats, list(log.price)) == (3, [2, 3])


def test_watchers_are_counted_to_their_own_auctions() -> None:
    writes = np.array([[10.0], [20.0], [30.0]])
    events = [(time + 1 + number, number, 2) for number, time in enumerate([10.0, 20.0, 30.0] * 2)]
    log = delivered(*events, shown=[1] * 6)
    samples, auction = freshness.staleness(log, writes, 2, 99.0)
    assert sorted(zip(auction, samples, strict=True)) == [(0, 1), (0, 4), (1, 2), (1, 5), (2, 3), (2, 6)]
    assert freshness.figures(log, writes, 2, 99.0)["worst_auction"] == pytest.approx(4.5 / 3.5)


def test_a_reader_is_stale_from_the_first_write_that_it_lacks() -> None:
    writes, moments = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.5, 2.5, 3.5, 9.0])
    stale = freshness.shown_over_time(np.array([1.2, 8.0]), np.array([2, 4]), writes, 2, moments)
    assert list(stale) == [0.0, 0.0, 0.5, 1.5, 0.0]


# --- the generator, against servers that send known frames at known times --------------------------------------------


class FrameServer:
    """Answers every request with a head and a first piece, and then sends what a test tells it, when it does."""

    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting
        self.writers: list[asyncio.StreamWriter] = []
        self.heard: list[bytes] = []
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._greeting)
        self.writers.append(writer)
        while data := await reader.read(4096):
            self.heard.append(data)
        writer.close()

    async def send(self, frame: bytes, piece: int = 100_000) -> None:
        for start in range(0, len(frame), piece):
            for writer in self.writers:
                writer.write(frame[start : start + piece])
            await asyncio.gather(*(writer.drain() for writer in self.writers))
            if piece < len(frame):
                await asyncio.sleep(0.001)  # so that the pieces arrive apart

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
    with worker("benchmarks.generator") as running:
        yield running


async def do(generator: Worker, command: str, **options: Any) -> dict[str, Any]:
    return await asyncio.to_thread(generator.do, command, **options)


async def watch(generator: Worker, server: FrameServer, count: int, kind: str = "sse") -> None:
    request = BROWSER_HEAD.replace("{path}", "/auctions/{guid}/stream")
    marker = '"price":"' if kind == "sse" else '"nowprice":"'
    opened = await do(
        generator, "open", port=server.port, kind=kind, request=request, marker=marker, guids=["lot-0"], count=count,
        timeout=20.0,
    )  # fmt: skip
    assert (opened["ready"], opened["lost"]) == (count, 0)


def test_percentiles_are_those_of_the_delays_that_were_made(
    generator: Worker, directory: Path, run: Callable[..., Any]
) -> None:
    """Write k is said to have happened `delays[k]` before it is sent: the log shows that and what delivery took."""
    delays = np.arange(1, 101) * 0.1
    writes: list[float] = []
    read_at: list[float] = []  # by all watchers, at the latest

    async def look() -> tuple[dict[str, Any], dict[str, Any]]:
        loop = asyncio.get_running_loop()  # its clock is time.monotonic(), as the generator's is
        async with FrameServer(CHUNKED_HEAD + chunked(event(1))).running() as server:
            await watch(generator, server, 20)
            recorded = await do(generator, "record")
            for number, delay in enumerate(delays):
                writes.append(loop.time() - delay)
                await server.send(chunked(event(2 + number)))
                await do(generator, "wait", price=2 + number, timeout=20.0)
                read_at.append(loop.time())
            return recorded, await do(generator, "save", path=str(directory / "log"))

    recorded, saved = run(look())
    assert saved["deliveries"] == 20 * len(delays)
    log = freshness.read_deliveries(directory / "log", recorded["shown"])
    figures = freshness.figures(log, np.array([writes]), 2, saved["at"])
    most = np.array(read_at) - np.array(writes)
    for percent in (50, 99):
        least_ms, most_ms = (freshness.percentile_ms(np.repeat(each, 20), percent) for each in (delays, most))
        assert least_ms <= figures[f"stale_p{percent}_ms"] <= figures[f"last_p{percent}_ms"] <= most_ms
    assert delays[-1] * 1000 <= figures["final_ms"] <= most[-1] * 1000
    assert (figures["repeats"], figures["behind"]) == (0, 0)


@pytest.mark.parametrize("piece", [7, 100, 100_000])
def test_no_delivery_is_lost_or_doubled_on_the_wire(
    generator: Worker, directory: Path, run: Callable[..., Any], piece: int
) -> None:
    async def look() -> tuple[dict[str, Any], dict[str, Any]]:
        async with FrameServer(CHUNKED_HEAD + chunked(event(1))).running() as server:
            await watch(generator, server, 5)
            recorded = await do(generator, "record")
            await server.send(chunked(event(2), HEARTBEAT, event(3)[:40], event(3)[40:] + event(4)), piece)
            assert await do(generator, "wait", price=4, timeout=20.0) == {"reached": 5}
            assert (await do(generator, "state"))["other_events"] == 5
            return recorded, await do(generator, "save", path=str(directory / "log"))

    recorded, _ = run(look())
    log = freshness.read_deliveries(directory / "log", recorded["shown"])
    assert (list(log.watcher), list(log.price)) == (sorted([0, 1, 2, 3, 4] * 3), [2, 3, 4] * 5)


def test_a_socketio_watcher_connects_logs_in_answers_pings_and_sees_prices(
    generator: Worker, run: Callable[..., Any]
) -> None:
    greeting = (
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text_frame(b"0{}") + text_frame(b"40{}") + text_frame(b"430[]")
    )

    async def look() -> None:
        async with FrameServer(greeting).running() as server:
            await watch(generator, server, 2, "socketio")
            await server.send(text_frame(b"2") + receive_frame(2, 300), 5)
            assert await do(generator, "wait", price=2, timeout=20.0) == {"reached": 2}
            heard = b"".join(server.heard)
            assert heard.count(b'420["login"') == heard.count(b"\x81\x81\x00\x00\x00\x003") == 2

    run(look())


def test_streams_that_end_are_told(generator: Worker, run: Callable[..., Any]) -> None:
    async def look() -> None:
        async with FrameServer(PLAIN_HEAD + event(1)).running() as server:
            await watch(generator, server, 3)
            server.writers[0].close()

            async def one_is_lost() -> bool:
                return (await do(generator, "state"))["lost"] == 1  # type: ignore[no-any-return]  # a JSON answer

            await until_async(one_is_lost, "the news of the lost stream")

    run(look())


def test_a_slow_reader_takes_its_rate_and_finds_the_rest_when_it_wakes(
    generator: Worker, directory: Path, run: Callable[..., Any]
) -> None:
    async def look() -> None:
        async with FrameServer(PLAIN_HEAD + event(1)).running() as server:
            options = {"port": server.port, "request": "GET / HTTP/1.1\r\n\r\n", "marker": '"price":"', "guid": "lot-0"}
            path = str(directory / "slow")
            await do(generator, "slow", **options, count=2, bytes_per_second=0, path=path)
            await server.send(b"".join(event(number) for number in range(2, 102)))
            drained = await do(generator, "drain_slow")
            assert drained == {"stale": [100, 100], "ended": 0}
            assert [list(prices) for _, prices in freshness.read_slow(directory / "slow")] == [[1], [1]]

    run(look())


def test_a_reader_of_two_kilobytes_a_second_gets_no_more(
    generator: Worker, directory: Path, run: Callable[..., Any]
) -> None:
    async def has_shown(count: int) -> bool:
        shown: list[int] = (await do(generator, "state"))["slow_shown"]
        return shown[0] >= count

    async def look() -> float:
        loop = asyncio.get_running_loop()
        async with FrameServer(PLAIN_HEAD + event(1)).running() as server:
            options = {"port": server.port, "request": "GET / HTTP/1.1\r\n\r\n", "marker": '"price":"', "guid": "lot-0"}
            started = loop.time()
            await do(generator, "slow", **options, count=1, bytes_per_second=2000, path=str(directory / "slow"))
            await server.send(b"".join(event(number) for number in range(2, 102)))
            await until_async(lambda: has_shown(11), "ten more prices")
            return loop.time() - started

    greeting = 512  # bytes that may have been read at once, before the reader slows down
    assert run(look()) >= (10 * len(event(5)) - greeting) / 2000


class CountingServer:
    """Answers 204 at once while the generator warms up; then takes 60 ms, and every third reply is a refusal in pieces.

    The next request on a connection says that the reply before was read: so what the generator has counted is known.
    """

    WARM_UP_REPLIES = 3

    def __init__(self) -> None:
        self.open_connections = 0
        self.read: Counter[str] = Counter()  # replies after the warm-up that were read
        self.read_in_warm_up: list[float] = []  # when that was known, of the others
        self.least_ms: list[float] = []  # for each in `read`: it took no less
        self.most_ms: list[float] = []  # and no more
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
            self.least_ms.append((before_last_byte - asked_at) * 1000)
            self.most_ms.append((loop.time() - answered_before) * 1000)
            answered_before = before_last_byte


def test_replies_are_counted_by_status_and_timed(generator: Worker, run: Callable[..., Any]) -> None:
    counting = CountingServer()

    async def all_have_left() -> bool:
        return counting.open_connections == 0

    async def look() -> tuple[float, dict[str, Any]]:
        async with await asyncio.start_server(counting.serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            told_at = asyncio.get_running_loop().time()
            reply = await do(generator, "exchange", port=port, request=request, clients=4, seconds=1.5)
            await until_async(all_have_left, "the end of all connections")
            return told_at, reply

    told_at, reply = run(look())
    warmed_up_at = told_at + exchange.WARM_UP_SECONDS  # or later
    statuses = reply["statuses"]
    assert statuses.pop("204", 0) <= sum(at > warmed_up_at for at in counting.read_in_warm_up)
    assert len(counting.read_in_warm_up) == 4 * CountingServer.WARM_UP_REPLIES
    assert statuses == dict(counting.read)
    assert statuses["409"] > 0
    for percent in (50, 99):
        least, most = np.percentile(counting.least_ms, percent), np.percentile(counting.most_ms, percent)
        assert 60 <= least <= reply[f"p{percent}_ms"] <= most
    assert reply["lost"] == 0


# --- the writer ----------------------------------------------------------------------------------------------------


@pytest.fixture
def writer() -> Iterator[Worker]:
    with worker("benchmarks.writer") as running:
        yield running


def test_every_write_reaches_the_store_in_order_and_is_logged(
    writer: Worker, valkey: StoreProcess, directory: Path, guid: str
) -> None:
    guids = [f"{guid}-{number}" for number in range(3)]
    writer.do("connect", kind="redis", store=valkey.url.removeprefix("unix://"))
    options = {"guids": guids, "rate": 600.0, "seconds": 0.2, "path": str(directory / "writes")}
    assert writer.do("write", first=5, **options)["last"] == 44
    assert writer.do("settle", timeout=20.0) == {"taken": 120, "written": 120}
    with valkey.client() as client:
        assert [client.get(f"AuctionMaxPrice-{each}") for each in guids] == ["44.00"] * 3
    writes = freshness.read_writes(directory / "writes", 3)
    assert writes.shape == (3, 40)
    in_order = writes.T.ravel()
    assert (np.diff(in_order) >= 0).all()
    assert in_order[-1] - in_order[0] >= 119 / 600, "faster than it was told"


def test_late_replies_to_earlier_writes_are_not_counted_again(
    writer: Worker, valkey: StoreProcess, directory: Path, guid: str
) -> None:
    writer.do("connect", kind="redis", store=valkey.url.removeprefix("unix://"))
    options = {"guids": [guid], "rate": 1e6, "path": str(directory / "writes")}
    for number in range(20):  # each begins while replies to the one before are under way
        writer.do("write", first=1 + 100 * number, seconds=1e-4, **options)
    assert writer.do("settle", timeout=20.0) == {"taken": 100, "written": 100}


def test_a_server_that_takes_nothing_does_not_hold_the_writer_up(writer: Worker, directory: Path) -> None:
    """What is not taken waits in the writer; the server is told to be behind, and the writes keep their times."""

    connections: list[asyncio.StreamWriter] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a server's transport reads, too

    async def look() -> tuple[dict[str, Any], dict[str, Any]]:
        path = str(directory / "lines.sock")
        async with await asyncio.start_unix_server(refuse, path, limit=1024):
            await do(writer, "connect", kind="line", path=path)
            options = {"guids": ["lot-0"], "rate": 10_000.0, "seconds": 0.3, "path": str(directory / "writes")}
            written = await do(writer, "write", first=1, **options)
            settled = await do(writer, "settle", timeout=0.1)
            connections[0].transport.abort()
            return written, settled

    written, settled = asyncio.run(look())
    assert (written["writes"], written["taken"]) == (3000, 0)
    assert settled == {"taken": 0, "written": 3000}


def test_whoever_is_visited_finds_the_price_in_the_store(
    writer: Worker, valkey: StoreProcess, directory: Path, guid: str
) -> None:
    found: list[str | None] = []
    connections: list[asyncio.StreamWriter] = []

    async def visited(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with valkey.client() as client:
            for _ in range(50):
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(f"GET /changed/{guid} ".encode())
                found.append(client.get(f"AuctionMaxPrice-{guid}"))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await writer.drain()
        connections.append(writer)

    async def look() -> None:
        async with await asyncio.start_server(visited, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            store = valkey.url.removeprefix("unix://")
            await do(writer, "connect", kind="redis-visit", store=store, port=port)
            options = {"guids": [guid], "rate": 500.0, "seconds": 0.1, "path": str(directory / "writes")}
            await do(writer, "write", first=1, **options)
            assert await do(writer, "settle", timeout=20.0) == {"taken": 50, "written": 50}
            connections[0].transport.abort()

    asyncio.run(look())
    prices = [float(price or 0) for price in found]
    assert all(price >= number for number, price in enumerate(prices, 1))
    assert prices[-1] == 50


# --- processes -----------------------------------------------------------------------------------------------------

BURN = """
import os, socket, subprocess, sys, time
burn, megabytes, depth = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
child = subprocess.Popen([sys.executable, "-c", sys.argv[4], *map(str, (burn, megabytes, depth - 1)), sys.argv[4]],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE) if depth else None
held = bytearray(os.urandom(1 << 20) * megabytes)
sockets = [socket.socket() for _ in range(7)]
while time.process_time() < burn:
    pass
if child:
    child.stdout.readline()
print("done", flush=True)
sys.stdin.read()
"""


def test_cpu_memory_and_sockets_of_a_whole_tree_are_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN, "0.6", "40", "1", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        parent.stdout.readline()
        pids = [parent.pid]
        assert len(processes.tree(parent.pid)) == 2
        assert processes.cpu_seconds(pids) == pytest.approx(1.2, abs=0.1)
        assert 80 <= processes.pss_bytes(pids) / 2**20 <= 80 + 30, "two interpreters, and 40 MB each"
        assert processes.open_sockets(pids) == 14
        parent.stdin.close()
    until(lambda: processes.cpu_seconds(pids) == 0, "the end of the tree")


# --- the whole of it -----------------------------------------------------------------------------------------------


def test_a_stage_measures_our_own_server() -> None:
    with stage("ours") as on:
        on.prime(2)
        on.open(20)
        on.check_watchers()
        figures = on.deliver(20.0, 1.0)
    assert figures["behind"] == figures["untaken"] == figures["repeats"] == 0
    assert 20 <= figures["deliveries"] <= 20 * 10
    assert 0 < figures["stale_p50_ms"] <= figures["stale_p99_ms"]
    assert figures["server_share"] > 0


def test_two_benchmarks_at_once_do_not_take_the_same_port() -> None:
    first, claim = claim_port()
    second, other_claim = claim_port()
    with claim, other_claim:
        assert first != second


def test_the_report_says_what_is_absent_failed_or_doubtful(directory: Path) -> None:
    rows = [
        Row("ours", "sse-auction", "", [{"us": 8.0, "generator_share": 0.95}, {"us": 9.0, "generator_share": 0.97}]),
        Row("nchan", "nginx + nchan", "", [], trouble="absent: the nchan module of nginx is not installed"),
    ]
    goals = [Goal("CPU over nchan's", None, 0.75), Goal("CPU, µs", 8.5, 8.0), Goal("CPU, µs", 8.5, 8.0, "at least")]
    answer = Answer("fanout", "How?\n\nSo.", [Column("us", "CPU, µs", 1)], rows, goals, plot="us")
    page = report.write([answer], directory).read_text()
    assert "| sse-auction | 8.5 | client-bound |" in page
    assert "| nginx + nchan | - | absent: the nchan module of nginx is not installed |" in page
    for verdict in (
        "CPU over nchan's: - (at most 0.75): not measured",
        "8.50 (at most 8): **missed**",
        "least 8): met",
    ):
        assert verdict in page
    assert "benchmarks/fanout.svg" in page
    assert (directory / "benchmarks" / "fanout.svg").read_text().count("sse-auction") == 1
