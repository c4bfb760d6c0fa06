"""The history of bids: which bidder is committed to what, and which bids the service made for the leader."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from sse_auction.store import keys
from tests.support.auctions import act, done, offer
from tests.support.harness import OPERATOR, Server, StoreProcess, bid, create

Shown = tuple[int, int, str, bool, bool]


def shown(entry: dict[str, Any]) -> Shown:
    return entry["seq"], entry["paddle"], entry["price"], entry["automatic"], entry["voided"]


def history(client: httpx.Client, guid: str, **options: int) -> list[Shown]:
    page = client.get(f"/auctions/{guid}/bids", params=options).json()
    return [shown(entry) for entry in page["bids"]]


def test_a_challenger_has_an_own_bid_and_the_leader_an_automatic_one(
    client: httpx.Client, service: Server, guid: str
) -> None:
    create(service, guid, bidding="proxy", increments="ebay-us")
    offer(service, guid, "ann", max="50.00")
    assert offer(service, guid, "bob", max="20.00")["standing"] == "outbid"
    assert history(client, guid) == [
        (1, 1, "10.00", False, False), (2, 2, "20.00", False, False), (2, 1, "20.50", True, False)
    ]  # fmt: skip
    (_, bobs, anns) = client.get(f"/auctions/{guid}/bids").json()["bids"]
    assert list(bobs) == ["seq", "paddle", "price", "automatic", "at", "voided"]
    assert bobs["at"] == anns["at"]


def test_each_bid_is_shown_at_the_amount_that_it_commits_to(client: httpx.Client, service: Server, guid: str) -> None:
    create(service, guid, bidding="proxy", increments="ebay-us", reserve="45.00", priority=["pia"])
    offer(service, guid, "ann", max="40.00")
    offer(service, guid, "bob", max="40.00")  # a tie: the earlier leads
    offer(service, guid, "ann", max="42.00")  # private
    offer(service, guid, "ann", max="48.00")  # meets the reserve, and so is public
    offer(service, guid, "pia", max="48.00")  # wins the tie
    offer(service, guid, "cat", price="60.00")
    assert history(client, guid) == [
        (1, 1, "10.00", False, False),
        (2, 2, "40.00", False, False), (2, 1, "40.00", True, False),
        (3, 1, "45.00", False, False),
        (4, 3, "48.00", False, False),
        (5, 4, "49.00", False, False),
    ]  # fmt: skip
    assert "60.00" not in client.get(f"/auctions/{guid}/bids").text, "a leading maximum"


def test_manual_and_buy_now_bids_are_their_price(client: httpx.Client, service: Server, guid: str) -> None:
    create(service, guid, buy_now={"price": "300.00", "mode": "ceiling"})
    bid(service, guid, "ann", "10.00")
    bid(service, guid, "bob", "12.00")
    offer(service, guid, "cat", price="500.00", confirm=True)
    assert history(client, guid) == [
        (1, 1, "10.00", False, False), (2, 2, "12.00", False, False), (3, 3, "300.00", False, False)
    ]  # fmt: skip


def test_an_automatic_bid_is_void_with_the_bid_that_caused_it_or_with_its_paddle(
    client: httpx.Client, service: Server, guid: str
) -> None:
    create(service, guid, bidding="proxy", increments="ebay-us")
    for who, most in (("ann", "50.00"), ("bob", "20.00"), ("cat", "30.00")):
        offer(service, guid, who, max=most)
    done(act(service, guid, "void", bidder="bob"))
    assert [(seq, paddle) for seq, paddle, _, _, voided in history(client, guid) if voided] == [(2, 2), (2, 1)]
    done(act(service, guid, "void", bidder="ann"))
    voided = [(seq, paddle) for seq, paddle, _, _, voided in history(client, guid) if voided]
    assert voided == [(1, 1), (2, 2), (2, 1), (3, 1)], "her automatic bid, but not Cat's own"


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 200])
def test_no_page_separates_a_bid_from_its_automatic_answer(
    client: httpx.Client, service: Server, guid: str, limit: int
) -> None:
    create(service, guid, bidding="proxy", increments="flat:1.00")
    offer(service, guid, "ann", max="90.00")
    for most in range(20, 60, 10):
        offer(service, guid, "bob", max=f"{most}.00")
    whole = history(client, guid, limit=200)
    assert [seq for seq, *_ in whole] == [1, 2, 2, 3, 3, 4, 4, 5, 5]
    found: list[Shown] = []
    after: int | None = 0
    while after is not None:
        page = client.get(f"/auctions/{guid}/bids", params={"after": after, "limit": limit}).json()
        seqs = {entry["seq"] for entry in page["bids"]}
        assert seqs == set(range(after + 1, after + 1 + len(seqs)))
        assert 0 < len(seqs) <= limit
        found += [shown(entry) for entry in page["bids"]]
        after = page["next"]
    assert found == whole


def test_the_history_of_a_log_without_leaders_shows_what_the_log_has(
    client: httpx.Client, service: Server, valkey: StoreProcess, guid: str
) -> None:
    create(service, guid, bidding="proxy", increments="ebay-us")
    with valkey.client() as store:
        for seq, paddle, price, most in ((1, "1", "10.00", "5000"), (2, "2", "20.50", "2000"), (3, "2", "51.00", None)):
            fields = {"bidder": "x", "paddle": paddle, "price": price, "at": "5", **({"max": most} if most else {})}
            store.xadd(keys.bids(guid), dict(fields.items()), id=f"{seq}-0")
    assert history(client, guid) == [
        (1, 1, "10.00", False, False), (2, 2, "20.00", False, False), (3, 2, "51.00", False, False)
    ]  # fmt: skip


def test_exports_show_the_same(client: httpx.Client, service: Server, guid: str) -> None:
    create(service, guid, bidding="proxy", increments="ebay-us", buy_now={"price": "300.00", "mode": "ceiling"})
    offer(service, guid, "ann", max="50.00")
    offer(service, guid, "bob", max="20.00")
    offer(service, guid, "ann", max="60.00")
    offer(service, guid, "cat", buy_now=True)
    page = client.get(f"/auctions/{guid}/bids").json()["bids"]
    lines = [json.loads(line) for line in client.get(f"/auctions/{guid}/bids.ndjson").text.splitlines()]
    assert lines == page
    cells = list(csv.DictReader(io.StringIO(client.get(f"/auctions/{guid}/bids.csv").text)))
    assert cells == [{name: str(value).lower() for name, value in each.items()} for each in page]
    everything = client.get(f"/auctions/{guid}/bids.ndjson", headers=OPERATOR).text.splitlines()
    rows = [json.loads(line) for line in everything]
    names = ("id", "kind", "bidder", "price", "max", "automatic", "details")
    assert [tuple(row.get(name) for name in names) for row in rows if row["kind"] in ("bid", "raise")] == [
        ("1-0", "bid", "ann", "10.00", "50.00", False, None),
        ("2-0", "bid", "bob", "20.00", "20.00", False, None),
        ("2-0", "bid", "ann", "20.50", None, True, None),
        ("2-2", "raise", "ann", None, "60.00", None, None),
        ("3-0", "bid", "cat", "300.00", "300.00", False, {"buy_now": "1"}),
    ]
