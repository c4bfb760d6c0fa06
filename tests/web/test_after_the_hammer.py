"""Corrections after the hammer: what viewers, pollers, bidders and receivers of webhooks see."""

import json
import re
from pathlib import Path

import httpx

from tests.support.auctions import act, code_of, done, edit, history, listed, log_of, offer, read, sold, state
from tests.support.commands import output, run_command
from tests.support.harness import (
    OPERATOR,
    Event,
    Server,
    StoreProcess,
    bid,
    create,
    now_ms,
    open_stream,
    running_server,
    until,
)
from tests.support.harness import stream_url as url_of_stream
from tests.support.logs import rows, verified
from tests.support.receiver import Receiver, hooked

FAR = 3_600_000  # ms


async def first_event(server: Server, guid: str, tag: str) -> Event:
    async with open_stream(url_of_stream(server, guid), Last_Event_ID=tag) as stream:
        return await stream.next("price", "closed")


# --- reopening ---------------------------------------------------------------------------------------------------


async def test_a_closed_auction_is_open_again_with_its_bids_and_closes_again(
    server: Server, store: StoreProcess, guid: str
) -> None:
    closed = sold(server, guid, ("ann", "10.00"), ("bob", "20.00"))
    assert httpx.get(url_of_stream(server, guid), headers={"Last-Event-ID": closed["tag"]}).status_code == 204
    again = done(act(server, guid, "reopen", closes_at=now_ms() + 2500, reason="the line was down"))
    assert (again["status"], again["outcome"], again["price"], again["leader"]) == ("open", None, "20.00", 2)
    assert (again["bids"], again["next_bid"], again["rev"]) == (2, "21.00", closed["rev"] + 1)
    event = await first_event(server, guid, closed["tag"])
    assert (event.name, event.data["tag"]) == ("price", again["tag"]), (
        "a client that had seen the end gets the new state"
    )
    poll = httpx.get(f"{server.url}/auctions/{guid}/price", headers={"If-None-Match": f'"{closed["tag"]}"'})
    assert poll.json()["tag"] == again["tag"]
    assert "open" in listed(server, guid)
    assert bid(server, guid, "cat", "30.00").json()["seq"] == 3
    until(lambda: state(server, guid)["outcome"] == "sold", "it closes again")
    until(lambda: log_of(store, guid)[-1].get("kind") == "settled", "it is settled again")
    kinds = [entry.get("kind", "bid") for entry in log_of(store, guid)]
    assert kinds == ["created", "bid", "bid", "close", "settled", "reopen", "bid", "settled"]
    entry = log_of(store, guid)[5]
    assert (entry["actor"], entry["reason"]) == ("the-house", "the line was down")
    until(lambda: listed(server, guid) == {"all", "closed"}, "it is listed as closed")
    verified(store, guid)


def test_reopening_has_its_time_and_its_moments(valkey: StoreProcess, directory: Path, guid: str) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_REOPEN_HOURS="0.001") as server:  # 3.6 s
        create(server, guid)
        assert code_of(act(server, guid, "reopen", closes_at=now_ms() + FAR)) == (409, "not_closed")
        closed = done(act(server, guid, "close"))
        for moment in (0, closed["closes_at"]):
            assert code_of(act(server, guid, "reopen", closes_at=moment)) == (422, "invalid")
        assert code_of(act(server, guid, "reopen")) == (422, "invalid")
        before = log_of(valkey, guid)
        url = f"{server.url}/auctions/{guid}/price"
        until(lambda: httpx.get(url).json()["now"] >= closed["closes_at"] + 3600, "its time is over")
        refused = act(server, guid, "reopen", closes_at=now_ms() + FAR)
        assert code_of(refused) == (409, "too_late")
        assert refused.json()["state"]["status"] == "closed"
        assert log_of(valkey, guid) == before, "nothing was done"


def test_extensions_begin_anew_and_the_hard_close_is_not_before_the_closing(server: Server, guid: str) -> None:
    soft = {"window_s": 7200, "extend_s": 7200}
    create(server, guid, soft_close=soft, max_extensions=1)
    bid(server, guid, "ann", "10.00")
    bid(server, guid, "bob", "20.00")
    assert done(act(server, guid, "close"))["extensions"] == 1
    assert done(act(server, guid, "reopen", closes_at=now_ms() + FAR))["extensions"] == 0
    assert bid(server, guid, "ann", "30.00").json()["state"]["extensions"] == 1

    other, hard = f"{guid}-2", now_ms() + 2 * FAR
    create(server, other, hard_close_at=hard)
    for closes_at, expected in ((hard - 5, hard), (hard + 5, hard + 5)):
        done(act(server, other, "close"))
        reply = act(server, other, "reopen", closes_at=closes_at)
        assert (done(reply)["closes_at"], reply.json()["terms"]["hard_close_at"]) == (closes_at, expected)


def test_a_purchase_is_undone_and_the_buyer_may_bid_again(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid, buy_now={"price": "300.00", "mode": "ceiling"})
    offer(server, guid, "ann", price="10.00")
    offer(server, guid, "bob", price="20.00")
    offer(server, guid, "ann", buy_now=True)
    assert history(server, guid) == [(1, False), (2, False), (3, False)]
    again = done(act(server, guid, "reopen", closes_at=now_ms() + FAR))
    assert (again["price"], again["leader"], again["bids"], again["buy_now"]) == ("20.00", 2, 2, "300.00")
    assert history(server, guid) == [(1, False), (2, False), (3, True)]
    public = rows(httpx.get(f"{server.url}/auctions/{guid}/bids.ndjson"), "ndjson")
    assert [row["voided"] for row in public] == [False, False, True]
    assert offer(server, guid, "ann", price="30.00")["seq"] == 4
    assert offer(server, guid, "bob", buy_now=True)["standing"] == "winning"
    assert state(server, guid)["outcome"] == "bought_now"
    verified(store, guid)


def test_what_was_cancelled_by_mistake_is_open_again(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid, opens_at=now_ms() + FAR, closes_at=now_ms() + 2 * FAR)
    assert done(act(server, guid, "cancel"))["status"] == "cancelled"
    again = done(act(server, guid, "reopen", closes_at=now_ms() + FAR))
    assert (again["status"], again["outcome"], again["next_bid"]) == ("open", None, "10.00")
    assert bid(server, guid, "ann", "10.00").status_code == 201
    verified(store, guid)


# --- void --------------------------------------------------------------------------------------------------------


async def test_a_void_after_the_hammer_gives_the_lot_to_the_next(
    server: Server, store: StoreProcess, guid: str
) -> None:
    bids = (("ann", "50.00"), ("bob", "60.00"), ("cat", "55.00"))
    closed = sold(server, guid, *bids, bidding="proxy", increments="ebay-us")
    assert (closed["price"], closed["leader"]) == ("56.00", 2)
    done(act(server, guid, "unpaid"))
    after = done(act(server, guid, "void", bidder="bob", reason="no such person"))
    assert (after["status"], after["outcome"], after["price"], after["leader"]) == ("closed", "sold", "51.00", 3)
    assert (after["bids"], after["rev"]) == (2, closed["rev"] + 1)
    assert read(server, guid, **OPERATOR)["unpaid"] is False, "the note was for another bidder"
    event = await first_event(server, guid, closed["tag"])
    assert (event.name, event.data["tag"]) == ("closed", after["tag"])
    assert done(act(server, guid, "void", bidder="cat"))["price"] == "10.00"
    none = done(act(server, guid, "void", bidder="ann"))
    assert (none["price"], none["leader"], none["outcome"], none["bids"]) == (None, None, "no_bids", 0)
    assert code_of(act(server, guid, "void", bidder="ann")) == (422, "invalid")
    verified(store, guid)


def test_a_void_keeps_a_purchase_or_takes_it_back(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid, buy_now={"price": "300.00", "mode": "ceiling"}, reserve="30.00")
    for who, price in (("ann", "10.00"), ("bob", "20.00"), ("cat", "400.00")):
        offer(server, guid, who, price=price)
    kept = done(act(server, guid, "void", bidder="ann"))
    assert (kept["outcome"], kept["price"], kept["leader"], kept["bids"]) == ("bought_now", "300.00", 3, 2)
    taken = done(act(server, guid, "void", bidder="cat"))
    assert (taken["outcome"], taken["price"], taken["leader"], taken["bids"]) == ("reserve_not_met", "20.00", 2, 1)
    verified(store, guid)
    cancelled = f"{guid}-2"
    create(server, cancelled)
    offer(server, cancelled, "ann", price="10.00")
    done(act(server, cancelled, "cancel"))
    assert done(act(server, cancelled, "void", paddle=1))["outcome"] == "cancelled"


# --- second offer ------------------------------------------------------------------------------------------------


def test_the_lot_goes_to_the_underbidder_at_the_price_of_that_bid(
    server: Server, store: StoreProcess, guid: str
) -> None:
    create(server, guid)
    assert code_of(act(server, guid, "second-offer")) == (409, "not_closed")
    for who, price in (("ann", "10.00"), ("bob", "20.00"), ("ann", "30.00"), ("cat", "40.00")):
        offer(server, guid, who, price=price)
    closed = done(act(server, guid, "close"))
    done(act(server, guid, "unpaid"))
    second = done(act(server, guid, "second-offer", reason="no answer from paddle 3"))
    assert (second["price"], second["leader"], second["outcome"]) == ("30.00", 1, "sold")
    assert (second["bids"], second["rev"]) == (4, closed["rev"] + 1)
    assert read(server, guid, **OPERATOR)["unpaid"] is False
    entry = log_of(store, guid)[-1]
    shown = {name: entry[name] for name in ("kind", "actor", "reason", "paddle", "passed", "price")}
    assert shown == {
        "kind": "second_offer", "actor": "the-house", "reason": "no answer from paddle 3", "paddle": "1",
        "passed": "3", "price": "30.00",
    }  # fmt: skip
    assert done(act(server, guid, "second-offer"))["leader"] == 2
    assert code_of(act(server, guid, "second-offer")) == (409, "no_underbidder")
    for paddle in (2, 9):
        assert code_of(act(server, guid, "second-offer", paddle=paddle)) == (409, "no_underbidder")
    assert code_of(act(server, guid, "second-offer", paddle=0)) == (422, "invalid")
    back = done(act(server, guid, "second-offer", paddle=3))
    assert (back["price"], back["leader"]) == ("40.00", 3), "the first winner pays after all"
    assert code_of(act(server, guid, "second-offer")) == (409, "no_underbidder"), "the others had it already"
    verified(store, guid)


def test_a_second_offer_in_a_proxy_auction_reveals_no_maximum(server: Server, store: StoreProcess, guid: str) -> None:
    bids = (("ann", "50.00"), ("bob", "777.12"), ("cat", "55.00"))
    sold(server, guid, *bids, bidding="proxy", increments="ebay-us", reserve="52.00")
    reply = act(server, guid, "second-offer")
    assert (done(reply)["price"], done(reply)["leader"], done(reply)["outcome"]) == ("55.00", 3, "sold")
    refused = act(server, guid, "second-offer", paddle=1)
    assert code_of(refused) == (409, "below_reserve")
    back = act(server, guid, "second-offer", paddle=2)
    assert done(back)["price"] == "56.00", "the hammer price, and not the maximum"
    shown = reply.text + refused.text + back.text + read_everything(server, guid)
    # As amounts: moments, guids and epochs have every digit sooner or later.
    assert not re.search(r"777\.12|\b77712\b|\b5200\b", shown)
    verified(store, guid)


def read_everything(server: Server, guid: str) -> str:
    paths = ("", "/price", "/bids", "/bids.csv", "/bids.ndjson")
    return "".join(httpx.get(f"{server.url}/auctions/{guid}{path}").text for path in paths)


def test_nothing_is_offered_after_an_auction_without_a_winner(server: Server, guid: str) -> None:
    sold(server, guid, ("ann", "10.00"), ("bob", "20.00"), reserve="30.00")
    for kind in ("second-offer", "unpaid", "paid"):
        assert code_of(act(server, guid, kind)) == (409, "not_sold")


def test_a_void_of_the_buyer_takes_second_offers_back(server: Server, store: StoreProcess, guid: str) -> None:
    sold(server, guid, ("ann", "10.00"), ("bob", "20.00"), ("cat", "30.00"))
    assert done(act(server, guid, "second-offer"))["leader"] == 2
    stands = done(act(server, guid, "void", bidder="ann"))
    assert (stands["leader"], stands["price"], stands["bids"]) == (2, "20.00", 2)
    first = done(act(server, guid, "void", bidder="bob"))
    assert (first["leader"], first["price"], first["outcome"]) == (3, "30.00", "sold")
    verified(store, guid)


def test_a_reopening_forgets_second_offers(server: Server, store: StoreProcess, guid: str) -> None:
    sold(server, guid, ("ann", "10.00"), ("bob", "20.00"))
    assert done(act(server, guid, "second-offer"))["leader"] == 1
    again = done(act(server, guid, "reopen", closes_at=now_ms() + FAR))
    assert (again["leader"], again["price"]) == (2, "20.00")
    verified(store, guid)


# --- notes -------------------------------------------------------------------------------------------------------


def test_an_unpaid_winner_is_shown_to_operators_alone(server: Server, store: StoreProcess, guid: str) -> None:
    closed = sold(server, guid, ("ann", "10.00"))
    before = read(server, guid)
    assert read(server, guid, **OPERATOR)["unpaid"] is False
    assert code_of(act(server, guid, "paid")) == (409, "unchanged")
    marked = act(server, guid, "unpaid", reason="two letters")
    assert (marked.json()["unpaid"], done(marked)["tag"]) == (True, closed["tag"])
    assert code_of(act(server, guid, "unpaid")) == (409, "unchanged")
    assert "unpaid" not in before
    assert {**read(server, guid)["state"], "now": 0} == {**before["state"], "now": 0}
    assert "unpaid" not in read_everything(server, guid)
    everything = rows(httpx.get(f"{server.url}/auctions/{guid}/bids.ndjson", headers=OPERATOR), "ndjson")
    assert (everything[-1]["kind"], everything[-1]["reason"], everything[-1]["paddle"]) == ("unpaid", "two letters", 1)
    assert read(server, guid, **OPERATOR)["unpaid"] is True
    assert act(server, guid, "paid").json()["unpaid"] is False
    verified(store, guid)


def test_an_archived_auction_is_in_no_listing_and_still_there(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid)
    assert code_of(act(server, guid, "archive")) == (409, "not_closed")
    closed = done(act(server, guid, "close"))
    until(lambda: listed(server, guid) == {"all", "closed"}, "it is listed")
    reply = act(server, guid, "archive")
    assert (done(reply)["tag"], reply.json()["terms"]["archived"]) == (closed["tag"], True)
    assert code_of(act(server, guid, "archive")) == (409, "unchanged")
    assert listed(server, guid) == set()
    assert read(server, guid)["terms"]["archived"] is True
    assert httpx.get(f"{server.url}/auctions/{guid}/bids.csv").status_code == 200
    done(act(server, guid, "unarchive"))
    until(lambda: listed(server, guid) == {"all", "closed"}, "it is listed again")
    assert code_of(act(server, guid, "unarchive")) == (409, "unchanged")
    done(act(server, guid, "archive"))
    done(act(server, guid, "reopen", closes_at=now_ms() + FAR))
    until(lambda: listed(server, guid) == {"all", "open"}, "what is reopened is listed")
    verified(store, guid)


# --- webhooks ----------------------------------------------------------------------------------------------------


def test_receivers_of_webhooks_get_each_correction(
    own_store: StoreProcess, directory: Path, guid: str, receiver: Receiver
) -> None:
    with running_server(directory, **hooked(own_store, receiver)) as server:
        sold(server, guid, ("ann", "10.00"), ("bob", "20.00"), ("cat", "30.00"))
        for kind, more in (
            ("unpaid", {}), ("paid", {}), ("second-offer", {}), ("void", {"bidder": "ann"}), ("archive", {}),
            ("unarchive", {}), ("reopen", {"closes_at": now_ms() + FAR}), ("close", {}),
        ):  # fmt: skip
            done(act(server, guid, kind, reason=f"because of {kind}", **more))
        expected = [
            "close", "closed", "unpaid", "paid", "second_offer", "voided", "archive", "unarchive", "reopened", "close",
            "closed",
        ]  # fmt: skip
        until(lambda: receiver.once(guid)[-len(expected) :] == expected, "all messages have arrived")
        shown = {each["event"]: each["data"] for each in receiver.taken if each["guid"] == guid}
        assert (shown["second_offer"]["paddle"], shown["second_offer"]["price"]) == (2, "20.00")
        assert shown["unpaid"]["reason"] == "because of unpaid"
        assert shown["voided"]["outcome"] == "sold"
        revisions = [each["rev"] for each in receiver.taken if each["guid"] == guid]
        assert revisions == sorted(revisions)


def test_the_command_line_corrects_too(service: Server, valkey: StoreProcess, guid: str) -> None:
    sold(service, guid, ("ann", "10.00"), ("bob", "20.00"))
    at_store = {"REDIS_URL": valkey.url}
    over_http = ("--url", service.url, "--token", OPERATOR["Authorization"].removeprefix("Bearer "))
    assert output(run_command("unpaid", guid, "--reason", "x", "--json", **at_store))["unpaid"] is True
    made = output(run_command("second-offer", guid, "--reason", "x", "--json", *over_http))
    assert (made["state"]["leader"], made["unpaid"]) == (1, False)
    made = output(run_command("second-offer", guid, "--paddle", "2", "--reason", "x", "--json", **at_store))
    assert made["state"]["price"] == "20.00"
    assert run_command("archive", guid, "--reason", "x", *over_http).returncode == 0
    assert run_command("unarchive", guid, "--reason", "x", **at_store).returncode == 0
    made = output(run_command("reopen", guid, "--closes", "+1h", "--reason", "x", "--json", *over_http))
    assert made["state"]["status"] == "open"
    refused = run_command("paid", guid, "--reason", "x", **at_store)
    assert (refused.returncode, "when it is over" in refused.stderr) == (1, True)
    exported = run_command("export", guid, "--format", "ndjson", **at_store).stdout.splitlines()
    acts = [json.loads(line)["kind"] for line in exported][-6:]
    assert acts == ["unpaid", "second_offer", "second_offer", "archive", "unarchive", "reopen"]
    verified(valkey, guid)


def test_the_reserve_may_be_lowered_in_a_reopened_auction(server: Server, store: StoreProcess, guid: str) -> None:
    sold(server, guid, ("ann", "50.00"), bidding="proxy", reserve="80.00")
    again = done(act(server, guid, "reopen", closes_at=now_ms() + FAR))
    assert (again["price"], again["reserve_met"]) == ("10.00", False)
    assert done(edit(server, guid, reserve="40.00"))["price"] == "40.00"
    assert done(act(server, guid, "close"))["outcome"] == "sold"
    verified(store, guid)
