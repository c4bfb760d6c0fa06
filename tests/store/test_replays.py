"""A request that is sent again with its idempotency key: it gets the first answer, and changes nothing anywhere."""

import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx
import pytest
import redis

from sse_auction.auction.decisions import Accepted, ActionDone, BidAmount, Created, OperatorAction, Refused
from sse_auction.store import keys
from sse_auction.store.creating import claim, create_once, request_of
from sse_auction.store.parts import Store
from sse_auction.wire.replies import SoftCloseSeconds
from sse_auction.wire.requests import CreateRequest, new_auction
from tests.support.auctions import act, done
from tests.support.commands import output, refusal, run_command
from tests.support.connections import connected_store
from tests.support.harness import OPERATOR, TOKENS, Server, StoreProcess, bid, create, now_ms, running_store, until

FAR = 3_600_000
DAY = 24 * 3_600_000


@pytest.fixture(scope="module", params=["valkey", "redis"])
def quiet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store without other users."""
    with running_store(request.param, tmp_path_factory.mktemp(f"quiet-{request.param}")) as process:
        yield process


def everything(process: StoreProcess) -> dict[bytes, tuple[bytes, int]]:
    """All keys of the store: what each holds, and the moment at which it expires."""
    with redis.Redis.from_url(process.url) as client:
        held: Any = client.keys("*")
        return {each: (client.dump(each), client.execute_command("PEXPIRETIME", each)) for each in held}


@pytest.fixture
async def house(quiet: StoreProcess) -> AsyncIterator[Store]:
    with quiet.client() as client:
        client.set(keys.WEBHOOKS, "events")
    async with connected_store(quiet.url, "USD") as made:
        yield made


def new(guid: str, **terms: Any) -> Any:
    usual = {"title": "Lot", "start_price": "10.00", "closes_at": now_ms() + FAR}
    return new_auction(CreateRequest(**{**usual, **terms}), guid, "USD")


async def test_a_replay_changes_nothing_anywhere(quiet: StoreProcess, house: Store, guid: str) -> None:
    made = await house.auctions.create(new(guid, soft_close=SoftCloseSeconds(7200, 7200)))
    assert isinstance(made, Created)

    async def again(key: str, amount: int = 1000) -> Accepted | Refused:
        result = await house.auctions.bid(guid, "ann", BidAmount("price", amount), "USD", idempotency_key=key)
        await house.connection.link().call("PING")  # after it, everything that was sent with the call has been done
        return result

    first, low = await again("k"), await again("low", 5)
    assert isinstance(first, Accepted)
    assert isinstance(low, Refused)
    later = (first.state.closes_at or 0) + FAR
    assert isinstance(
        await house.auctions.act(guid, OperatorAction("extend", closes_at=later), "me", "because"), ActionDone
    )
    await house.connection.link().call("SREM", keys.OUTBOXES, guid)  # all has been sent
    before = everything(quiet)
    replayed, refused = await again("k"), await again("low", 5)
    assert everything(quiet) == before
    assert isinstance(replayed, Accepted)
    assert (replayed.replayed, replayed.seq, replayed.state) == (True, first.seq, first.state)
    assert isinstance(refused, Refused)
    assert (refused.replayed, refused.state) == (True, low.state)


async def test_an_answer_that_an_older_release_remembered_is_still_given(
    quiet: StoreProcess, house: Store, guid: str
) -> None:
    await house.auctions.create(new(guid))
    first = await house.auctions.bid(guid, "ann", BidAmount("price", 1000), "USD", idempotency_key="k")
    key = keys.answer(guid, "ann", "k")
    with quiet.client() as client:
        answer = json.loads(str(client.get(key)))
        answer["reply"].pop()  # a later release keeps more values of the state
        client.set(key, json.dumps(answer))
    again = await house.auctions.bid(guid, "ann", BidAmount("price", 1000), "USD", idempotency_key="k")
    assert isinstance(first, Accepted)
    assert isinstance(again, Accepted)
    assert (again.replayed, again.seq, again.state.price) == (True, 1, first.state.price)


# --- refusals that pass ----------------------------------------------------------------------------------------------


def test_a_refusal_that_time_lifts_is_not_remembered(server: Server, guid: str) -> None:
    opens_at = now_ms() + 1500
    create(server, guid, opens_at=opens_at, closes_at=opens_at + FAR)
    key = {"Idempotency-Key": "early"}
    early = bid(server, guid, "ann", "10.00", headers=key)
    assert (early.status_code, early.json()["code"]) == (409, "not_open")
    taken = until(lambda: (reply := bid(server, guid, "ann", "10.00", headers=key)).is_success and reply, "a bid")
    assert "idempotent-replayed" not in taken.headers
    again = bid(server, guid, "ann", "10.00", headers=key)
    assert (again.headers["idempotent-replayed"], again.json()["seq"]) == ("true", 1)


def test_a_refusal_that_an_operator_lifts_is_not_remembered(server: Server, guid: str) -> None:
    create(server, guid)
    done(act(server, guid, "pause"))
    key = {"Idempotency-Key": "paused"}
    assert bid(server, guid, "ann", "10.00", headers=key).status_code == 409
    done(act(server, guid, "resume"))
    taken = bid(server, guid, "ann", "10.00", headers=key)
    assert (taken.status_code, "idempotent-replayed" in taken.headers) == (201, False)


# --- new auctions ----------------------------------------------------------------------------------------------------


def post(server: Server, key: str | None, headers: dict[str, str] = OPERATOR, **terms: Any) -> httpx.Response:
    body = {"title": "Lot", "start_price": "10.00", **terms}
    given = {} if key is None else {"Idempotency-Key": key}
    return httpx.post(f"{server.url}/auctions", json=body, headers={**headers, **given})


@pytest.mark.parametrize("is_named", [False, True])
def test_the_same_auction_sent_again_is_created_once(server: Server, guid: str, is_named: bool) -> None:
    terms: dict[str, Any] = {"closes_at": now_ms() + FAR, **({"guid": guid} if is_named else {})}
    first = post(server, guid, **terms)
    assert (first.status_code, "idempotent-replayed" in first.headers) == (201, False)
    name = first.json()["state"]["guid"]
    assert bid(server, name, "ann", "10.00").status_code == 201
    again = post(server, guid, **terms)
    assert (again.status_code, again.json()) == (201, first.json()), "the first answer, word for word"
    assert (again.headers["idempotent-replayed"], again.headers["location"]) == ("true", first.headers["location"])
    for other in ({"title": "Vase"}, {"guid": f"{guid[:20]}-x"}, {"start_price": "11.00"}):
        refused = post(server, guid, **{**terms, **other})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
        assert "Idempotency-Key" in refused.json()["detail"]
    another = {"Authorization": f"Bearer {TOKENS.issue('another-house', role='operator')}"}
    others = post(server, guid, another, **terms)
    assert others.status_code == (409 if is_named else 201), "keys are each operator's own"
    if not is_named:
        assert others.json()["state"]["guid"] != name
        assert post(server, None, **terms).json()["state"]["guid"] != name, "without a key it is another auction"


def test_an_operator_who_bids_has_separate_keys_for_bids(server: Server, guid: str) -> None:
    assert post(server, guid, guid=guid, closes_at=now_ms() + FAR).status_code == 201
    taken = bid(server, guid, "the-house", "10.00", headers={"Idempotency-Key": guid})
    assert (taken.status_code, "idempotent-replayed" in taken.headers) == (201, False)


def test_two_of_the_same_at_once_create_one(server: Server, guid: str) -> None:
    closes_at = now_ms() + FAR
    with ThreadPoolExecutor(8) as pool:
        replies = [each.result() for each in [pool.submit(post, server, guid, closes_at=closes_at) for _ in range(8)]]
    assert {reply.status_code for reply in replies} == {201}
    assert len({reply.text for reply in replies}) == 1
    assert sum("idempotent-replayed" in reply.headers for reply in replies) == 7


async def test_a_creation_that_was_begun_is_finished_by_its_repetition(
    quiet: StoreProcess, house: Store, guid: str
) -> None:
    """The process that claimed the key died before it recorded the auction."""
    first = new(guid)
    request = request_of(first, is_named=False)
    assert await claim(house.auctions, "ann", "k", request, guid) == guid
    with quiet.client() as client:
        assert 0 < client.pttl(keys.claim("ann", "k")) <= DAY
    made = await create_once(house.auctions, replace(first, guid=f"{guid[:20]}-2"), "ann", "k", is_named=False)
    assert isinstance(made, Created)
    assert (made.replayed, made.terms.guid) == (False, guid), "under the name that was claimed"
    await house.connection.link().call("PING")  # after it, everything that was sent with the call has been done
    before = everything(quiet)
    again = await create_once(house.auctions, replace(first, guid=f"{guid[:20]}-3"), "ann", "k", is_named=False)
    assert isinstance(again, Created)
    assert (again.replayed, again.state) == (True, made.state)
    assert everything(quiet) == before, "a replay changes nothing anywhere"


def test_the_command_line_creates_once_with_a_key(service: Server, valkey: StoreProcess, guid: str) -> None:
    command = ["create", "Vase", "--start-price", "10", "--closes", str(now_ms() + FAR), "--key", guid, "--json"]
    ways: list[tuple[list[str], dict[str, str]]] = [
        ([], {"REDIS_URL": valkey.url}),
        (["--url", service.url, "--token", TOKENS.issue("the-house", role="operator")], {}),
    ]
    for options, environment in ways:
        first = output(run_command(*command, *options, **environment))
        assert output(run_command(*command, *options, **environment)) == first
        other = run_command(*command, "--seller", "sam", *options, **environment)
        assert "Idempotency-Key" in refusal(other)
