"""Ten thousand viewers that come and go, some by a reset; streams that reach the end of their life; what is left."""

import asyncio
import random
import socket
import time
from pathlib import Path
from typing import NamedTuple

from tests.faults.chaos.stage import AT_REST_WITHIN_SECONDS, Report, Size, Stage, descriptors, memory_kib, staged
from tests.support.harness import create, price_key

VISITS, AUCTIONS, AT_ONCE = 10_000, 50, 300
FULL_HOUSE = 800  # at once: more than the visits ever have
HELD = "If-None-Match: *\r\n"  # a header of a poll that waits until the state changes, for any state
WARM_UP_VISITS = 5_000  # Python's own pools then have their size
BASE_SAMPLES = 40
MAX_GROWTH = 0.05


class Left(NamedTuple):
    """What a process holds."""

    streams: float
    rooms: float
    tasks: float
    descriptors: int
    tracked_keys: int


async def churn(seed: int, size: Size, directory: Path) -> Report:
    """30,000 visits, a third left by a reset, some in the middle of a held poll; lives of 20 s.

    Must hold: streams, rooms, tasks, descriptors and tracked keys are as before; memory within 5 %.
    """
    async with staged(seed, size, directory, SSE_AUCTION_STREAM_LIFE_SECONDS="20") as stage:
        guids = [f"{stage.guid}-{number}" for number in range(AUCTIONS)]
        for guid in guids:
            await asyncio.to_thread(create, stage.server, guid)
        await _fill(stage, guids)
        await _visit_all(stage, WARM_UP_VISITS, guids)
        base = await _base(stage, guids)
        assert stage.server.process is not None
        memory_before = memory_kib(stage.server.process.pid)
        for _ in range(size.rounds):
            await _visit_all(stage, VISITS, guids)
            await _until_left(stage, base, guids)
        growth = memory_kib(stage.server.process.pid) / memory_before - 1
        stage.measure("visits", VISITS * size.rounds + WARM_UP_VISITS)
        stage.measure("growth of memory (%)", growth * 100)
        stage.claim(growth < MAX_GROWTH, f"memory has grown by {growth:.1%}")
        await stage.rest()
        return stage.report()


async def _fill(stage: Stage, guids: list[str]) -> None:
    """Open more held polls at once than the visits will: memory for a large crowd is not a leak."""
    held = [await _ask(stage.server.port, f"{guids[0]}/price?wait=30", HELD) for _ in range(FULL_HOUSE)]
    await stage.until_metric("sse_auction_streams", len(stage.crowd.watchers) + FULL_HOUSE)
    for _, writer in held:
        writer.transport.abort()
    await stage.until_metric("sse_auction_streams", len(stage.crowd.watchers))


async def _left(stage: Stage) -> Left:
    assert stage.server.process is not None
    with stage.store.client() as site:
        tracked: int = site.info("stats")["tracking_total_keys"]
    return Left(
        await stage.metric("sse_auction_streams"), await stage.metric("sse_auction_rooms"),
        await stage.metric("sse_auction_tasks"), descriptors(stage.server.process.pid), tracked,
    )  # fmt: skip


async def _base(stage: Stage, guids: list[str]) -> Left:
    """The most that is held with the crowd alone, which comes and goes too."""
    await _forget(stage, guids)
    await stage.until_metric("sse_auction_rooms", 1)
    await stage.until_metric("sse_auction_streams", len(stage.crowd.watchers))
    samples = []
    for _ in range(BASE_SAMPLES):
        samples.append(await _left(stage))
        await asyncio.sleep(0.05)
    return Left(*map(max, zip(*samples, strict=True)))


async def _forget(stage: Stage, guids: list[str]) -> None:
    """Change each auction once: the store then forgets that it was watched."""
    with stage.store.client() as site:
        for guid in guids:
            site.hset(f"{{{price_key(guid)}}}:auction", "touched", stage.rng.random())


async def _until_left(stage: Stage, base: Left, guids: list[str]) -> None:
    """Wait until no more is held than before; the store forgets what was watched when it changes."""
    await _forget(stage, guids)
    deadline = time.monotonic() + AT_REST_WITHIN_SECONDS
    while True:
        left = await _left(stage)
        if all(now <= before for now, before in zip(left, base, strict=True)):
            return
        if time.monotonic() > deadline:
            stage.violations.append(f"{left} is left; before it was {base}")
            return
        await asyncio.sleep(0.1)


async def _visit_all(stage: Stage, number: int, guids: list[str]) -> None:
    turns = iter(range(number))

    async def visit_in_turn() -> None:
        for _ in turns:
            await _visit(stage.server.port, stage.rng, guids)

    await asyncio.gather(*(visit_in_turn() for _ in range(AT_ONCE)))


async def _visit(port: int, rng: random.Random, guids: list[str]) -> None:
    """Connect in one of several ways, stay until the answer begins, and leave by a close or by a reset."""
    guid = rng.choice(guids)
    path, wanted = rng.choice(
        (
            (f"{guid}/stream", b"event: price"),
            (f"{guid}/stream", b"event: price"),
            (f"{guid}/stream", b"HTTP/1.1 200"),
            (f"stream?guid={guid}&guid={rng.choice(guids)}", b"event: price"),
            (f"{guid}/price", b"HTTP/1.1 200"),
        )
    )
    is_held = rng.random() < 1 / 5  # also a poll that is not answered before its client leaves
    held = await _ask(port, f"{guid}/price?wait=30", HELD) if is_held else None
    reader, writer = await _ask(port, path)
    try:
        await reader.readuntil(wanted)
    finally:
        _leave(writer, rng)
        if held is not None:
            _leave(held[1], rng)


async def _ask(port: int, path: str, header: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /auctions/{path} HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
    return reader, writer


def _leave(writer: asyncio.StreamWriter, rng: random.Random) -> None:
    if rng.random() < 1 / 3:
        linger = b"\x01\0\0\0\0\0\0\0"  # on, 0 seconds: the kernel sends a reset
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
