"""Logs of auctions: one with entries of every kind, its rows, and its verification."""

import asyncio
import csv
import io
import json
from typing import Any

import httpx

from sse_auction.auction.decisions import Refused
from tests.support.auctions import act, done, edit, offer
from tests.support.commands import run_command
from tests.support.connections import connected_store
from tests.support.harness import Server, StoreProcess, create


def an_eventful_auction(server: Server, guid: str) -> None:
    create(server, guid, bidding="proxy", reserve="80.00", title="=1+1", seller="sam", priority=["pia"])
    offer(server, guid, "ann", max="50.00")
    offer(server, guid, "bob", price="20.00")
    offer(server, guid, "ann", max="70.00")
    done(act(server, guid, "pause", reason='+phone, "rings"\u2028'[:14]))
    done(act(server, guid, "resume"))
    done(edit(server, guid, title="Vase", reserve="60.00"))
    done(act(server, guid, "void", bidder="bob", reason="@once"))
    offer(server, guid, "cat", max="90.00")
    done(act(server, guid, "close"))


def rows(reply: httpx.Response, form: str) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    if form == "csv":
        return list(csv.DictReader(io.StringIO(reply.text)))
    return [json.loads(line) for line in reply.text.splitlines()]


def verify(process: StoreProcess, guid: str) -> list[str] | Refused:
    """The differences between an auction's log and the store."""

    async def differences() -> list[str] | Refused:
        async with connected_store(process.url, "CNY") as store:
            return await store.verification.verify(guid)

    return asyncio.run(differences())


def verified(store: StoreProcess, guid: str) -> None:
    shown = run_command("verify", guid, REDIS_URL=store.url)
    assert (shown.returncode, shown.stderr) == (0, ""), shown.stdout
