"""A bidder's own stream: each standing is sent once, and to this bidder alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.auctions import act, done, offer, own_stream
from tests.support.harness import EventReader, Server, StoreProcess, bid, bidder, create, now_ms, running_server, until


async def standing(stream: EventReader) -> tuple[str, str, int, str | None]:
    data = (await stream.next("standing")).data
    return data["guid"], data["standing"], data["paddle"], data["price"]


async def test_the_displaced_leader_gets_it_once_from_any_worker(
    own_store: StoreProcess, directory: Path, guid: str
) -> None:
    settings = {"REDIS_URL": own_store.url}
    (directory / "other").mkdir()
    with running_server(directory, **settings) as one, running_server(directory / "other", **settings) as other:
        create(one, guid)
        create(one, f"{guid}-b")
        await asyncio.to_thread(bid, one, guid, "ann", "10.00")
        async with own_stream(one, "ann", guid, f"{guid}-b") as ann, own_stream(other, "bob", guid) as bob:
            assert await standing(ann) == (guid, "leading", 1, "10.00")
            await asyncio.to_thread(bid, other, guid, "bob", "20.00")
            assert await standing(ann) == (guid, "outbid", 1, "20.00")
            assert await standing(bob) == (guid, "leading", 2, "20.00"), (
                "the bidder had no paddle when the stream opened"
            )
            await asyncio.to_thread(bid, other, guid, "cat", "30.00")
            assert await standing(bob) == (guid, "outbid", 2, "30.00")
            await asyncio.to_thread(bid, one, f"{guid}-b", "ann", "10.00")
            assert await standing(ann) == (f"{guid}-b", "leading", 1, "10.00"), "and not again that she is outbid"
            done(await asyncio.to_thread(act, one, guid, "void", bidder="cat"))
            assert await standing(bob) == (guid, "leading", 2, "20.00")
            done(await asyncio.to_thread(act, one, guid, "close"))
            assert await standing(bob) == (guid, "winning", 2, "20.00")
            assert await standing(ann) == (guid, "lost", 1, "20.00")
        until(
            lambda: one.metric("sse_auction_streams") == other.metric("sse_auction_streams") == 0, "no stream is open"
        )


async def test_a_challenger_beaten_by_a_maximum_gets_it(any_server: Server, guid: str) -> None:
    create(any_server, guid, bidding="proxy")
    offer(any_server, guid, "ann", max="50.00")
    async with own_stream(any_server, "bob", guid) as bob:
        answer = await asyncio.to_thread(offer, any_server, guid, "bob", max="20.00")
        assert answer["standing"] == "outbid"
        assert await standing(bob) == (guid, "outbid", 2, "21.00")
        await asyncio.to_thread(offer, any_server, guid, "bob", max="60.00")
        assert await standing(bob) == (guid, "leading", 2, "51.00")


async def test_a_voided_bidder_alone_gets_the_reason(server: Server, store: StoreProcess, guid: str) -> None:
    reason = "paid with “a stolen card”, see file 7"
    create(server, guid, buy_now={"price": "900.00", "mode": "ceiling"})
    for who, price in (("ann", "10.00"), ("bob", "20.00")):
        await asyncio.to_thread(bid, server, guid, who, price)
    async with own_stream(server, "ann", guid) as ann, own_stream(server, "bob", guid) as bob:
        assert await standing(ann) == (guid, "outbid", 1, "20.00")
        assert await standing(bob) == (guid, "leading", 2, "20.00")
        done(await asyncio.to_thread(act, server, guid, "void", bidder="bob", reason=reason))
        received = (await bob.next("standing")).data
        assert (received["standing"], received["reason"], received["paddle"], received["price"]) == (
            "voided",
            reason,
            2,
            "10.00",
        )
        others = (await ann.next("standing")).data
        assert (others["standing"], others["reason"]) == ("leading", None)
        done(await asyncio.to_thread(act, server, guid, "close"))
        assert await standing(ann) == (guid, "winning", 1, "10.00")
    async with own_stream(server, "bob", guid) as bob:
        received = (await bob.next("standing")).data
        assert (received["standing"], received["reason"]) == ("voided", reason), "not that the bidder has lost"
    for path in ("", "/price", "/bids", "/bids.csv", "/bids.ndjson"):
        assert "stolen" not in httpx.get(f"{server.url}/auctions/{guid}{path}").text
    assert "stolen" not in httpx.get(f"{server.url}/auctions?status=all&limit=200").text
    assert "stolen" not in server.log()


def test_the_refusal_of_a_voided_bidder_says_why_also_when_it_is_replayed(server: Server, guid: str) -> None:
    create(server, guid)
    bid(server, guid, "bob", "10.00")
    done(act(server, guid, "void", bidder="bob", reason="bad cheque"))
    for _ in range(2):
        refused = bid(server, guid, "bob", "11.00", headers={"Idempotency-Key": "k"})
        problem = refused.json()
        assert (refused.status_code, problem["code"], problem["reason"]) == (403, "voided", "bad cheque")
        assert problem["detail"].endswith("and you cannot bid there any more: bad cheque")
        assert problem["state"]["price"] is None


def test_standings_are_sent_once_to_a_new_stream(client: httpx.Client, service: Server, guid: str) -> None:
    def standings(who: str, *guids: str) -> list[tuple[str, str, int, str | None]]:
        reply = client.get("/me/standings", params={"guid": guids}, headers=bidder(who))
        assert reply.status_code == 200, reply.text
        return [(each["guid"], each["standing"], each["paddle"], each["reason"]) for each in reply.json()["standings"]]

    other, unknown = f"{guid}-b", f"{guid}-c"
    create(service, guid)
    create(service, other)
    for who, where, price in (("ann", guid, "10.00"), ("bob", guid, "20.00"), ("bob", other, "10.00")):
        bid(service, where, who, price)
    assert standings("cat", guid, other, unknown) == []
    assert standings("ann", guid, other, unknown) == [(guid, "outbid", 1, None)]
    assert standings("bob", other, guid) == [(other, "leading", 1, None), (guid, "leading", 2, None)]
    done(act(service, guid, "void", paddle=2, reason="bad cheque"))
    done(act(service, other, "close"))
    assert standings("bob", other, guid) == [(other, "winning", 1, None), (guid, "voided", 2, "bad cheque")]
    assert standings("ann", guid) == [(guid, "leading", 1, None)]
    for params, headers, status in (({"guid": guid}, {}, 401), ({}, bidder("ann"), 422),
                                    ({"guid": guid}, bidder("ann", auctions=[other]), 403)):  # fmt: skip
        assert client.get("/me/standings", params=params, headers=headers).status_code == status


def test_a_standing_is_that_of_the_moment_that_it_names(client: httpx.Client, service: Server, guid: str) -> None:
    lots = [f"{guid[:8]}-{number}" for number in range(30)]
    closes_at = {lot: now_ms() + 5000 + 20 * number for number, lot in enumerate(lots)}
    for lot in lots:
        create(service, lot, closes_at=closes_at[lot])
        assert bid(service, lot, "ann", "10.00").status_code == 201
    is_over = False
    while not is_over:
        reply = client.get("/me/standings", params={"guid": lots}, headers=bidder("ann"))
        seen = {each["guid"]: (each["standing"], each["now"]) for each in reply.json()["standings"]}
        for lot, (standing, now) in seen.items():
            assert standing == ("winning" if now >= closes_at[lot] else "leading"), (lot, now, closes_at[lot])
        is_over = all(standing == "winning" for standing, _ in seen.values())


async def test_a_void_without_a_kept_reason_is_sent_without_one(
    service: Server, valkey: StoreProcess, guid: str
) -> None:
    create(service, guid)
    bid(service, guid, "bob", "10.00")
    done(act(service, guid, "void", bidder="bob"))
    with valkey.client() as site:
        assert site.hdel(f"{{AuctionMaxPrice-{guid}}}:private", "void:1") == 1
    async with own_stream(service, "bob", guid) as bob:
        received = (await bob.next("standing")).data
        assert (received["standing"], received["reason"]) == ("voided", None)
    problem = bid(service, guid, "bob", "11.00").json()
    assert (problem["code"], problem.get("reason")) == ("voided", None)
    assert problem["detail"].endswith("and you cannot bid there any more")


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


async def test_it_has_heartbeats_and_carries_no_states(own_store: StoreProcess, directory: Path, guid: str) -> None:
    with running_server(directory, REDIS_URL=own_store.url, SSE_AUCTION_HEARTBEAT_SECONDS="1") as server:
        create(server, guid)
        async with own_stream(server, "ann", guid) as ann:
            await asyncio.to_thread(bid, server, guid, "bob", "10.00")
            first = await ann.next()
            assert first.name == "hb", "a bidder without a bid gets nothing else"
            assert 2000 <= ann.retry_ms[0] <= 4000


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_it_reports_a_lost_store_at_once_and_sends_the_standings_when_it_is_back(
    own_store: StoreProcess, directory: Path, guid: str, how: str
) -> None:
    guids = [f"{guid}-{number}" for number in range(10)]
    with running_server(directory, REDIS_URL=own_store.url, SSE_AUCTION_HEARTBEAT_SECONDS="300") as server:
        for each in guids:
            create(server, each)
            bid(server, each, "ann", "10.00")
        async with own_stream(server, "nobody", *guids) as line:
            works = await line.next()
            assert (works.name, works.data["live"]) == ("hb", True), "a bidder without a bid gets nothing else"
        with away(own_store, how):
            until(lambda: server.metric("sse_auction_mirror_live") == 0, "noticing that the store is away")
            ann = own_stream(server, "ann", *guids)
            stream = await ann.__aenter__()
            first = await stream.next()  # the next heartbeat would come in minutes
            assert (first.name, first.data["live"]) == ("hb", False)
            assert stream.retry_ms
        assert sorted([await standing(stream) for _ in guids]) == [(each, "leading", 1, "10.00") for each in guids]
        await ann.__aexit__(None, None, None)


@contextmanager
def away(store: StoreProcess, how: str) -> Iterator[None]:
    """A store that does not answer: killed, or stopped like a machine that hangs."""
    if how == "frozen":
        with store.frozen():
            yield
        return
    store.stop()
    try:
        yield
    finally:
        store.start()
