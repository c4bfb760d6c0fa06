"""Fifty bidders at once: one order of bids that all agree on."""

import asyncio
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.support.harness import Server, StoreProcess, bidder, create

BIDDERS = 50
PARTS, ROUNDS = 4, 5
STEP = 100  # minor units


def minor(price: str) -> int:
    return int(price.replace(".", ""))


async def bid_until_four_counted(
    client: httpx.AsyncClient, server: Server, guid: str, who: str
) -> list[dict[str, Any]]:
    """Bid the next bid of the last answer, until four of this bidder's bids have been tried and answered."""
    answers = []
    price = "10.00"
    for number in range(4):
        reply = await client.post(
            f"{server.url}/auctions/{guid}/bids",
            json={"price": price},
            headers=bidder(who) | {"Idempotency-Key": f"{who}-{number}"},
        )
        answer = reply.json()
        assert reply.status_code in (201, 409), answer
        price = answer["state"]["next_bid"]
        if reply.status_code == 201:
            answers.append(answer)
    return answers


@pytest.mark.parametrize("part", range(PARTS))
async def test_concurrent_bidders_make_one_rising_series(
    server: Server, store: StoreProcess, guid: str, part: int
) -> None:
    async def one_round(client: httpx.AsyncClient, name: str) -> None:
        create(server, name, increments="flat:1.00")
        per_bidder = await asyncio.gather(
            *(bid_until_four_counted(client, server, name, f"bidder-{n}") for n in range(BIDDERS))
        )
        answers = sorted((answer for answers in per_bidder for answer in answers), key=lambda answer: answer["seq"])
        assert len(answers) >= 4
        reply = await client.get(f"{server.url}/auctions/{name}/bids", params={"limit": 200})
        log = reply.json()["bids"]
        assert [(entry["seq"], entry["price"], entry["paddle"]) for entry in log] == [
            (answer["seq"], answer["state"]["price"], answer["paddle"]) for answer in answers
        ], "a bid was lost or doubled"
        prices = [minor(entry["price"]) for entry in log]
        assert all(after - before >= STEP for before, after in pairwise(prices))
        assert [answer["state"]["rev"] for answer in answers] == [2 + number for number in range(len(answers))]
        final = (await client.get(f"{server.url}/auctions/{name}/price")).json()
        assert (final["price"], final["bids"], final["rev"]) == (log[-1]["price"], len(log), 1 + len(log))
        assert final["leader"] == log[-1]["paddle"]
        with store.client() as direct:
            assert direct.get(f"AuctionMaxPrice-{name}") == final["price"]
            entries = direct.xrange(f"{{AuctionMaxPrice-{name}}}:bids")
            logged = [entry_id for entry_id, _ in entries if entry_id.endswith("-0")]
            assert logged == [f"{bid['seq']}-0" for bid in log]

    limits = httpx.Limits(max_connections=BIDDERS)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        for number in range(ROUNDS):
            await one_round(client, f"{guid[:8]}-{part}-{number}")
