"""What a viewer gets, on the project's own server and on any other."""

import asyncio
import json
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from httpx_sse import aconnect_sse

from tests.support.harness import (
    OPERATOR,
    Event,
    EventReader,
    Server,
    StoreProcess,
    bid,
    create,
    now_ms,
    open_stream,
    price_key,
    running_server,
    stream_url,
    until,
)


async def test_the_first_event_is_the_whole_state(any_server: Server, guid: str) -> None:
    made = create(any_server, guid, title='Vase "Ming"\u2028東京')
    async with open_stream(stream_url(any_server, guid)) as stream:
        event = await stream.next()
        assert event.name == "price"
        assert event.id == event.data["tag"] == made["state"]["tag"]
        assert event.data | {"now": 0} == made["state"] | {"now": 0}
        assert abs(event.data["now"] - time.time() * 1000) < 2000
        assert 2000 <= stream.retry_ms[0] <= 4000


def test_a_stream_has_the_headers_that_keep_proxies_from_holding_it_back(any_server: Server, guid: str) -> None:
    with httpx.stream("GET", stream_url(any_server, guid)) as reply:
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reply.headers["cache-control"] == "no-cache, no-transform"
        assert reply.headers["x-accel-buffering"] == "no"


async def test_any_writer_moves_the_price_of_an_external_auction(
    any_server: Server, valkey: StoreProcess, guid: str
) -> None:
    with valkey.client() as site:
        async with open_stream(stream_url(any_server, guid)) as stream:
            assert (await stream.next()).data["status"] == "unknown"
            site.set(price_key(guid), "99.50")
            shown = await stream.next()
            assert (shown.data["price"], shown.data["status"], shown.data["rev"]) == ("99.50", "open", 0)
            site.set(price_key(guid), "101")
            assert (await stream.next()).data["price"] == "101.00"


async def test_an_external_auction_shows_only_higher_prices_until_its_key_is_gone(
    any_server: Server, valkey: StoreProcess, guid: str
) -> None:
    with valkey.client() as site:
        site.set(price_key(guid), "100")
        async with open_stream(stream_url(any_server, guid)) as stream:
            assert (await stream.next()).data["price"] == "100.00"
            site.set(price_key(guid), "90")
            until(lambda: polled_price(any_server, guid) == "90.00", "the poll of the lower price")
            async with open_stream(stream_url(any_server, guid)) as newcomer:
                await until_price(newcomer, "90.00")
                site.set(price_key(guid), "95")
                await until_price(newcomer, "95.00")
                site.set(price_key(guid), "100.01")
                await until_price(newcomer, "100.01")
            assert (await stream.next()).data["price"] == "100.01"
            site.delete(price_key(guid))
            assert (await stream.next()).data["status"] == "unknown"
            site.set(price_key(guid), "1", px=300)
            assert (await stream.next()).data["price"] == "1.00"
            assert (await stream.next()).data["status"] == "unknown", "the key has expired"


def polled_price(server: Server, guid: str) -> str | None:
    price: str | None = httpx.get(f"{server.url}/auctions/{guid}/price").json().get("price")
    return price


async def until_price(stream: EventReader, price: str) -> None:
    while (await stream.next("price")).data["price"] != price:
        pass


async def test_an_unreadable_price_key_is_logged_once_and_the_last_good_price_stays(
    any_server: Server, valkey: StoreProcess, guid: str
) -> None:
    with valkey.client() as site:
        site.set(price_key(guid), "5.00")
        async with open_stream(stream_url(any_server, guid)) as stream:
            assert (await stream.next()).data["price"] == "5.00"
            for number, rubbish in enumerate(("abc", "", "-7", "1e9", "NaN", "9" * 30), 1):
                site.set(price_key(guid), rubbish)
                until(partial(complained, any_server, guid, number), f"a log line about {rubbish!r}")
            site.set(price_key(guid), "9" * 30)
            site.set(price_key(guid), "6.00")
            assert (await stream.next()).data["price"] == "6.00"
            site.delete(price_key(guid))
            assert (await stream.next()).data["status"] == "unknown"
            site.rpush(price_key(guid), "7")
            until(partial(complained, any_server, guid, 7), "a log line about the list")
            site.delete(price_key(guid))
            site.set(price_key(guid), "8.00")
            assert (await stream.next()).data["price"] == "8.00"
        assert complained(any_server, guid, 7)


def complained(server: Server, guid: str, times: int) -> bool:
    return server.log().count(f"auction {guid} holds no price") == times


async def test_a_viewer_that_is_up_to_date_gets_nothing_twice(any_server: Server, guid: str) -> None:
    create(any_server, guid)
    url = stream_url(any_server, guid)
    async with open_stream(url) as stream:
        first = await stream.next()
    stale = first.id
    for query, header in (
        ("", True),
        ("?last_event_id=TAG", False),
        ("?lastEventId=TAG", False),
        ("?last_event_id=STALE", True),
    ):
        query = query.replace("TAG", first.id or "").replace("STALE", stale or "")
        headers = {"Last_Event_ID": first.id or ""} if header else {}
        async with open_stream(url + query, **headers) as stream:
            price = first.data["next_bid"]
            answer = await asyncio.to_thread(bid, any_server, guid, f"bidder-{price}", price)
            assert answer.status_code == 201, answer.text
            event = await stream.next("price")
            assert event.data["price"] == price, "the known state was sent again"
            first = event


async def test_resuming_misses_nothing_and_repeats_nothing(any_server: Server, guid: str) -> None:
    create(any_server, guid, increments="flat:1.00")
    url = stream_url(any_server, guid)
    shown: list[dict[str, Any]] = []
    tag = ""
    for number in range(12):
        await asyncio.to_thread(bid, any_server, guid, f"bidder-{number % 2}", f"{10 + number}.00")
        async with open_stream(url, **({"Last_Event_ID": tag} if tag else {})) as stream:
            event = await stream.next("price")
            shown.append(event.data)
            tag = event.id or ""
    assert [state["price"] for state in shown] == [f"{10 + number}.00" for number in range(12)]
    revisions = [state["rev"] for state in shown]
    assert revisions == sorted(set(revisions))


async def test_a_viewer_from_a_process_that_was_further_is_not_shown_less(any_server: Server, guid: str) -> None:
    state = create(any_server, guid)["state"]
    epoch = state["tag"].split("-")[0]
    url = stream_url(any_server, guid)
    async with open_stream(url, Last_Event_ID=f"{epoch}-3-11.00") as ahead, open_stream(url) as other:
        assert (await other.next()).data["rev"] == state["rev"] == 1
        for number, price in enumerate(("10.00", "11.00", "12.00")):
            await asyncio.to_thread(bid, any_server, guid, f"b{number % 2}", price)
            assert (await other.next()).data["price"] == price
        assert (await ahead.next("price")).data["rev"] == 4
    async with open_stream(url, Last_Event_ID="ffffffff-99-1.00") as other_epoch:
        assert (await other_epoch.next("price")).data["price"] == "12.00"


async def test_an_ending_is_sent_ends_the_stream_and_is_204_from_then_on(any_server: Server, guid: str) -> None:
    create(any_server, guid, closes_at=now_ms() + 3000)
    url = stream_url(any_server, guid)
    tags: list[str] = []
    async with open_stream(url) as stream:
        assert (await stream.next()).data["status"] == "open"
        await asyncio.to_thread(bid, any_server, guid, "ann", "10.00")
        events = await stream.rest()
    assert [event.name for event in events] == ["price", "closed"]
    final = events[-1]
    assert (final.data["status"], final.data["price"], final.data["next_bid"]) == ("closed", "10.00", None)
    assert final.data["now"] >= final.data["closes_at"]
    async with open_stream(url) as newcomer:
        assert [event.name for event in await newcomer.rest()] == ["closed"]
    tags.extend(event.id or "" for event in events)
    again = httpx.get(url, headers={"Last-Event-ID": tags[1]})
    assert (again.status_code, again.content) == (204, b"")
    missed_it = httpx.get(url, headers={"Last-Event-ID": tags[0]})
    assert missed_it.status_code == 200
    assert "event: closed" in missed_it.text


async def test_opening_comes_by_time_alone(any_server: Server, guid: str) -> None:
    opens_at = now_ms() + 2500
    create(any_server, guid, opens_at=opens_at)
    async with open_stream(stream_url(any_server, guid)) as stream:
        upcoming, opened = await stream.next(), await stream.next()
        assert (upcoming.data["status"], opened.data["status"]) == ("upcoming", "open")
        assert opened.data["rev"] == upcoming.data["rev"] + 1
        assert opens_at <= opened.data["now"] < opens_at + 1000


async def test_many_auctions_share_one_connection(any_server: Server, guid: str) -> None:
    guids = [f"{guid[:8]}-{number}" for number in range(50)]
    for each in guids[:2]:
        create(any_server, each)
    create(any_server, guids[2], closes_at=now_ms() + 3000)
    query = "&".join(f"guid={each}" for each in guids)
    async with open_stream(f"{any_server.url}/auctions/stream?{query}") as stream:
        first = [await stream.next() for _ in guids]
        assert sorted(event.data["guid"] for event in first) == sorted(guids)
        assert {event.id for event in first} == {None}
        await asyncio.to_thread(bid, any_server, guids[1], "ann", "10.00")
        moved = await stream.next("price")
        assert (moved.data["guid"], moved.data["price"]) == (guids[1], "10.00")
        assert (await stream.next("closed")).data["guid"] == guids[2]
        await asyncio.to_thread(bid, any_server, guids[0], "ann", "11.00")
        assert (await stream.next("price")).data["guid"] == guids[0], "one lot's end must not end the others"


async def test_a_stream_of_many_gets_each_end_once_and_a_new_stream_gets_it_too(any_server: Server, guid: str) -> None:
    """One `closed` event per auction, whether sold or cancelled; the stream itself continues."""
    closed, cancelled, going = (f"{guid}-{kind}" for kind in ("closed", "cancelled", "going"))
    for each in (closed, cancelled, going):
        create(any_server, each)
    url = f"{any_server.url}/auctions/stream?guid={closed}&guid={cancelled}&guid={going}"
    expected = {closed: ("closed", "closed", "no_bids"), cancelled: ("closed", "cancelled", "cancelled")}

    def end(each: str, act: str) -> None:
        answer = httpx.post(f"{any_server.url}/auctions/{each}/{act}", json={"reason": "why"}, headers=OPERATOR)
        assert answer.status_code == 200, answer.text

    def summary(event: Event) -> tuple[str, str, str | None]:
        assert event.id is None
        return event.name, event.data["status"], event.data["outcome"]

    async with open_stream(url) as stream:
        for _ in range(3):
            assert summary(await stream.next())[:2] == ("price", "open")
        await asyncio.to_thread(end, closed, "close")
        await asyncio.to_thread(end, cancelled, "cancel")
        ends = [await stream.next() for _ in expected]
        assert {event.data["guid"]: summary(event) for event in ends} == expected
        await asyncio.to_thread(bid, any_server, going, "ann", "10.00")
        event = await stream.next()
        assert (event.data["guid"], summary(event)[0]) == (going, "price"), "no more events of auctions that ended"
    async with open_stream(url) as stream:
        first = [await stream.next() for _ in range(3)]
        assert {event.data["guid"]: summary(event) for event in first} == expected | {going: ("price", "open", None)}
        await asyncio.to_thread(bid, any_server, going, "bob", "11.00")
        event = await stream.next()
        assert (event.data["guid"], event.data["price"]) == (going, "11.00"), "the stream continues"


@pytest.mark.parametrize("query", ["", "?guid=a%7Bb", "?" + "&".join(f"guid=g{n}" for n in range(51))])
def test_a_stream_of_no_or_too_many_auctions_is_refused(any_server: Server, query: str) -> None:
    reply = httpx.get(f"{any_server.url}/auctions/stream{query}")
    assert (reply.status_code, reply.json()["code"]) == (422, "invalid")


async def test_a_stream_can_be_read_with_httpx_sse(any_server: Server, guid: str) -> None:
    create(any_server, guid)
    async with (
        httpx.AsyncClient() as client,
        aconnect_sse(client, "GET", stream_url(any_server, guid)) as source,
    ):
        events = source.aiter_sse()
        first = await anext(events)
        assert (first.event, first.id) == ("price", json.loads(first.data)["tag"])
        await asyncio.to_thread(bid, any_server, guid, "ann", "10.00")
        assert json.loads((await anext(events)).data)["price"] == "10.00"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_a_stream_survives_being_sent_and_read_in_odd_chunks(any_server: Server, guid: str, size: int) -> None:
    create(any_server, guid)
    request = f"GET /auctions/{guid}/stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", any_server.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(request), size):
            connection.sendall(request[start : start + size])
        received = b""
        while b'"now":' not in received or not received.rstrip(b"\r\n").endswith(b"}") or received[-1:] != b"\n":
            received += connection.recv(size)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    payload = body
    if b"transfer-encoding: chunked" in head:
        payload = b""
        while body:
            length, _, body = body.partition(b"\r\n")
            payload += body[: int(length, 16)]
            body = body[int(length, 16) + 2 :]
    assert payload.startswith(b"retry: ")
    assert json.loads(payload.partition(b"data: ")[2])["guid"] == guid


async def test_silence_has_heartbeats_and_lives_end_with_a_quick_return(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(
        directory,
        REDIS_URL=valkey.url,
        SSE_AUCTION_HEARTBEAT_SECONDS="0.5",
        SSE_AUCTION_STREAM_LIFE_SECONDS="3",
    ) as server:
        async with open_stream(stream_url(server, guid)) as stream:
            events = await stream.rest()
        assert [event.name for event in events[:2]] == ["price", "hb"]
        assert events[1].data["live"] is True
        assert events[1].id is None
        assert len(stream.retry_ms) == 2
        assert stream.retry_ms[1] <= 500, "a stream that only grew old must come back soon"
        until(lambda: server.metric("sse_auction_streams_ended_total", reason="life") == 1, "the life's end in metrics")


async def test_no_life_ends_in_the_last_seconds_before_a_closing(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_STREAM_LIFE_SECONDS="1") as server:
        create(server, guid, closes_at=now_ms() + 4000)
        async with open_stream(stream_url(server, guid)) as stream:
            assert [event.name for event in await stream.rest()] == ["price", "closed"]


async def test_streams_beyond_the_limit_are_asked_to_come_back(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_MAX_STREAMS="2") as server:
        url = stream_url(server, guid)
        async with open_stream(url) as one, open_stream(url) as two:
            await one.next()
            await two.next()
            async with open_stream(url) as third:
                busy = await third.rest()
                assert [event.name for event in busy] == ["busy"]
                assert busy[0].data["reason"] == "too_many_streams"
                assert third.retry_ms[0] >= 5000


async def test_a_burst_is_paced_and_its_last_price_arrives(any_server: Server, valkey: StoreProcess, guid: str) -> None:
    with valkey.client() as site:
        async with open_stream(stream_url(any_server, guid)) as stream:
            await stream.next()
            started = time.monotonic()
            for number in range(1, 2001):
                site.set(price_key(guid), str(number))
            took = time.monotonic() - started
            shown = []
            while "2000.00" not in shown:
                shown.append((await stream.next("price")).data["price"])
            assert len(shown) <= took * 20 + 3, "more than 20 states a second were sent"
