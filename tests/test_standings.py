"""A bidder's own stream: he hears how he stands, once, and nobody else does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness import EventReader, Server, StoreProcess, bid, bidder, create, running_server, until
from tests.test_operators import act, done, offer


@asynccontextmanager
async def own_stream(server: Server, who: str, *guids: str) -> AsyncIterator[EventReader]:
    async with httpx.AsyncClient(timeout=30) as client:
        url = f"{server.url}/me/stream?" + "&".join(f"guid={guid}" for guid in guids)
        async with client.stream("GET", url, headers=bidder(who)) as reply:
            assert reply.status_code == 200, await reply.aread()
            yield EventReader(reply.aiter_bytes())


async def standing(stream: EventReader) -> tuple[str, str, int, str | None]:
    data = (await stream.next("standing")).data
    return data["guid"], data["standing"], data["paddle"], data["price"]


def test_the_displaced_leader_hears_it_once_whoever_took_the_bid(
    own_store: StoreProcess, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    async def look(one: Server, other: Server) -> None:
        create(one, guid)
        create(one, f"{guid}-b")
        await asyncio.to_thread(bid, one, guid, "ann", "10.00")
        async with own_stream(one, "ann", guid, f"{guid}-b") as ann, own_stream(other, "bob", guid) as bob:
            assert await standing(ann) == (guid, "leading", 1, "10.00")
            await asyncio.to_thread(bid, other, guid, "bob", "20.00")
            assert await standing(ann) == (guid, "outbid", 1, "20.00")
            assert await standing(bob) == (guid, "leading", 2, "20.00"), "he had no paddle when he came"
            await asyncio.to_thread(bid, other, guid, "cat", "30.00")
            assert await standing(bob) == (guid, "outbid", 2, "30.00")
            await asyncio.to_thread(bid, one, f"{guid}-b", "ann", "10.00")
            assert await standing(ann) == (f"{guid}-b", "leading", 1, "10.00"), "and not again that she is outbid"
            done(await asyncio.to_thread(act, one, guid, "void", bidder="cat"))
            assert await standing(bob) == (guid, "leading", 2, "20.00")
            done(await asyncio.to_thread(act, one, guid, "close"))
            assert await standing(bob) == (guid, "winning", 2, "20.00")
            assert await standing(ann) == (guid, "lost", 1, "20.00")

    settings = {"REDIS_URL": own_store.url}
    (directory / "other").mkdir()
    with running_server(directory, **settings) as one, running_server(directory / "other", **settings) as other:
        run(look(one, other))
        until(lambda: one.metric("sse_auction_streams") == other.metric("sse_auction_streams") == 0, "nobody watches")


def test_a_challenger_beaten_by_a_maximum_hears_it(any_server: Server, guid: str, run: Callable[..., Any]) -> None:
    async def look() -> None:
        create(any_server, guid, bidding="proxy")
        offer(any_server, guid, "ann", max="50.00")
        async with own_stream(any_server, "bob", guid) as bob:
            answer = await asyncio.to_thread(offer, any_server, guid, "bob", max="20.00")
            assert answer["standing"] == "outbid"
            assert await standing(bob) == (guid, "outbid", 2, "21.00")
            await asyncio.to_thread(offer, any_server, guid, "bob", max="60.00")
            assert await standing(bob) == (guid, "leading", 2, "51.00")

    run(look())


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("guid=a", {}, 401),
        ("guid=a&token=x", {}, 401),
        ("guid=a", {"Authorization": "Bearer rubbish"}, 401),
        ("guid=b", bidder("ann", auctions=["a"]), 403),
        ("", bidder("ann"), 422),
        ("guid=a/b", bidder("ann"), 422),
    ],
)
def test_it_is_for_bidders_with_a_token(any_server: Server, query: str, headers: dict[str, str], status: int) -> None:
    assert httpx.get(f"{any_server.url}/me/stream?{query}", headers=headers).status_code == status


def test_it_says_that_the_line_works_and_carries_no_states(
    own_store: StoreProcess, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    async def look(server: Server) -> None:
        create(server, guid)
        async with own_stream(server, "ann", guid) as ann:
            await asyncio.to_thread(bid, server, guid, "bob", "10.00")
            first = await ann.next()
            assert first.name == "hb", "she has not bid, so she hears nothing else"
            assert 2000 <= ann.retry_ms[0] <= 4000

    with running_server(directory, REDIS_URL=own_store.url, SSE_AUCTION_HEARTBEAT_SECONDS="1") as server:
        run(look(server))


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_with_the_store_away_it_says_so_at_once_and_the_standings_when_it_is_back(
    own_store: StoreProcess, directory: Path, guid: str, run: Callable[..., Any], how: str
) -> None:
    guids = [f"{guid}-{number}" for number in range(10)]

    async def look(server: Server) -> None:
        for each in guids:
            create(server, each)
            bid(server, each, "ann", "10.00")
        async with own_stream(server, "nobody", *guids) as line:
            works = await line.next()
            assert (works.name, works.data["live"]) == ("hb", True), "he has not bid, so he hears nothing else"
        with away(own_store, how):
            until(lambda: server.metric("sse_auction_mirror_live") == 0, "noticing that the store is away")
            ann = own_stream(server, "ann", *guids)
            stream = await ann.__aenter__()
            first = await stream.next()  # the next heartbeat would come in minutes
            assert (first.name, first.data["live"]) == ("hb", False)
            assert stream.retry_ms
        assert sorted([await standing(stream) for _ in guids]) == [(each, "leading", 1, "10.00") for each in guids]
        await ann.__aexit__(None, None, None)

    with running_server(directory, REDIS_URL=own_store.url, SSE_AUCTION_HEARTBEAT_SECONDS="300") as server:
        run(look(server))


@contextmanager
def away(store: StoreProcess, how: str) -> Iterator[None]:
    """A store that does not answer: killed, or stopped as a machine that hangs."""
    if how == "frozen":
        with store.frozen():
            yield
        return
    store.stop()
    try:
        yield
    finally:
        store.start()
