"""A store that freezes or is busy: what streams, requests and bids see. On both stores."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.support.harness import (
    DEADLINE_SECONDS,
    OPERATOR,
    EventReader,
    Server,
    StoreProcess,
    bid,
    bidder,
    create,
    now_ms,
    open_stream,
    stream_url,
    until,
    until_async,
)

pytestmark = pytest.mark.parametrize("own_store", ["valkey", "redis"], indirect=True, scope="module")

NOTICED_WITHIN_SECONDS = 3.5  # 3 s are promised
TRUE_AGAIN_WITHIN_SECONDS = 3.0  # 2 s are promised
ANSWERED_WITHIN_SECONDS = 3.0  # the deadline of 2 s, and what a busy machine adds
BUSY_AFTER_MS = 50  # instead of 5 s


def wait_for_a_look(store: StoreProcess) -> None:
    """Return right after the service has asked for the time: a freeze is then noticed as late as possible."""
    with store.client() as site:

        def looks() -> int:
            calls: int = site.info("commandstats").get("cmdstat_time", {}).get("calls", 0)
            return calls

        before = looks()
        until(lambda: looks() > before, "the next look")


async def liveness(stream: EventReader, live: bool) -> float:
    """The moment at which a stream received that prices are live, or that they are not."""
    while (await stream.next("hb")).data["live"] is not live:
        pass
    return time.monotonic()


def assert_unavailable(reply: httpx.Response) -> None:
    assert reply.status_code == 503, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert int(reply.headers["retry-after"]) > 0
    assert (reply.json()["code"], reply.json()["status"]) == ("store_unavailable", 503)
    assert reply.elapsed.total_seconds() < ANSWERED_WITHIN_SECONDS


@asynccontextmanager
async def visitor(server: Server, guid: str) -> AsyncIterator[tuple[EventReader, httpx.AsyncClient]]:
    """A viewer that has received the first state of an auction, and a client for other requests."""
    async with (
        open_stream(stream_url(server, guid)) as stream,
        httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client,
    ):
        await stream.next()
        yield stream, client


async def test_every_stream_reports_a_freeze_and_is_up_to_date_after_the_thaw(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    guids = [f"{guid}-{number}" for number in range(5)]
    async with AsyncExitStack() as open_streams:
        urls = [stream_url(own_server, each) for each in guids for _ in range(4)]
        urls.append(f"{own_server.url}/auctions/stream?guid={guids[0]}&guid={guids[1]}")
        streams = [await open_streams.enter_async_context(open_stream(url)) for url in urls]
        for stream in streams:
            assert (await stream.next()).name == "price"
        await asyncio.to_thread(wait_for_a_look, own_store)
        with own_store.frozen() as frozen_at:
            moments = await asyncio.gather(*(liveness(stream, False) for stream in streams))
            assert max(moments) - frozen_at < NOTICED_WITHIN_SECONDS
            assert own_server.metric("sse_auction_mirror_live") == 0
            async with open_stream(urls[0]) as newcomer:
                first, then = await newcomer.next(), await newcomer.next()
            assert (first.name, first.data["status"]) == ("price", "unknown"), "the last that is known"
            assert (then.name, then.data["live"]) == ("hb", False)
        thawed_at = time.monotonic()
        moments = await asyncio.gather(*(liveness(stream, True) for stream in streams))
        assert max(moments) - thawed_at < TRUE_AGAIN_WITHIN_SECONDS
        assert own_server.metric("sse_auction_mirror_live") == 1
        with own_store.client() as site:
            site.mset({f"AuctionMaxPrice-{each}": "77.00" for each in guids})
        shown = await asyncio.gather(*(stream.next("price") for stream in streams))
        assert {event.data["price"] for event in shown} == {"77.00"}
        assert time.monotonic() - thawed_at < TRUE_AGAIN_WITHIN_SECONDS


async def test_requests_are_answered_in_time_while_the_store_is_frozen(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    """At any moment of the freeze: before it is noticed, when it is, and after."""
    create(own_server, guid)
    async with visitor(own_server, guid) as (stream, client):
        with own_store.frozen():
            early = asyncio.ensure_future(ask(client, f"{guid}-other"))
            busy = asyncio.ensure_future(first_busy(own_server, f"{guid}-new"))
            await liveness(stream, False)
            for reply in [*await early, *await ask(client, f"{guid}-other"), *await ask(client, guid)]:
                assert_unavailable(reply)
            assert (await busy)["reason"] == "store_unavailable"
            assert (await client.get("/readyz")).status_code == 503
            assert (await client.get("/livez")).status_code == 200
        await liveness(stream, True)
        assert (await client.get(f"/auctions/{guid}/price")).status_code == 200
        await asyncio.to_thread(until, own_server.is_ready, "readiness")


async def ask(client: httpx.AsyncClient, guid: str) -> list[httpx.Response]:
    """One request of each kind that needs the store."""
    price = {"price": "10.00"}
    return await asyncio.gather(
        client.get(f"/auctions/{guid}/price"),
        client.get(f"/auctions/{guid}/price?wait=30"),
        client.get(f"/auctions/{guid}"),
        client.get(f"/auctions/{guid}/bids"),
        client.get("/auctions"),
        client.post(f"/auctions/{guid}/bids", json=price, headers=bidder("ann")),
        client.post("/auctions", json={"title": "x", "start_price": "1.00", "closes_at": 2**42}, headers=OPERATOR),
    )


async def first_busy(server: Server, guid: str) -> dict[str, Any]:
    """The event of a stream that cannot be served now."""
    async with open_stream(stream_url(server, guid)) as stream:
        (event,) = await stream.rest()
    assert event.name == "busy"
    assert stream.retry_ms[0] >= 5000
    return event.data


async def test_a_bid_that_was_answered_503_is_not_counted_after_the_thaw(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    """At any moment: the later calls wait on a connection that is given up because of the first one's silence."""
    create(own_server, guid)
    assert bid(own_server, guid, "ann", "10.00").status_code == 201
    async with httpx.AsyncClient(base_url=own_server.url, timeout=DEADLINE_SECONDS) as client:
        with own_store.frozen():
            bids = []
            for number in range(8):
                price = {"price": f"{20 + number}.00"}
                headers = bidder(f"bidder-{number}")
                bids.append(asyncio.ensure_future(client.post(f"/auctions/{guid}/bids", json=price, headers=headers)))
                await asyncio.sleep(0.25)  # spread over a deadline
            for reply in await asyncio.gather(*bids):
                assert_unavailable(reply)
        await asyncio.to_thread(until, own_server.is_ready, "readiness")
        again = await client.post(f"/auctions/{guid}/bids", json={"price": "11.00"}, headers=bidder("bob"))
        assert (again.status_code, again.json()["seq"]) == (201, 2)
        history = (await client.get(f"/auctions/{guid}/bids")).json()["bids"]
        assert [each["price"] for each in history] == ["10.00", "11.00"]


async def test_openings_and_closings_that_fell_into_a_freeze_are_shown_after_it(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    moment = now_ms() + 4000
    opening, closing = f"{guid}-opening", f"{guid}-closing"
    create(own_server, opening, opens_at=moment)
    create(own_server, closing, closes_at=moment)
    async with (
        open_stream(stream_url(own_server, opening)) as upcoming,
        open_stream(stream_url(own_server, closing)) as ending,
    ):
        assert (await upcoming.next()).data["status"] == "upcoming"
        assert (await ending.next()).data["status"] == "open"
        with own_store.frozen():
            await liveness(upcoming, False)
            await until_async(lambda: asyncio.sleep(0, now_ms() > moment), "the moment")
        thawed_at = time.monotonic()
        assert (await upcoming.next("price")).data["status"] == "open"
        events = await ending.rest()
        assert events[-1].name == "closed"
        assert events[-1].data["now"] >= moment
        assert time.monotonic() - thawed_at < TRUE_AGAIN_WITHIN_SECONDS


async def test_a_store_that_is_busy_with_an_endless_script_is_not_live_until_that_is_killed(
    own_store: StoreProcess, own_server: Server, guid: str
) -> None:
    create(own_server, guid)
    async with visitor(own_server, guid) as (stream, client):
        with own_store.client() as site, own_store.client() as other:
            site.config_set("busy-reply-threshold", BUSY_AFTER_MS)
            endless = threading.Thread(target=run_endless_script, args=(other,))
            endless.start()
            await liveness(stream, False)
            assert_unavailable(await client.get(f"/auctions/{guid}/price"))
            headers = bidder("ann")
            reply = await client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=headers)
            assert_unavailable(reply)
            site.script_kill()
            await liveness(stream, True)
            endless.join()
        assert (await client.get(f"/auctions/{guid}/price")).status_code == 200
    complaints = own_server.log().count("BUSY")
    assert complaints <= 3, f"{complaints} lines about one trouble"


def run_endless_script(site: Any) -> None:
    with pytest.raises(Exception, match="killed"):
        site.eval("while true do end", 0)
