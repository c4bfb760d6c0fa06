"""Actions of operators over HTTP, and auctions that end: what viewers and pollers see."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from tests.support.auctions import act, code_of, done, edit, log_of, offer
from tests.support.harness import (
    OPERATOR,
    Server,
    StoreProcess,
    bid,
    bidder,
    create,
    now_ms,
    open_stream,
    stream_url,
    until,
)

ACTS = [
    "cancel", "close", "extend", "pause", "resume", "void",
    "reopen", "second-offer", "unpaid", "paid", "archive", "unarchive",
]  # fmt: skip


@pytest.mark.parametrize("kind", ACTS)
def test_acts_are_for_operators_and_need_a_reason(server: Server, store: StoreProcess, guid: str, kind: str) -> None:
    create(server, guid)
    url = f"{server.url}/auctions/{guid}/{kind}"
    later = {"closes_at": now_ms() + 7_200_000}
    needed: dict[str, dict[str, Any]] = {"extend": later, "reopen": later, "void": {"bidder": "ann"}}
    more = needed.get(kind, {})
    before = log_of(store, guid)
    assert code_of(httpx.post(url, json={"reason": "x", **more})) == (401, "unauthorized")
    assert code_of(httpx.post(url, json={"reason": "x", **more}, headers=bidder("ann"))) == (403, "forbidden")
    assert code_of(httpx.post(url, json=more, headers=OPERATOR)) == (422, "invalid")
    assert code_of(act(server, guid, kind, reason=" ", **more)) == (422, "invalid")
    assert code_of(act(server, guid, kind, reason="a\nb", **more)) == (422, "invalid")
    assert code_of(act(server, guid, kind, reason="x" * 201, **more)) == (422, "invalid")
    assert code_of(act(server, guid, kind, who="me", **more)) == (422, "invalid")
    assert code_of(act(server, f"no-{guid[:8]}", kind, **more)) == (404, "unknown_auction")
    assert log_of(store, guid) == before


def test_every_act_is_logged_with_its_actor_and_reason(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid)
    bid(server, guid, "ann", "10.00")
    done(act(server, guid, "pause", reason="a phone rings"))
    done(act(server, guid, "resume", reason="it was nothing"))
    done(act(server, guid, "extend", closes_at=now_ms() + 9_000_000, reason="the hall is full"))
    done(edit(server, guid, title="A better title", reason="a typo"))
    done(act(server, guid, "void", bidder="ann", reason="no money"))
    done(act(server, guid, "close", reason="enough"))
    acts = [(entry["kind"], entry["actor"], entry["reason"]) for entry in log_of(store, guid) if "reason" in entry]
    assert acts == [
        ("pause", "the-house", "a phone rings"), ("resume", "the-house", "it was nothing"),
        ("extend", "the-house", "the hall is full"), ("edit", "the-house", "a typo"),
        ("void", "the-house", "no money"), ("close", "the-house", "enough"),
    ]  # fmt: skip
    assert [entry["kind"] for entry in log_of(store, guid) if "kind" in entry][0::7] == ["created", "settled"]


@pytest.mark.parametrize("kind", ["cancel", "close"])
async def test_a_viewer_sees_the_end_that_an_operator_makes(server: Server, guid: str, kind: str) -> None:
    create(server, guid)
    bid(server, guid, "ann", "10.00")
    expected = {"cancel": ("cancelled", "cancelled"), "close": ("closed", "sold")}[kind]
    async with open_stream(stream_url(server, guid)) as stream:
        await stream.next()
        reply = await asyncio.to_thread(act, server, guid, kind)
        event = await stream.next("closed")
        assert (event.data["status"], event.data["outcome"]) == expected
        assert event.data | {"now": 0} == done(reply) | {"now": 0}
        with pytest.raises(StopAsyncIteration):
            await stream.next()
    tag = event.data["tag"]
    assert httpx.get(stream_url(server, guid), headers={"Last-Event-ID": tag}).status_code == 204
    assert code_of(bid(server, guid, "bob", "20.00")) == (409, "not_open")
    for other in ("cancel", "close", "pause", "resume"):
        assert code_of(act(server, guid, other)) == (409, "not_open")
    listed = httpx.get(f"{server.url}/auctions", params={"status": "closed", "limit": 200}).json()["auctions"]
    assert (guid in [each["state"]["guid"] for each in listed]) == (kind == "close"), "what was cancelled is not closed"


def test_a_paused_auction_takes_no_bids_and_closes_later(server: Server, guid: str) -> None:
    create(server, guid, closes_at=now_ms() + 2500)
    paused = done(act(server, guid, "pause"))
    assert (paused["paused"], paused["status"]) == (True, "open")
    assert code_of(act(server, guid, "pause")) == (409, "not_open")
    assert code_of(bid(server, guid, "ann", "10.00")) == (409, "not_open")
    url = f"{server.url}/auctions/{guid}/price"
    until(lambda: httpx.get(url).json()["now"] > paused["closes_at"], "the old closing time")
    still = httpx.get(url).json()
    assert (still["status"], still["outcome"]) == ("open", None)
    resumed = done(act(server, guid, "resume"))
    assert resumed["closes_at"] - paused["closes_at"] == resumed["now"] - paused["now"], "by the time that was lost"
    assert code_of(act(server, guid, "resume")) == (409, "not_open")
    assert bid(server, guid, "ann", "10.00").status_code == 201
    until(lambda: httpx.get(url).json()["outcome"] == "sold", "the end")


def test_a_closing_is_moved_to_later_only(server: Server, guid: str) -> None:
    made = create(server, guid, hard_close_at=now_ms() + 3_600_000, closes_at=now_ms() + 3_600_000)
    closes_at = made["state"]["closes_at"]
    for moment in (closes_at, closes_at - 1, 0):
        assert code_of(act(server, guid, "extend", closes_at=moment)) == (422, "invalid")
        assert code_of(edit(server, guid, closes_at=moment)) == (422, "invalid")
    reply = act(server, guid, "extend", closes_at=closes_at + 5)
    assert done(reply)["closes_at"] == closes_at + 5
    terms = reply.json()["terms"]
    assert (terms["hard_close_at"], terms["original_closes_at"]) == (closes_at + 5, closes_at)
    assert reply.json()["state"]["extensions"] == 0


async def test_a_void_lowers_the_price_raises_the_revision_and_marks_the_history(
    server: Server, store: StoreProcess, guid: str
) -> None:
    create(server, guid)
    for who, price in (("ann", "10.00"), ("bob", "20.00"), ("cat", "30.00"), ("bob", "40.00")):
        assert bid(server, guid, who, price).status_code == 201
    async with open_stream(stream_url(server, guid)) as stream:
        before = await stream.next()
        await asyncio.to_thread(act, server, guid, "void", bidder="bob")
        after = await stream.next("price")
        shown = {name: after.data[name] for name in ("price", "next_bid", "bids", "leader", "rev")}
        rev = before.data["rev"] + 1
        assert shown == {"price": "30.00", "next_bid": "31.00", "bids": 2, "leader": 3, "rev": rev}
    history = httpx.get(f"{server.url}/auctions/{guid}/bids").json()["bids"]
    assert [(entry["paddle"], entry["voided"]) for entry in history] == [(1, False), (2, True), (3, False), (2, True)]
    assert code_of(bid(server, guid, "bob", "50.00")) == (403, "voided")
    assert code_of(act(server, guid, "void", bidder="bob")) == (422, "invalid"), "the bidder is void already"
    assert code_of(act(server, guid, "void", bidder="nobody")) == (422, "invalid")
    assert code_of(act(server, guid, "void", bidder="ann", paddle=1)) == (422, "invalid")
    assert done(act(server, guid, "void", paddle=3))["price"] == "10.00"
    last = done(act(server, guid, "void", paddle=1))
    assert (last["price"], last["leader"], last["bids"], last["next_bid"]) == (None, None, 0, "10.00")
    assert bid(server, guid, "dan", "10.00").json()["seq"] == 5, "the log continues"


def test_title_and_reserve_can_be_edited_within_the_rules(server: Server, guid: str) -> None:
    create(server, guid, bidding="proxy", reserve="80.00")
    assert done(edit(server, guid, title="花瓶"))["title"] == "花瓶"
    assert code_of(edit(server, guid)) == (422, "invalid")
    assert code_of(edit(server, guid, title=" ")) == (422, "invalid")
    assert code_of(edit(server, guid, reserve="1.001")) == (422, "invalid")
    assert done(edit(server, guid, reserve="90.00"))["reserve_met"] is False, "no bid yet: it may be raised"
    assert offer(server, guid, "ann", max="70.00")["state"]["reserve_met"] is False
    assert code_of(edit(server, guid, reserve="90.01")) == (422, "invalid")
    lowered = done(edit(server, guid, reserve="60.00"))
    assert (lowered["price"], lowered["reserve_met"]) == ("60.00", True), "her maximum reaches it now"
    assert done(edit(server, guid, reserve=None))["reserve_met"] is None


@pytest.mark.parametrize(
    ("terms", "bids", "outcome"),
    [
        ({}, [], "no_bids"),
        ({}, [("ann", "10.00")], "sold"),
        ({"reserve": "20.00"}, [("ann", "10.00")], "reserve_not_met"),
        ({"reserve": "20.00"}, [("ann", "20.00")], "sold"),
    ],
)
def test_an_unwatched_auction_is_settled_soon_and_once(
    server: Server, store: StoreProcess, guid: str, terms: dict[str, Any], bids: list[tuple[str, str]], outcome: str
) -> None:
    closes_at = now_ms() + 1500
    create(server, guid, closes_at=closes_at, **terms)
    for who, price in bids:
        assert bid(server, guid, who, price).status_code == 201
    until(lambda: log_of(store, guid)[-1].get("kind") == "settled", "it is settled")
    settled = log_of(store, guid)[-1]
    assert closes_at <= int(settled["at"]) < closes_at + 5000
    assert settled["outcome"] == outcome
    state = httpx.get(f"{server.url}/auctions/{guid}/price").json()
    assert (state["status"], state["outcome"]) == ("closed", outcome)
    with store.client() as client:
        until(lambda: client.zscore("sse-auction:due", guid) is None, "nothing is due any more")
    assert [entry.get("kind") for entry in log_of(store, guid)].count("settled") == 1


async def test_what_is_bought_ends_at_once_for_all_viewers(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid, buy_now={"price": "300.00", "mode": "ceiling"})
    async with open_stream(stream_url(server, guid)) as stream:
        assert (await stream.next()).data["buy_now"] == "300.00"
        answer = await asyncio.to_thread(offer, server, guid, "ann", price="500.00")
        assert answer["standing"] == "winning"
        final = (await stream.next("closed")).data
    assert (final["price"], final["outcome"], final["buy_now"]) == ("300.00", "bought_now", None)
    assert log_of(store, guid)[-1]["outcome"] == "bought_now"


SECRET = "77712.34"  # nowhere else in the output of a server
RESERVE = "88834.56"


async def test_a_maximum_and_a_reserve_are_never_revealed(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid, bidding="proxy", reserve=RESERVE, seller="the-seller-77", priority=["the-favourite-66"])
    async with open_stream(stream_url(server, guid)) as stream:
        seen = str((await stream.next()).data)
        own = await asyncio.to_thread(offer, server, guid, "ann", max=SECRET, confirm=True)
        assert own["state"]["price"] == "10.00"
        seen += str((await stream.next("price")).data)
        await asyncio.to_thread(offer, server, guid, "bob", max="20.00")
        seen += str((await stream.next("price")).data)
    for path in ("", "/price", "/bids"):
        seen += httpx.get(f"{server.url}/auctions/{guid}{path}").text
    seen += httpx.post(
        f"{server.url}/auctions/{guid}/bids", json={"max": "70000.00", "confirm": True}, headers=bidder("cat")
    ).text
    seen += bid(server, guid, "cat", "1.00").text + bid(server, guid, "cat", "99999999.00").text
    seen += httpx.get(f"{server.url}/metrics").text + server.log()
    numbers = r"77[., ]?712([., ]?34)?|88[., ]?834([., ]?56)?"  # as whole numbers: times and epochs contain such digits
    assert not re.search(rf"(?<![\da-f])({numbers})(?![\da-f])|the-seller-77|the-favourite-66", seen)
    assert "70001.00" in seen, "the price that the maxima make is public"
    with store.client() as client:
        assert SECRET.replace(".", "") in str(client.hgetall(f"{{AuctionMaxPrice-{guid}}}:private")), "but it is kept"
        public = str(client.hgetall(f"{{AuctionMaxPrice-{guid}}}:auction"))
    assert not re.search(r"77712|88834|the-seller-77|the-favourite-66", public)
