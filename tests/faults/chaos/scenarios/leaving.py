"""SIGTERM with thousands of open streams: probes fail first, then streams end over the window, then the process."""

import asyncio
import signal
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.faults.chaos.mass_viewers import MassViewers, all_of
from tests.faults.chaos.stage import BACK_WITHIN_SECONDS, SLACK_SECONDS, Report, Scenario, Size, Stage, staged
from tests.support.harness import create, now_ms

EXITS_WITHIN_SECONDS = 2.0  # after the window
QUIET_SECONDS = 30.0  # before an auction's closing, in which none of its streams ends
PARTS = 5  # of the window; the ends are counted in each


def terminated(workers: int) -> Scenario:
    """SIGTERM for a service of this many workers."""

    async def scenario(seed: int, size: Size, directory: Path) -> Report:
        """SIGTERM with 5,000 open streams, 10 s to leave.

        Must hold: `/readyz` fails first, on an open listener; ends are spread over the window, each with a `retry:`;
        none in the last 30 s of its auction; viewers get final prices; exit code 0 within window + 2 s.
        """
        window = size.window_seconds
        drain = f"{window:g}"
        async with staged(seed, size, directory, workers=workers, SSE_AUCTION_DRAIN_SECONDS=drain) as stage:
            mass_viewers = MassViewers(stage.server.port, stage.rng)
            ending_in = 4 + size.mass_viewers / 500 + window / 2
            closing, later = f"{stage.guid}-closing", f"{stage.guid}-later"
            closes_at = now_ms() + int(ending_in * 1000)
            await asyncio.to_thread(create, stage.server, closing, closes_at=closes_at)
            await asyncio.to_thread(create, stage.server, later, closes_at=closes_at + int(QUIET_SECONDS * 1000))
            kinds = [stage.guid, stage.guid, stage.guid, closing, later]
            await mass_viewers.open_all([kinds[number % len(kinds)] for number in range(size.mass_viewers)])
            await stage.until(lambda: mass_viewers.answered == size.mass_viewers, "the streams of the mass viewers")
            await asyncio.sleep(max(0.0, (closes_at - now_ms()) / 1000 - window / 2))
            await _terminate(stage, mass_viewers, window)
            _check_ends(stage, mass_viewers, window, closing, later)
            await asyncio.to_thread(stage.server.restart_on_same_port)
            await stage.all_live(time.monotonic(), BACK_WITHIN_SECONDS, "the service's return")
            await stage.rest()
            return stage.report()

    return scenario


async def _terminate(stage: Stage, mass_viewers: MassViewers, window: float) -> None:
    """Send the signal, and look at the probes while streams are open and at the exit."""
    process = stage.server.process
    assert process is not None
    before = mass_viewers.open
    stage.claim(
        before == len(mass_viewers.viewers),
        f"{before} of {len(mass_viewers.viewers)} streams are open before the signal",
    )
    stage.server.send_signal(signal.SIGTERM)
    signalled_at = time.monotonic()
    stage.measure("signalled at", signalled_at)
    async with httpx.AsyncClient(base_url=stage.server.url) as client:
        ready, took = True, 0.0
        while ready and took < window:
            try:
                ready = (await client.get("/readyz", headers={"Connection": "close"})).status_code != 503
            except httpx.TransportError as error:
                stage.violations.append(f"/readyz could not be asked while streams were open: {error!r}")
                return
            took = time.monotonic() - signalled_at
        stage.measure("longest until /readyz failed (s)", took)
        share = mass_viewers.open / before
        stage.claim(not ready and share > 0.5, f"/readyz failed when {share:.0%} of the streams were open")
    code = await asyncio.to_thread(process.wait, window + 20)
    took = time.monotonic() - signalled_at
    stage.server.process = None
    stage.measure("longest until the exit, beyond the window (s)", took - window)
    stage.claim(code == 0, f"the exit code is {code}")
    within = window + EXITS_WITHIN_SECONDS + SLACK_SECONDS
    stage.claim(took < within, f"the exit came {took:.1f} s after the signal, with a window of {window:g} s")


def _check_ends(stage: Stage, mass_viewers: MassViewers, window: float, closing: str, later: str) -> None:
    signalled_at = stage.counts.pop("signalled at")
    ends = {viewer: (viewer.ended_at or float("inf")) - signalled_at for viewer in mass_viewers.viewers}
    far = mass_viewers.of(stage.guid)
    for name, wrong in (
        ("did not receive when to come back", all_of(far + mass_viewers.of(later), lambda each: each.has_retry)),
        ("did not end within the window", all_of(far, lambda each: 0 <= ends[each] < window + SLACK_SECONDS)),
        ("did not receive the final price", all_of(mass_viewers.of(closing), lambda each: each.closed_at is not None)),
        ("ended in the last 30 s of its auction",
         all_of(mass_viewers.of(later), lambda each: ends[each] < window / 2 + SLACK_SECONDS)),
    ):  # fmt: skip
        stage.claim(wrong is None, f"{name}: {wrong}")
    parts = Counter(min(PARTS - 1, int(ends[viewer] / window * PARTS)) for viewer in far)
    largest = max(parts.values()) / len(far)
    stage.measure(f"largest share of ends in a {PARTS}th of the window", largest)
    stage.claim(largest < 2 / PARTS, f"the ends are not spread over the window: {dict(parts)}")
