"""What the service notices in the store, from any writer, and what it costs: on both stores, in open streams."""

import asyncio
import time
from collections.abc import Callable

import pytest
import redis

from tests.support.harness import Server, StoreProcess, open_stream, price_key, stream_url, until


def tracked_keys(site: redis.Redis) -> int:
    count: int = site.info("stats")["tracking_total_keys"]
    return count


def reads(server: Server) -> float:
    return server.metric("sse_auction_mirror_reads_total")


# --- what is read and tracked ------------------------------------------------------------------------------------


async def test_only_watched_auctions_are_read_and_tracked(server: Server, store: StoreProcess, guid: str) -> None:
    others = [f"{guid[:8]}-other-{number}" for number in range(300)]
    with store.client() as site:
        async with open_stream(stream_url(server, guid)) as stream:
            assert (await stream.next()).data["status"] == "unknown"
            tracked, read = tracked_keys(site), reads(server)
            for price in ("1.00", "2.00"):
                site.mset({price_key(each): price for each in others})
            site.set(price_key(guid), "5.00")
            assert (await stream.next()).data["price"] == "5.00"
            assert reads(server) == read + 1
            assert tracked_keys(site) == tracked
            many = "&".join(f"guid={each}" for each in others[:50])
            async with open_stream(f"{server.url}/auctions/stream?{many}") as second:
                for _ in range(50):
                    await second.next("price")
                assert reads(server) == read + 51
                assert tracked_keys(site) == tracked + 100, "the price and the terms of each"
        until(lambda: server.metric("sse_auction_rooms") == 0, "the end of the streams")
        site.mset({price_key(each): "3.00" for each in (*others, guid)})
        async with open_stream(stream_url(server, guid)) as stream:
            await stream.next()
            assert reads(server) == read + 52, "an auction that was left was read again"


async def test_ten_thousand_writes_between_two_reads_cost_few_reads(
    server: Server, store: StoreProcess, guid: str
) -> None:
    with store.client() as site:
        async with open_stream(stream_url(server, guid)) as stream:
            await stream.next()
            before, started = reads(server), time.monotonic()
            await asyncio.to_thread(write_many, site, price_key(guid))
            while (await stream.next("price")).data["price"] != "10000.00":
                pass
            took = time.monotonic() - started
            assert 1 <= reads(server) - before <= took * 20 + 2


def write_many(site: redis.Redis, key: str) -> None:
    for number in range(1, 10_001):
        site.set(key, str(number))


# --- who writes, and how -----------------------------------------------------------------------------------------


def write_in_a_transaction(site: redis.Redis, key: str) -> None:
    batch = site.pipeline(transaction=True)
    batch.set(key, "10.50")
    batch.set(key, "11.00")
    batch.execute()


def write_by_renaming(site: redis.Redis, key: str) -> None:
    site.set(f"{key}:next", "11.00")
    site.rename(f"{key}:next", key)


def write_by_copying(site: redis.Redis, key: str) -> None:
    site.set(f"{key}:next", "11.00")
    site.copy(f"{key}:next", key, replace=True)


def write_by_script(site: redis.Redis, key: str) -> None:
    site.eval("return redis.call('SET', KEYS[1], '11.00')", 1, key)


def write_in_place(site: redis.Redis, key: str) -> None:
    site.setrange(key, 1, "1.00")


def write_by_increment(site: redis.Redis, key: str) -> None:
    site.incr(key)


@pytest.mark.parametrize(
    "write",
    [
        write_in_a_transaction,
        write_by_renaming,
        write_by_copying,
        write_by_script,
        write_in_place,
        write_by_increment,
    ],
)
async def test_every_way_to_write_is_noticed(
    server: Server,
    store: StoreProcess,
    guid: str,
    write: Callable[[redis.Redis, str], None],
) -> None:
    with store.client() as site:
        site.set(price_key(guid), "10")
        async with open_stream(stream_url(server, guid)) as stream:
            assert (await stream.next()).data["price"] == "10.00"
            write(site, price_key(guid))
            assert (await stream.next()).data["price"] == "11.00"


def forget_by_deleting(site: redis.Redis, key: str) -> None:
    site.delete(key)


def forget_by_unlinking(site: redis.Redis, key: str) -> None:
    site.unlink(key)


def forget_by_expiry(site: redis.Redis, key: str) -> None:
    site.pexpire(key, 50)


def forget_by_renaming(site: redis.Redis, key: str) -> None:
    site.rename(key, f"{key}:old")


@pytest.mark.parametrize("forget", [forget_by_deleting, forget_by_unlinking, forget_by_expiry, forget_by_renaming])
async def test_every_way_to_lose_a_price_is_noticed_and_any_price_may_follow(
    server: Server,
    store: StoreProcess,
    guid: str,
    forget: Callable[[redis.Redis, str], None],
) -> None:
    with store.client() as site:
        site.set(price_key(guid), "10.00")
        async with open_stream(stream_url(server, guid)) as stream:
            before = await stream.next()
            forget(site, price_key(guid))
            gone = await stream.next()
            assert (gone.data["status"], gone.data["price"]) == ("unknown", None)
            site.set(price_key(guid), "3.00")
            after = await stream.next()
            assert after.data["price"] == "3.00"
            assert before.epoch == gone.epoch == after.epoch, "one key's end is not the store's"
