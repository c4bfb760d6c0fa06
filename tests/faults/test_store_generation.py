"""A store that is wiped, restarted or cut off: what open streams show then, and in which epoch. On both stores."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.support.harness import (
    Event,
    EventReader,
    Server,
    StoreProcess,
    bid,
    create,
    open_stream,
    price_key,
    running_server,
    stream_url,
    until,
)

pytestmark = pytest.mark.parametrize("own_store", ["valkey", "redis"], indirect=True, scope="module")


async def test_a_wiped_store_begins_a_new_epoch_in_which_less_is_accepted(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    external = f"{guid}-external"
    create(own_server, guid)
    for number in range(3):
        assert bid(own_server, guid, f"bidder-{number}", f"{10 + number}.00").status_code == 201
    with own_store.client() as site:
        site.set(price_key(external), "100")
        async with (
            open_stream(stream_url(own_server, guid)) as managed,
            open_stream(stream_url(own_server, external)) as other,
        ):
            before, priced = await managed.next(), await other.next()
            assert (before.data["rev"], before.data["price"], priced.data["price"]) == (4, "12.00", "100.00")
            batch = site.pipeline(transaction=True)
            batch.flushall()
            batch.set(price_key(external), "1")
            batch.execute()
            gone, cheap = await managed.next_epoch(before), await other.next_epoch(priced)
            assert (gone.data["status"], gone.data["rev"]) == ("unknown", 0)
            assert cheap.data["price"] == "1.00"
            create(own_server, guid, start_price="1.00")
            again = await managed.next()
            assert (again.data["status"], again.data["rev"], again.data["price"]) == ("open", 1, None)


async def test_a_lost_word_of_the_generation_begins_a_new_epoch(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    """Restoring another data set into a running store removes the word of its generation."""
    with own_store.client() as site:
        site.set(price_key(guid), "7.00")
        async with open_stream(stream_url(own_server, guid)) as stream:
            before = await stream.next()
            site.delete("sse-auction:memory")
            after = await stream.next_epoch(before)
            assert after.data["price"] == "7.00"
            site.set("sse-auction:memory", "another")
            assert (await stream.next_epoch(after)).data["price"] == "7.00"


async def test_a_restarted_store_is_followed_again_in_a_new_epoch(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    external = f"{guid}-external"
    create(own_server, guid)
    bid(own_server, guid, "ann", "10.00")
    with own_store.client() as site:
        site.set(price_key(external), "100.00")
    async with (
        open_stream(stream_url(own_server, guid)) as managed,
        open_stream(stream_url(own_server, external)) as other,
    ):
        before, priced = await managed.next(), await other.next()
        await asyncio.to_thread(own_store.restart)
        after, priced_after = await restarted(managed, before), await restarted(other, priced)
        assert (after.data["rev"], after.data["price"]) == (before.data["rev"], "10.00")
        assert priced_after.data["price"] == "100.00"
        with own_store.client() as site:
            site.set(price_key(external), "101.00")
        assert (await other.next("price")).data["price"] == "101.00"
        await asyncio.to_thread(until, own_server.is_ready, "readiness")
        assert (await asyncio.to_thread(bid, own_server, guid, "bob", "11.00")).status_code == 201
        assert (await managed.next("price")).data["price"] == "11.00"


async def restarted(stream: EventReader, before: Event) -> Event:
    """The state of the new epoch, with the news that prices are not live, and live again."""
    liveness: list[bool] = []
    after = None
    while after is None or True not in liveness:
        event = await stream.next()
        if event.name == "hb":
            liveness.append(event.data["live"])
        elif event.epoch != before.epoch:
            after = event
    assert liveness == [False, True]
    return after


async def test_a_store_that_comes_back_without_its_data_is_believed(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    with own_store.client() as site:
        site.set(price_key(guid), "100.00")
    async with open_stream(stream_url(own_server, guid)) as stream:
        before = await stream.next()
        own_store.stop()
        shutil.rmtree(own_store.directory / "appendonlydir")
        await asyncio.to_thread(own_store.start)
        assert (await stream.next_epoch(before)).data["status"] == "unknown"
        with own_store.client() as site:
            site.set(price_key(guid), "1.00")
        assert (await stream.next("price")).data["price"] == "1.00"


async def test_a_cut_connection_means_that_everything_watched_is_read_again(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    with own_store.client() as site:
        site.set(price_key(guid), "1.00")
        async with open_stream(stream_url(own_server, guid)) as stream:
            before = await stream.next()
            for price in ("2.00", "3.00", "4.00"):
                batch = site.pipeline(transaction=True)
                batch.client_kill_filter(_type="normal", skipme=True)
                batch.set(price_key(guid), price)
                batch.execute()
                event = await stream.next("price")
                assert event.data["price"] == price
                assert event.epoch == before.epoch, "the store itself lost nothing"


async def test_two_processes_give_one_state_one_tag_before_and_after_a_wipe(
    own_store: StoreProcess, own_server: Server, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=own_store.url) as second, own_store.client() as site:
        site.set(price_key(guid), "5.00")
        async with (
            open_stream(stream_url(own_server, guid)) as here,
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
