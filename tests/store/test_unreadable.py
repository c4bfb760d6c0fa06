"""An auction whose hash another program has damaged: it is not shown, and the others are."""

import httpx
import pytest

from sse_auction.store import keys
from tests.support.harness import Server, StoreProcess, bid, create, open_stream, stream_url, until_async


@pytest.mark.parametrize(
    ("field", "value"), [("closes_at", "soon"), ("rev", "many"), ("title", b"\xff"), ("increments", "?")]
)
async def test_a_damaged_auction_leaves_the_lists_and_the_others_as_they_are(
    own_server: Server, own_store: StoreProcess, guid: str, field: str, value: str | bytes
) -> None:
    damaged, intact = f"{guid[:20]}-d", f"{guid[:20]}-i"
    for each in (damaged, intact):
        create(own_server, each)

    async def listed() -> set[str]:
        async with httpx.AsyncClient() as client:
            reply = await client.get(f"{own_server.url}/auctions?status=open&limit=200")
        assert reply.status_code == 200, reply.text
        return {each["terms"]["guid"] for each in reply.json()["auctions"]}

    async def is_not_listed() -> bool:
        return damaged not in await listed()

    with own_store.client() as site:
        async with open_stream(stream_url(own_server, damaged)) as stream:
            assert (await stream.next("price")).data["status"] == "open"
            before = site.hget(keys.auction(damaged), field)
            site.hset(keys.auction(damaged), field, value)
            try:
                await until_async(is_not_listed, "the damaged auction leaves the list")
                assert intact in await listed()
                assert bid(own_server, intact, "ann", "10.00").status_code == 201
                assert httpx.get(f"{own_server.url}/readyz").status_code == 200, "no part of the process has died"
            finally:
                site.hset(keys.auction(damaged), field, before)
            assert bid(own_server, damaged, "ann", "10.00").status_code == 201, "after the repair all is as before"
            assert (await stream.next("price")).data["price"] == "10.00"
