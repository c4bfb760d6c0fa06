"""The log of an auction: as a download, and compared with the store."""

import csv
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from tests.support.auctions import act, done, edit
from tests.support.commands import output, refusal, run_command
from tests.support.harness import OPERATOR, Server, StoreProcess, bid, bidder, create, now_ms, running_server, until
from tests.support.logs import an_eventful_auction, rows

FORMS = ["csv", "ndjson"]


@pytest.mark.parametrize("form", FORMS)
def test_everyone_gets_the_bids_and_operators_get_everything(server: Server, guid: str, form: str) -> None:
    an_eventful_auction(server, guid)
    url = f"{server.url}/auctions/{guid}/bids.{form}"
    for headers in ({}, bidder("ann")):
        reply = httpx.get(url, headers=headers)
        public = [{name: str(value).lower() for name, value in row.items()} for row in rows(reply, form)]
        assert [(row["seq"], row["paddle"], row["price"], row["voided"]) for row in public] == [
            ("1", "1", "10.00", "false"), ("2", "2", "20.00", "true"), ("2", "1", "21.00", "true"),
            ("3", "3", "71.00", "false"),
        ]  # fmt: skip
        assert set(public[0]) == {"seq", "paddle", "price", "automatic", "at", "voided"}
        assert "ann" not in reply.text
    reply = httpx.get(url, headers=OPERATOR)
    assert reply.headers["content-disposition"] == f'attachment; filename="{guid}-bids.{form}"'
    assert reply.headers["content-type"].startswith({"csv": "text/csv", "ndjson": "application/x-ndjson"}[form])
    assert reply.headers["cache-control"] == "no-store"
    everything = rows(reply, form)
    kinds = ["created", "bid", "bid", "bid", "raise", "pause", "resume", "edit", "void", "bid", "close", "settled"]
    assert [row["kind"] for row in everything] == kinds
    assert [row.get("max") or None for row in everything][1:5] == ["50.00", "20.00", None, "70.00"]
    assert (everything[5]["actor"], everything[1]["bidder"]) == ("the-house", "ann")
    details = everything[7]["details"]
    assert (json.loads(details) if form == "csv" else details) == {"title": "Vase", "reserve": "60.00"}
    assert httpx.head(url).status_code == 200


@pytest.mark.parametrize("form", FORMS)
def test_an_edit_shows_what_it_changed_and_what_it_removed(server: Server, guid: str, form: str) -> None:
    made = create(server, guid, title="Lot", reserve="80.00", hard_close_at=now_ms() + 3_600_500)
    closes_at = made["state"]["closes_at"] + 60_000
    done(edit(server, guid, reserve=None))
    done(edit(server, guid, title="Lot", reserve="20.00"))
    done(edit(server, guid, title="Vase", closes_at=closes_at))
    done(edit(server, guid, title="Vase", reserve="20.00"))
    done(act(server, guid, "pause"))
    done(act(server, guid, "resume"))
    everything = rows(httpx.get(f"{server.url}/auctions/{guid}/bids.{form}", headers=OPERATOR), form)
    result = [row.get("details") or None for row in everything if row["kind"] == "edit"]
    moment = str(closes_at)
    assert [json.loads(each) if isinstance(each, str) else each for each in result] == [
        {"reserve": None}, {"reserve": "20.00"}, {"title": "Vase", "closes_at": moment, "hard_close_at": moment}, None
    ]  # fmt: skip


def test_a_cell_of_an_export_is_never_a_formula(server: Server, guid: str) -> None:
    an_eventful_auction(server, guid)
    text = httpx.get(f"{server.url}/auctions/{guid}/bids.csv", headers=OPERATOR).text
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert "'@once" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize("form", FORMS)
def test_an_auction_without_a_log_is_reported_as_such(
    server: Server, store: StoreProcess, guid: str, form: str
) -> None:
    url = f"{server.url}/auctions/{guid}/bids.{form}"
    assert httpx.get(url).json()["code"] == "unknown_auction"
    assert httpx.get(url, headers={"Authorization": "Bearer rubbish"}).status_code == 401
    with store.client() as client:
        client.set(f"AuctionMaxPrice-{guid}", "5")
    assert httpx.get(url).status_code == 409


def resident_kb(server: Server) -> int:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_a_long_log_is_written_without_being_held(own_store: StoreProcess, directory: Path, guid: str) -> None:
    bids = int(os.environ.get("LOG_BIDS", "200000"))
    with running_server(directory, REDIS_URL=own_store.url) as server:
        create(server, guid)
        with own_store.client() as client:
            for first in range(1, bids + 1, 10_000):
                pipeline = client.pipeline(transaction=False)
                for number in range(first, min(first + 10_000, bids + 1)):
                    pipeline.xadd(
                        f"{{AuctionMaxPrice-{guid}}}:bids",
                        {"bidder": "b", "paddle": "1", "price": f"{number}.00", "max": str(number * 100), "at": "1"},
                        id=f"{number}-0",
                    )
                pipeline.execute()
        # Lazy imports and caches are done before the measurement.
        httpx.get(f"{server.url}/auctions/{guid}/bids.csv?once").raise_for_status()
        before = resident_kb(server)
        count, last, size, grown = 0, b"", 0, 0
        with httpx.stream("GET", f"{server.url}/auctions/{guid}/bids.ndjson", headers=OPERATOR, timeout=60) as reply:
            for piece in reply.iter_bytes():
                count, size, last = count + piece.count(b"\n"), size + len(piece), (last + piece)[-200:]
                grown = max(grown, resident_kb(server) - before)
        assert count == bids + 1
        assert json.loads(last.splitlines()[-1])["price"] == f"{bids}.00"
        assert grown * 1024 < size / 4, "it holds a page and not the log"


def test_an_export_that_the_store_interrupts_does_not_look_complete(
    own_store: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=own_store.url, SSE_AUCTION_STORE_TIMEOUT_SECONDS="1") as server:
        create(server, guid)
        with own_store.client() as client:
            pipeline = client.pipeline(transaction=False)
            for number in range(1, 100_001):
                fields = {"bidder": "b" * 100, "paddle": "1", "price": "1.00", "max": "100", "at": "1"}
                pipeline.xadd(f"{{AuctionMaxPrice-{guid}}}:bids", fields, id=f"{number}-0")
            pipeline.execute()
        url = f"{server.url}/auctions/{guid}/bids.ndjson"
        with httpx.stream("GET", url, headers=OPERATOR, timeout=30) as reply:
            pieces = reply.iter_bytes(1000)
            assert next(pieces)
            with own_store.frozen(), pytest.raises(httpx.RemoteProtocolError):
                sum(len(piece) for piece in pieces)
        server.expected_errors.append("an export was cut")


def test_an_export_ends_when_its_reader_has_gone(own_store: StoreProcess, directory: Path, guid: str) -> None:
    with running_server(directory, REDIS_URL=own_store.url) as server, own_store.client() as client:
        create(server, guid)
        for first in range(1, 300_001, 10_000):
            pipeline = client.pipeline(transaction=False)
            for number in range(first, first + 10_000):
                fields = {"bidder": "b", "paddle": "1", "price": "1.00", "max": "100", "at": "1"}
                pipeline.xadd(f"{{AuctionMaxPrice-{guid}}}:bids", fields, id=f"{number}-0")
            pipeline.execute()

        def pages_read() -> int:
            calls: int = client.info("commandstats")["cmdstat_xrange"]["calls"]
            return calls

        before = pages_read()
        with httpx.stream("GET", f"{server.url}/auctions/{guid}/bids.ndjson", headers=OPERATOR) as reply:
            next(reply.iter_bytes(1000))
        seen = [-1, pages_read()]

        def reads_no_more() -> bool:
            seen.append(pages_read())
            return seen[-1] == seen[-2]

        until(reads_no_more, "it reads no more")
        assert 0 < seen[-1] - before < 250, "of 301 pages"


# --- the log against the store -------------------------------------------------------------------------------------


@pytest.fixture
def at_the_store(valkey: StoreProcess) -> Mapping[str, str]:
    return {"REDIS_URL": valkey.url}


def test_verify_accepts_a_correct_log(service: Server, guid: str, at_the_store: Mapping[str, str]) -> None:
    an_eventful_auction(service, guid)
    result = run_command("verify", guid, **at_the_store)
    assert (result.returncode, result.stdout) == (0, f"auction {guid} agrees with its log\n"), result.stderr
    assert "no auction" in refusal(run_command("verify", f"no-{guid[:8]}", **at_the_store))


def test_verify_names_what_is_damaged(
    service: Server, valkey: StoreProcess, guid: str, at_the_store: Mapping[str, str]
) -> None:
    an_eventful_auction(service, guid)
    with valkey.client() as client:
        client.hset(f"{{AuctionMaxPrice-{guid}}}:auction", "leader", "1")
    result = run_command("verify", guid, **at_the_store)
    assert (result.returncode, result.stdout) == (1, "leader must be '3' by the log, and is '1'\n")


def test_the_log_can_be_exported_from_the_command_line(
    service: Server, guid: str, at_the_store: Mapping[str, str], directory: Path
) -> None:
    create(service, guid)
    assert bid(service, guid, "ann", "10.00").status_code == 201
    path = directory / "log.ndjson"
    assert run_command("export", guid, "--format", "ndjson", "--out", str(path), **at_the_store).returncode == 0
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["created", "bid"]
    public = run_command("export", guid, "--url", service.url)
    assert public.stdout.splitlines()[0] == "seq,paddle,price,automatic,at,voided"
    assert "no auction" in refusal(run_command("export", f"no-{guid[:8]}", "--url", service.url))
    assert output(run_command("price", guid, "--json", "--url", service.url))["bids"] == 1
