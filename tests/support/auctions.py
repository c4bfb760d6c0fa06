"""Auctions over HTTP: bids, actions of operators, and what can be read."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.harness import OPERATOR, EventReader, Server, StoreProcess, bidder, create


def act(server: Server, guid: str, kind: str, **body: Any) -> httpx.Response:
    body = {"reason": "a reason", **body}
    return httpx.post(f"{server.url}/auctions/{guid}/{kind}", json=body, headers=OPERATOR)


def edit(server: Server, guid: str, **body: Any) -> httpx.Response:
    return httpx.patch(f"{server.url}/auctions/{guid}", json={"reason": "a reason", **body}, headers=OPERATOR)


def done(reply: httpx.Response) -> dict[str, Any]:
    assert reply.status_code == 200, reply.text
    state: dict[str, Any] = reply.json()["state"]
    return state


def code_of(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def offer(server: Server, guid: str, who: str, **body: Any) -> dict[str, Any]:
    reply = httpx.post(f"{server.url}/auctions/{guid}/bids", json=body, headers=bidder(who))
    assert reply.status_code == 201, reply.text
    answer: dict[str, Any] = reply.json()
    return answer


def log_of(store: StoreProcess, guid: str) -> list[dict[str, str]]:
    with store.client() as client:
        return [fields for _, fields in client.xrange(f"{{AuctionMaxPrice-{guid}}}:bids")]


def read(server: Server, guid: str, **headers: str) -> dict[str, Any]:
    reply: dict[str, Any] = httpx.get(f"{server.url}/auctions/{guid}", headers=headers).json()
    return reply


def state(server: Server, guid: str) -> dict[str, Any]:
    shown: dict[str, Any] = read(server, guid)["state"]
    return shown


def history(server: Server, guid: str) -> list[tuple[int, bool]]:
    bids = httpx.get(f"{server.url}/auctions/{guid}/bids").json()["bids"]
    return [(each["seq"], each["voided"]) for each in bids]


def listed(server: Server, guid: str) -> set[str]:
    """The listings in which an auction is."""
    found = set()
    for status in ("all", "open", "closed"):
        after: dict[str, str] = {}
        while True:
            query = {"status": status, "limit": "200", **after}
            page = httpx.get(f"{server.url}/auctions", params=query).json()
            if guid in [each["state"]["guid"] for each in page["auctions"]]:
                found.add(status)
            if page["next"] is None:
                break
            after = {"after": page["next"]}
    return found


def sold(server: Server, guid: str, *bids: tuple[str, str], **terms: Any) -> dict[str, Any]:
    """An auction with these bids, over."""
    create(server, guid, **terms)
    for who, amount in bids:
        offer(server, guid, who, **{"max" if terms.get("bidding") == "proxy" else "price": amount})
    return done(act(server, guid, "close"))


@asynccontextmanager
async def own_stream(server: Server, who: str, *guids: str) -> AsyncIterator[EventReader]:
    async with httpx.AsyncClient(timeout=30) as client:
        url = f"{server.url}/me/stream?" + "&".join(f"guid={guid}" for guid in guids)
        async with client.stream("GET", url, headers=bidder(who)) as reply:
            assert reply.status_code == 200, await reply.aread()
            yield EventReader(reply.aiter_bytes())
