"""Backups of the embedded store: taken during bids, restored elsewhere, and refused when not complete."""

import os
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from tests.support.harness import Server, bid, bidder, create, open_stream, running_server, stream_url, until
from tests.support.processes import assert_one_sentence, bids_in_log, command, stores_in

LOTS = [f"lot-{number}" for number in range(5)]


@pytest.fixture
def data_dir(directory: Path) -> Iterator[Path]:
    path = directory / "data"
    yield path
    for place in (path, directory / "elsewhere"):
        for pid in stores_in(place):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server(directory: Path, data_dir: Path) -> Iterator[Server]:
    with running_server(directory, REDIS_URL="", SSE_AUCTION_DATA_DIR=str(data_dir)) as running:
        yield running


def backed_up(data_dir: Path, file: Path, *options: str) -> Path:
    made = command(data_dir, "backup", str(file), *options)
    assert (made.returncode, made.stderr) == (0, ""), made
    return file


def bid_until(stop: threading.Event, server: Server, guid: str, answered: dict[int, str]) -> None:
    with httpx.Client(base_url=server.url) as client:
        for number in count(10):
            if stop.is_set():
                return
            who = bidder(f"bidder-{number % 2}")
            reply = client.post(f"/auctions/{guid}/bids", json={"price": f"{number}.00"}, headers=who)
            assert reply.status_code == 201, reply.text
            answered[reply.json()["seq"]] = reply.json()["state"]["price"]


def test_a_backup_under_bids_has_every_bid_that_was_answered_before_and_every_auction_verifies(
    data_dir: Path, server: Server, directory: Path
) -> None:
    answered: dict[str, dict[int, str]] = {guid: {} for guid in LOTS}
    stop = threading.Event()
    for guid in LOTS:
        create(server, guid)
    bidders = [threading.Thread(target=bid_until, args=(stop, server, guid, answered[guid])) for guid in LOTS]
    for each in bidders:
        each.start()
    try:
        until(lambda: all(len(bids) > 10 for bids in answered.values()), "bids")
        before = {guid: dict(bids) for guid, bids in answered.items()}
        file = backed_up(data_dir, directory / "store.rdb")
        until(lambda: all(len(answered[guid]) > len(before[guid]) + 5 for guid in LOTS), "bids afterwards")
    finally:
        stop.set()
        for each in bidders:
            each.join()
    assert file.stat().st_mode & 0o077 == 0
    assert not list(directory.glob(".store*"))
    elsewhere = directory / "elsewhere"
    put_back = command(elsewhere, "restore", str(file))
    assert (put_back.returncode, put_back.stderr) == (0, ""), put_back
    assert "5 auctions" in put_back.stdout
    (directory / "second").mkdir()
    with running_server(directory / "second", REDIS_URL="", SSE_AUCTION_DATA_DIR=str(elsewhere)) as second:
        for guid in LOTS:
            logged = bids_in_log(second, guid)
            assert before[guid].items() <= logged.items() <= answered[guid].items()
            assert command(elsewhere, "verify", guid).returncode == 0


async def test_after_a_restore_viewers_see_another_epoch_and_the_old_data_are_kept(
    data_dir: Path, server: Server, directory: Path, guid: str
) -> None:
    create(server, guid)
    assert bid(server, guid, "ann", "10.00").status_code == 201
    file = backed_up(data_dir, directory / "store.rdb")
    assert bid(server, guid, "bob", "11.00").status_code == 201
    async with open_stream(stream_url(server, guid)) as stream:
        old = (await stream.next("price")).data["tag"]
    assert_one_sentence(command(data_dir, "restore", str(file), "--replace"), "in use")
    server.stop()
    assert_one_sentence(command(data_dir, "restore", str(file)), "already", "--replace")
    put_back = command(data_dir, "restore", str(file), "--replace")
    assert (put_back.returncode, put_back.stderr) == (0, ""), put_back
    server.restart_on_same_port()
    async with open_stream(stream_url(server, guid), last_event_id=old) as stream:
        event = await stream.next("price")
        assert event.data["price"] == "10.00"
        assert event.epoch != old.partition("-")[0]
    assert bid(server, guid, "bob", "12.00").status_code == 201
    server.stop()
    (kept,) = data_dir.glob("replaced-*")
    assert "11.00" in command(kept, "price", guid).stdout
    server.restart_on_same_port()


def test_a_backup_that_is_cut_or_spoilt_is_refused_and_nothing_is_changed(
    data_dir: Path, server: Server, directory: Path, guid: str
) -> None:
    create(server, guid)
    file = backed_up(data_dir, directory / "store.rdb")
    server.stop()
    whole = file.read_bytes()
    before = {path: path.read_bytes() for path in (data_dir / "appendonlydir").iterdir()}
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 0xFF
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:9], b"", b"rubbish", bytes(spoilt)):
        file.write_bytes(content)
        assert_one_sentence(command(data_dir, "restore", str(file), "--replace"), str(file), "nothing was changed")
        assert {path: path.read_bytes() for path in (data_dir / "appendonlydir").iterdir()} == before
        assert not list(data_dir.glob("re*-*"))
    assert command(data_dir, "price", guid).returncode == 0
    server.restart_on_same_port()


def test_a_backup_of_a_store_without_a_service_and_what_is_refused(
    data_dir: Path, server: Server, directory: Path, guid: str
) -> None:
    create(server, guid)
    server.stop()
    file = backed_up(data_dir, directory / "store.rdb")
    assert stores_in(data_dir) == []
    assert_one_sentence(command(data_dir, "backup", str(file)), "exists already", "--replace")
    backed_up(data_dir, file, "--replace")
    assert_one_sentence(command(data_dir, "backup", str(directory / "nowhere" / "x")), "no backup was written")
    assert command(data_dir, "restore").returncode == 2
    assert command(data_dir, "restore", str(file), "--empty").returncode == 2
    server.restart_on_same_port()


@pytest.mark.parametrize("arguments", [["backup", "x"], ["restore", "--empty"], ["repair"]])
def test_backups_are_for_the_embedded_store_alone(data_dir: Path, arguments: list[str]) -> None:
    made = command(data_dir, *arguments, REDIS_URL="redis://localhost:1")
    assert_one_sentence(made, "REDIS_URL", "embedded")
