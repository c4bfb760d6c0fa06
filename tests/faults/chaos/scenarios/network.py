"""Between the service and its store: silence, cuts, lost answers, slowness."""

import asyncio
import time
from pathlib import Path

from tests.faults.chaos.stage import NOT_LIVE_WITHIN_SECONDS, TRUE_WITHIN_SECONDS, Report, Size, Stage, staged


async def store_frozen(seed: int, size: Size, directory: Path) -> Report:
    """SIGSTOP for 15 s.

    Must hold: streams stay open; "not live" is shown within 3 s, the truth within 2 s of the return; bids meanwhile
    get 503.
    """
    async with staged(seed, size, directory) as stage:
        with stage.store.frozen() as frozen_at:
            await asyncio.sleep(size.freeze_seconds)
        await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the thaw")
        stage.claim_told(frozen_at, "the store was frozen")
        await stage.calm()
        return await _at_rest(stage)


async def store_paused(seed: int, size: Size, directory: Path) -> Report:
    """`CLIENT PAUSE`, of all commands and of writes.

    Must hold: streams stay open; "not live" is shown within 3 s, the truth within 2 s of the return; bids meanwhile
    get 503.
    """
    async with staged(seed, size, directory) as stage:
        for number in range(2 * size.rounds):
            with stage.store.client() as site:
                milliseconds = int(size.freeze_seconds * 1000 / (2 * size.rounds)) + 1500
                site.client_pause(milliseconds, all=number % 2 == 0)
            await asyncio.sleep(milliseconds / 1000)
            await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the pause")
            await stage.calm()
        return await _at_rest(stage)


async def clients_killed(seed: int, size: Size, directory: Path) -> Report:
    """`CLIENT KILL`, again and again.

    Must hold: streams stay; the truth within 2 s.
    """
    async with staged(seed, size, directory) as stage:
        with stage.store.client() as site:
            for _ in range(5 * size.rounds):
                site.client_kill_filter(_type="normal", skipme=True)
                killed_at = time.monotonic()
                await stage.all_live(killed_at, TRUE_WITHIN_SECONDS, "CLIENT KILL", noticed=True)
                await asyncio.sleep(stage.rng.uniform(0, 0.5))
        return await _at_rest(stage)


async def connection_cut(seed: int, size: Size, directory: Path) -> Report:
    """Connections cut in the middle of an answer, at any byte.

    Must hold: streams stay; the truth within 2 s.
    """
    async with staged(seed, size, directory, behind_proxy=True) as stage:
        assert stage.proxy is not None
        proxy = stage.proxy
        for _ in range(8 * size.rounds):
            proxy.replies_before_cut = stage.rng.randint(1, 600)
            await stage.until(lambda: proxy.replies_before_cut is None, "a cut")
            await asyncio.sleep(stage.rng.uniform(0, 0.3))
        await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the last cut")
        stage.measure("connections cut", proxy.cuts)
        return await _at_rest(stage)


async def half_open(seed: int, size: Size, directory: Path) -> Report:
    """Connections that carry nothing any more, and are not closed.

    Must hold: noticed within 3 s; new ones within 2 s after.
    """
    async with staged(seed, size, directory, behind_proxy=True) as stage:
        assert stage.proxy is not None
        for _ in range(size.rounds):
            stage.proxy.silence_all()
            silenced_at = time.monotonic()
            within = NOT_LIVE_WITHIN_SECONDS + TRUE_WITHIN_SECONDS
            await stage.all_live(silenced_at, within, "the silence", noticed=True)
            stage.claim_told(silenced_at, "connections were half-open")
            await stage.calm()
        return await _at_rest(stage)


async def answers_lost(seed: int, size: Size, directory: Path) -> Report:
    """The store does everything, and no answer arrives.

    Must hold: noticed within 3 s; new connections are live within 2 s after; bids sent again count once.
    """
    async with staged(seed, size, directory, behind_proxy=True) as stage:
        assert stage.proxy is not None
        for _ in range(size.rounds):
            stage.proxy.swallows_replies = True
            lost_at = time.monotonic()
            await asyncio.sleep(stage.rng.uniform(3, 4.5))
            stage.proxy.swallows_replies = False
            stage.proxy.cut_all()  # a connection that has lost bytes cannot continue
            await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the loss of answers")
            stage.claim_told(lost_at, "answers were lost")
            await stage.calm()
        return await _at_rest(stage)


async def slow_network(seed: int, size: Size, directory: Path) -> Report:
    """Each piece up to 150 ms late, in pieces of 1 to 40 bytes.

    Must hold: streams stay; no request is refused for good.
    """
    async with staged(seed, size, directory, behind_proxy=True) as stage:
        assert stage.proxy is not None
        stage.proxy.delay_seconds, stage.proxy.splits = 0.15, True
        await asyncio.sleep(2 + 2 * size.rounds)
        stage.proxy.delay_seconds, stage.proxy.splits = 0.0, False
        await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the slowness")
        return await _at_rest(stage)


async def _at_rest(stage: Stage) -> Report:
    """The end of each of these scenarios: no stream has ended because of the network to the store."""
    ended = sum(len(watcher.endings) for watcher in stage.crowd.watchers)
    stage.claim(ended == 0, f"{ended} streams ended because of what is between service and store")
    await stage.rest()
    return stage.report()
