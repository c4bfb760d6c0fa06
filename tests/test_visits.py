"""Ten thousand viewers who leave rudely: nothing is kept of them."""

import asyncio
import os
import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.harness import (
    OPERATOR,
    Server,
    StoreProcess,
    bidder,
    now_ms,
    running_server,
    until,
)

VISITS, AUCTIONS, AT_ONCE = 10_000, 200, 300


def test_ten_thousand_visits_leave_nothing_behind(
    valkey: StoreProcess, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    guids = [f"{guid[:8]}-{number}" for number in range(AUCTIONS)]

    def left(server: Server) -> tuple[float, float, int]:
        assert server.process is not None
        descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        return server.metric("sse_auction_streams"), server.metric("sse_auction_rooms"), descriptors

    def tracked() -> int:
        with valkey.client() as site:
            count: int = site.info("stats")["tracking_total_keys"]
            return count

    with (
        running_server(directory, REDIS_URL=valkey.url) as server,
        httpx.Client(base_url=server.url, headers=OPERATOR) as client,
    ):
        for each in guids:
            terms = {"guid": each, "title": each, "start_price": "1.00", "closes_at": now_ms() + 3_600_000}
            assert client.post("/auctions", json=terms).status_code == 201
        base, tracked_before = left(server), tracked()
        assert base[:2] == (0, 0)
        run(visit_all(server.port, guids))
        until(lambda: left(server) == base, "the end of every stream, room and descriptor")
        reads = server.metric("sse_auction_mirror_reads_total")
        assert reads >= AUCTIONS
        for each in guids:
            reply = client.post(f"/auctions/{each}/bids", json={"price": "1.00"}, headers=bidder("ann"))
            assert reply.status_code == 201
        until(lambda: tracked() <= tracked_before, "the store's forgetting what was watched")
        assert server.metric("sse_auction_mirror_reads_total") == reads, "an auction that nobody watches was read"


async def visit_all(port: int, guids: list[str]) -> None:
    turns = iter(range(VISITS))

    async def visit_in_turn() -> None:
        for number in turns:
            await visit(port, number, guids)

    await asyncio.gather(*(visit_in_turn() for _ in range(AT_ONCE)))


async def visit(port: int, number: int, guids: list[str]) -> None:
    """Come in one of several ways, stay for the first state or not, and leave without a word or with a reset."""
    guid = guids[number % len(guids)]
    ways = (
        (f"{guid}/stream", b"event: price"),
        (f"{guid}/stream", b"event: price"),
        (f"{guid}/stream", b""),
        (f"stream?guid={guid}&guid={random.choice(guids)}", b"event: price"),
        (f"{guid}/price?wait=30", b""),
    )
    path, wanted = ways[number % len(ways)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /auctions/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if wanted:
            await reader.readuntil(wanted)
        if number % 3 == 0:
            linger = b"\x01\0\0\0\0\0\0\0"  # on, 0 seconds: the kernel sends a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    finally:
        writer.transport.abort()
