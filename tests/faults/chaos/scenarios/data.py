"""The store answers, but its data are wrong or it refuses commands."""

import asyncio
import time
from pathlib import Path

import httpx

from tests.faults.chaos.crowd import Watcher
from tests.faults.chaos.stage import TRUE_WITHIN_SECONDS, Report, Size, Stage, staged
from tests.support.harness import create, price_key


async def flushed(seed: int, size: Size, directory: Path) -> Report:
    """`FLUSHALL`.

    Must hold: all viewers are shown `unknown`; bids get 404; the auction created anew is another one.
    """
    async with staged(seed, size, directory) as stage:
        watchers = stage.crowd.watchers
        for _ in range(size.rounds):
            await stage.crowd.stop_asking()
            with stage.store.client() as site:
                site.flushall()
            await stage.until(
                lambda: all(each.last and each.last["status"] == "unknown" for each in watchers), "the news"
            )
            async with httpx.AsyncClient(base_url=stage.server.url) as client:
                reply = await client.get(f"/auctions/{stage.guid}/price")
                stage.claim(reply.status_code == 404, f"a poll of what is gone was answered {reply.status_code}")
            await asyncio.to_thread(create, stage.server, stage.guid)
            await stage.until(
                lambda: all(each.last and each.last["status"] == "open" for each in watchers), "the new one"
            )
            stage.crowd.begin_anew()
            await stage.calm()
        await stage.rest()
        return stage.report()


def _all_show(status: str, watchers: list[Watcher]) -> bool:
    return all(watcher.last is not None and watcher.last["status"] == status for watcher in watchers)


async def wrong_types(seed: int, size: Size, directory: Path) -> Report:
    """Each key of the auction in turn is of a wrong type.

    Must hold: bids get 503, the log says why; after the repair it works again, with no restart.
    """
    async with staged(seed, size, directory) as stage:
        tag = f"{{{price_key(stage.guid)}}}"
        keys = [price_key(stage.guid), *(f"{tag}:{part}" for part in ("auction", "private", "bids", "paddles"))]
        for key in stage.rng.sample(keys, len(keys)):
            with stage.store.client() as site:
                existed = bool(site.exists(key))
                with site.pipeline(transaction=True) as pipe:
                    if existed:
                        pipe.rename(key, f"{tag}:aside")
                    pipe.pfadd(key, "something else") if key == keys[1] else pipe.sadd(key, "something else")
                    pipe.execute()
                await stage.more_unavailable(1, f"{key} is of a wrong type")
                await stage.calm()
                with site.pipeline(transaction=True) as pipe:
                    pipe.delete(key)
                    if existed:
                        pipe.rename(f"{tag}:aside", key)
                    pipe.execute()
            await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the repair")
        stage.claim(stage.logged("WRONGTYPE"), "no line of the log says what is wrong")
        await stage.rest()
        return stage.report()


async def memory_full(seed: int, size: Size, directory: Path) -> Report:
    """Memory full under `noeviction`.

    Must hold: bids get 503; prices stay live.
    """
    async with staged(seed, size, directory) as stage:
        full, free = ("CONFIG", "SET", "maxmemory", "1mb"), ("CONFIG", "SET", "maxmemory", "0")
        return await _refusing_writes(stage, full, free, "OOM")


async def read_only_replica(seed: int, size: Size, directory: Path) -> Report:
    """The store becomes a replica, and a master again.

    Must hold: bids get 503; prices stay live.
    """
    async with staged(seed, size, directory) as stage:
        replica, master = ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")
        return await _refusing_writes(stage, replica, master, "READONLY")


async def _refusing_writes(stage: Stage, begin: tuple[str, ...], end: tuple[str, ...], words: str) -> Report:
    """Between two commands the store takes no writes and answers with these words: bids get 503, prices stay live."""
    with stage.store.client() as site:
        for _ in range(stage.size.rounds):
            site.execute_command(*begin)
            await stage.more_unavailable(3, words)
            await stage.calm()
            stage.claim(
                all(watcher.is_live for watcher in stage.crowd.watchers), "prices are not live, though readable"
            )
            site.execute_command(*end)
            await stage.calm()
    stage.claim(stage.logged(words), f"no line of the log has {words}")
    await stage.all_live(time.monotonic(), TRUE_WITHIN_SECONDS, "the store's taking writes again")
    await stage.rest()
    return stage.report()


async def scripts_flushed(seed: int, size: Size, directory: Path) -> Report:
    """`SCRIPT FLUSH`, again and again.

    Must hold: nothing changes for viewers and bidders.
    """
    async with staged(seed, size, directory) as stage:
        with stage.store.client() as site:
            for _ in range(20 * size.rounds):
                site.script_flush()
                await asyncio.sleep(stage.rng.uniform(0, 0.1))
        refused = stage.crowd.notes.counts["answered 503"]
        stage.claim(refused == 0, f"{refused} requests were answered 503")
        await stage.rest()
        return stage.report()


async def tracking_forbidden(seed: int, size: Size, directory: Path) -> Report:
    """An ACL takes `CLIENT TRACKING` away, and gives it back.

    Must hold: prices are polled, a log line and a gauge show it; back with no restart.
    """
    async with staged(seed, size, directory) as stage:
        with stage.store.client() as site:
            for _ in range(size.rounds):
                for rule, polling in (("-client|tracking", 1.0), ("+client|tracking", 0.0)):
                    site.execute_command("ACL", "SETUSER", "default", rule)
                    site.client_kill_filter(_type="normal", skipme=True)
                    killed_at = time.monotonic()
                    await stage.all_live(killed_at, TRUE_WITHIN_SECONDS, "CLIENT KILL", noticed=True)
                    await stage.calm()
                    gauge = await stage.metric("sse_auction_mirror_polling")
                    stage.claim(gauge == polling, f"sse_auction_mirror_polling is {gauge} after {rule}")
        stage.claim(stage.logged("refuses CLIENT TRACKING"), "no line of the log reports it")
        await stage.rest()
        return stage.report()
