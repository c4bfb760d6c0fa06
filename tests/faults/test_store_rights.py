"""A store that refuses some commands: what is served nevertheless. On both stores, in open streams."""

import asyncio
from pathlib import Path

import pytest

from tests.support.connections import as_user
from tests.support.harness import Server, StoreProcess, bid, create, open_stream, price_key, running_server, stream_url

pytestmark = pytest.mark.parametrize("own_store", ["valkey", "redis"], indirect=True, scope="module")


async def test_where_tracking_is_refused_watched_prices_are_polled(
    own_store: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=as_user(own_store, "~*", "+@all", "-client|tracking")) as server:
        assert server.metric("sse_auction_mirror_polling") == 1
        create(server, guid)
        external = f"{guid}-external"
        with own_store.client() as site:
            async with (
                open_stream(stream_url(server, guid)) as managed,
                open_stream(stream_url(server, external)) as other,
            ):
                before = await managed.next()
                await other.next()
                site.set(price_key(external), "100.00")
                assert (await other.next()).data["price"] == "100.00"
                await asyncio.to_thread(bid, server, guid, "ann", "10.00")
                assert (await managed.next()).data["price"] == "10.00"
                site.flushall()
                site.set(price_key(external), "2.00")
                gone = await managed.next_epoch(before)
                assert (gone.data["status"], gone.data["rev"]) == ("unknown", 0)
                while (await other.next("price")).data["price"] != "2.00":
                    pass
                site.client_kill_filter(_type="normal", skipme=True)
                site.set(price_key(external), "3.00")
                assert (await other.next("price")).data["price"] == "3.00"
        assert server.log().count("refuses CLIENT TRACKING") == 1


async def test_polling_continues_while_new_viewers_keep_the_mirror_busy(
    own_store: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=as_user(own_store, "~*", "+@all", "-client|tracking")) as server:
        async with open_stream(stream_url(server, guid)) as stream:
            await stream.next()
            crowd = asyncio.create_task(visit_for_ever(server, guid))
            with own_store.client() as site:
                for price in ("1.00", "2.00"):
                    await asyncio.to_thread(site.set, price_key(guid), price)
                    assert (await asyncio.wait_for(stream.next(), 5)).data["price"] == price
            assert not crowd.done()
            crowd.cancel()


async def visit_for_ever(server: Server, guid: str) -> None:
    """One new viewer after the other, each at an unwatched auction."""
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
async def test_a_user_without_the_right_to_the_generation_is_served_nevertheless(
    own_store: StoreProcess, directory: Path, guid: str, memory_rules: list[str]
) -> None:
    auctions = [
        "~AuctionMaxPrice-*", "~{AuctionMaxPrice-*", "~sse-auction:auctions", "~sse-auction:due",
        "~{sse-auction:lists}:*",
    ]  # fmt: skip
    with running_server(directory, REDIS_URL=as_user(own_store, *auctions, *memory_rules)) as server:
        create(server, guid)
        external = f"{guid}-external"
        async with (
            open_stream(stream_url(server, guid)) as managed,
            open_stream(stream_url(server, external)) as other,
        ):
            await managed.next()
            await other.next()
            with own_store.client() as site:
                site.set(price_key(external), "100.00")
                assert (await other.next()).data["price"] == "100.00"
                assert (await asyncio.to_thread(bid, server, guid, "ann", "10.00")).status_code == 201
                assert (await managed.next()).data["price"] == "10.00"
                site.flushall()
                assert (await other.next()).data["status"] == "unknown"
        assert server.metric("sse_auction_mirror_polling") == 0
