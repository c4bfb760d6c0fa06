"""The bidding rules, over HTTP, on both stores."""

import time
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sse_auction.auction.increments import Increments
from tests.support.harness import OPERATOR, Server, StoreProcess, bid, bidder, create, now_ms, until


def refused(reply: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a refusal, with its required fields."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = reply.json()
    assert (problem["status"], problem["code"]) == (status, code)
    return problem


def test_a_bid_raises_price_revision_count_and_log_together(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid)
    reply = bid(server, guid, "ann", "12.50")
    assert reply.status_code == 201
    answer = reply.json()
    assert (answer["accepted"], answer["seq"], answer["paddle"], answer["standing"]) == (True, 1, 1, "leading")
    state = answer["state"]
    assert (state["price"], state["next_bid"], state["bids"], state["leader"], state["rev"]) == (
        "12.50",
        "13.50",
        1,
        1,
        2,
    )
    with store.client() as client:
        assert client.get(f"AuctionMaxPrice-{guid}") == "12.50"
    log = httpx.get(f"{server.url}/auctions/{guid}/bids").json()["bids"]
    assert log == [{"seq": 1, "paddle": 1, "price": "12.50", "automatic": False, "at": state["now"], "voided": False}]
    assert httpx.get(f"{server.url}/auctions/{guid}/price").json() | {"now": 0} == state | {"now": 0}


def test_the_first_bid_is_at_least_the_start_price_and_the_next_at_least_a_step_above(
    server: Server, guid: str
) -> None:
    create(server, guid, start_price="10.00", increments="flat:2.00")
    assert refused(bid(server, guid, "ann", "9.99"), 409, "too_low")["next_bid"] == "10.00"
    assert bid(server, guid, "ann", "10.00").status_code == 201
    problem = refused(bid(server, guid, "bob", "11.99"), 409, "too_low")
    assert (problem["next_bid"], problem["state"]["price"]) == ("12.00", "10.00")
    assert bid(server, guid, "bob", "12.00").status_code == 201


def test_the_leader_cannot_bid_against_the_own_bid(server: Server, guid: str) -> None:
    create(server, guid)
    bid(server, guid, "ann", "10.00")
    refused(bid(server, guid, "ann", "11.00"), 409, "already_leading")
    refused(bid(server, guid, "ann", "10.50"), 409, "too_low")
    assert bid(server, guid, "bob", "11.00").json()["paddle"] == 2
    assert bid(server, guid, "ann", "12.00").json()["paddle"] == 1, "a paddle is kept for the whole auction"


def test_the_seller_cannot_bid(server: Server, guid: str) -> None:
    create(server, guid, seller="sam")
    refused(bid(server, guid, "sam", "10.00"), 403, "forbidden")
    assert "sam" not in httpx.get(f"{server.url}/auctions/{guid}").text, "the seller's id is not public"


def test_a_slip_of_the_finger_must_be_confirmed(server: Server, guid: str) -> None:
    create(server, guid, start_price="10.00")
    assert "confirm" in refused(bid(server, guid, "ann", "1000.01"), 409, "too_high")["detail"]
    assert bid(server, guid, "ann", "1000.00").status_code == 201, "a hundred times the next bid is not above it"
    refused(bid(server, guid, "bob", "100100.01"), 409, "too_high")
    assert bid(server, guid, "bob", "100100.01", confirm=True).status_code == 201


def test_an_auction_takes_bids_from_its_opening_until_its_closing(server: Server, guid: str) -> None:
    opens_at = now_ms() + 2500
    create(server, guid, opens_at=opens_at, closes_at=opens_at + 2500)
    assert refused(bid(server, guid, "ann", "10.00"), 409, "not_open")["state"]["status"] == "upcoming"
    until(lambda: bid(server, guid, "ann", "10.00").status_code == 201, "a bid after the opening")
    url = f"{server.url}/auctions/{guid}/price"
    until(lambda: httpx.get(url).json()["status"] == "closed", "the closing")
    problem = refused(bid(server, guid, "bob", "20.00"), 409, "not_open")
    assert (problem["state"]["status"], problem["state"]["price"]) == ("closed", "10.00")
    (only,) = httpx.get(f"{server.url}/auctions/{guid}/bids").json()["bids"]
    assert opens_at <= only["at"] < opens_at + 2500


def test_refusals_give_the_first_reason_in_order(server: Server, guid: str) -> None:
    create(server, guid, seller="sam", opens_at=now_ms() + 60_000)
    url = f"{server.url}/auctions/{guid}/bids"
    refused(httpx.post(url, json={"price": "1.00"}), 401, "unauthorized")
    refused(bid(server, f"no-{guid[:8]}", "sam", "1.00"), 404, "unknown_auction")
    refused(bid(server, guid, "sam", "1.00"), 409, "not_open")
    other = f"open-{guid[:8]}"
    create(server, other, seller="sam")
    refused(bid(server, other, "sam", "1.00"), 403, "forbidden")
    bid(server, other, "ann", "10.00")
    refused(bid(server, other, "ann", "10.50"), 409, "too_low")
    refused(bid(server, other, "ann", "99999.00"), 409, "too_high")
    refused(bid(server, other, "ann", "11.00"), 409, "already_leading")


def test_an_external_auction_takes_no_bids(server: Server, store: StoreProcess, guid: str) -> None:
    with store.client() as client:
        client.set(f"AuctionMaxPrice-{guid}", "5")
        refused(bid(server, guid, "ann", "10.00"), 409, "not_open")
        assert client.get(f"AuctionMaxPrice-{guid}") == "5"


def test_a_token_is_accepted_for_its_auctions_only(server: Server, guid: str) -> None:
    create(server, guid)
    url = f"{server.url}/auctions/{guid}/bids"
    refused(httpx.post(url, json={"price": "10.00"}, headers=bidder("ann", auctions=["other"])), 403, "forbidden")
    assert httpx.post(url, json={"price": "10.00"}, headers=bidder("ann", auctions=[guid])).status_code == 201


def test_the_same_bid_sent_again_counts_once(server: Server, guid: str) -> None:
    create(server, guid)
    key = {"Idempotency-Key": "k-1"}
    first = bid(server, guid, "ann", "10.00", headers=key)
    assert "idempotent-replayed" not in first.headers
    bid(server, guid, "bob", "11.00")
    again = bid(server, guid, "ann", "10.00", headers=key)
    assert (again.status_code, again.json()) == (201, first.json()), "the first answer, word for word"
    assert again.headers["idempotent-replayed"] == "true"
    problem = refused(bid(server, guid, "ann", "12.00", headers=key), 422, "invalid")
    assert "Idempotency-Key" in problem["detail"]
    assert bid(server, guid, "cid", "12.00", headers=key).status_code == 201, "keys are each bidder's own"
    assert httpx.get(f"{server.url}/auctions/{guid}/price").json()["bids"] == 3


def test_a_refusal_is_replayed_too(server: Server, guid: str) -> None:
    create(server, guid)
    key = {"Idempotency-Key": "k-2"}
    first = bid(server, guid, "ann", "9.00", headers=key)
    bid(server, guid, "bob", "10.00")
    again = bid(server, guid, "ann", "9.00", headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (409, first.json())
    assert again.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("damage", ["abc", "", "1.005", None, ["list"]])
def test_a_damaged_price_stops_the_bidding_until_it_is_repaired(
    server: Server, store: StoreProcess, guid: str, damage: str | list[str] | None
) -> None:
    """The worst wrong answer would be to begin again at the start price."""
    create(server, guid)
    bid(server, guid, "ann", "50.00")
    key = f"AuctionMaxPrice-{guid}"
    with store.client() as client:
        client.delete(key)
        if isinstance(damage, list):
            client.rpush(key, *damage)
        elif damage is not None:
            client.set(key, damage)
        problem = refused(bid(server, guid, "bob", "60.00"), 503, "store_unavailable")
        assert guid in problem["detail"]
        assert httpx.get(f"{server.url}/auctions/{guid}/price").status_code == 404
        client.delete(key)
        client.set(key, "50.00")
    assert bid(server, guid, "bob", "60.00").status_code == 201


def test_a_price_raised_by_another_program_is_the_price(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid)
    bid(server, guid, "ann", "10.00")
    with store.client() as client:
        client.set(f"AuctionMaxPrice-{guid}", "20")
    problem = refused(bid(server, guid, "bob", "11.00"), 409, "too_low")
    assert (problem["next_bid"], problem["state"]["price"]) == ("21.00", "20.00")
    assert bid(server, guid, "bob", "21.00").status_code == 201


def test_a_recreated_auction_takes_bids_in_its_new_currency(server: Server, store: StoreProcess, guid: str) -> None:
    create(server, guid, currency="CNY", start_price="10.00")
    bid(server, guid, "ann", "10.00")
    with store.client() as client:
        for key in client.keys(f"*{guid}*"):
            client.delete(key)
    create(server, guid, currency="JPY", start_price="1000")
    until(lambda: bid(server, guid, "ann", "1000").status_code == 201, "a bid in yen")


CURRENCIES = {"JPY": 0, "CNY": 2, "KWD": 3}


@pytest.mark.parametrize("currency", CURRENCIES)
def test_amounts_near_the_largest_are_exact(server: Server, guid: str, currency: str) -> None:
    digits = str(2**53 - 3)
    exponent = CURRENCIES[currency]

    def amount(text: str) -> str:
        return f"{text[:-exponent]}.{text[-exponent:]}" if exponent else text

    step = amount("0" * exponent + "1") if exponent == 0 else "0." + "1".rjust(exponent, "0")
    create(server, guid, currency=currency, start_price=amount(digits), increments=f"flat:{step}")
    assert bid(server, guid, "ann", amount(digits)).json()["state"]["price"] == amount(digits)
    top = amount(str(2**53 - 1))
    reply = bid(server, guid, "bob", top).json()
    assert (reply["state"]["price"], reply["state"]["next_bid"]) == (top, None)
    refused(bid(server, guid, "ann", amount(str(2**53))), 422, "invalid")


tables = st.lists(st.tuples(st.integers(1, 10**7), st.integers(1, 10**5)), max_size=5).map(
    lambda rows: [(0, 1), *sorted(set(rows))]
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(table=tables, price=st.integers(1, 10**8), percent=st.booleans())
def test_the_script_and_the_page_agree_on_the_next_bid(
    server: Server, guid: str, table: list[tuple[int, int]], price: int, percent: bool
) -> None:
    steps = [step for _, step in table]
    starts = [start for start, _ in table]
    if steps != sorted(steps) or len(set(starts)) != len(starts):
        table = [(0, 7)]
    name = f"{guid[:8]}-{time.monotonic_ns()}"
    rows = [{"from": str(start), "step": str(step)} for start, step in table]
    increments = Increments(() if percent else tuple(table))
    create(server, name, currency="JPY", start_price="1", increments="ten-percent" if percent else rows)
    shown = bid(server, name, "ann", str(price), confirm=True).json()["state"]["next_bid"]
    assert int(shown) == price + increments.step(price)
    refused(bid(server, name, "bob", str(int(shown) - 1)), 409, "too_low")
    assert bid(server, name, "bob", shown).status_code == 201


def test_too_many_bids_are_slowed_down(store: StoreProcess, tmp_path: Any, guid: str) -> None:
    from tests.support.harness import running_server

    with running_server(tmp_path, REDIS_URL=store.url, SSE_AUCTION_BID_RATE="1") as server:
        create(server, guid)
        replies = [bid(server, guid, "ann", "1.00") for _ in range(4)]
        assert {reply.status_code for reply in replies[:2]} == {409}
        problem = refused(replies[3], 429, "rate_limited")
        assert int(replies[3].headers["retry-after"]) == problem["retry_after"] >= 1
        assert bid(server, guid, "bob", "10.00").status_code == 201, "one bidder's rate does not count for another"


def test_only_operators_create(server: Server, guid: str) -> None:
    body = {"guid": guid, "title": "Lot", "start_price": "1.00", "closes_at": now_ms() + 60_000}
    refused(httpx.post(f"{server.url}/auctions", json=body), 401, "unauthorized")
    refused(httpx.post(f"{server.url}/auctions", json=body, headers=bidder("ann")), 403, "forbidden")
    assert httpx.post(f"{server.url}/auctions", json=body, headers=OPERATOR).status_code == 201
