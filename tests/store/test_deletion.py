"""Deleted auctions leave nothing behind but their pending messages."""

import asyncio
from pathlib import Path
from typing import Any

import httpx

from tests.support.auctions import act, code_of, done, listed, offer
from tests.support.commands import refusal, run_command
from tests.support.harness import (
    OPERATOR,
    Server,
    StoreProcess,
    bid,
    bidder,
    create,
    now_ms,
    open_stream,
    running_server,
    stream_url,
    until,
)
from tests.support.receiver import Receiver, hooked


def delete(server: Server, guid: str, headers: dict[str, str] = OPERATOR, **body: Any) -> httpx.Response:
    body = {"reason": "entered twice", **body}
    return httpx.request("DELETE", f"{server.url}/auctions/{guid}", json=body, headers=headers)


def keys_of(store: StoreProcess, guid: str) -> set[str]:
    with store.client() as client:
        return set(client.scan_iter(f"*AuctionMaxPrice-{guid}*"))


def test_deleting_is_for_operators_with_a_reason_and_not_of_open_auctions(
    server: Server, store: StoreProcess, guid: str
) -> None:
    create(server, guid)
    assert code_of(delete(server, guid, {})) == (401, "unauthorized")
    assert code_of(delete(server, guid, bidder("ann"))) == (403, "forbidden")
    assert code_of(delete(server, guid, reason=" ")) == (422, "invalid")
    refused = delete(server, guid)
    assert code_of(refused) == (409, "not_closed")
    assert refused.json()["state"]["status"] == "open"
    assert bid(server, guid, "ann", "10.00").status_code == 201, "it continues"
    assert code_of(delete(server, f"no-{guid[:8]}")) == (404, "unknown_auction")
    with store.client() as client:
        client.set(f"AuctionMaxPrice-external-{guid[:8]}", "5")
    assert code_of(delete(server, f"external-{guid[:8]}")) == (409, "not_open")


async def test_nothing_is_left_of_an_auction_and_its_guid_can_be_used_again(
    server: Server, store: StoreProcess, guid: str
) -> None:
    create(server, guid, seller="sam")
    headers = {"Idempotency-Key": "k"}
    first = bid(server, guid, "ann", "10.00", headers=headers)
    done(act(server, guid, "void", bidder="ann"))
    closed = done(act(server, guid, "close"))
    assert len(keys_of(store, guid)) >= 5
    assert delete(server, guid).status_code == 204
    assert keys_of(store, guid) == set()
    with store.client() as client:
        for listing in ("auctions", "due"):
            assert client.zscore(f"sse-auction:{listing}", guid) is None
    assert listed(server, guid) == set()
    assert httpx.get(f"{server.url}/auctions/{guid}").status_code == 404
    assert code_of(delete(server, guid)) == (404, "unknown_auction")

    create(server, guid)
    again = bid(server, guid, "ann", "10.00", headers=headers)
    assert "idempotent-replayed" not in again.headers, "the answer of another auction is not given again"
    assert again.json()["state"]["tag"].partition("-")[0] != first.json()["state"]["tag"].partition("-")[0]
    async with open_stream(stream_url(server, guid), Last_Event_ID=closed["tag"]) as stream:
        assert (await stream.next("price")).data["status"] == "open"


async def test_viewers_of_an_upcoming_auction_see_it_go(server: Server, guid: str) -> None:
    create(server, guid, opens_at=now_ms() + 3_600_000, closes_at=now_ms() + 7_200_000)
    async with open_stream(stream_url(server, guid)) as stream:
        assert (await stream.next("price")).data["status"] == "upcoming"
        assert (await asyncio.to_thread(delete, server, guid)).status_code == 204
        assert (await stream.next("price")).data["status"] == "unknown"


def test_pending_messages_are_sent_and_then_the_end(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    receiver.status = 503
    with running_server(directory, **hooked(own_store, receiver)) as server:
        create(server, guid)
        done(act(server, guid, "close"))
        until(lambda: receiver.refused >= 1, "nothing is taken")
        assert delete(server, guid).status_code == 204
        receiver.status = 204
        until(lambda: receiver.once(guid)[-3:] == ["close", "closed", "deleted"], "all messages have arrived")
        assert receiver.taken[-1]["data"]["reason"] == "entered twice"
        assert receiver.taken[-1]["data"]["actor"] == "the-house"
        until(lambda: keys_of(own_store, guid) == set(), "and nothing is left")
        (line,) = [line for line in server.log_lines() if f"auction {guid} was deleted" in line["message"]]
        assert "the-house: entered twice" in line["message"]


def test_a_long_log_is_freed_aside(service: Server, valkey: StoreProcess, guid: str) -> None:
    with valkey.client() as client:
        create(service, guid)
        done(act(service, guid, "close"))
        pipeline = client.pipeline(transaction=False)
        for number in range(1, 20_001):
            fields = {"bidder": "b", "paddle": "1", "price": "1.00", "max": "100", "at": "1"}
            pipeline.xadd(f"{{AuctionMaxPrice-{guid}}}:bids", fields, id=f"{number}-0")
        pipeline.execute()

        def freed_aside() -> int:
            count: int = client.info("memory")["lazyfreed_objects"]
            return count

        before = freed_aside()
        assert delete(service, guid).status_code == 204
        until(lambda: freed_aside() > before, "another thread frees it, while the store continues")
    assert keys_of(valkey, guid) == set()


def test_the_command_line_deletes(service: Server, valkey: StoreProcess, guid: str) -> None:
    token = OPERATOR["Authorization"].removeprefix("Bearer ")
    for place in (("--url", service.url, "--token", token), ()):
        create(service, guid)
        refused = refusal(run_command("delete", guid, "--reason", "x", *place, REDIS_URL=valkey.url))
        assert "when it is over" in refused
        offer(service, guid, "ann", price="10.00")
        done(act(service, guid, "cancel"))
        command = run_command("delete", guid, "--reason", "x", *place, REDIS_URL=valkey.url)
        assert (command.returncode, command.stdout) == (0, f"auction {guid} is deleted\n"), command.stderr
        assert keys_of(valkey, guid) == set()
