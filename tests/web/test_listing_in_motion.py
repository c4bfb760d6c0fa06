"""Lists read page by page while their auctions change: nothing is missed, nothing comes twice."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.harness import (
    OPERATOR,
    Server,
    StoreProcess,
    bid,
    create,
    now_ms,
    running_server,
    running_store,
    until,
)
from tests.support.openapi_client import openapi_client, problem

HOUR = 3_600_000
LISTINGS = ("all", "upcoming", "open", "closed", "cancelled")


class House:
    """A service with a store without other auctions, and its operator's client."""

    def __init__(self, store: StoreProcess, server: Server, client: httpx.Client) -> None:
        self.store, self.server, self.client = store, server, client

    def create(self, guid: str, **terms: Any) -> str:
        create(self.server, guid, **terms)
        return guid

    def act(self, guid: str, name: str, **terms: Any) -> None:
        done = self.client.post(f"/auctions/{guid}/{name}", json={"reason": "for the test", **terms})
        assert done.status_code == 200, done.text

    def bid(self, guid: str, who: str, price: str) -> None:
        assert bid(self.server, guid, who, price).status_code == 201

    def status(self, guid: str) -> str:
        return str(self.client.get(f"/auctions/{guid}").json()["state"]["status"])

    def listed(self, between: Callable[[str], object] = lambda last: None, **query: Any) -> list[str]:
        """The guids of all pages, in order; `between` gets the last one before the next page is requested."""
        found: list[str] = []
        after: dict[str, str] = {}
        while True:
            page = self.client.get("/auctions", params={**query, **after}).json()
            guids = [each["state"]["guid"] for each in page["auctions"]]
            assert len(guids) <= query.get("limit", 50)
            assert guids or page["next"] is None, "a page without auctions has nothing after it"
            found += guids
            if page["next"] is None:
                return found
            between(guids[-1])
            after = {"after": page["next"]}

    def lists_of(self, guid: str) -> list[str]:
        return [each for each in LISTINGS if guid in self.listed(status=each, limit=200)]


@contextmanager
def running_house(directory: Path) -> Iterator[House]:
    with (
        running_store("valkey", directory) as store,
        running_server(directory, REDIS_URL=store.url) as server,
        openapi_client(server, headers=OPERATOR) as client,
    ):
        yield House(store, server, client)


@pytest.fixture
def house(directory: Path) -> Iterator[House]:
    with running_house(directory) as running:
        yield running


def each_once(found: list[str], expected: list[str]) -> None:
    missed = set(expected) - set(found)
    twice = [guid for guid, count in Counter(found).items() if count > 1]
    assert (sorted(missed), twice) == ([], []), f"{len(missed)} of {len(expected)} missed, {len(twice)} listed twice"


# --- one thing happens between two pages ---------------------------------------------------------------------------


def test_the_last_one_given_is_extended(house: House) -> None:
    start = now_ms() + HOUR
    guids = [house.create(f"lot-{n}", closes_at=start + n * 1000) for n in range(61)]
    moved: list[str] = []

    def extend_once(last: str) -> None:
        if not moved:
            house.act(last, "extend", closes_at=start + HOUR)
        moved.append(last)

    each_once(house.listed(extend_once, status="open", limit=10), guids)


def test_a_bid_moves_the_closing_of_the_last_one_given(house: House) -> None:
    start = now_ms() + 60_000
    soft = {"window_s": 86_400, "extend_s": 90}
    guids = [house.create(f"lot-{n}", closes_at=start + n * 1000, soft_close=soft) for n in range(91)]
    moved: list[str] = []

    def bid_once(last: str) -> None:
        if not moved:
            house.bid(last, "ann", "10.00")
        moved.append(last)

    each_once(house.listed(bid_once, status="open", limit=10), guids)


def test_the_last_one_given_is_closed(house: House) -> None:
    start = now_ms() + HOUR
    guids = [house.create(f"lot-{n}", closes_at=start + n * 1000) for n in range(30)]
    closed: list[str] = []

    def close_once(last: str) -> None:
        if not closed:
            house.act(last, "close")
        closed.append(last)

    each_once(house.listed(close_once, status="all", limit=10), guids)


def test_the_last_one_given_is_gone(house: House) -> None:
    guids = [house.create(f"lot-{n}", closes_at=now_ms() + HOUR) for n in range(9)]
    gone: list[str] = []

    def lose(last: str) -> None:
        with house.store.client() as other:
            for key in other.scan_iter(f"*{{AuctionMaxPrice-{last}}}*"):
                other.delete(key)
        gone.append(last)

    each_once(house.listed(lose, status="open", limit=3), guids)
    assert house.listed(status="open") == [guid for guid in guids if guid not in gone]
    with house.store.client() as other:
        until(lambda: other.zcard("{sse-auction:lists}:open") == 7, "what is gone is no longer listed")


def test_all_close_in_the_same_millisecond(house: House) -> None:
    moment = now_ms() + HOUR
    guids = [house.create(f"{'aB-_Zz9'[n % 7]}{n}", closes_at=moment) for n in range(25)]
    for limit in (1, 7):
        found = house.listed(status="open", limit=limit)
        each_once(found, guids)
        assert found == sorted(guids, key=str.encode)


# --- everything happens all the time -------------------------------------------------------------------------------


class Crowd:
    """Another client, which sends any action on any lot; a seed fixes its choices."""

    def __init__(self, house: House, seed: int) -> None:
        self._house = house
        self._chance = random.Random(seed)
        self._made = 0
        self.guids: list[str] = []

    def create(self) -> None:
        closes_at = now_ms() + self._chance.choice((400, 2000, 60_000, HOUR, HOUR, 2 * HOUR))
        terms: dict[str, Any] = {"closes_at": closes_at + self._chance.randrange(3)}
        if self._chance.random() < 0.4:
            terms["opens_at"] = now_ms() + self._chance.choice((300, 1500, HOUR // 2))
            terms["closes_at"] = max(terms["closes_at"], terms["opens_at"] + 200)
        if self._chance.random() < 0.5:
            terms["soft_close"] = {"window_s": 86_400, "extend_s": self._chance.choice((1, 60, 7200))}
        if self._chance.random() < 0.1:
            terms["buy_now"] = {"price": "300.00", "mode": "ceiling"}
        self._made += 1
        made = self._house.client.post(
            "/auctions",
            json={
                "guid": f"{self._chance.choice('aZ-_7')}{self._made}", "title": "x", "start_price": "10.00",
                "soft_close": None, **terms,
            },
        )  # fmt: skip
        if made.status_code == 201:  # else its closing has passed, on a busy machine
            self.guids.append(made.json()["terms"]["guid"])

    def do_two_things(self, last: str) -> None:
        for _ in range(2):
            self.do_anything()

    def do_anything(self) -> None:
        guid = self._chance.choice(self.guids)
        what = self._chance.choice(("create", "bid", "buy", "extend", "pause", "resume", "close", "cancel", "edit"))
        if what == "create":
            self.create()
        elif what in ("bid", "buy"):
            price = "300.00" if what == "buy" else f"{10 + self._chance.randrange(200)}.00"
            bid(self._house.server, guid, f"b{self._chance.randrange(3)}", price)
        else:
            body: dict[str, Any] = {"reason": "any"}
            if what in ("extend", "edit"):
                body["closes_at"] = now_ms() + self._chance.choice((1000, HOUR, 3 * HOUR))
            method, path = ("PATCH", "") if what == "edit" else ("POST", f"/{what}")
            self._house.client.request(method, f"/auctions/{guid}{path}", json=body)

    def statuses(self) -> dict[str, str]:
        """By guid, as of now; the order of reading does not matter for auctions that do not change."""
        return {guid: self._house.status(guid) for guid in self.guids}


@pytest.mark.parametrize("limit", [1, 7, 50])
def test_what_is_there_all_the_time_is_given_exactly_once(house: House, limit: int) -> None:
    crowd = Crowd(house, seed=limit)
    for _ in range(70):
        crowd.create()
    for _ in range(60):
        crowd.do_anything()
    for listing in LISTINGS * min(limit, 2):  # one by one takes ten times the requests
        before = crowd.statuses()
        found = house.listed(crowd.do_two_things, status=listing, limit=limit)
        after = crowd.statuses()
        stayed = [guid for guid, was in before.items() if listing in ("all", was) and was == after[guid]]
        each_once(found, list(before) if listing == "all" else stayed)
    house_at_rest = crowd.statuses()
    for listing in LISTINGS[1:]:
        found = house.listed(status=listing, limit=limit)
        again = crowd.statuses()
        each_once(found, [guid for guid, was in house_at_rest.items() if was == listing == again[guid]])


# --- what is in which list -----------------------------------------------------------------------------------------


def test_each_is_in_the_list_of_its_status_and_in_no_other(house: House) -> None:
    house.create("upcoming", opens_at=now_ms() + HOUR, closes_at=now_ms() + 2 * HOUR)
    house.create("open")
    past = now_ms() + 2000
    house.create("paused", closes_at=past)
    house.act("paused", "pause")
    house.create("timed", closes_at=now_ms() + 1000)
    house.create("closed")
    house.act("closed", "close")
    house.create("cancelled")
    house.act("cancelled", "cancel")
    house.create("withdrawn", opens_at=now_ms() + HOUR, closes_at=now_ms() + 2 * HOUR)
    house.act("withdrawn", "cancel")
    house.create("bought", buy_now={"price": "300.00", "mode": "ceiling"})
    house.bid("bought", "ann", "300.00")
    until(lambda: house.status("timed") == "closed", "its end")
    until(lambda: now_ms() > past, "the nominal closing of the paused one")
    expected = {
        "upcoming": "upcoming", "open": "open", "paused": "open", "timed": "closed", "closed": "closed",
        "bought": "closed", "cancelled": "cancelled", "withdrawn": "cancelled",
    }  # fmt: skip
    assert {guid: house.lists_of(guid) for guid in expected} == {guid: ["all", each] for guid, each in expected.items()}
    found = house.listed(status="closed")
    closings = [house.client.get(f"/auctions/{guid}").json()["state"]["closes_at"] for guid in found]
    assert closings == sorted(closings, reverse=True), "the latest first"


def test_an_opening_moves_a_lot_from_one_list_to_the_other(house: House) -> None:
    house.create("lot", opens_at=now_ms() + 1500, closes_at=now_ms() + HOUR)
    assert house.lists_of("lot") == ["all", "upcoming"]
    until(lambda: house.status("lot") == "open", "the opening")
    assert house.lists_of("lot") == ["all", "open"]
    with house.store.client() as other:
        until(lambda: other.zcard("{sse-auction:lists}:upcoming") == 0, "it was filed")
        assert other.zcard("{sse-auction:lists}:open") == 1
    assert house.lists_of("lot") == ["all", "open"]


def test_what_cannot_be_settled_is_in_one_list_all_the_same(house: House) -> None:
    soon = now_ms() + 1500
    for n in range(5):
        house.create(f"lot-{n}", closes_at=soon)
    house.create("waits", opens_at=soon, closes_at=soon + HOUR)
    with house.store.client() as other:
        other.config_set("maxmemory", 1)  # nothing can be written any more
        until(lambda: house.status("lot-0") == "closed", "the end")
        for limit in (1, 2, 50):
            assert sorted(house.listed(status="closed", limit=limit)) == [f"lot-{n}" for n in range(5)]
            assert house.listed(status="open", limit=limit) == ["waits"]
            assert house.listed(status="upcoming", limit=limit) == []
        page = house.client.get("/auctions", params={"status": "closed", "limit": 2}).json()
        assert (page["before"], page["total"]) == (0, 5)
        other.config_set("maxmemory", 0)
        until(lambda: other.zcard("{sse-auction:lists}:closed") == 5, "they are settled")
    assert house.listed(status="open") == ["waits"]


def test_no_page_is_empty_and_has_another_after_it(house: House) -> None:
    for n in range(30):
        house.create(f"later-{n}", opens_at=now_ms() + HOUR, closes_at=now_ms() + 2 * HOUR)
    house.create("now", closes_at=now_ms() + 3 * HOUR)
    page = house.client.get("/auctions", params={"status": "open", "limit": 1}).json()
    assert ([each["state"]["guid"] for each in page["auctions"]], page["next"]) == (["now"], None)
    exactly = house.client.get("/auctions", params={"status": "upcoming", "limit": 30}).json()
    assert (len(exactly["auctions"]), exactly["next"]) == (30, None), "nothing comes after it"


def test_a_page_says_which_of_how_many_it_has(house: House) -> None:
    for n in range(7):
        house.create(f"lot-{n}", closes_at=now_ms() + HOUR + n)
    for n in range(7):
        house.act(f"lot-{n}", "close" if n < 4 else "cancel")
    for listing, count in (("all", 7), ("closed", 4), ("cancelled", 3), ("open", 0), ("upcoming", 0)):
        seen, after = 0, dict[str, str]()
        while True:
            page = house.client.get("/auctions", params={"status": listing, "limit": 2, **after}).json()
            assert (page["before"], page["total"]) == (seen, count)
            seen += len(page["auctions"])
            if page["next"] is None:
                break
            after = {"after": page["next"]}
        assert seen == count


def test_a_cursor_is_that_of_its_listing(house: House) -> None:
    for n in range(3):
        house.create(f"lot-{n}")
    cursor = house.client.get("/auctions", params={"status": "open", "limit": 1}).json()["next"]
    for wrong in (cursor[:-5] + "!", cursor.replace("open", "closed"), "lot-0", "open", "open.1.lot-0", f"{cursor} "):
        refused = house.client.get("/auctions", params={"status": "open", "after": wrong})
        assert (refused.status_code, problem(refused)["code"]) == (422, "invalid"), wrong
        assert "is not a cursor that this listing gave" in problem(refused)["detail"]
    assert house.client.get("/auctions", params={"after": cursor}).status_code == 422


# --- after a crash, and data of before -------------------------------------------------------------------------------


def everything_listed(house: House) -> dict[str, list[str]]:
    return {listing: house.listed(status=listing, limit=200) for listing in LISTINGS}


def some_of_each(house: House) -> None:
    for n in range(20):
        house.create(f"open-{n}", closes_at=now_ms() + HOUR + n)
        house.create(f"later-{n}", opens_at=now_ms() + HOUR, closes_at=now_ms() + 2 * HOUR)
    for n in range(5):
        house.act(f"open-{n}", "close")
        house.act(f"later-{n}", "cancel")


def settled_down(house: House) -> None:
    """Nothing is due any more."""
    with house.store.client() as other:
        until(lambda: other.zcount("sse-auction:due", "-inf", now_ms() + 2000) == 0, "all is filed")


def test_a_store_of_a_version_without_lists_is_listed(house: House) -> None:
    some_of_each(house)
    settled_down(house)
    expected = everything_listed(house)
    house.server.stop()
    with house.store.client() as other:
        for key in other.scan_iter("{sse-auction:lists}:*"):
            other.delete(key)
        other.delete("sse-auction:due")
        other.zadd("sse-auction:auctions", {"open-7": now_ms() + 10 * HOUR})  # it was moved with its closing then
    house.server.restart_on_same_port()
    assert everything_listed(house) == expected
    house.act("open-19", "close")
    assert house.lists_of("open-19") == ["all", "closed"]
    settled_down(house)
    with house.store.client() as other:
        assert other.zcard("sse-auction:due") == 29, "what is not over is settled in its time"


def test_an_auction_is_listed_though_its_creator_died(house: House) -> None:
    house.create("lot", opens_at=now_ms() + HOUR, closes_at=now_ms() + 2 * HOUR)
    settled_down(house)
    with house.store.client() as other:
        entry = other.zrange("{sse-auction:lists}:upcoming", 0, 0)[0]
        other.zrem("{sse-auction:lists}:upcoming", entry)
        other.zrem("{sse-auction:lists}:all", entry)
        other.zadd("sse-auction:due", {"lot": now_ms()})  # as creation leaves it
        assert house.lists_of("lot") == ["all", "upcoming"]
        until(lambda: other.zcard("{sse-auction:lists}:upcoming") == 1, "it is filed")
        assert other.zcard("{sse-auction:lists}:all") == 1


def test_a_lot_that_was_bought_as_the_process_died_is_moved(house: House) -> None:
    house.create("lot")
    settled_down(house)
    with house.store.client() as other:
        entry = other.zrange("{sse-auction:lists}:open", 0, 0)[0]
        house.act("lot", "close")
        settled_down(house)
        for key in ("{sse-auction:lists}:closed", "sse-auction:due"):
            other.delete(key)
        other.zadd("{sse-auction:lists}:open", {entry: 0})
        assert house.listed(status="open") == [], "the auction itself decides"
        until(lambda: other.zcard("{sse-auction:lists}:closed") == 1, "it was found by that look")
        assert other.zcard("{sse-auction:lists}:open") == 0
    assert house.listed(status="closed") == ["lot"]


def test_every_auction_that_is_not_over_is_due_some_time(house: House) -> None:
    house.create("lot", closes_at=now_ms() + 2500)
    house.server.stop()
    with house.store.client() as other:
        other.delete("sse-auction:due")
        house.server.restart_on_same_port()
        until(lambda: other.hget("{AuctionMaxPrice-lot}:auction", "settled") == "1", "it is settled nevertheless")
