"""Auctions of the first version, without acts and without a log of them, are served like all others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from sse_auction.store import keys
from tests.support.harness import OPERATOR, Server, StoreProcess, bid, now_ms, running_server, running_store, until
from tests.support.logs import verify
from tests.support.openapi_client import openapi_client

HOUR = 3_600_000


def first_version(
    client: redis.Redis, guid: str, bids: list[tuple[str, str]], closes_at: int, seller: str = ""
) -> None:
    """What its scripts wrote for an auction with these bids."""
    created, paddles = now_ms() - 2 * HOUR, dict[str, str]()
    if seller:
        client.hset(keys.private(guid), "seller", seller)
    for seq, (who, price) in enumerate(bids, 1):
        paddle = paddles.setdefault(who, str(len(paddles) + 1))
        entry: Any = {"bidder": who, "paddle": paddle, "price": price, "at": str(created + seq)}
        client.xadd(keys.bids(guid), entry, id=f"{seq}-0")
        client.hset(keys.paddles(guid), who, paddle)
        client.set(keys.price(guid), price)
    client.hset(
        keys.auction(guid),
        mapping={
            "title": f"Old {guid}", "currency": "CNY", "start_price": "1000", "increments": "0:100",
            "opens_at": str(created), "closes_at": str(closes_at), "created_at": str(created), "rev": str(len(bids)),
            "bids": str(len(bids)), "leader": paddles[bids[-1][0]] if bids else "",
        },
    )  # fmt: skip
    client.zadd(keys.INDEX, {guid: closes_at})


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[StoreProcess, Server, httpx.Client]]:
    directory: Path = tmp_path_factory.mktemp("old")
    with running_store("valkey", directory) as store:
        with store.client() as client:
            bids = [("ann", "10.00"), ("bob", "11.00"), ("ann", "12.00")]
            for guid in ("bid-in", "voided", "acted", "seen"):
                first_version(client, guid, bids, now_ms() + HOUR, "sam")
            first_version(client, "empty", [], now_ms() + HOUR)
            first_version(client, "over", bids, now_ms() - HOUR)
        with (
            running_server(directory, REDIS_URL=store.url) as server,
            openapi_client(server, headers=OPERATOR) as operator,
        ):
            yield store, server, operator


def entries(store: StoreProcess, guid: str) -> dict[str, dict[str, str]]:
    with store.client() as client:
        found: Any = client.xrange(keys.bids(guid))
        return dict(found)


def guids(client: httpx.Client, **query: Any) -> list[str]:
    return [each["state"]["guid"] for each in client.get("/auctions", params=query).json()["auctions"]]


def test_they_are_read_and_listed(served: tuple[StoreProcess, Server, httpx.Client]) -> None:
    _, _, client = served
    reply = client.get("/auctions/seen").json()
    assert reply["terms"]["original_closes_at"] == reply["terms"]["closes_at"]
    assert (reply["terms"]["bidding"], reply["terms"]["soft_close"], reply["terms"]["buy_now"]) == (
        "manual",
        None,
        None,
    )
    state = reply["state"]
    assert (state["price"], state["bids"], state["leader"], state["next_bid"]) == ("12.00", 3, 1, "13.00")
    history = client.get("/auctions/seen/bids").json()["bids"]
    assert [(each["seq"], each["paddle"], each["price"]) for each in history] == [
        (1, 1, "10.00"), (2, 2, "11.00"), (3, 1, "12.00"),
    ]  # fmt: skip
    assert "seen" in guids(client, status="open")
    assert {"seen", "over", "empty"} <= set(guids(client))


def test_they_take_bids(served: tuple[StoreProcess, Server, httpx.Client]) -> None:
    _, server, client = served
    assert bid(server, "bid-in", "sam", "13.00").json()["code"] == "forbidden", "the seller"
    assert bid(server, "bid-in", "bob", "12.50").json()["code"] == "too_low"
    taken = bid(server, "bid-in", "cat", "13.00").json()
    assert (taken["seq"], taken["paddle"], taken["standing"]) == (4, 3, "leading")
    assert [each["seq"] for each in client.get("/auctions/bid-in/bids").json()["bids"]] == [1, 2, 3, 4]
    first = bid(server, "empty", "ann", "10.00").json()
    assert (first["seq"], first["paddle"]) == (1, 1)


def test_their_bids_can_be_void(served: tuple[StoreProcess, Server, httpx.Client]) -> None:
    _, server, client = served
    done = client.post("/auctions/voided/void", json={"reason": "a joke", "bidder": "ann"})
    assert done.status_code == 200, done.text
    state = done.json()["state"]
    assert (state["price"], state["leader"], state["bids"]) == ("11.00", 2, 1)
    assert bid(server, "voided", "cat", "12.00").json()["seq"] == 4, "no number is used twice"
    again = client.post("/auctions/voided/void", json={"reason": "a joke", "bidder": "bob"}).json()["state"]
    assert (again["price"], again["leader"]) == ("12.00", 3)


def test_operators_act_on_them_and_their_place_in_lists_stays(
    served: tuple[StoreProcess, Server, httpx.Client],
) -> None:
    store, _, client = served
    was, before = client.get("/auctions/acted").json()["terms"]["closes_at"], guids(client, status="open")
    for name, terms in (
        ("pause", {}), ("resume", {}), ("extend", {"closes_at": was + 9 * HOUR}), ("void", {"bidder": "bob"}),
    ):  # fmt: skip
        done = client.post(f"/auctions/acted/{name}", json={"reason": "because", **terms})
        assert done.status_code == 200, done.text
    assert done.json()["terms"]["original_closes_at"] == was
    assert guids(client, status="open") == before
    closed = client.post("/auctions/acted/close", json={"reason": "the hammer"}).json()["state"]
    assert (closed["status"], closed["outcome"], closed["price"]) == ("closed", "sold", "12.00")
    assert "acted" in guids(client, status="closed")
    kinds = [fields.get("kind", "bid") for fields in entries(store, "acted").values()]
    assert kinds == ["bid", "bid", "bid", "pause", "resume", "extend", "void", "close", "settled"]


def test_they_are_settled(served: tuple[StoreProcess, Server, httpx.Client]) -> None:
    store, _, client = served
    until(lambda: "3-1" in entries(store, "over"), "it is settled")
    settled = entries(store, "over")["3-1"]
    assert (settled["kind"], settled["outcome"], settled["price"], settled["leader"]) == (
        "settled",
        "sold",
        "12.00",
        "1",
    )
    assert client.get("/auctions/over").json()["state"]["outcome"] == "sold"
    assert "over" in guids(client, status="closed")


def test_their_log_is_exported_and_cannot_be_verified(served: tuple[StoreProcess, Server, httpx.Client]) -> None:
    store, _, client = served
    lines = client.get("/auctions/seen/bids.csv").text.splitlines()
    assert len(lines) == 4
    assert [line.split(",")[5] for line in lines[1:]] == ["ann", "bob", "ann"]
    assert verify(store, "seen") == ["entry 1-0: a log begins with the auction's creation"]
