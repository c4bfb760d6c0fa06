"""History and lists: complete, in order, at any page size, whatever happens between two pages."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.support.harness import OPERATOR, Server, bid, create, now_ms, running_server, running_store, until
from tests.support.openapi_client import openapi_client, problem


def test_the_history_is_read_in_pages(client: httpx.Client, service: Server, guid: str) -> None:
    create(service, guid)
    assert client.get(f"/auctions/{guid}/bids").json() == {"bids": [], "next": None}
    for number in range(5):
        assert bid(service, guid, f"b{number % 2}", f"{10 + number}.00").status_code == 201
    found, after = [], 0
    while after is not None:
        page = client.get(f"/auctions/{guid}/bids", params={"after": after, "limit": 2}).json()
        assert len(page["bids"]) <= 2
        found += page["bids"]
        after = page["next"]
    assert [(each["seq"], each["paddle"], each["price"]) for each in found] == [
        (number + 1, number % 2 + 1, f"{10 + number}.00") for number in range(5)
    ]
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
    assert client.get(f"/auctions/{guid}/bids", params={"after": 5}).json() == {"bids": [], "next": None}
    assert set(found[0]) == {"seq", "paddle", "price", "automatic", "at", "voided"}, "the bidder's id is not public"


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, list[str]]]]:
    """A store with these auctions alone: many of them close in the same millisecond."""
    directory = tmp_path_factory.mktemp("catalogue")
    with (
        running_store("valkey", directory) as store,
        running_server(directory, REDIS_URL=store.url) as server,
        openapi_client(server, headers=OPERATOR) as client,
    ):
        soon, later = now_ms() + 4000, now_ms() + 3_600_000
        guids: dict[str, list[str]] = {"closed": [], "open": [], "upcoming": []}
        for status, times in (
            ("closed", {"closes_at": soon}),
            ("open", {"closes_at": later}),
            ("upcoming", {"closes_at": later, "opens_at": later - 1}),
        ):
            for number in range(7):
                wanted = {"title": "x", "start_price": "10.00", **times, "closes_at": times["closes_at"] + number // 3}
                made = client.post("/auctions", json=wanted)
                assert made.status_code == 201, made.text
                guids[status].append(made.json()["terms"]["guid"])
        last = f"/auctions/{guids['closed'][-1]}"
        until(lambda: client.get(last).json()["state"]["status"] == "closed", "the last one's end")
        yield server, guids


def pages(client: httpx.Client, between: Callable[[], object] = lambda: None, **query: Any) -> list[list[Any]]:
    """All pages of a listing, following the cursors."""
    found = [client.get("/auctions", params=query).json()]
    while found[-1]["next"] is not None:
        between()
        found.append(client.get("/auctions", params={**query, "after": found[-1]["next"]}).json())
    return [page["auctions"] for page in found]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
def test_lists_are_complete_and_in_order_at_any_page_size(
    catalogue: tuple[Server, dict[str, list[str]]], limit: int
) -> None:
    server, guids = catalogue
    with openapi_client(server) as client:
        for status in ("closed", "open", "upcoming", "all"):
            read = pages(client, status=status, limit=limit)
            assert all(len(page) <= limit for page in read)
            found = [each for page in read for each in page]
            names = [each["state"]["guid"] for each in found]
            expected = [guid for kind in guids.values() for guid in kind] if status == "all" else guids[status]
            assert sorted(names) == sorted(expected), "each one once"
            closing = [each["terms"]["closes_at"] for each in found]
            assert closing == sorted(closing, reverse=status == "closed")
            assert status == "all" or {each["state"]["status"] for each in found} == {status}


def test_a_cursor_survives_what_happens_between_two_pages(catalogue: tuple[Server, dict[str, list[str]]]) -> None:
    server, guids = catalogue
    with openapi_client(server) as client:
        made: list[str] = []

        def add_and_bid() -> None:
            made.append(create(server, f"open-{uuid.uuid4()}", closes_at=now_ms() + 1_800_000)["terms"]["guid"])
            assert bid(server, made[-1], "ann", "10.00").status_code == 201

        read = pages(client, add_and_bid, status="open", limit=3)
        names = [each["state"]["guid"] for page in read for each in page]
        assert len(names) == len(set(names))
        assert set(guids["open"]) <= set(names)
        guids["open"] += made


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/auctions", "limit=0"),
        ("/auctions", "limit=201"),
        ("/auctions", "limit=-5"),
        ("/auctions", "limit=ten"),
        ("/auctions", "status=sold"),
        ("/auctions", "after=a b"),
        ("/auctions", "after="),
        ("/auctions", "after=nobody-gave-this"),
        ("/auctions/GUID/bids", "limit=0"),
        ("/auctions/GUID/bids", "limit=1.0"),
        ("/auctions/GUID/bids", "after=-1"),
        ("/auctions/GUID/bids", "after=9007199254740992"),
        ("/auctions/GUID/bids", "after=x"),
    ],
)
def test_a_wrong_limit_cursor_or_filter_is_named(
    client: httpx.Client, service: Server, guid: str, path: str, query: str
) -> None:
    create(service, guid)
    refused = client.get(f"{path.replace('GUID', guid)}?{query}")
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    name, _, value = query.partition("=")
    assert f"{name}={value!r}" in problem(refused)["detail"]
