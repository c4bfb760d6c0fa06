"""Auctions in a currency that ISO 4217 has withdrawn are served as before; no new auction gets one."""

import asyncio
from pathlib import Path

import pytest

from sse_auction.auction.money import WITHDRAWN
from sse_auction.wire.requests import CreateRequest, new_auction
from tests.support.auctions import act, done
from tests.support.connections import connected_store
from tests.support.harness import OPERATOR, Server, StoreProcess, bid, now_ms, price_key, running_server
from tests.support.logs import verify
from tests.support.openapi_client import openapi_client, problem

HOUR = 3_600_000


def recorded(process: StoreProcess, guid: str, currency: str) -> None:
    """Record an auction as an earlier release did, which accepted the currency."""

    async def write() -> None:
        request = CreateRequest(title="Old", start_price="10.00", closes_at=now_ms() + HOUR, currency=currency)
        async with connected_store(process.url, "CNY") as store:
            await store.auctions.create(new_auction(request, guid, "CNY", was_accepted=True), "an earlier release")

    asyncio.run(write())


@pytest.mark.parametrize("currency", WITHDRAWN)
def test_what_the_store_has_is_shown_bid_on_settled_exported_and_verified(
    service: Server, valkey: StoreProcess, guid: str, currency: str
) -> None:
    recorded(valkey, guid, currency)
    with openapi_client(service, headers=OPERATOR) as client:
        state = client.get(f"/auctions/{guid}").json()["state"]
        assert (state["currency"], state["next_bid"]) == (currency, "10.00")
        assert bid(service, guid, "ann", "12.50").status_code == 201
        done(act(service, guid, "close"))
        state = client.get(f"/auctions/{guid}").json()["state"]
        assert (state["currency"], state["price"], state["outcome"]) == (currency, "12.50", "sold")
        assert [each["price"] for each in client.get(f"/auctions/{guid}/bids").json()["bids"]] == ["12.50"]
        assert "12.50" in client.get(f"/auctions/{guid}/bids.csv").text
    assert verify(valkey, guid) == []


@pytest.mark.parametrize("currency", WITHDRAWN)
def test_no_new_auction_is_created_in_one(service: Server, guid: str, currency: str) -> None:
    terms = {"title": "New", "start_price": "10.00", "closes_at": now_ms() + HOUR, "guid": guid}
    with openapi_client(service, headers=OPERATOR) as client:
        refused = client.post("/auctions", json={**terms, "currency": currency})
        assert refused.status_code == 422
        assert f"'{currency}' was withdrawn from ISO 4217" in problem(refused)["detail"]
        created = client.post("/auctions", json={**terms, "currency": "XCG"})
        assert (created.status_code, created.json()["state"]["currency"]) == (201, "XCG")


def test_external_auctions_keep_the_currency_that_is_set(valkey: StoreProcess, directory: Path, guid: str) -> None:
    with valkey.client() as store:
        store.set(price_key(guid), "7.5")
    with (
        running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_CURRENCY="BGN") as server,
        openapi_client(server, headers=OPERATOR) as client,
    ):
        state = client.get(f"/auctions/{guid}/price").json()
        assert (state["price"], state["currency"]) == ("7.50", "BGN")
        terms = {"title": "New", "start_price": "10.00", "closes_at": now_ms() + HOUR}
        refused = client.post("/auctions", json=terms)
        assert "'BGN' was withdrawn" in problem(refused)["detail"]
