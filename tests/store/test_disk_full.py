"""The embedded store's disk is full: what is shown, what is refused, and what remains afterwards."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator, Sized
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.support.harness import (
    Event,
    Server,
    bid,
    bidder,
    create,
    open_stream,
    running_server,
    server_process,
    stream_url,
    until,
)
from tests.support.processes import bids_in_log, command, stores_in, the_store_in
from tests.support.small_disk import SmallDisk, small_disk

FULL = "the embedded store's disk is full"


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk() as made:
        yield made


@pytest.fixture
def data_dir(disk: SmallDisk) -> Iterator[Path]:
    yield disk.path / "data"
    for pid in stores_in(disk.path / "data"):
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def full_server(request: pytest.FixtureRequest, directory: Path, data_dir: Path) -> Iterator[Server]:
    """A server with its store on the small disk, and with that many workers."""
    workers = str(getattr(request, "param", 1))
    server = server_process(directory, SSE_AUCTION_DATA_DIR=str(data_dir), REDIS_URL="", WEB_CONCURRENCY=workers)
    server.start()
    yield server
    if server.process is not None:
        server.stop()
    assert "Traceback" not in server.log()


class Bidders:
    """Bidders that bid higher and higher until the end of the block; the answers that they got."""

    def __init__(self, server: Server, guid: str) -> None:
        self.accepted: dict[int, str] = {}
        self.refused: list[httpx.Response] = []
        self._server, self._guid = server, guid
        self._prices = count(10)
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._bid, args=(number,), daemon=True) for number in range(3)]

    def __enter__(self) -> "Bidders":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _bid(self, number: int) -> None:
        with httpx.Client(base_url=self._server.url) as client:
            while not self._done.is_set():
                body, headers = {"price": f"{next(self._prices)}.00"}, bidder(f"bidder-{number}")
                try:
                    reply = client.post(f"/auctions/{self._guid}/bids", json=body, headers=headers)
                except httpx.TransportError:
                    continue
                if reply.status_code == 201:
                    self.accepted[reply.json()["seq"]] = reply.json()["state"]["price"]
                elif reply.status_code != 409:
                    self.refused.append(reply)


def probe(server: Server) -> tuple[int, str | None]:
    reply = httpx.get(f"{server.url}/readyz")
    return reply.status_code, reply.json()["trouble"]


def is_told(server: Server) -> bool:
    return FULL in (probe(server)[1] or "")


async def read_on(stream: Any, seen: list[Event]) -> None:
    while True:
        seen.append(await stream.next())


@pytest.mark.parametrize("full_server", [1, 2], indirect=True)
async def test_prices_stay_live_bids_are_refused_with_the_reason_and_continue_by_themselves(
    full_server: Server, disk: SmallDisk, data_dir: Path, guid: str
) -> None:
    server = full_server
    create(server, guid)
    store = the_store_in(data_dir)
    seen: list[Event] = []
    async with open_stream(stream_url(server, guid)) as stream:
        reading = asyncio.create_task(read_on(stream, seen))
        reading.add_done_callback(lambda done: done.cancelled() or done.exception())  # the test says what is wrong
        with Bidders(server, guid) as bidders:
            for turn in range(2):
                wanted = len(bidders.accepted) + 20
                await asyncio.to_thread(until, partial(has_more, bidders.accepted, wanted), "bids")
                disk.fill()
                await asyncio.to_thread(until, lambda: is_told(server), "the news")
                bidders.refused.clear()
                await asyncio.to_thread(until, partial(has_more, bidders.refused, 20), "refused bids")
                check_what_is_told(server, guid, bidders.refused[-1])
                if turn == 0:
                    assert len([line for line in server.log_lines() if FULL in line["message"]]) == 1
                disk.make_room()
                await asyncio.to_thread(until, lambda: probe(server) == (200, None), "the end of it")
                wanted = len(bidders.accepted) + 5
                await asyncio.to_thread(until, partial(has_more, bidders.accepted, wanted), "bids again")
                await asyncio.to_thread(until, lambda: server.metric("sse_auction_store_full") == 0, "the metric")
        await asyncio.to_thread(until, lambda: seen[-1].data.get("rev") == shown(server, guid)["rev"], "the last")
        reading.cancel()
    assert not [event for event in seen if event.name == "hb" and not event.data["live"]]
    assert len({event.epoch for event in seen if event.name == "price"}) == 1
    server.stop(signal.SIGKILL)
    os.kill(store, signal.SIGKILL)
    await asyncio.to_thread(until, lambda: not stores_in(data_dir), "its end")
    server.restart_on_same_port()
    logged = bids_in_log(server, guid)
    assert bidders.accepted.items() <= logged.items()
    assert list(logged) == list(range(1, len(logged) + 1))
    checked = command(data_dir, "verify", guid)
    assert checked.returncode == 0, checked


def check_what_is_told(server: Server, guid: str, refused: httpx.Response) -> None:
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (503, "store_unavailable")
    assert FULL in problem["detail"]
    assert refused.headers["retry-after"] == str(problem["retry_after"])
    assert httpx.get(f"{server.url}/livez").status_code == 200
    assert probe(server)[0] == 200
    until(lambda: server.metric("sse_auction_store_full") == 1, "the metric")
    assert shown(server, guid)["price"] is not None
    assert bid(server, guid, "low", "0.01").json()["code"] == "too_low"
    assert httpx.get(f"{server.url}/auctions/{guid}/bids").status_code == 200


def has_more(answers: Sized, count: int) -> bool:
    return len(answers) > count


def shown(server: Server, guid: str) -> dict[str, Any]:
    state: dict[str, Any] = httpx.get(f"{server.url}/auctions/{guid}/price").json()
    return state


def bid_is_taken(server: Server, guid: str) -> bool:
    price = shown(server, guid)["next_bid"]
    return bid(server, guid, "probe", price).status_code == 201


def test_a_command_says_why_it_could_not_write(full_server: Server, disk: SmallDisk, data_dir: Path, guid: str) -> None:
    create(full_server, guid)
    disk.fill()
    until(lambda: is_told(full_server), "the news")
    made = command(data_dir, "bid", guid, "10.00", "--bidder", "ann")
    assert (made.returncode, made.stdout) == (1, "")
    (line,) = made.stderr.splitlines()
    assert line.startswith(f"sse-auction: {FULL}")
    assert command(data_dir, "price", guid).returncode == 0


async def test_a_store_that_the_disk_has_ended_is_started_again_at_once_and_refuses_writes(
    full_server: Server, disk: SmallDisk, data_dir: Path, guid: str
) -> None:
    """Like a file system that reserves no blocks and fills up before the next check."""
    server = full_server
    create(server, guid)
    assert bid(server, guid, "ann", "10.00").status_code == 201
    store = the_store_in(data_dir)
    async with open_stream(stream_url(server, guid)) as stream:
        before = await stream.next("price")
        await asyncio.to_thread(lose_the_reserve, disk, data_dir)
        after = await stream.next_epoch(before)
        assert (after.data["price"], after.data["rev"]) == ("10.00", before.data["rev"])
    until(lambda: is_told(server), "the news")
    assert the_store_in(data_dir) != store
    until(lambda: FULL in bid(server, guid, "bob", "11.00").json()["detail"], "a refused bid")
    disk.make_room()
    until(lambda: bid_is_taken(server, guid), "a bid")
    assert command(data_dir, "verify", guid).returncode == 0


def lose_the_reserve(disk: SmallDisk, data_dir: Path) -> None:
    """Fill the last byte of the log's own reserve too, and let the server write, although it would refuse."""
    (path,) = (data_dir / "appendonlydir").glob("*.incr.aof")
    os.truncate(path, path.stat().st_size)
    disk.fill()
    with redis.Redis(unix_socket_path=str(data_dir / "valkey.sock"), retry=Retry(NoBackoff(), 0)) as client:
        pipe = client.pipeline(transaction=False)
        pipe.execute_command("CONFIG", "SET", "min-replicas-to-write", "0")
        pipe.set("something", "x" * 100_000)
        with pytest.raises(redis.ConnectionError):
            pipe.execute()


def test_what_expires_meanwhile_writes_nothing(full_server: Server, disk: SmallDisk, data_dir: Path, guid: str) -> None:
    create(full_server, guid)
    disk.fill()
    with redis.Redis(unix_socket_path=str(data_dir / "valkey.sock"), retry=Retry(NoBackoff(), 0)) as client:
        until(lambda: client.config_get("import-mode")["import-mode"] == "yes", "the import mode")
        (path,) = (data_dir / "appendonlydir").glob("*.incr.aof")
        length = path.stat().st_size
        disk.make_room()
        until(lambda: bid_is_taken(full_server, guid), "a bid")
        client.set("short", "x", px=300)
        disk.fill()
        until(lambda: is_told(full_server), "the news")
        length = path.stat().st_size
        until(lambda: not client.exists("short"), "its end")
        assert client.dbsize() == len(list(client.scan_iter())) + 1
        assert path.stat().st_size == length
        disk.make_room()
        until(lambda: path.stat().st_size > length, "its deletion")


def test_workers_without_room_for_their_log_live_on_and_map_no_file_of_a_disk(
    disk: SmallDisk, data_dir: Path, guid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    (disk.path / "logs").mkdir()
    variables = {"SSE_AUCTION_DATA_DIR": str(data_dir), "REDIS_URL": ""}
    with running_server(disk.path / "logs", WEB_CONCURRENCY="2", **variables) as server:
        create(server, guid)
        until(lambda: len(server.workers()) == 2, "both workers")
        workers = server.workers()
        for worker in workers:
            assert "/dev/shm/sse-auction-metrics-" in Path(f"/proc/{worker}/maps").read_text()
        disk.fill()
        until(lambda: is_told(server), "the news")
        for number in range(200):  # new series of metrics, and lines of the log
            assert bid(server, guid, f"bidder-{number}", "10.00").status_code == 503
            assert httpx.get(f"{server.url}/metrics").is_success
        disk.make_room()
        until(lambda: bid_is_taken(server, guid), "a bid")
        assert server.workers() == workers


def test_a_service_starts_on_a_full_disk_and_shows_what_there_is(
    full_server: Server, disk: SmallDisk, data_dir: Path, guid: str
) -> None:
    create(full_server, guid)
    assert bid(full_server, guid, "ann", "10.00").status_code == 201
    full_server.stop()
    assert stores_in(data_dir) == []
    disk.fill()
    full_server.restart_on_same_port()
    assert is_told(full_server)
    assert shown(full_server, guid)["price"] == "10.00"
    assert bid(full_server, guid, "bob", "11.00").status_code == 503
    disk.make_room()
    until(lambda: bid(full_server, guid, "bob", "11.00").status_code == 201, "a bid")


def test_what_another_user_switched_off_before_it_left_is_switched_on_by_the_others(
    full_server: Server, data_dir: Path, guid: str
) -> None:
    create(full_server, guid)
    with redis.Redis(unix_socket_path=str(data_dir / "valkey.sock"), retry=Retry(NoBackoff(), 0)) as client:
        client.config_set("min-replicas-to-write", 1)
        client.config_set("import-mode", "yes")
        client.config_set("auto-aof-rewrite-percentage", 0)
        until(lambda: bid_is_taken(full_server, guid), "a bid")
        until(lambda: client.config_get("import-mode")["import-mode"] == "no", "the deletion of what expires")
        client.config_set("import-mode", "yes")
        client.config_set("auto-aof-rewrite-percentage", 0)
        until(lambda: client.config_get("auto-aof-rewrite-percentage") == {"auto-aof-rewrite-percentage": "100"}, "it")
        assert client.config_get("import-mode")["import-mode"] == "no"
