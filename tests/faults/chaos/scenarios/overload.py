"""All clients come at once: streams, polls and bids, more than one process can serve."""

import asyncio
import sys
from pathlib import Path

import msgspec

from tests.faults.chaos.invariants import in_order, log_of
from tests.faults.chaos.overload import Measured, Wanted
from tests.faults.chaos.stage import Report, Size, Stage, memory_kib, staged
from tests.support.harness import create

BIDS_P99_MS = 250.0
STREAM_KIB = 16  # the limit of a stream's memory, with its buffers, while everything is full
BASE_KIB = 60_000  # and everything else


async def overload(seed: int, size: Size, directory: Path) -> Report:
    """10,000 streams in 3 s, 5,000 polls/s, 2,000 bids/s, room for 8,000 streams.

    Must hold: streams without room get `busy`; bids' p99 under 250 ms; memory is bounded.
    """
    room = size.overload_streams * 4 // 5
    async with staged(seed, size, directory, SSE_AUCTION_MAX_STREAMS=str(room)) as stage:
        guid = f"{stage.guid}-hot"
        await asyncio.to_thread(create, stage.server, guid)
        assert stage.server.process is not None
        memory_before = memory_kib(stage.server.process.pid)
        seconds = size.overload_seconds
        streams, polls, bids = await asyncio.gather(
            _load(stage, guid, seconds, streams=size.overload_streams),
            _load(stage, guid, seconds, polls_per_second=size.overload_streams // 2),
            _load(stage, guid, seconds, bids_per_second=size.overload_streams // 5),
        )
        grown = memory_kib(stage.server.process.pid) - memory_before
        stage.claim(grown < room * STREAM_KIB + BASE_KIB, f"memory has grown by {grown} KiB")
        _claim_answered(stage, streams, polls, bids, size)
        with stage.store.client() as site:
            entries, _ = log_of(site, guid)
        accepted = bids.statuses.get("201", 0)
        stage.claim(len(entries) == accepted, f"{accepted} bids were accepted, and {len(entries)} are in the log")
        stage.violations += in_order(entries)
        await stage.rest()
        return stage.report()


async def _load(stage: Stage, guid: str, seconds: float, **rates: int) -> Measured:
    text = msgspec.json.encode(Wanted(stage.server.port, guid, seconds, **rates))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.chaos.overload", text.decode(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return msgspec.json.decode(out, type=Measured)


def _claim_answered(stage: Stage, streams: Measured, polls: Measured, bids: Measured, size: Size) -> None:
    stage.claim(streams.streams_lost == 0, f"{streams.streams_lost} streams were refused or ended without a word")
    stage.claim(streams.streams_turned_away > 0, "no stream was turned away, so nothing was tested")
    missing = size.overload_streams - streams.streams_opened - streams.streams_turned_away
    stage.claim(missing == 0, f"{missing} streams were neither opened nor turned away")
    for what, seen, good in (("polls", polls, {"200", "503"}), ("bids", bids, {"201", "409"})):
        strange = {status: count for status, count in seen.statuses.items() if status not in good}
        stage.claim(not strange, f"{what} were answered {strange}")
        stage.claim(seen.unanswered == 0, f"{seen.unanswered} {what} were not answered")
        stage.measure(f"{what} a second", seen.answered / size.overload_seconds)
        stage.measure(f"p50 of {what} (ms)", seen.p50_ms)
        stage.measure(f"p99 of {what} (ms)", seen.p99_ms)
    stage.measure("streams opened", streams.streams_opened)
    stage.measure("streams turned away", streams.streams_turned_away)
    stage.measure("states delivered a second", streams.states / size.overload_seconds)
    if size.is_timed:
        stage.claim(bids.p99_ms < BIDS_P99_MS, f"p99 of bids is {bids.p99_ms:.0f} ms")
