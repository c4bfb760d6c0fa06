"""The outbox is a fact of the store: whichever process decides, no message is lost."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sse_auction.auction.decisions import Accepted, ActionDone, BidAmount, Created, OperatorAction
from sse_auction.auction.state import State
from sse_auction.store import keys
from sse_auction.store.outbox import Message, Outbox
from sse_auction.store.parts import Store
from sse_auction.wire.replies import SoftCloseSeconds
from sse_auction.wire.requests import BuyNowRequest, CreateRequest, new_auction
from tests.support.auctions import act, done
from tests.support.commands import COMMAND, run_command
from tests.support.connections import as_user, connected_store, slow_line
from tests.support.harness import Server, StoreProcess, create, now_ms, running_server, until
from tests.support.receiver import Receiver, hooked

LOTS = 10


@contextmanager
def away(server: Server) -> Iterator[None]:
    """While the server is stopped, other processes decide; then it continues."""
    server.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send_signal(signal.SIGCONT)


def close_all(server: Server, lots: list[str]) -> None:
    """Close them, as soon as the server has found the store again."""
    for lot in lots:
        until(lambda lot=lot: act(server, lot, "close").status_code in (200, 409), f"{lot} is closed")  # type: ignore[misc]  # of lambdas' defaults


def is_settled(store: StoreProcess, guid: str) -> bool:
    with store.client() as client:
        return bool(client.hget(keys.auction(guid), "settled") == "1")


@pytest.mark.parametrize("by", ["watch", "bid", "cancel", "close", "serve"])
def test_what_a_process_without_the_settings_decides_is_sent(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str, by: str
) -> None:
    lots = [f"{guid[:8]}-{number}" for number in range(LOTS)]
    expected = {
        "watch": ["opened", "closed"],
        "bid": ["opened", "extended", "closed"],
        "cancel": ["opened", "cancel", "closed"],
        "close": ["opened", "close", "closed"],
        "serve": ["opened", "pause", "resume", "close", "closed"],
    }[by]
    with running_server(directory, **hooked(own_store, receiver)) as sender:
        for lot in lots:
            closes_at = now_ms() + (2000 if by == "watch" else 3_600_000)
            create(sender, lot, closes_at=closes_at, soft_close={"window_s": 7200, "extend_s": 7200})
        with away(sender):
            decide(by, own_store, directory, lots)
        if by == "bid":
            close_all(sender, lots)
            expected[2:2] = ["close"]
        until(lambda: all(receiver.once(lot) == expected for lot in lots), "all messages have arrived")


def decide(by: str, store: StoreProcess, directory: Path, lots: list[str]) -> None:
    """What happens to the lots, by a process that has no webhook settings."""
    if by == "watch":
        with subprocess.Popen(
            [*COMMAND, "watch", "another"], env={**os.environ, "REDIS_URL": store.url}, stdout=subprocess.DEVNULL
        ) as process:
            until(lambda: all(is_settled(store, lot) for lot in lots), "it settles all of them")
            process.terminate()
    elif by == "serve":
        (directory / "other").mkdir()
        with running_server(directory / "other", REDIS_URL=store.url) as other:
            for lot in lots:
                for kind in ("pause", "resume", "close"):
                    done(act(other, lot, kind))
    else:
        options = ["10.00", "--bidder", "ann"] if by == "bid" else ["--reason", "because"]
        for lot in lots[:3]:
            assert run_command(by, lot, *options, REDIS_URL=store.url).returncode == 0
        del lots[3:]


def test_a_process_that_started_before_the_first_sender_obeys_it(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    with own_store.client() as client:
        client.flushall()
    (directory / "early").mkdir()
    with running_server(directory / "early", REDIS_URL=own_store.url) as early:
        create(early, f"{guid}-before")
        done(act(early, f"{guid}-before", "pause"))
        with running_server(directory, **hooked(own_store, receiver)) as sender, away(sender):
            create(early, guid)
            done(act(early, guid, "pause"))
            with own_store.client() as client:
                client.client_kill_filter(_type="normal", skipme=True)
            close_all(early, [guid, f"{guid}-before"])
            sender.send_signal(signal.SIGCONT)
            until(lambda: receiver.once(guid) == ["opened", "pause", "close", "closed"], "all messages have arrived")
            until(lambda: receiver.once(f"{guid}-before") == ["opened", "close", "closed"], "and what follows")


@pytest.mark.parametrize("tracking", ["+client|tracking", "-client|tracking"])
def test_processes_follow_it_as_it_comes_and_goes(
    own_store: StoreProcess, directory: Path, guid: str, tracking: str
) -> None:
    def is_kept() -> bool:
        before = length()
        done(act(server, guid, "pause"))
        done(act(server, guid, "resume"))
        return length() > before

    with own_store.client() as client:

        def length() -> int:
            return int(client.xlen(keys.outbox(guid)))

        client.flushall()
        url = as_user(own_store, "~*", "&*", "+@all", tracking)
        with running_server(directory, REDIS_URL=url) as server:
            create(server, guid)
            assert not is_kept()
            for _ in range(3):
                client.set(keys.WEBHOOKS, "events", px=3_600_000)
                until(is_kept, "it is kept")
                client.delete(keys.WEBHOOKS)
                until(lambda: not is_kept(), "it is no longer kept")


def test_the_sender_repeats_a_lost_message_as_the_latest_sender_formats_it(
    own_store: StoreProcess, receiver: Receiver, directory: Path, guid: str
) -> None:
    def said() -> tuple[str | None, bool]:
        with own_store.client() as client:
            return client.get(keys.WEBHOOKS), 80_000_000 < client.pttl(keys.WEBHOOKS) <= 86_400_000

    (directory / "one").mkdir()
    with running_server(directory / "one", **hooked(own_store, receiver, SSE_AUCTION_WEBHOOK_BIDS="1")):
        assert said() == ("bids", True)
        with own_store.client() as client:
            client.delete(keys.WEBHOOKS)
        until(lambda: said() == ("bids", True), "it is sent again")
        with running_server(directory, **hooked(own_store, receiver)):
            assert said() == ("events", True)
    assert said() == ("events", True), "and it outlives them, by the time for which messages are tried"


# --- messages ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def connected(process: StoreProcess, url: str = "") -> Any:
    """The store of a new process, maybe at another URL, and its outboxes; bids are sent."""
    with process.client() as client:
        client.set(keys.WEBHOOKS, "bids", px=3_600_000)
    async with connected_store(url or process.url, "EUR") as store:
        yield store, store.outbox


async def created(store: Store, guid: str, **terms: Any) -> State:
    usual = {"title": "x", "start_price": "10", "closes_at": now_ms() + 3_600_000, "bidding": "proxy"}
    made = await store.auctions.create(new_auction(CreateRequest(**{**usual, **terms}), guid, "EUR"))
    assert isinstance(made, Created)
    return made.state


@pytest.mark.parametrize("first", ["bid", "buy_now", "pause", "cancel", "early cancel", "close", "settling"])
async def test_the_opening_is_sent_before_all_else(own_store: StoreProcess, guid: str, first: str) -> None:
    async with connected(own_store) as (store, outbox):
        terms: dict[str, Any] = {"buy_now": BuyNowRequest("300")}
        if first == "early cancel":
            terms["opens_at"] = now_ms() + 1_000_000
        made = await created(store, guid, **terms)
        if first in ("bid", "buy_now"):
            offer = BidAmount("price", 1000) if first == "bid" else BidAmount("buy_now")
            result = await store.auctions.bid(guid, "ann", offer, "EUR")
            assert isinstance(result, Accepted)
        elif first == "settling":
            with own_store.client() as client:
                client.hset(keys.auction(guid), "closes_at", now_ms() - 5)
        else:
            kinds: dict[str, Any] = {"early cancel": "cancel"}
            assert isinstance(
                await store.auctions.act(guid, OperatorAction(kinds.get(first, first)), "me", "so"), ActionDone
            )
        await store.settlement.settle(guid)
        await store.settlement.settle(guid)
        told = [message.payload() for message in await outbox.oldest(guid)]
        events = [message["event"] for message in told]
        assert (events[0], events.count("opened")) == ("opened", 1)
        assert events[1:] == {
            "bid": ["bid"], "buy_now": ["bid", "closed"], "pause": ["pause"], "cancel": ["cancel", "closed"],
            "early cancel": ["cancel", "closed"], "close": ["close", "closed"], "settling": ["closed"],
        }[first]  # fmt: skip
        opened_at_once = 0 if first == "early cancel" else made.rev - 1
        assert told[0]["rev"] == 1 + opened_at_once
        assert told[-1]["rev"] == (await store.auctions.state(guid)).rev


async def test_a_message_has_the_revision_the_values_and_the_types_of_the_state(
    own_store: StoreProcess, guid: str
) -> None:
    """Messages of every kind: fields that the state has too are equal, and have the same type."""

    async def newest(outbox: Outbox) -> list[Message]:
        messages: list[Message] = await outbox.oldest(guid)
        for message in messages:
            await outbox.ack(message)
        return messages

    async with connected(own_store) as (store, outbox):
        events: list[str] = []

        async def compare(state: State) -> None:
            messages = await newest(outbox)
            events.extend(message.payload()["event"] for message in messages)
            told = messages[-1].payload()
            assert told["rev"] == state.rev
            for name, value in told["data"].items():
                if hasattr(state, name):
                    assert (name, value) == (name, getattr(state, name))
            numbers = {"seq", "paddle", "leader", "closes_at", "opens_at", "extensions"} & told["data"].keys()
            assert all(isinstance(told["data"][name], int | None) for name in numbers)

        async def do(kind: Any, **details: Any) -> None:
            done = await store.auctions.act(guid, OperatorAction(kind, **details), "me", "so")
            assert isinstance(done, ActionDone)
            await compare(done.state)

        await created(store, guid, opens_at=now_ms() + 1_000_000, soft_close=SoftCloseSeconds(7200, 7200))
        await do("edit", title="Vase")
        with own_store.client() as client:
            client.hset(keys.auction(guid), "opens_at", now_ms() - 5)
        await store.settlement.settle(guid)
        await compare(await store.auctions.state(guid))
        for bidder, amount in (("ann", 5000), ("bob", 3000), ("bob", 9000)):
            accepted = await store.auctions.bid(guid, bidder, BidAmount("max", amount), "EUR")
            assert isinstance(accepted, Accepted)
            await compare(accepted.state)
        await do("pause")
        await do("resume")
        await do("extend", closes_at=now_ms() + 10**8)
        await do("void", bidder="bob")
        await do("void", bidder="ann")
        await do("close")
        assert events == ["edit", "opened", "bid", "extended", "bid", "extended", "bid", "extended", "pause",
                          "resume", "extend", "voided", "voided", "close", "closed"]  # fmt: skip


async def test_what_becomes_due_during_its_settlement_stays_due(
    own_store: StoreProcess, directory: Path, guid: str
) -> None:
    """Otherwise the next look comes at the old closing, and until then no receiver learns that it is over."""
    line = slow_line(directory, own_store, back=0.3, after=b"from here on")
    async with line as url, connected(own_store, url) as (store, _):
        await created(store, guid, opens_at=now_ms() + 1_000_000)
        await store.connection.link().call("PING", "from here on")
        with own_store.client() as client:
            client.hset(keys.auction(guid), "opens_at", now_ms() - 5)
            settling = asyncio.create_task(store.settlement.settle(guid))
            await asyncio.to_thread(until, lambda: client.hget(keys.auction(guid), "announced"), "its script is run")
            since = now_ms()
            client.zadd(keys.DUE, {guid: since})
            await settling
            assert client.zscore(keys.DUE, guid) == since
            await store.settlement.settle(guid)
            assert client.zscore(keys.DUE, guid) > since, "the next look is again when time does something"
