"""The benchmarks' writer: what reaches the store, when, and which servers it notifies."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.instruments import freshness
from benchmarks.instruments.workers import Worker, worker
from tests.support.harness import StoreProcess
from tests.support.instruments import do


@pytest.fixture
def writer() -> Iterator[Worker]:
    with worker("writer") as running:
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
    assert in_order[-1] - in_order[0] >= 119 / 600, "faster than the rate that was asked for"


def test_late_replies_to_earlier_writes_are_not_counted_again(
    writer: Worker, valkey: StoreProcess, directory: Path, guid: str
) -> None:
    writer.do("connect", kind="redis", store=valkey.url.removeprefix("unix://"))
    options = {"guids": [guid], "rate": 1e6, "path": str(directory / "writes")}
    for number in range(20):  # each begins while replies to the one before are on their way
        writer.do("write", first=1 + 100 * number, seconds=1e-4, **options)
    assert writer.do("settle", timeout=20.0) == {"taken": 100, "written": 100}


async def test_a_server_that_takes_nothing_does_not_hold_the_writer_up(writer: Worker, directory: Path) -> None:
    """What the server does not read waits in the writer, which reports it as behind; the writes keep their times."""
    connections: list[asyncio.StreamWriter] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a server's transport reads, too

    path = str(directory / "lines.sock")
    async with await asyncio.start_unix_server(refuse, path, limit=1024):
        await do(writer, "connect", kind="line", path=path)
        options = {"guids": ["lot-0"], "rate": 10_000.0, "seconds": 0.3, "path": str(directory / "writes")}
        written = await do(writer, "write", first=1, **options)
        settled = await do(writer, "settle", timeout=0.1)
        connections[0].transport.abort()
    assert (written["writes"], written["taken"]) == (3000, 0)
    assert settled == {"taken": 0, "written": 3000}


async def test_the_server_that_is_visited_finds_the_price_in_the_store(
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

    async with await asyncio.start_server(visited, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        store = valkey.url.removeprefix("unix://")
        await do(writer, "connect", kind="redis-visit", store=store, port=port)
        options = {"guids": [guid], "rate": 500.0, "seconds": 0.1, "path": str(directory / "writes")}
        await do(writer, "write", first=1, **options)
        assert await do(writer, "settle", timeout=20.0) == {"taken": 50, "written": 50}
        connections[0].transport.abort()
    prices = [float(price or 0) for price in found]
    assert all(price >= number for number, price in enumerate(prices, 1))
    assert prices[-1] == 50
