"""A bidder's id is replaced wherever it is kept, and the logs hold as before."""

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.auctions import act, code_of, done, history, log_of, offer, sold, state
from tests.support.commands import COMMAND, run_command
from tests.support.harness import (
    OPERATOR,
    SECRET,
    Server,
    StoreProcess,
    bid,
    bidder,
    create,
    now_ms,
    running_server,
    until,
)
from tests.support.logs import verified
from tests.support.receiver import Receiver, hooked


@pytest.fixture
def who() -> str:
    """A bidder without any other trace in the store."""
    return f"bidder-{uuid.uuid4().hex}"


def erase(server: Server, who: str, headers: Mapping[str, str] = OPERATOR, **body: Any) -> httpx.Response:
    body = {"bidder": who, "reason": "at the bidder's request", **body}
    return httpx.post(f"{server.url}/bidders/erase", json=body, headers=dict(headers), timeout=60)


def traces(store: StoreProcess, text: str) -> list[str]:
    """The keys with a text in their value or in their name."""
    read = {"string": "get", "hash": "hgetall", "stream": "xrange", "set": "smembers"}
    with store.client() as client:
        return [
            key
            for key in client.scan_iter("*")
            if text in key
            or text in str(getattr(client, read[kind])(key) if (kind := client.type(key)) in read else "")
        ]


def ids(store: StoreProcess, guid: str) -> list[str]:
    with store.client() as client:
        return [entry_id for entry_id, _ in client.xrange(f"{{AuctionMaxPrice-{guid}}}:bids")]


def test_erasing_is_for_operators_of_all_auctions_with_a_reason(server: Server, who: str) -> None:
    assert code_of(erase(server, who, {})) == (401, "unauthorized")
    assert code_of(erase(server, who, bidder("ann"))) == (403, "forbidden")
    assert code_of(erase(server, who, bidder("the-house", role="operator", auctions=["a"]))) == (403, "forbidden")
    assert code_of(erase(server, who, reason=" ")) == (422, "invalid")
    refused = erase(server, who, reason=f"{who} has asked")
    assert code_of(refused) == (422, "invalid")
    assert "contains the bidder" in refused.json()["detail"]
    assert erase(server, who).json() == {"auctions": 0, "still_open": []}


def test_the_id_is_gone_from_everything_and_the_log_is_whole(
    server: Server, store: StoreProcess, guid: str, who: str
) -> None:
    bids = (("ann", "50.00"), (who, "60.00"), ("ann", "55.00"), (who, "70.00"))
    closed = sold(server, guid, *bids, bidding="proxy", priority=["pia", who], title=f"Vase of {who[:9]}")
    seller, favoured = f"{guid}-2", f"{guid}-3"
    sold(server, seller, ("ann", "10.00"), seller=who)
    sold(server, favoured, priority=[who])
    before, seen = ids(store, guid), history(server, guid)
    assert traces(store, who) != []
    assert erase(server, who).json() == {"auctions": 3, "still_open": []}
    assert traces(store, who) == []
    assert ids(store, guid)[:-1] == before
    assert history(server, guid) == seen
    entry = log_of(store, guid)[-1]
    assert (entry["kind"], entry["actor"], entry["reason"], entry["paddle"]) == (
        "erase", "the-house", "at the bidder's request", "2"
    )  # fmt: skip
    assert {**state(server, guid), "now": 0} == {**closed, "now": 0}, "nothing that is public"
    for each in (guid, seller, favoured):
        verified(store, each)
    exported = httpx.get(f"{server.url}/auctions/{guid}/bids.ndjson", headers=OPERATOR).text.splitlines()
    pseudonyms = {json.loads(line)["bidder"] for line in exported if json.loads(line)["kind"] == "bid"} - {"ann"}
    (pseudonym,) = pseudonyms
    assert pseudonym.startswith("erased-")
    assert erase(server, who).json()["auctions"] == 0, "there is nothing left to do"


def test_what_follows_an_erasure_holds_too(server: Server, store: StoreProcess, guid: str, who: str) -> None:
    sold(server, guid, ("ann", "10.00"), (who, "20.00"), ("cat", "30.00"))
    assert erase(server, who).json()["auctions"] == 1
    assert done(act(server, guid, "second-offer"))["leader"] == 2
    assert done(act(server, guid, "void", paddle=2))["leader"] == 3
    done(act(server, guid, "reopen", closes_at=now_ms() + 3_600_000))
    assert bid(server, guid, who, "40.00").json()["paddle"] == 4, "the id is a pseudonym now"
    verified(store, guid)


def test_an_open_auction_keeps_the_id_until_it_is_over(
    server: Server, store: StoreProcess, guid: str, who: str
) -> None:
    create(server, guid)
    offer(server, guid, who, price="10.00")
    other = f"{guid}-2"
    sold(server, other, (who, "10.00"))
    result = run_command("erase", who, "--reason", "x", REDIS_URL=store.url)
    assert (result.returncode, result.stdout) == (1, "erased from 1 auction\n")
    assert result.stderr == f"sse-auction: auction {guid} is not over; erase the bidder again when it is\n"
    assert {"paddles" in key or "bids" in key for key in traces(store, who)} == {True}
    done(act(server, guid, "close"))
    done(act(server, guid, "archive"))
    assert erase(server, who).json() == {"auctions": 1, "still_open": []}
    assert traces(store, who) == []
    verified(store, guid)


def test_pending_messages_have_the_pseudonym(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str, who: str
) -> None:
    receiver.status = 503
    with running_server(directory, **hooked(own_store, receiver)) as server:
        sold(server, guid, (who, "10.00"))
        with own_store.client() as client:  # as a later release may send it
            client.xadd(f"{{AuctionMaxPrice-{guid}}}:outbox", {"event": "won", "at": 5, "rev": 9, "bidder": who})
            client.xadd(f"{{AuctionMaxPrice-{guid}}}:dead", {"event": "won", "at": 5, "rev": 9, "bidder": who})
        assert erase(server, who).json()["auctions"] == 1
        assert traces(own_store, who) == []
        receiver.status = 204
        until(lambda: receiver.once(guid)[-2:] == ["won", "erase"], "all messages have arrived, in order")
        result = [each["data"] for each in receiver.taken if each["event"] in ("won", "erase")]
        assert result[0]["bidder"].startswith("erased-")
        assert result[1] == {"actor": "the-house", "reason": "at the bidder's request", "paddle": 1}


def test_a_killed_erasure_continues_where_it_was(own_store: StoreProcess, directory: Path, who: str) -> None:
    guids = [f"long-{number}" for number in range(3)]
    with running_server(directory, REDIS_URL=own_store.url) as server:
        for guid in guids:
            create(server, guid, increments="flat:0.01")
            offer(server, guid, who, price="10.00")
            with httpx.Client(base_url=server.url) as http:
                for number in range(600):
                    headers = bidder(("ann", who)[number % 2])
                    body = {"price": f"{10.01 + number / 100:.2f}"}
                    assert http.post(f"/auctions/{guid}/bids", json=body, headers=headers).status_code == 201
            done(act(server, guid, "close"))

        def copies() -> int:
            with own_store.client() as client:
                return len(list(client.scan_iter("*:bids:*")))

        def copies_more_than(before: int, running: subprocess.Popen[bytes]) -> bool:
            return copies() > before or running.poll() is not None

        environment = {**os.environ, "SSE_AUCTION_SECRET": SECRET, "REDIS_URL": own_store.url}
        for _ in range(2):
            running = subprocess.Popen(
                [*COMMAND, "erase", who, "--reason", "x"], env=environment, stdout=subprocess.DEVNULL
            )
            before = copies()
            until(partial(copies_more_than, before, running), "it copies")
            running.send_signal(signal.SIGKILL)
            running.wait()
            for guid in guids:
                verified(own_store, guid)
        assert erase(server, who).status_code == 200
        assert traces(own_store, who) == []
        for guid in guids:
            verified(own_store, guid)
        with own_store.client() as client:
            assert all(client.ttl(key) > 0 for key in client.scan_iter("*:bids:*")), "what was left ends by itself"
            assert all(client.ttl(f"{{AuctionMaxPrice-{guid}}}:bids") == -1 for guid in guids), "and no log does"


def test_bids_that_come_while_it_copies_are_not_lost(server: Server, store: StoreProcess, guid: str, who: str) -> None:
    sold(server, guid, (who, "10.00"), ("ann", "20.00"))
    for number in range(10):  # acts add to the log of an auction that is over
        done(act(server, guid, ("unpaid", "paid")[number % 2]))
    assert erase(server, who).json()["auctions"] == 1
    assert [entry.get("kind", "bid") for entry in log_of(store, guid)][-11:-1] == ["unpaid", "paid"] * 5
    verified(store, guid)
