"""Claims of the documents that no other test checks, against the running program."""

import asyncio
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import click
import httpx
from prometheus_client import REGISTRY

from sse_auction.cli import commands
from sse_auction.settings import Settings
from tests.support.auctions import act, done
from tests.support.harness import OPERATOR, Server, StoreProcess, bid, create, now_ms, open_stream, running_server

CHECKOUT = Path(__file__).parents[2]
REFERENCE = (CHECKOUT / "docs" / "reference.md").read_text()
PAGES = [CHECKOUT / "README.md", *sorted(CHECKOUT.glob("CONTRIBUTING.md")), *sorted(CHECKOUT.glob("docs/**/*.md"))]
PATH = re.compile(r"(?<![\w/.<$~-])[\w-]+(?:/[\w.-]+)*\.(?:py|lua|js|md|html|css|toml|sh|svg|png)(?![\w/])")
FOLDER = re.compile(r"`((?:sse_auction|docs|tests|static|scripts|benchmarks)(?:/[\w-]+)*)/`")
ROWS = re.findall(r"^\| (`-.*?) \| (.*?) \|", REFERENCE.partition("## Commands")[2], re.MULTILINE)


def test_the_tables_that_are_generated_are_up_to_date() -> None:
    command = [sys.executable, "-m", "scripts.reference", "--check"]
    checked = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, f"run `make reference`\n{checked.stdout}{checked.stderr}"


def test_every_setting_and_metric_that_a_document_names_exists() -> None:
    variables = {each.metadata["variable"] for each in fields(Settings)} | {"SSE_AUCTION_URL", "SSE_AUCTION_TOKEN"}
    text = "\n".join(page.read_text() for page in PAGES)
    assert set(re.findall(r"\bSSE_AUCTION_\w+", text)) <= variables
    assert set(re.findall(r"\bsse_auction_\w+", text)) <= REGISTRY._names_to_collectors.keys()


def test_every_file_that_a_document_names_exists() -> None:
    missing = [
        f"{page.relative_to(CHECKOUT)}: {name}"
        for page in PAGES
        for name in PATH.findall(_prose(page.read_text())) + FOLDER.findall(page.read_text())
        if not any((folder / name).exists() for folder in (CHECKOUT, page.parent, CHECKOUT / "sse_auction"))
        and name not in NOT_OURS
    ]
    assert not missing


def _prose(text: str) -> str:
    """The text without blocks of code and without addresses, because these name files of other projects."""
    return re.sub(r"\w+://\S+", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


NOT_OURS: set[str] = set()


def test_each_option_is_listed_for_the_commands_that_have_it() -> None:
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


async def test_a_stream_of_many_continues_when_its_auctions_have_ended(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_HEARTBEAT_SECONDS="1") as server:
        create(server, guid)
        async with open_stream(f"{server.url}/auctions/stream?guid={guid}") as stream:
            await stream.next("price")
            await asyncio.to_thread(act, server, guid, "cancel")
            ended = await stream.next("closed")
            assert (ended.data["guid"], ended.data["status"]) == (guid, "cancelled")
            await stream.next("hb")


def test_the_log_names_operators_by_the_sub_of_their_token(service: Server, guid: str) -> None:
    create(service, guid)
    done(act(service, guid, "extend", closes_at=now_ms() + 10**8))
    log = httpx.get(f"{service.url}/auctions/{guid}/bids.csv", headers=OPERATOR).text
    assert ",the-house," in log
