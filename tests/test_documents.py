"""Sentences of the documents that no other test tries, against the running program."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx

from sse_auction.cli import commands
from tests.harness import OPERATOR, Server, StoreProcess, bid, create, now_ms, open_stream, running_server
from tests.test_operators import act, done

REFERENCE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text()
ROWS = re.findall(r"^\| (`-.*?) \| (.*?) \|", REFERENCE.partition("## Commands")[2], re.MULTILINE)


def test_each_option_is_said_to_be_of_the_commands_that_have_it() -> None:
    said: dict[str, set[str]] = {}
    for options, of in ROWS:
        named = set(commands.commands) if of == "all" else set(re.findall(r"`([a-z-]+)`", of))
        for option in re.findall(r"`(--?[a-z0-9-]+)`", options):
            said[option] = said.get(option, set()) | named
    there: dict[str, set[str]] = {}
    for name, command in commands.commands.items():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                for option in parameter.opts:
                    there.setdefault(option, set()).add(name)
    for option in ("--help", "-h", "--version"):
        said.pop(option)
    assert said == there


def test_what_is_extended_during_a_pause_moves_by_the_pause_when_it_ends(service: Server, guid: str) -> None:
    create(service, guid)
    paused = done(act(service, guid, "pause"))
    later = paused["closes_at"] + 3_600_000
    assert done(act(service, guid, "extend", closes_at=later))["closes_at"] == later
    resumed = done(act(service, guid, "resume"))
    assert resumed["closes_at"] - later == resumed["now"] - paused["now"]


def test_what_a_void_bid_has_extended_stays_extended(service: Server, guid: str) -> None:
    made = create(service, guid, soft_close={"window_s": 7200, "extend_s": 7200})
    extended = bid(service, guid, "ann", "10.00").json()["state"]
    assert extended["closes_at"] > made["state"]["closes_at"]
    void = done(act(service, guid, "void", bidder="ann"))
    assert (void["price"], void["bids"]) == (None, 0)
    assert (void["closes_at"], void["extensions"]) == (extended["closes_at"], 1)


def test_a_stream_of_many_goes_on_when_its_auctions_have_ended(
    valkey: StoreProcess, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    async def look(server: Server) -> None:
        async with open_stream(f"{server.url}/auctions/stream?guid={guid}") as stream:
            await stream.next("price")
            await asyncio.to_thread(act, server, guid, "cancel")
            ended = await stream.next("closed")
            assert (ended.data["guid"], ended.data["status"]) == (guid, "cancelled")
            await stream.next("hb")

    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_HEARTBEAT_SECONDS="1") as server:
        create(server, guid)
        run(look(server))


def test_the_log_names_operators_by_the_sub_of_their_token(service: Server, guid: str) -> None:
    create(service, guid)
    done(act(service, guid, "extend", closes_at=now_ms() + 10**8))
    log = httpx.get(f"{service.url}/auctions/{guid}/bids.csv", headers=OPERATOR).text
    assert ",the-house," in log
