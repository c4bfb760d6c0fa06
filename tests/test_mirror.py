"""What the service notices in the store, whoever wrote it, and what noticing costs: on both stores, in open streams."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from tests.harness import (
    Event,
    EventReader,
    Server,
    StoreProcess,
    bid,
    create,
    open_stream,
    running_server,
    running_store,
    until,
)


def price_key(guid: str) -> str:
    return f"AuctionMaxPrice-{guid}"


def stream_url(server: Server, guid: str) -> str:
    return f"{server.url}/auctions/{guid}/stream"


def epoch(event: Event) -> str:
    tag: str = event.data["tag"]
    return tag.partition("-")[0]


def tracked_keys(site: redis.Redis) -> int:
    count: int = site.info("stats")["tracking_total_keys"]
    return count


def reads(server: Server) -> float:
    return server.metric("sse_auction_mirror_reads_total")


class Pair(NamedTuple):
    """A store that a test may wipe or kill, and the service on it."""

    store: StoreProcess
    server: Server


@pytest.fixture(scope="module", params=["valkey", "redis"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """One pair of each kind for all tests here: the service is never restarted, whatever happens to its store."""
    directory = tmp_path_factory.mktemp(f"mirror-{request.param}")
    with (
        running_store(request.param, directory) as store,
        running_server(directory, REDIS_URL=store.url) as server,
    ):
        yield Pair(store, server)


# --- what is read and tracked ------------------------------------------------------------------------------------


def test_only_watched_auctions_are_read_and_tracked(
    server: Server, store: StoreProcess, guid: str, run: Callable[..., Any]
) -> None:
    async def look() -> None:
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

    run(look())


def test_ten_thousand_writes_between_two_reads_cost_few_reads(
    server: Server, store: StoreProcess, guid: str, run: Callable[..., Any]
) -> None:
    async def look() -> None:
        with store.client() as site:
            async with open_stream(stream_url(server, guid)) as stream:
                await stream.next()
                before, started = reads(server), time.monotonic()
                await asyncio.to_thread(write_many, site, price_key(guid))
                while (await stream.next("price")).data["price"] != "10000.00":
                    pass
                took = time.monotonic() - started
                assert 1 <= reads(server) - before <= took * 20 + 2

    run(look())


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
def test_every_way_to_write_is_noticed(
    server: Server,
    store: StoreProcess,
    guid: str,
    run: Callable[..., Any],
    write: Callable[[redis.Redis, str], None],
) -> None:
    async def look() -> None:
        with store.client() as site:
            site.set(price_key(guid), "10")
            async with open_stream(stream_url(server, guid)) as stream:
                assert (await stream.next()).data["price"] == "10.00"
                write(site, price_key(guid))
                assert (await stream.next()).data["price"] == "11.00"

    run(look())


def forget_by_deleting(site: redis.Redis, key: str) -> None:
    site.delete(key)


def forget_by_unlinking(site: redis.Redis, key: str) -> None:
    site.unlink(key)


def forget_by_expiry(site: redis.Redis, key: str) -> None:
    site.pexpire(key, 50)


def forget_by_renaming(site: redis.Redis, key: str) -> None:
    site.rename(key, f"{key}:old")


@pytest.mark.parametrize("forget", [forget_by_deleting, forget_by_unlinking, forget_by_expiry, forget_by_renaming])
def test_every_way_to_lose_a_price_is_noticed_and_any_price_may_follow(
    server: Server,
    store: StoreProcess,
    guid: str,
    run: Callable[..., Any],
    forget: Callable[[redis.Redis, str], None],
) -> None:
    async def look() -> None:
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
                assert epoch(before) == epoch(gone) == epoch(after), "one key's end is not the store's"

    run(look())


# --- a store that loses its memory -------------------------------------------------------------------------------


def test_a_wiped_store_begins_a_new_epoch_in_which_less_is_accepted(
    pair: Pair, guid: str, run: Callable[..., Any]
) -> None:
    plain = f"{guid}-plain"

    async def look() -> None:
        create(pair.server, guid)
        for number in range(3):
            assert bid(pair.server, guid, f"bidder-{number}", f"{10 + number}.00").status_code == 201
        with pair.store.client() as site:
            site.set(price_key(plain), "100")
            async with (
                open_stream(stream_url(pair.server, guid)) as recorded,
                open_stream(stream_url(pair.server, plain)) as other,
            ):
                before, priced = await recorded.next(), await other.next()
                assert (before.data["rev"], before.data["price"], priced.data["price"]) == (4, "12.00", "100.00")
                batch = site.pipeline(transaction=True)
                batch.flushall()
                batch.set(price_key(plain), "1")
                batch.execute()
                gone, cheap = await new_epoch(recorded, before), await new_epoch(other, priced)
                assert (gone.data["status"], gone.data["rev"]) == ("unknown", 0)
                assert cheap.data["price"] == "1.00"
                create(pair.server, guid, start_price="1.00")
                again = await recorded.next()
                assert (again.data["status"], again.data["rev"], again.data["price"]) == ("open", 1, None)

    run(look())


async def new_epoch(stream: EventReader, before: Event) -> Event:
    """The first state of another epoch."""
    while epoch(event := await stream.next("price")) == epoch(before):
        pass
    return event


def test_a_lost_memory_word_begins_a_new_epoch(pair: Pair, guid: str, run: Callable[..., Any]) -> None:
    """Whoever restores another data set into a running store takes the word away with it."""

    async def look() -> None:
        with pair.store.client() as site:
            site.set(price_key(guid), "7.00")
            async with open_stream(stream_url(pair.server, guid)) as stream:
                before = await stream.next()
                site.delete("sse-auction:memory")
                after = await new_epoch(stream, before)
                assert after.data["price"] == "7.00"
                site.set("sse-auction:memory", "another")
                assert (await new_epoch(stream, after)).data["price"] == "7.00"

    run(look())


def test_a_restarted_store_is_followed_again_in_a_new_epoch(pair: Pair, guid: str, run: Callable[..., Any]) -> None:
    plain = f"{guid}-plain"

    async def look() -> None:
        create(pair.server, guid)
        bid(pair.server, guid, "ann", "10.00")
        with pair.store.client() as site:
            site.set(price_key(plain), "100.00")
        async with (
            open_stream(stream_url(pair.server, guid)) as recorded,
            open_stream(stream_url(pair.server, plain)) as other,
        ):
            before, priced = await recorded.next(), await other.next()
            await asyncio.to_thread(pair.store.restart)
            after, priced_after = await restarted(recorded, before), await restarted(other, priced)
            assert (after.data["rev"], after.data["price"]) == (before.data["rev"], "10.00")
            assert priced_after.data["price"] == "100.00"
            with pair.store.client() as site:
                site.set(price_key(plain), "101.00")
            assert (await other.next("price")).data["price"] == "101.00"
            await asyncio.to_thread(until, pair.server.is_ready, "readiness")
            assert (await asyncio.to_thread(bid, pair.server, guid, "bob", "11.00")).status_code == 201
            assert (await recorded.next("price")).data["price"] == "11.00"

    run(look())


async def restarted(stream: EventReader, before: Event) -> Event:
    """The state of the new epoch, with the news that prices are not live, and live again."""
    told: list[bool] = []
    after = None
    while after is None or True not in told:
        event = await stream.next()
        if event.name == "hb":
            told.append(event.data["live"])
        elif epoch(event) != epoch(before):
            after = event
    assert told == [False, True]
    return after


def test_a_store_that_comes_back_without_its_data_is_believed(pair: Pair, guid: str, run: Callable[..., Any]) -> None:
    async def look() -> None:
        with pair.store.client() as site:
            site.set(price_key(guid), "100.00")
        async with open_stream(stream_url(pair.server, guid)) as stream:
            before = await stream.next()
            pair.store.stop()
            shutil.rmtree(pair.store.directory / "appendonlydir")
            await asyncio.to_thread(pair.store.start)
            assert (await new_epoch(stream, before)).data["status"] == "unknown"
            with pair.store.client() as site:
                site.set(price_key(guid), "1.00")
            assert (await stream.next("price")).data["price"] == "1.00"

    run(look())


def test_a_cut_connection_means_that_everything_watched_is_read_again(
    pair: Pair, guid: str, run: Callable[..., Any]
) -> None:
    async def look() -> None:
        with pair.store.client() as site:
            site.set(price_key(guid), "1.00")
            async with open_stream(stream_url(pair.server, guid)) as stream:
                before = await stream.next()
                for price in ("2.00", "3.00", "4.00"):
                    batch = site.pipeline(transaction=True)
                    batch.client_kill_filter(_type="normal", skipme=True)
                    batch.set(price_key(guid), price)
                    batch.execute()
                    event = await stream.next("price")
                    assert event.data["price"] == price
                    assert epoch(event) == epoch(before), "the store itself lost nothing"

    run(look())


def test_two_processes_give_one_state_one_tag_before_and_after_a_wipe(
    pair: Pair, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    async def look(second: Server) -> None:
        with pair.store.client() as site:
            site.set(price_key(guid), "5.00")
            async with (
                open_stream(stream_url(pair.server, guid)) as here,
                open_stream(stream_url(second, guid)) as there,
            ):
                before, same = await here.next(), await there.next()
                assert before.id == same.id
                batch = site.pipeline(transaction=True)
                batch.flushall()
                batch.set(price_key(guid), "4.00")
                batch.execute()
                site.set(price_key(guid), "6.00")
                ids = set()
                for stream in (here, there):
                    while (event := await stream.next("price")).data["price"] != "6.00" or event.id == before.id:
                        pass
                    ids.add(event.id)
                assert len(ids) == 1

    with running_server(directory, REDIS_URL=pair.store.url) as second:
        run(look(second))


# --- a store that refuses something ------------------------------------------------------------------------------


@pytest.fixture(params=["valkey", "redis"])
def own_store(request: pytest.FixtureRequest, directory: Path) -> Iterator[StoreProcess]:
    with running_store(request.param, directory) as running:
        yield running


def as_user(store: StoreProcess, *rules: str) -> str:
    """A URL for a new user who may do what the rules say."""
    with store.client() as site:
        site.acl_setuser("web", enabled=True, passwords=["+pw"])  # the client library knows no subcommand rules
        site.execute_command("ACL", "SETUSER", "web", *rules)
    return store.url.replace("unix://", "unix://web:pw@")


def test_where_tracking_is_refused_watched_prices_are_polled(
    own_store: StoreProcess, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    async def look(server: Server) -> None:
        assert server.metric("sse_auction_mirror_polling") == 1
        create(server, guid)
        plain = f"{guid}-plain"
        with own_store.client() as site:
            async with (
                open_stream(stream_url(server, guid)) as recorded,
                open_stream(stream_url(server, plain)) as other,
            ):
                before = await recorded.next()
                await other.next()
                site.set(price_key(plain), "100.00")
                assert (await other.next()).data["price"] == "100.00"
                await asyncio.to_thread(bid, server, guid, "ann", "10.00")
                assert (await recorded.next()).data["price"] == "10.00"
                site.flushall()
                site.set(price_key(plain), "2.00")
                gone = await new_epoch(recorded, before)
                assert (gone.data["status"], gone.data["rev"]) == ("unknown", 0)
                while (await other.next("price")).data["price"] != "2.00":
                    pass
                site.client_kill_filter(_type="normal", skipme=True)
                site.set(price_key(plain), "3.00")
                assert (await other.next("price")).data["price"] == "3.00"

    with running_server(directory, REDIS_URL=as_user(own_store, "~*", "+@all", "-client|tracking")) as server:
        run(look(server))
        assert server.log().count("refuses CLIENT TRACKING") == 1


def test_polling_goes_on_while_newcomers_keep_the_mirror_busy(
    own_store: StoreProcess, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    async def look(server: Server) -> None:
        async with open_stream(stream_url(server, guid)) as stream:
            await stream.next()
            crowd = asyncio.create_task(visit_for_ever(server, guid))
            with own_store.client() as site:
                for price in ("1.00", "2.00"):
                    await asyncio.to_thread(site.set, price_key(guid), price)
                    assert (await asyncio.wait_for(stream.next(), 5)).data["price"] == price
            assert not crowd.done()
            crowd.cancel()

    with running_server(directory, REDIS_URL=as_user(own_store, "~*", "+@all", "-client|tracking")) as server:
        run(look(server))


async def visit_for_ever(server: Server, guid: str) -> None:
    """One newcomer after the other, each at an auction that nobody watches."""
    number = 0
    while True:
        number += 1
        async with open_stream(stream_url(server, f"{guid}-{number}")) as stream:
            await stream.next()


@pytest.mark.parametrize(
    "memory_rules",
    [["%R~sse-auction:memory", "+@all", "-info"], ["+@all"]],
    ids=["no INFO and no SET of its word", "nothing of its word"],
)
def test_a_user_who_may_not_name_the_memory_is_served_all_the_same(
    own_store: StoreProcess, directory: Path, guid: str, run: Callable[..., Any], memory_rules: list[str]
) -> None:
    async def look(server: Server) -> None:
        create(server, guid)
        plain = f"{guid}-plain"
        async with (
            open_stream(stream_url(server, guid)) as recorded,
            open_stream(stream_url(server, plain)) as other,
        ):
            await recorded.next()
            await other.next()
            with own_store.client() as site:
                site.set(price_key(plain), "100.00")
                assert (await other.next()).data["price"] == "100.00"
                assert (await asyncio.to_thread(bid, server, guid, "ann", "10.00")).status_code == 201
                assert (await recorded.next()).data["price"] == "10.00"
                site.flushall()
                assert (await other.next()).data["status"] == "unknown"
        assert server.metric("sse_auction_mirror_polling") == 0

    auctions = ["~AuctionMaxPrice-*", "~{AuctionMaxPrice-*", "~sse-auction:auctions"]
    with running_server(directory, REDIS_URL=as_user(own_store, *auctions, *memory_rules)) as server:
        run(look(server))
