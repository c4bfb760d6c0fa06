"""What a worker has answered is the least that it shows from then on: in polls, held polls and new streams.

The auctions here are watched, so that polls are answered from memory, which follows the store at its own pace.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.auctions import own_stream
from tests.support.harness import (
    OPERATOR,
    Server,
    StoreProcess,
    bidder,
    create,
    open_stream,
    price_key,
    running_server,
    stream_url,
    until_async,
)

BIDS = 300
PACE = {"SSE_AUCTION_MAX_RATE": "2"}  # states a second: what is in memory is up to half a second old
EXTERNAL = 40


class Visitor:
    """One bidder's client: it bids, polls and opens streams of one auction."""

    def __init__(self, client: httpx.AsyncClient, server: Server, guid: str) -> None:
        self.client, self.server, self.guid = client, server, guid

    async def bid(self, number: int) -> dict[str, Any]:
        reply = await self.client.post(
            f"{self.server.url}/auctions/{self.guid}/bids",
            json={"price": f"{10 + number}.00"},
            headers=bidder(("ann", "bob")[number % 2]),
        )
        assert reply.status_code == 201, reply.text
        state: dict[str, Any] = reply.json()["state"]
        return state

    async def poll(self, tag: str | None = None, wait: int = 0) -> dict[str, Any] | None:
        """The state; None when the tag's state is still the newest."""
        headers = {} if tag is None else {"If-None-Match": f'"{tag}"'}
        params = {"wait": wait} if wait else {}
        reply = await self.client.get(f"{self.server.url}/auctions/{self.guid}/price", params=params, headers=headers)
        assert reply.status_code in (200, 304), reply.text
        return reply.json() if reply.status_code == 200 else None

    async def first_state(self, **headers: str) -> dict[str, Any]:
        async with open_stream(stream_url(self.server, self.guid), **headers) as stream:
            return (await stream.next("price")).data


@asynccontextmanager
async def watched(server: Server, guid: str) -> AsyncIterator[Visitor]:
    """An auction that every worker of the server watches."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # each request may reach another worker
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        tasks = [asyncio.create_task(watch(server, guid)) for _ in range(8)]

        async def all_watch() -> bool:
            return server.metric("sse_auction_streams") >= len(tasks)

        await until_async(all_watch, "the watchers")
        yield Visitor(client, server, guid)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def watch(server: Server, guid: str) -> None:
    async with open_stream(stream_url(server, guid)) as stream:
        revision = 0
        while True:
            event = await stream.next("price")
            assert event.data["rev"] > revision, "a state was sent twice, or an older one"
            revision = event.data["rev"]


async def test_polls_and_new_streams_show_no_less_than_a_bids_reply(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, **PACE) as server:
        create(server, guid)
        async with watched(server, guid) as visitor:
            held: list[tuple[int, asyncio.Task[dict[str, Any] | None]]] = []
            for number in range(BIDS):
                answered = await visitor.bid(number)
                polled_now = await polled(visitor)
                assert (polled_now["rev"], polled_now["price"]) == (answered["rev"], answered["price"])
                assert await visitor.poll(answered["tag"]) is None
                held.append((answered["rev"], asyncio.create_task(visitor.poll(answered["tag"], 20))))
                streamed = await visitor.first_state()
                assert (streamed["rev"], streamed["price"]) == (answered["rev"], answered["price"])
            await visitor.bid(BIDS)
            for revision, poll in held:
                answer = await poll
                assert answer is not None
                assert answer["rev"] > revision, "a wait ended by an older revision"


async def test_no_worker_shows_less_than_the_client_says_it_has(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, WEB_CONCURRENCY="2", **PACE) as server:
        create(server, guid)
        async with watched(server, guid) as visitor:
            held: list[tuple[int, asyncio.Task[dict[str, Any] | None]]] = []
            for number in range(0, BIDS // 3, 2):
                answered = await visitor.bid(number)
                assert await visitor.poll(answered["tag"]) is None
                streamed = asyncio.create_task(visitor.first_state(last_event_id=answered["tag"]))
                held += [(answered["rev"], asyncio.create_task(visitor.poll(answered["tag"], 20))) for _ in range(4)]
                following = await visitor.bid(number + 1)
                held += [(following["rev"], asyncio.create_task(visitor.poll(following["tag"], 20))) for _ in range(4)]
                assert (await streamed)["rev"] > answered["rev"]
            await visitor.bid(BIDS)
            for revision, poll in held:
                answer = await poll
                assert answer is not None
                assert answer["rev"] > revision, "a wait ended by an older revision"


async def test_what_an_act_a_refusal_or_a_read_has_answered_is_shown(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    (directory / "other").mkdir()
    with (
        running_server(directory, REDIS_URL=valkey.url, **PACE) as server,
        running_server(directory / "other", REDIS_URL=valkey.url) as other,
    ):
        create(server, guid)
        url = f"{server.url}/auctions/{guid}"
        async with watched(server, guid) as visitor, httpx.AsyncClient() as client:
            elsewhere = Visitor(client, other, guid)
            for number in range(20):
                body = {"title": f"Lot {number}", "reason": "a better word"}
                done = (await client.patch(url, json=body, headers=OPERATOR)).json()["state"]
                assert (await polled(visitor))["tag"] == done["tag"]
                await elsewhere.bid(2 * number)
                refused = (await client.post(f"{url}/bids", json={"price": "1.00"}, headers=bidder("cat"))).json()
                assert refused["code"] == "too_low"
                assert (await polled(visitor))["tag"] == refused["state"]["tag"]
                answered = await elsewhere.bid(2 * number + 1)
                read = (await client.get(url)).json()["state"]
                assert read["rev"] >= answered["rev"]
                assert (await polled(visitor))["tag"] == read["tag"]
                assert (await visitor.first_state())["tag"] == read["tag"]


async def polled(visitor: Visitor) -> dict[str, Any]:
    state = await visitor.poll()
    assert state is not None
    return state


async def test_a_new_stream_of_a_bidder_has_the_bid(valkey: StoreProcess, directory: Path, guid: str) -> None:
    with running_server(directory, REDIS_URL=valkey.url, **PACE) as server:
        create(server, guid)
        async with watched(server, guid) as visitor:
            for number in range(20):
                answered = await visitor.bid(number)
                leader, loser = (("ann", "bob"), ("bob", "ann"))[number % 2]
                for who, standing in ((leader, "leading"), (loser, "outbid"))[: 1 + (number > 0)]:
                    async with own_stream(server, who, guid) as own:
                        event = (await own.next("standing")).data
                        assert (event["standing"], event["rev"]) == (standing, answered["rev"])


async def test_what_was_read_of_an_external_auction_is_shown_and_gives_way(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, **PACE) as server:
        url = f"{server.url}/auctions/{guid}"
        with valkey.client() as site:
            site.set(price_key(guid), "1000")
            async with external(server, guid) as visitor:
                for number in range(EXTERNAL):
                    price = (10 if number % 5 else 1) * (number + 100)  # every fifth falls
                    site.set(price_key(guid), str(price))
                    read = (await visitor.client.get(url)).json()["state"]
                    assert read["price"] == f"{price}.00"
                    assert (await polled(visitor))["price"] == read["price"]
                    assert (await visitor.first_state())["price"] == read["price"]
                    assert await visitor.poll(read["tag"]) is None
                site.set(price_key(guid), "5")

                async def fallen() -> bool:
                    price: str = (await polled(visitor))["price"]
                    return price == "5.00"

                await until_async(fallen, "a price that was not announced")
                site.delete(price_key(guid))
                assert (await visitor.client.get(url)).status_code == 404
                create(server, guid)
                assert (await polled(visitor))["status"] == "open", "the same name, another auction"


@asynccontextmanager
async def external(server: Server, guid: str) -> AsyncIterator[Visitor]:
    async with httpx.AsyncClient(timeout=30) as client, open_stream(stream_url(server, guid)) as stream:
        await stream.next("price")
        yield Visitor(client, server, guid)


async def test_an_external_price_that_another_worker_has_shown_is_not_answered_with_less(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    (directory / "other").mkdir()
    with (
        running_server(directory, REDIS_URL=valkey.url, **PACE) as server,
        running_server(directory / "other", REDIS_URL=valkey.url) as other,
        valkey.client() as site,
    ):
        site.set(price_key(guid), "10")
        async with external(server, guid) as visitor, httpx.AsyncClient(timeout=30) as client:
            elsewhere = Visitor(client, other, guid)
            for number in range(EXTERNAL):
                site.set(price_key(guid), str(11 + number))
                tag = (await polled(elsewhere))["tag"]
                assert await visitor.poll(tag) is None
                held = asyncio.create_task(visitor.poll(tag, 20))
                site.set(price_key(guid), f"{11 + number}.50")
                answer = await held
                assert answer is not None
                assert answer["price"] == f"{11 + number}.50"


@pytest.mark.parametrize("named", ['"*"', "*", 'W/"{tag}"', '"rubbish", "{tag}"', '"{old}", "{tag}"'])
async def test_any_tag_that_a_poller_sends_is_answered_correctly(service: Server, guid: str, named: str) -> None:
    create(service, guid)
    url = f"{service.url}/auctions/{guid}/price"
    async with httpx.AsyncClient(timeout=30) as client:
        visitor = Visitor(client, service, guid)
        old = (await polled(visitor))["tag"]
        tag = (await visitor.bid(0))["tag"]
        headers = {"If-None-Match": named.format(tag=tag, old=old)}
        same = await client.get(url, headers=headers)
        assert (same.status_code, same.headers["etag"]) == (304, f'"{tag}"')
        streams = service.metric("sse_auction_streams")  # held polls count as such
        held = asyncio.create_task(client.get(url, params={"wait": 20}, headers=headers))
        later = asyncio.create_task(client.get(url, params={"wait": 20}, headers=headers))

        async def are_held() -> bool:
            return service.metric("sse_auction_streams") >= streams + 2

        await until_async(are_held, "the polls")
        newest = await visitor.bid(1)
        for reply in (await held, await later):
            assert (reply.status_code, reply.json()["tag"]) == (200, newest["tag"])
        missing = await client.get(f"{service.url}/auctions/no-{guid}/price", headers=headers)
        assert missing.status_code == 404


async def test_a_poller_with_a_newer_version_than_the_store_gets_nothing_older(service: Server, guid: str) -> None:
    create(service, guid)
    async with httpx.AsyncClient(timeout=30) as client:
        visitor = Visitor(client, service, guid)
        epoch, revision, _ = (await polled(visitor))["tag"].split("-")
        ahead = f"{epoch}-{int(revision) + 1}-99.00"
        assert await visitor.poll(ahead) is None
        held = asyncio.create_task(visitor.poll(ahead, 20))
        await visitor.bid(0)
        newest = await visitor.bid(1)
        answer = await held
        assert answer is not None
        assert answer["rev"] in (newest["rev"] - 1, newest["rev"]), "another price at its revision, or more"
        assert await visitor.poll("0123abcd-9-1.00"), "of another epoch: every state is new"
