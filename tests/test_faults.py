"""A store that freezes, is busy, is not there or is too old; and ten thousand viewers who leave rudely."""

import asyncio
import os
import random
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import httpx
import pytest

from tests.harness import (
    OPERATOR,
    PATIENCE_SECONDS,
    SECRET,
    EventReader,
    Server,
    StoreProcess,
    bid,
    bidder,
    create,
    free_port,
    open_stream,
    running_server,
    running_store,
    until,
    until_async,
)

NOTICED_WITHIN_SECONDS = 3.5  # 3 s are promised
TRUE_AGAIN_WITHIN_SECONDS = 3.0  # 2 s are promised
ANSWERED_WITHIN_SECONDS = 3.0  # the deadline of 2 s, and what a busy machine adds


def now_ms() -> int:
    return int(time.time() * 1000)


def stream_url(server: Server, guid: str) -> str:
    return f"{server.url}/auctions/{guid}/stream"


@pytest.fixture(scope="module", params=["valkey", "redis"])
def frail(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store of this module's own, to be frozen and thawed."""
    directory = tmp_path_factory.mktemp(f"frail-{request.param}")
    with running_store(request.param, directory, "--busy-reply-threshold", "50") as store:
        yield store


@pytest.fixture(scope="module")
def service(frail: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service on it, never restarted whatever happens here."""
    with running_server(tmp_path_factory.mktemp("service"), REDIS_URL=frail.url) as server:
        yield server


@asynccontextmanager
async def frozen(store: StoreProcess) -> AsyncIterator[float]:
    """The store stopped by SIGSTOP; gives the moment at which that was."""
    store.send_signal(signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        store.send_signal(signal.SIGCONT)


def wait_for_a_look(store: StoreProcess) -> None:
    """Return right after the service has asked for the time: a freeze is then noticed as late as it can be."""
    with store.client() as site:

        def looks() -> int:
            calls: int = site.info("commandstats").get("cmdstat_time", {}).get("calls", 0)
            return calls

        before = looks()
        until(lambda: looks() > before, "the next look")


async def liveness(stream: EventReader, live: bool) -> float:
    """The moment at which a stream said that prices are live, or that they are not."""
    while (await stream.next("hb")).data["live"] is not live:
        pass
    return time.monotonic()


def assert_unavailable(reply: httpx.Response) -> None:
    assert reply.status_code == 503, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert int(reply.headers["retry-after"]) > 0
    assert (reply.json()["code"], reply.json()["status"]) == ("store_unavailable", 503)
    assert reply.elapsed.total_seconds() < ANSWERED_WITHIN_SECONDS


# --- frozen ------------------------------------------------------------------------------------------------------


def test_every_stream_is_told_of_a_freeze_and_is_true_again_after_the_thaw(
    frail: StoreProcess, service: Server, guid: str, run: Callable[..., Any]
) -> None:
    guids = [f"{guid}-{number}" for number in range(5)]

    async def look() -> None:
        async with AsyncExitStack() as open_streams:
            urls = [stream_url(service, each) for each in guids for _ in range(4)]
            urls.append(f"{service.url}/auctions/stream?guid={guids[0]}&guid={guids[1]}")
            streams = [await open_streams.enter_async_context(open_stream(url)) for url in urls]
            for stream in streams:
                assert (await stream.next()).name == "price"
            await asyncio.to_thread(wait_for_a_look, frail)
            async with frozen(frail) as frozen_at:
                told = await asyncio.gather(*(liveness(stream, False) for stream in streams))
                assert max(told) - frozen_at < NOTICED_WITHIN_SECONDS
                assert service.metric("sse_auction_mirror_live") == 0
                async with open_stream(urls[0]) as newcomer:
                    first, then = await newcomer.next(), await newcomer.next()
                assert (first.name, first.data["status"]) == ("price", "unknown"), "the last that is known"
                assert (then.name, then.data["live"]) == ("hb", False)
            thawed_at = time.monotonic()
            told = await asyncio.gather(*(liveness(stream, True) for stream in streams))
            assert max(told) - thawed_at < TRUE_AGAIN_WITHIN_SECONDS
            assert service.metric("sse_auction_mirror_live") == 1
            with frail.client() as site:
                site.mset({f"AuctionMaxPrice-{each}": "77.00" for each in guids})
            shown = await asyncio.gather(*(stream.next("price") for stream in streams))
            assert {event.data["price"] for event in shown} == {"77.00"}
            assert time.monotonic() - thawed_at < TRUE_AGAIN_WITHIN_SECONDS

    run(look())


def test_requests_are_answered_in_time_while_the_store_is_frozen(
    frail: StoreProcess, service: Server, guid: str, run: Callable[..., Any]
) -> None:
    """At any moment of the freeze: before it is noticed, when it is, and after."""
    create(service, guid)

    async def look() -> None:
        async with (
            open_stream(stream_url(service, guid)) as stream,
            httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_SECONDS) as client,
        ):
            await stream.next()
            async with frozen(frail):
                early = asyncio.ensure_future(ask(client, f"{guid}-other"))
                busy = asyncio.ensure_future(first_busy(service, f"{guid}-new"))
                await liveness(stream, False)
                for reply in [*await early, *await ask(client, f"{guid}-other"), *await ask(client, guid)]:
                    assert_unavailable(reply)
                assert (await busy)["reason"] == "store_unavailable"
                assert (await client.get("/readyz")).status_code == 503
                assert (await client.get("/livez")).status_code == 200
            await liveness(stream, True)
            assert (await client.get(f"/auctions/{guid}/price")).status_code == 200
            await until_async(lambda: is_ready(client), "readiness")

    run(look())


async def ask(client: httpx.AsyncClient, guid: str) -> list[httpx.Response]:
    """One request of each kind that needs the store."""
    price = {"price": "10.00"}
    return await asyncio.gather(
        client.get(f"/auctions/{guid}/price"),
        client.get(f"/auctions/{guid}/price?wait=30"),
        client.get(f"/auctions/{guid}"),
        client.get(f"/auctions/{guid}/bids"),
        client.get("/auctions"),
        client.post(f"/auctions/{guid}/bids", json=price, headers=bidder("ann")),
        client.post("/auctions", json={"title": "x", "start_price": "1.00", "closes_at": 2**42}, headers=OPERATOR),
    )


async def is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).is_success


async def first_busy(server: Server, guid: str) -> dict[str, Any]:
    """What a stream says that cannot be had now."""
    async with open_stream(stream_url(server, guid)) as stream:
        (event,) = await stream.rest()
    assert event.name == "busy"
    assert stream.retry_ms[0] >= 5000
    return event.data


def test_a_bid_that_was_answered_503_is_not_counted_after_the_thaw(
    frail: StoreProcess, service: Server, guid: str, run: Callable[..., Any]
) -> None:
    """Wherever its time falls: the later ones wait on a connection that is given up for the first one's silence."""
    create(service, guid)
    assert bid(service, guid, "ann", "10.00").status_code == 201

    async def look() -> None:
        async with httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_SECONDS) as client:
            async with frozen(frail):
                bids = []
                for number in range(8):
                    price = {"price": f"{20 + number}.00"}
                    headers = bidder(f"bidder-{number}")
                    bids.append(
                        asyncio.ensure_future(client.post(f"/auctions/{guid}/bids", json=price, headers=headers))
                    )
                    await asyncio.sleep(0.25)  # spread over a deadline
                for reply in await asyncio.gather(*bids):
                    assert_unavailable(reply)
            await until_async(lambda: is_ready(client), "readiness")
            again = await client.post(f"/auctions/{guid}/bids", json={"price": "11.00"}, headers=bidder("bob"))
            assert (again.status_code, again.json()["seq"]) == (201, 2)
            history = (await client.get(f"/auctions/{guid}/bids")).json()["bids"]
            assert [each["price"] for each in history] == ["10.00", "11.00"]

    run(look())


def test_openings_and_closings_that_fell_into_a_freeze_are_shown_after_it(
    frail: StoreProcess, service: Server, guid: str, run: Callable[..., Any]
) -> None:
    moment = now_ms() + 4000
    opening, closing = f"{guid}-opening", f"{guid}-closing"
    create(service, opening, opens_at=moment)
    create(service, closing, closes_at=moment)

    async def look() -> None:
        async with (
            open_stream(stream_url(service, opening)) as upcoming,
            open_stream(stream_url(service, closing)) as ending,
        ):
            assert (await upcoming.next()).data["status"] == "upcoming"
            assert (await ending.next()).data["status"] == "open"
            async with frozen(frail):
                await liveness(upcoming, False)
                await until_async(lambda: asyncio.sleep(0, now_ms() > moment), "the moment")
            thawed_at = time.monotonic()
            assert (await upcoming.next("price")).data["status"] == "open"
            events = await ending.rest()
            assert events[-1].name == "closed"
            assert events[-1].data["now"] >= moment
            assert time.monotonic() - thawed_at < TRUE_AGAIN_WITHIN_SECONDS

    run(look())


def test_a_store_that_is_busy_with_an_endless_script_is_not_live_until_that_is_killed(
    frail: StoreProcess, service: Server, guid: str, run: Callable[..., Any]
) -> None:
    create(service, guid)

    async def look() -> None:
        async with (
            open_stream(stream_url(service, guid)) as stream,
            httpx.AsyncClient(base_url=service.url, timeout=PATIENCE_SECONDS) as client,
        ):
            await stream.next()
            with frail.client() as site, frail.client() as other:
                endless = threading.Thread(target=run_endless_script, args=(other,))
                endless.start()
                await liveness(stream, False)
                assert_unavailable(await client.get(f"/auctions/{guid}/price"))
                headers = bidder("ann")
                reply = await client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=headers)
                assert_unavailable(reply)
                site.script_kill()
                await liveness(stream, True)
                endless.join()
            assert (await client.get(f"/auctions/{guid}/price")).status_code == 200

    run(look())
    complaints = service.log().count("BUSY")
    assert complaints <= 3, f"{complaints} lines about one trouble"


def run_endless_script(site: Any) -> None:
    with pytest.raises(Exception, match="killed"):
        site.eval("while true do end", 0)


# --- not usable at all -------------------------------------------------------------------------------------------


class OldRedis(socketserver.BaseRequestHandler):
    """Just enough of a Redis 6.0.16 to be asked for its version; no package of one exists any more."""

    def handle(self) -> None:
        info = b"redis_version:6.0.16\r\nrun_id:0\r\n"
        answers = {
            b"HELLO": b"%3\r\n+server\r\n+redis\r\n+version\r\n+6.0.16\r\n+proto\r\n:3\r\n",
            b"INFO": b"$%d\r\n%s\r\n" % (len(info), info),
        }
        reader = hiredis.Reader()
        while received := self.request.recv(65536):
            reader.feed(received)
            while command := reader.gets():
                self.request.sendall(answers.get(command[0], b"-ERR unknown command\r\n"))


@pytest.fixture(scope="module")
def old_redis() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OldRedis) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def no_redis() -> str:
    return f"redis://127.0.0.1:{free_port()}"


def attempt(url: str, directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"REDIS_URL": url, "SSE_AUCTION_SECRET": SECRET, "SSE_AUCTION_DATA_DIR": str(directory / "data")}
    return subprocess.run(
        [sys.executable, "-m", *command], env={**os.environ, **environment},
        capture_output=True, text=True, timeout=3 * PATIENCE_SECONDS,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--port", "0"],
        ["serve", "--port", "0", "--workers", "2"],
        ["price", "x"],
        ["create", "Vase", "--start-price", "1.00", "--closes", "+1h"],
    ],
    ids=lambda command: " ".join(command),
)
def test_an_unreachable_store_is_one_sentence_and_exit_code_1(
    no_redis: str, directory: Path, command: list[str]
) -> None:
    result = attempt(no_redis, directory, "sse_auction", *command)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("sse-auction: the store is not reachable: ")


@pytest.mark.parametrize("command", [["serve", "--port", "0"], ["bid", "x", "1.00", "--bidder", "ann"]])
def test_a_store_that_is_too_old_is_one_sentence_with_its_version_and_exit_code_1(
    old_redis: str, directory: Path, command: list[str]
) -> None:
    result = attempt(old_redis, directory, "sse_auction", *command)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "sse-auction: the store is Redis 6.0.16; 6.2 or newer, or Valkey, is needed\n"


def test_something_else_than_a_store_is_one_sentence_and_exit_code_1(server: Server, directory: Path) -> None:
    result = attempt(f"redis://127.0.0.1:{server.port}", directory, "sse_auction", "price", "x")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("sse-auction: the store is not reachable: ")


def test_under_any_other_server_the_start_fails_with_that_sentence(no_redis: str, directory: Path) -> None:
    app = ["uvicorn", "sse_auction.app:create_app", "--factory", "--port", str(free_port())]
    result = attempt(no_redis, directory, *app)
    assert result.returncode != 0
    assert "the store is not reachable: " in result.stderr


# --- ten thousand visits -----------------------------------------------------------------------------------------

VISITS, AUCTIONS, AT_ONCE = 10_000, 200, 300


def test_ten_thousand_visits_leave_nothing_behind(
    valkey: StoreProcess, directory: Path, guid: str, run: Callable[..., Any]
) -> None:
    guids = [f"{guid[:8]}-{number}" for number in range(AUCTIONS)]

    def left(server: Server) -> tuple[float, float, int]:
        assert server.process is not None
        descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        return server.metric("sse_auction_streams"), server.metric("sse_auction_rooms"), descriptors

    def tracked() -> int:
        with valkey.client() as site:
            count: int = site.info("stats")["tracking_total_keys"]
            return count

    with (
        running_server(directory, REDIS_URL=valkey.url) as server,
        httpx.Client(base_url=server.url, headers=OPERATOR) as client,
    ):
        for each in guids:
            terms = {"guid": each, "title": each, "start_price": "1.00", "closes_at": now_ms() + 3_600_000}
            assert client.post("/auctions", json=terms).status_code == 201
        base, tracked_before = left(server), tracked()
        assert base[:2] == (0, 0)
        run(visit_all(server.port, guids))
        until(lambda: left(server) == base, "the end of every stream, room and descriptor")
        reads = server.metric("sse_auction_mirror_reads_total")
        assert reads >= AUCTIONS
        for each in guids:
            reply = client.post(f"/auctions/{each}/bids", json={"price": "1.00"}, headers=bidder("ann"))
            assert reply.status_code == 201
        until(lambda: tracked() <= tracked_before, "the store's forgetting what was watched")
        assert server.metric("sse_auction_mirror_reads_total") == reads, "an auction that nobody watches was read"


async def visit_all(port: int, guids: list[str]) -> None:
    turns = iter(range(VISITS))

    async def visit_in_turn() -> None:
        for number in turns:
            await visit(port, number, guids)

    await asyncio.gather(*(visit_in_turn() for _ in range(AT_ONCE)))


async def visit(port: int, number: int, guids: list[str]) -> None:
    """Come in one of several ways, stay for the first state or not, and leave without a word or with a reset."""
    guid = guids[number % len(guids)]
    ways = (
        (f"{guid}/stream", b"event: price"),
        (f"{guid}/stream", b"event: price"),
        (f"{guid}/stream", b""),
        (f"stream?guid={guid}&guid={random.choice(guids)}", b"event: price"),
        (f"{guid}/price?wait=30", b""),
    )
    path, wanted = ways[number % len(ways)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /auctions/{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        if wanted:
            await reader.readuntil(wanted)
        if number % 3 == 0:
            linger = b"\x01\0\0\0\0\0\0\0"  # on, 0 seconds: the kernel sends a reset
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    finally:
        writer.transport.abort()
