"""Sixty-four bidders with secret maxima in the last second of a soft close: one outcome for all."""

import asyncio
import random
from typing import Any

import httpx
import pytest

from tests.support.harness import Server, StoreProcess, bidder, create, now_ms, open_stream, stream_url

BIDDERS = 64
PARTS = 5
ROUNDS = 10  # of a part
FIRST_MS = 2000  # from the start of a round, or of a group of rounds, to the first closing
APART_MS = 1000  # the closings of a part: a client on a busy machine must still send the bids of a round in time
WINDOW_MS = EXTEND_MS = 1000
MAX_EXTENSIONS = 3
ENOUGH = 3  # rounds of a part that must have been extended, or the test would only be about closed lots
MORE_ROUNDS = 6  # one at a time, for a loaded client that came too late in most of the rounds of the group


@pytest.mark.parametrize("part", range(PARTS))
async def test_the_last_second_of_a_soft_close(server: Server, store: StoreProcess, guid: str, part: int) -> None:
    extended = 0

    async def one_round(client: httpx.AsyncClient, number: int, wait_ms: int) -> None:
        nonlocal extended
        chance = random.Random(f"{part} {number}")
        name = f"{guid[:8]}-{number}"
        closes_at = now_ms() + wait_ms
        soft = {"window_s": WINDOW_MS // 1000, "extend_s": EXTEND_MS // 1000}
        terms = {"bidding": "proxy", "soft_close": soft, "max_extensions": MAX_EXTENSIONS, "closes_at": closes_at}
        await asyncio.to_thread(create, server, name, **terms)
        viewers = [asyncio.create_task(watch(name)) for _ in range(3)]
        poller = asyncio.create_task(poll(client, name))
        bids = [asyncio.create_task(bid_late(client, name, each, closes_at, chance)) for each in range(BIDDERS)]
        accepted = sorted(answer["seq"] for answer in await asyncio.gather(*bids) if answer is not None)
        finals = [await viewer for viewer in viewers] + [await poller]
        assert all(final == finals[0] for final in finals), "every viewer and poller sees the same outcome"
        check_log(store, name, finals[0], closes_at, accepted)
        extended += finals[0]["extensions"] > 0

    async def watch(name: str) -> dict[str, Any]:
        revision = 0
        async with open_stream(stream_url(server, name)) as stream:
            while True:
                event = await stream.next("price", "closed")
                assert event.data["rev"] > revision
                revision = event.data["rev"]
                if event.name == "closed":
                    return event.data | {"now": 0}

    async def poll(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
        tag = ""
        while True:
            headers = {"If-None-Match": f'"{tag}"'}
            reply = await client.get(f"{server.url}/auctions/{name}/price", params={"wait": 5}, headers=headers)
            if reply.status_code == 200:
                state: dict[str, Any] = reply.json()
                tag = state["tag"]
                if state["status"] == "closed":
                    return state | {"now": 0}

    async def bid_late(
        client: httpx.AsyncClient, name: str, number: int, closes_at: int, chance: random.Random
    ) -> dict[str, Any] | None:
        await asyncio.sleep((closes_at - now_ms() - chance.uniform(-300, 900)) / 1000)
        maximum = f"{chance.randrange(10, 400)}.00"
        url, headers = f"{server.url}/auctions/{name}/bids", bidder(f"b{number}")
        reply = await client.post(url, json={"max": maximum, "confirm": True}, headers=headers)
        answer: dict[str, Any] = reply.json()
        if reply.status_code == 201:
            return answer
        assert (reply.status_code, answer["code"]) in ((409, "too_low"), (409, "not_open")), answer
        return None

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=30) as client:
        await asyncio.gather(*(one_round(client, number, FIRST_MS + number * APART_MS) for number in range(ROUNDS)))
        for number in range(ROUNDS, ROUNDS + MORE_ROUNDS):
            if extended < ENOUGH:
                await one_round(client, number, FIRST_MS)
    assert extended >= ENOUGH, "the bids came in the last second"


def check_log(store: StoreProcess, name: str, final: dict[str, Any], closes_at: int, accepted: list[int]) -> None:
    """The log has every accepted bid once, and the closing, the extensions and the winner that all clients saw."""
    with store.client() as client:
        entries = client.xrange(f"{{AuctionMaxPrice-{name}}}:bids")
    bids = [(int(key.partition("-")[0]), fields) for key, fields in entries if key.endswith("-0")]
    assert [seq for seq, _ in bids] == accepted == list(range(1, len(accepted) + 1))
    extensions, best = 0, {"max": "0", "paddle": "nobody"}
    for _, fields in bids:
        at = int(fields["at"])
        assert at < closes_at, "no bid counts at or after the closing"
        if closes_at - at < WINDOW_MS and extensions < MAX_EXTENSIONS:
            closes_at, extensions = at + EXTEND_MS, extensions + 1
        if int(fields["max"]) > int(best["max"]):  # at equal maxima the earlier one leads
            best = fields
    assert (final["closes_at"], final["extensions"], final["bids"]) == (closes_at, extensions, len(bids))
    if not bids:  # a busy machine: all of them came too late
        assert (final["leader"], final["outcome"], final["price"]) == (None, "no_bids", None)
        return
    assert str(final["leader"]) == best["paddle"], "one winner: the highest maximum, and of equals the first"
    assert (final["outcome"], final["price"]) == ("sold", bids[-1][1]["price"])
