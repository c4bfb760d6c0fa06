"""Polling, long-polling, reading, creating, bidding: what HTTP clients get.

Every reply to `client` is checked against the service's own description.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.harness import (
    OPERATOR,
    TOKENS,
    Server,
    StoreProcess,
    bid,
    bidder,
    create,
    now_ms,
    running_server,
    running_store,
    until,
)
from tests.support.openapi_client import Description, openapi_client, problem


@pytest.fixture(scope="module")
def service(valkey: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with external auctions in dinars, which have three decimals."""
    with running_server(tmp_path_factory.mktemp("http"), REDIS_URL=valkey.url, SSE_AUCTION_CURRENCY="KWD") as running:
        yield running


def terms(**others: Any) -> dict[str, Any]:
    return {"title": "A vase", "start_price": "10.00", "currency": "CNY", "closes_at": now_ms() + 3_600_000, **others}


def tag_of(response: httpx.Response) -> str:
    tag: str = response.json()["tag"]
    return tag


# --- polling -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ('"TAG"', 304),
        ("TAG", 304),
        ('W/"TAG"', 304),
        ('"other", "TAG"', 304),
        ('W/"other",W/"TAG"', 304),
        ("*", 304),
        ('"other"', 200),
        ('"TAG-"', 200),
        ("", 200),
    ],
)
def test_a_poll_that_knows_the_state_gets_304_without_a_body(
    client: httpx.Client, service: Server, guid: str, header: str, status: int
) -> None:
    create(service, guid)
    first = client.get(f"/auctions/{guid}/price")
    assert first.headers["etag"] == f'"{tag_of(first)}"'
    assert first.headers["cache-control"] == "no-cache"
    again = client.get(f"/auctions/{guid}/price", headers={"If-None-Match": header.replace("TAG", tag_of(first))})
    assert (again.status_code, again.headers["etag"]) == (status, first.headers["etag"])


def test_every_change_changes_the_etag(client: httpx.Client, service: Server, guid: str) -> None:
    create(service, guid)
    before = client.get(f"/auctions/{guid}/price")
    assert bid(service, guid, "ann", "10.00").status_code == 201
    after = client.get(f"/auctions/{guid}/price", headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.json()["price"]) == (200, "10.00")


def test_an_auction_that_is_not_there_is_404(client: httpx.Client, guid: str) -> None:
    for path in (f"/auctions/{guid}/price", f"/auctions/{guid}", f"/auctions/{guid}/bids"):
        assert problem(client.get(path))["code"] == "unknown_auction"
    refused = client.post(f"/auctions/{guid}/bids", json={"price": "1.00"}, headers=bidder("ann"))
    assert (refused.status_code, problem(refused)["code"]) == (404, "unknown_auction")
    assert guid in problem(refused)["detail"]


@pytest.mark.parametrize("wait", ["31", "-1", "1.5", "abc", "", "1e1", "٣", "9" * 40])
def test_a_wait_out_of_range_is_refused(client: httpx.Client, service: Server, guid: str, wait: str) -> None:
    create(service, guid)
    refused = client.get(f"/auctions/{guid}/price", params={"wait": wait})
    assert refused.status_code == 422
    assert f"wait={wait[:40]!r}" in problem(refused)["detail"]


# --- long-polling ------------------------------------------------------------------------------------------------


def held_poll(client: httpx.Client, service: Server, guid: str, tag: str, change: Callable[[], object]) -> Any:
    """The answer to a long poll that was held before `change` was made."""
    before = service.metric("sse_auction_streams")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(
            client.get, f"/auctions/{guid}/price", params={"wait": 30}, headers={"If-None-Match": f'"{tag}"'}
        )
        until(lambda: service.metric("sse_auction_streams") > before, "the poll to be held")
        assert not answer.done()
        change()
        return answer.result()


def test_a_held_poll_returns_with_a_bid(client: httpx.Client, service: Server, guid: str) -> None:
    tag = create(service, guid)["state"]["tag"]
    answer = held_poll(client, service, guid, tag, lambda: bid(service, guid, "ann", "10.00"))
    assert (answer.status_code, answer.json()["price"]) == (200, "10.00")


def test_a_held_poll_returns_with_a_foreign_price(
    client: httpx.Client, service: Server, valkey: StoreProcess, guid: str
) -> None:
    with valkey.client() as site:
        site.set(f"AuctionMaxPrice-{guid}", "7")
        tag = tag_of(client.get(f"/auctions/{guid}/price"))
        answer = held_poll(client, service, guid, tag, lambda: site.set(f"AuctionMaxPrice-{guid}", "8.5"))
    assert (answer.status_code, answer.json()["price"]) == (200, "8.500")


def test_a_held_poll_returns_when_the_auction_vanishes(
    client: httpx.Client, service: Server, valkey: StoreProcess, guid: str
) -> None:
    with valkey.client() as site:
        site.set(f"AuctionMaxPrice-{guid}", "7")
        tag = tag_of(client.get(f"/auctions/{guid}/price"))
        answer = held_poll(client, service, guid, tag, lambda: site.delete(f"AuctionMaxPrice-{guid}"))
    assert (answer.status_code, problem(answer)["code"]) == (404, "unknown_auction")


def test_a_held_poll_returns_when_time_opens_and_closes_the_auction(
    client: httpx.Client, service: Server, guid: str
) -> None:
    state = create(service, guid, opens_at=now_ms() + 2000, closes_at=now_ms() + 4000)["state"]
    assert state["status"] == "upcoming"
    for status in ("open", "closed"):
        answer = client.get(
            f"/auctions/{guid}/price", params={"wait": 30}, headers={"If-None-Match": f'"{state["tag"]}"'}
        )
        state = answer.json()
        assert (answer.status_code, state["status"]) == (200, status)
    over = client.get(f"/auctions/{guid}/price", params={"wait": 30}, headers={"If-None-Match": f'"{state["tag"]}"'})
    assert over.status_code == 304, "nothing can follow an ending: there is nothing to wait for"


def test_a_poll_is_held_until_its_time_is_up(client: httpx.Client, service: Server, guid: str) -> None:
    tag = create(service, guid)["state"]["tag"]
    started = time.monotonic()
    answer = client.get(f"/auctions/{guid}/price", params={"wait": 1}, headers={"If-None-Match": f'"{tag}"'})
    assert answer.status_code == 304
    assert time.monotonic() - started >= 1
    assert client.get(f"/auctions/{guid}/price", params={"wait": 30}).status_code == 200, "nothing known: no wait"
    until(lambda: service.metric("sse_auction_rooms") == 0, "the room to be left")


def test_a_held_poll_is_refused_when_the_store_is_lost(directory: Path, guid: str) -> None:
    with running_store("valkey", directory) as store, running_server(directory, REDIS_URL=store.url) as server:
        tag = create(server, guid)["state"]["tag"]
        with openapi_client(server) as client:
            answer = held_poll(client, server, guid, tag, store.stop)
            assert (answer.status_code, problem(answer)["code"]) == (503, "store_unavailable")
            assert int(answer.headers["retry-after"]) == problem(answer)["retry_after"] > 0
            for path in (f"/auctions/{guid}/price", f"/auctions/{guid}", f"/auctions/{guid}/bids", "/auctions"):
                assert (client.get(path).status_code, client.get(path).json()["code"]) == (503, "store_unavailable")


# --- reading and creating one --------------------------------------------------------------------------------------


def test_an_external_auction_has_no_terms(
    client: httpx.Client, service: Server, valkey: StoreProcess, guid: str
) -> None:
    with valkey.client() as site:
        site.set(f"AuctionMaxPrice-{guid}", "12")
    read = client.get(f"/auctions/{guid}").json()
    assert read["terms"] is None
    assert {name for name, value in read["state"].items() if value is not None} == {
        "guid", "price", "currency", "status", "next_bids", "extensions", "paused", "rev", "tag", "now"
    }  # fmt: skip
    assert (read["state"]["price"], read["state"]["currency"], read["state"]["rev"]) == ("12.000", "KWD", 0)
    assert client.get(f"/auctions/{guid}/bids").json() == {"bids": [], "next": None}
    refused = client.post(f"/auctions/{guid}/bids", json={"price": "13.000"}, headers=bidder("ann"))
    assert (refused.status_code, problem(refused)["code"]) == (409, "not_open")


def test_creating_fills_in_what_is_left_out(client: httpx.Client) -> None:
    wanted = {"title": "A lamp", "start_price": "3", "closes_at": now_ms() + 60_000}
    made = client.post("/auctions", json=wanted, headers=OPERATOR)
    assert made.status_code == 201
    read = made.json()
    guid = read["terms"]["guid"]
    assert str(uuid.UUID(guid)) == guid
    assert made.headers["location"] == f"/auctions/{guid}"
    assert (read["terms"]["currency"], read["terms"]["start_price"]) == ("KWD", "3.000"), "the setting's currency"
    assert read["terms"]["increments"] == [{"from": "0.000", "step": "1.000"}]
    assert read["terms"]["opens_at"] == read["terms"]["created_at"]
    assert (read["state"]["status"], read["state"]["next_bid"], read["state"]["price"]) == ("open", "3.000", None)
    again = client.get(made.headers["location"])
    assert again.json()["terms"] == read["terms"]


def test_creating_takes_all_terms(client: httpx.Client, guid: str) -> None:
    opens_at = now_ms() + 60_000
    bands = [{"from": "0.00", "step": "1.00"}, {"from": "100.00", "step": "5.00"}]
    wanted = terms(guid=guid, opens_at=opens_at, increments=bands, seller="sam", title="東京 \u2028 “x” <b>")
    made = client.post("/auctions", json=wanted, headers=OPERATOR)
    assert made.status_code == 201
    read = made.json()
    del wanted["seller"]
    assert {name: read["terms"][name] for name in wanted} == wanted
    assert read["state"]["status"] == "upcoming"
    assert "sam" not in made.text, "the seller's id is private"


def test_an_auction_that_exists_is_left_untouched(
    client: httpx.Client, service: Server, valkey: StoreProcess, guid: str
) -> None:
    create(service, guid)
    bid(service, guid, "ann", "11.00")
    with valkey.client() as site:
        site.set(f"AuctionMaxPrice-{guid}-external", "5")

        def contents() -> list[Any]:
            keys = sorted(site.keys(f"*{guid}*"))
            return [(key, site.dump(key)) for key in keys] + [site.zscore("sse-auction:auctions", guid)]

        before = contents()
        for name in (guid, f"{guid}-external"):
            refused = client.post("/auctions", json=terms(guid=name, title="Mine now"), headers=OPERATOR)
            assert (refused.status_code, problem(refused)["code"]) == (409, "exists")
            assert name in problem(refused)["detail"]
        assert contents() == before


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"closes_at": 1_000_000}, "closes_at 1000000"),
        ({"opens_at": 5_000_000_000_000, "closes_at": 4_000_000_000_000}, "closes_at 4000000000000"),
        ({"opens_at": 4_000_000_000_000, "closes_at": 4_000_000_000_000}, "opens_at 4000000000000"),
        ({"guid": "stream"}, "'stream' is reserved"),
        ({"reserve_price": "10.00"}, "`reserve_price`"),
        ({"start_price": "0.00"}, "start_price"),
        ({"currency": "XXX"}, "'XXX'"),
        ({"increments": "double"}, "'double'"),
        ({"increments": [{"from": "1.00", "step": "1.00"}]}, "starts at 1.00"),
        ({"increments": []}, "0 bands"),
        ({"title": "  "}, "title"),
    ],
)
def test_terms_that_make_no_auction_are_refused_by_name(
    client: httpx.Client, guid: str, others: dict[str, Any], said: str
) -> None:
    refused = client.post("/auctions", json=terms(**{"guid": guid, **others}), headers=OPERATOR)
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    assert said in problem(refused)["detail"]
    assert client.get(f"/auctions/{guid}").status_code == 404


@pytest.mark.parametrize("path", ["/auctions", "/auctions/GUID/refresh"])
def test_only_operators_create_and_refresh(client: httpx.Client, guid: str, path: str) -> None:
    path = path.replace("GUID", guid)
    elsewhere = TOKENS.issue("op", role="operator", auctions=["other"])
    for headers, status, code in (
        ({}, 401, "unauthorized"),
        (bidder("ann"), 403, "forbidden"),
        ({"Authorization": f"Bearer {elsewhere}"}, 403, "forbidden"),
    ):
        refused = client.post(path, json=terms(guid=guid), headers=headers)
        assert (refused.status_code, problem(refused)["code"]) == (status, code)
        assert ("www-authenticate" in refused.headers) == (status == 401)
    assert client.get(f"/auctions/{guid}").status_code == 404


def test_a_refresh_reads_the_auction_again(client: httpx.Client, service: Server, guid: str) -> None:
    create(service, guid)
    taken = client.post(f"/auctions/{guid}/refresh", headers=OPERATOR)
    assert (taken.status_code, taken.json()) == (202, {"guid": guid, "refreshing": True})
    with httpx.stream("GET", f"{service.url}/auctions/{guid}/stream") as stream:
        lines = stream.iter_lines()  # held: its end would close the stream
        while not next(lines).startswith("data: "):
            pass
        before = service.metric("sse_auction_mirror_reads_total")
        assert client.post(f"/auctions/{guid}/refresh", headers=OPERATOR).status_code == 202
        until(lambda: service.metric("sse_auction_mirror_reads_total") == before + 1, "the read of the watched auction")


# --- bids, as HTTP has them ----------------------------------------------------------------------------------------


def test_an_idempotency_key_repeats_the_answer_and_refuses_another_body(
    client: httpx.Client, service: Server, guid: str
) -> None:
    create(service, guid)
    headers = {**bidder("ann"), "Idempotency-Key": "key 1"}
    first = client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=headers)
    again = client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=headers)
    assert (first.status_code, "idempotent-replayed" in first.headers) == (201, False)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json() == first.json()
    other = client.post(f"/auctions/{guid}/bids", json={"price": "12.00"}, headers=headers)
    assert (other.status_code, problem(other)["code"]) == (422, "invalid")
    assert "Idempotency-Key" in problem(other)["detail"]
    assert client.get(f"/auctions/{guid}").json()["state"]["bids"] == 1


def test_bids_beyond_the_rate_are_refused_with_a_time_to_come_back(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_BID_RATE="0.5") as server:
        create(server, guid)
        with openapi_client(server) as client:

            def send(name: str) -> httpx.Response:
                return client.post(f"/auctions/{guid}/bids", json={"price": "1.00"}, headers=bidder(name))

            assert send("ann").status_code == 409
            refused = send("ann")
            assert (refused.status_code, problem(refused)["code"]) == (429, "rate_limited")
            assert 1 <= int(refused.headers["retry-after"]) == problem(refused)["retry_after"] <= 2
            assert send("bob").status_code == 409, "one bidder's rate does not count for another"


def test_many_bids_at_once_are_all_answered(service: Server, guid: str) -> None:
    create(service, guid)
    description = Description(service)
    start = threading.Barrier(8)

    def send(number: int) -> int:
        with openapi_client(service, description) as mine:
            start.wait()
            body = {"price": f"{10 + number}.00"}
            return mine.post(f"/auctions/{guid}/bids", json=body, headers=bidder(f"b{number}")).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, range(8)))
    assert set(statuses) <= {201, 409}
    state = httpx.get(f"{service.url}/auctions/{guid}").json()["state"]
    assert (state["price"], state["bids"]) == ("17.00", statuses.count(201))
