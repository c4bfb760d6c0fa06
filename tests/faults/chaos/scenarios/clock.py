"""Clocks that are set by an hour: the one of the service's machine, which decides nothing, and the store's."""

import asyncio
import time
from pathlib import Path

from tests.faults.chaos.mass_viewers import MassViewers
from tests.faults.chaos.stage import Report, Size, Stage, staged
from tests.support.clock import Clock
from tests.support.harness import create, now_ms

HOUR = 3600
ON_TIME_SECONDS = 2.0  # for opening and closing, on a machine that runs three scenarios at once


async def service_clock_set(seed: int, size: Size, directory: Path) -> Report:
    """The clock of the service's machine is set by an hour, forward and back.

    Must hold: nothing changes for viewers and bidders.
    """
    clock = Clock(directory / "clock")
    async with staged(seed, size, directory, environment=clock.environment) as stage:
        mass_viewers = MassViewers(stage.server.port, stage.rng)
        ending_in = 2.0 + 2 * size.rounds
        closing, opening = f"{stage.guid}-closing", f"{stage.guid}-opening"
        moment, due = now_ms() + int(ending_in * 1000), time.monotonic() + ending_in
        await asyncio.to_thread(create, stage.server, closing, closes_at=moment)
        await asyncio.to_thread(create, stage.server, opening, opens_at=moment)
        ended, opened = await mass_viewers.add(closing), await mass_viewers.add(opening)
        for _ in range(size.rounds):
            for hours in (1, -1, 0):
                clock.set(hours * HOUR)
                await stage.calm()
        await stage.until(lambda: ended.closed_at is not None, "the closing")
        late = (ended.closed_at or 0.0) - due
        stage.claim(-0.01 < late < ON_TIME_SECONDS, f"it closed {late:.2f} s after its time")
        await stage.until(lambda: b'"status":"open"' in opened.tail, "the opening")
        stage.claim(b'"status":"open"' not in opened.first, "it was open before its time")
        refused = stage.crowd.notes.counts["answered 503"] + stage.crowd.notes.counts["bids answered unauthorized"]
        stage.claim(refused == 0, f"{refused} requests were refused because a clock was set")
        ended_streams = sum(len(watcher.endings) for watcher in stage.crowd.watchers)
        stage.claim(ended_streams == 0, f"{ended_streams} streams ended because a clock was set")
        await stage.rest()
        return stage.report()


async def store_clock_set(seed: int, size: Size, directory: Path) -> Report:
    """The store's clock is set by an hour, forward and back.

    Must hold: what is due closes, once; what has closed stays so.
    """
    clock = Clock(directory / "clock")
    async with staged(seed, size, directory, store_prefix=clock.prefix) as stage:
        mass_viewers = MassViewers(stage.server.port, stage.rng)
        soon, far = f"{stage.guid}-soon", f"{stage.guid}-far"
        for guid, minutes in ((soon, 30), (far, 300)):
            await asyncio.to_thread(create, stage.server, guid, closes_at=now_ms() + minutes * 60_000)
        ended, lasting = await mass_viewers.add(soon), await mass_viewers.add(far)
        # The crowd's auction ends in an hour too, so it is moved.
        await stage.act("extend", closes_at=now_ms() + 5 * HOUR * 1000, reason="the store's clock will be set")
        await stage.calm()
        clock.set(HOUR)
        await stage.until(lambda: ended.closed_at is not None, "the closing of what is due by the store's clock")
        with stage.store.client() as site:
            key = f"{{AuctionMaxPrice-{soon}}}:auction"
            await stage.until(lambda: site.hget(key, "settled") == "1", "its settlement")
        await _stays_closed(stage, soon)
        for hours in (0, -1, 0):
            clock.set(hours * HOUR)
            await stage.calm(1.5)  # longer than the mirror's look at the store's clock
            await _stays_closed(stage, soon)
        stage.claim(lasting.closed_at is None, "what was not due has closed")
        stage.claim(lasting.ended_at is None, "a stream ended because a clock was set")
        await stage.rest()
        return stage.report()


async def _stays_closed(stage: Stage, guid: str) -> None:
    shown = await stage.poll(guid)
    stage.claim(shown["status"] == "closed", f"an auction that had closed is {shown['status']} again")
    bid = await stage.bid(guid, "10.00")
    stage.claim(bid.status_code == 409 and bid.json()["code"] == "not_open", f"it takes bids: {bid.text}")
