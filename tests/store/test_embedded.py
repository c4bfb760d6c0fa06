"""The embedded store: which process starts it, joins it, stops it, and what survives a `kill -9`."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from tests.support.harness import (
    DEADLINE_SECONDS,
    Server,
    bid,
    bidder,
    create,
    open_stream,
    running_server,
    server_process,
    until,
)
from tests.support.processes import assert_one_sentence, bids_in_log, command, processes, stores_in, the_store_in


class ServerOn(Protocol):
    """Makes servers on one data directory, each with its own name and log; they are not started yet."""

    def __call__(self, data_dir: Path, name: str, **environment: str) -> Server: ...


@pytest.fixture
def data_dir(directory: Path) -> Iterator[Path]:
    """A data directory that does not exist yet; processes that a failed test leaves running in it are ended."""
    path = directory / "data"
    yield path
    for pid in stores_in(path):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def server_on(directory: Path, data_dir: Path) -> Iterator[ServerOn]:
    made: list[Server] = []

    def make(data_dir: Path, name: str, **environment: str) -> Server:
        (directory / name).mkdir()
        variables = {"SSE_AUCTION_DATA_DIR": str(data_dir), "REDIS_URL": "", **environment}
        made.append(server_process(directory / name, **variables))
        return made[-1]

    yield make
    for server in made:
        if server.process is not None:
            server.stop(signal.SIGKILL)
        assert "Traceback" not in server.log()


def assert_nothing_is_left(data_dir: Path) -> None:
    assert stores_in(data_dir) == []
    assert not (data_dir / "valkey.sock").exists()


# --- coming and going --------------------------------------------------------------------------------------------


def test_the_first_service_starts_it_others_join_it_and_the_last_stops_it(
    data_dir: Path, server_on: ServerOn, guid: str
) -> None:
    """A Ctrl-C reaches the whole process group of the server that started the store, but not the store."""
    first, second = server_on(data_dir, "first"), server_on(data_dir, "second")
    first.start()
    store = the_store_in(data_dir)
    create(first, guid)
    second.start()
    assert bid(second, guid, "ann", "10.00").status_code == 201
    made = command(data_dir, "bid", guid, "11.00", "--bidder", "bob")
    assert (made.returncode, made.stderr) == (0, "")
    assert the_store_in(data_dir) == store
    assert first.process is not None
    os.killpg(first.process.pid, signal.SIGINT)
    assert first.stop() == 0
    assert the_store_in(data_dir) == store
    assert bid(second, guid, "ann", "12.00").status_code == 201
    assert second.stop() == 0
    assert_nothing_is_left(data_dir)
    shown = command(data_dir, "price", guid)
    assert "12.00" in shown.stdout
    assert_nothing_is_left(data_dir)
    for server in (first, second):
        assert "Warning" not in server.log()


def test_six_services_that_start_at_once_share_one_store(data_dir: Path, server_on: ServerOn, guid: str) -> None:
    servers = [server_on(data_dir, f"server-{number}") for number in range(6)]
    starts = [threading.Thread(target=server.start, args=(3 * DEADLINE_SECONDS,)) for server in servers]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    assert all(server.url for server in servers)
    the_store_in(data_dir)
    create(servers[0], guid)
    prices = [f"{10 + number}.00" for number in range(6)]
    for server, price in zip(servers, prices, strict=True):
        assert bid(server, guid, f"bidder-{price}", price).status_code == 201
    for server in servers:
        server.send_signal(signal.SIGTERM)
    assert [server.process.wait(DEADLINE_SECONDS) for server in servers if server.process] == [0] * 6
    assert_nothing_is_left(data_dir)


def test_worker_processes_share_it_and_leave_no_process_behind(data_dir: Path, server_on: ServerOn, guid: str) -> None:
    server = server_on(data_dir, "workers", WEB_CONCURRENCY="2")
    server.start()
    assert server.process is not None
    session = server.process.pid
    the_store_in(data_dir)
    create(server, guid)
    assert bid(server, guid, "ann", "10.00").status_code == 201
    assert len(list(members_of(session))) > 2
    assert server.stop() == 0
    assert_nothing_is_left(data_dir)
    until(lambda: not list(members_of(session)), "the end of all workers")


def members_of(session: int) -> Iterator[int]:
    """The processes of a session."""
    for pid, _ in processes():
        try:
            if os.getsid(pid) == session:
                yield pid
        except ProcessLookupError:
            continue


# --- sudden ends -------------------------------------------------------------------------------------------------


def test_a_killed_web_process_leaves_a_store_that_the_next_one_joins(
    data_dir: Path, server_on: ServerOn, guid: str
) -> None:
    first, second = server_on(data_dir, "first"), server_on(data_dir, "second")
    first.start()
    create(first, guid)
    store = the_store_in(data_dir)
    first.stop(signal.SIGKILL)
    assert the_store_in(data_dir) == store
    second.start()
    assert the_store_in(data_dir) == store
    assert bid(second, guid, "ann", "10.00").status_code == 201
    second.stop()
    assert_nothing_is_left(data_dir)


def test_every_bid_that_was_answered_is_there_after_everything_was_killed(
    data_dir: Path, server_on: ServerOn, guid: str
) -> None:
    server = server_on(data_dir, "killed")
    server.start()
    create(server, guid)
    answered: dict[int, str] = {}
    prices = count(10)  # shared, so that nearly every bid is higher than those before
    bidders = [
        threading.Thread(target=bid_until_cut, args=(server, guid, answered, prices, number), daemon=True)
        for number in range(4)
    ]
    for each in bidders:
        each.start()
    until(lambda: len(answered) >= 100, "a hundred bids")
    os.kill(the_store_in(data_dir), signal.SIGKILL)
    server.stop(signal.SIGKILL)
    for each in bidders:
        each.join()
    server.restart_on_same_port()
    logged = bids_in_log(server, guid)
    assert answered.items() <= logged.items()
    assert list(logged) == list(range(1, len(logged) + 1))
    server.stop()


def bid_until_cut(server: Server, guid: str, answered: dict[int, str], prices: Iterator[int], number: int) -> None:
    """Bid higher and higher until no answer comes; `answered` gets each accepted bid's price by its seq."""
    with httpx.Client(base_url=server.url) as client:
        for turn, price in enumerate(prices):
            headers = bidder(f"bidder-{number}-{turn % 2}")
            try:
                reply = client.post(f"/auctions/{guid}/bids", json={"price": f"{price}.00"}, headers=headers)
            except httpx.TransportError:
                return
            if reply.status_code == 201:
                answered[reply.json()["seq"]] = reply.json()["state"]["price"]


async def test_a_store_that_died_alone_is_started_again_under_open_streams(
    data_dir: Path, directory: Path, guid: str
) -> None:
    with running_server(directory, SSE_AUCTION_DATA_DIR=str(data_dir), REDIS_URL="") as server:
        create(server, guid)
        async with open_stream(f"{server.url}/auctions/{guid}/stream") as stream:
            before = await stream.next()
            os.kill(the_store_in(data_dir), signal.SIGKILL)
            assert (await stream.next("hb")).data["live"] is False
            after = await stream.next("price")
            assert (after.data["rev"], after.id != before.id) == (before.data["rev"], True)
            await asyncio.to_thread(until, server.is_ready, "readiness")
            assert (await asyncio.to_thread(bid, server, guid, "ann", "10.00")).status_code == 201
            assert (await stream.next("price")).data["price"] == "10.00"
        the_store_in(data_dir)
        assert server.log().count("the embedded store has died") == 1
    assert_nothing_is_left(data_dir)


# --- where it lives ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["long/" * 30 + "x" * 200, "a b?c=1#d%20'é\""], ids=["very long", "odd characters"])
def test_a_directory_works_by_any_of_its_names(data_dir: Path, server_on: ServerOn, guid: str, name: str) -> None:
    place = data_dir / name
    place.mkdir(parents=True)
    alias = data_dir / "alias"
    alias.symlink_to(place)
    server = server_on(place, "anywhere")
    server.start()
    create(server, guid)
    made = command(alias, "bid", guid, "10.00", "--bidder", "ann")
    assert (made.returncode, made.stderr) == (0, "")
    assert httpx.get(f"{server.url}/auctions/{guid}/price").json()["price"] == "10.00"
    the_store_in(place)
    assert server.stop() == 0
    assert_nothing_is_left(place)


@pytest.mark.parametrize(
    ("place", "arguments"),
    [
        ("/dev/null/data", ["serve", "--port", "0"]),
        ("{file}", ["price", "x"]),
        ("{file}/data", ["serve", "--port", "0"]),
        ("/proc/data", ["watch", "x"]),
    ],
)
def test_a_directory_that_cannot_be_used_is_explained_in_a_sentence(
    directory: Path, place: str, arguments: list[str]
) -> None:
    (directory / "file").touch()
    place = place.format(file=directory / "file")
    assert_one_sentence(command(Path(place), *arguments), "data directory", place)


def test_a_store_that_is_stopped_is_explained_in_a_sentence_and_gets_no_rival(
    data_dir: Path, server_on: ServerOn, guid: str
) -> None:
    server = server_on(data_dir, "frozen")
    server.start()
    store = the_store_in(data_dir)
    os.kill(store, signal.SIGSTOP)
    assert_one_sentence(command(data_dir, "price", guid), "embedded store", "does not answer; is it stopped?")
    assert the_store_in(data_dir) == store
    os.kill(store, signal.SIGCONT)
    until(server.is_ready, "the service to have found it again")
    create(server, guid)
    server.stop()
    assert_nothing_is_left(data_dir)
