"""What an operator sees: probes and metrics, of one process or several."""

import asyncio
import os
import re
import signal
import socket
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.harness import (
    DEADLINE_SECONDS,
    OPERATOR,
    Server,
    StoreProcess,
    bid,
    bidder,
    create,
    open_stream,
    running_server,
    running_store,
    until,
)
from tests.support.openapi_client import openapi_client, problem


def test_probes_of_a_sound_process(any_server: Server) -> None:
    with openapi_client(any_server) as client:
        for path in ("/livez", "/readyz"):
            reply = client.get(path)
            assert (reply.status_code, reply.json()) == (200, {"ok": True, "trouble": None})
            assert reply.headers["cache-control"] == "no-store"


def test_a_lost_store_turns_readiness_red_but_not_liveness(directory: Path, guid: str) -> None:
    """A restart of this process would not bring the store back."""
    with (
        running_store("valkey", directory) as store,
        running_server(directory, REDIS_URL=store.url) as server,
        openapi_client(server) as client,
    ):
        create(server, guid)
        store.stop()
        until(lambda: client.get("/readyz").status_code == 503, "the probe to turn red")
        assert client.get("/readyz").json() == {"ok": False, "trouble": "the store does not answer"}
        assert client.get("/livez").status_code == 200
        assert server.metric("sse_auction_mirror_live") == 0
        refused = client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=bidder("ann"))
        assert (refused.status_code, problem(refused)["code"]) == (503, "store_unavailable")
        assert refused.headers["retry-after"] == str(problem(refused)["retry_after"])
        assert server.metric("sse_auction_bids_total", result="store_unavailable") == 1
        assert server.metric("sse_auction_store_errors_total", kind="unreachable") >= 1
        store.start()
        until(lambda: client.get("/readyz").status_code == 200, "the probe to turn green again")
        assert server.metric("sse_auction_mirror_live") == 1


def test_a_store_that_refuses_to_write_is_unavailable(directory: Path, guid: str) -> None:
    with (
        running_store("valkey", directory) as store,
        running_server(directory, REDIS_URL=store.url) as server,
        openapi_client(server) as client,
        store.client() as admin,
    ):
        create(server, guid)
        admin.config_set("maxmemory", 1)
        refused = client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=bidder("ann"))
        assert (refused.status_code, problem(refused)["code"]) == (503, "store_unavailable")
        assert "maxmemory" not in refused.text, "the store's own words are for the log"
        assert "OOM" in server.log()
        assert server.metric("sse_auction_store_errors_total", kind="refused") == 1
        assert client.get(f"/auctions/{guid}/price").json()["price"] is None
        admin.config_set("maxmemory", 0)
        assert bid(server, guid, "ann", "10.00").status_code == 201


async def test_each_metric_counts_what_it_says(valkey: StoreProcess, directory: Path, guid: str) -> None:
    with running_server(directory, REDIS_URL=valkey.url) as server:
        create(server, guid)
        url = f"{server.url}/auctions/{guid}/stream"
        async with open_stream(url) as one, open_stream(url) as two, open_stream(url.replace(guid, "other")) as other:
            for stream in (one, two, other):
                await stream.next()
            assert server.metric("sse_auction_streams") == 3
            assert server.metric("sse_auction_rooms") == 2
            reads = server.metric("sse_auction_mirror_reads_total")
            delivered = server.metric("sse_auction_states_delivered_total")
            fanouts = server.metric("sse_auction_fanout_seconds_count")
            noticed = server.metric("sse_auction_mirror_read_seconds_count")
            assert (await asyncio.to_thread(bid, server, guid, "ann", "10.00")).status_code == 201
            for stream in (one, two):
                assert (await stream.next("price")).data["price"] == "10.00"
            assert server.metric("sse_auction_mirror_reads_total") == reads + 1
            assert server.metric("sse_auction_states_delivered_total") == delivered + 2, "one for each of its viewers"
            assert server.metric("sse_auction_fanout_seconds_count") == fanouts + 1
            assert server.metric("sse_auction_mirror_read_seconds_count") == noticed + 1
        until(lambda: server.metric("sse_auction_streams") == 0, "the viewers to be forgotten")
        assert server.metric("sse_auction_rooms") == 0
        assert server.metric("sse_auction_streams_ended_total", reason="gone") == 3
        count_bids(server, guid)


def count_bids(server: Server, guid: str) -> None:
    """Bids are counted by their result, and each is timed."""
    url = f"{server.url}/auctions/{guid}/bids"
    keyed = {**bidder("bob"), "Idempotency-Key": "k"}
    sent = [
        ("accepted", {"json": {"price": "11.00"}, "headers": keyed}),
        ("replayed", {"json": {"price": "11.00"}, "headers": keyed}),
        ("too_low", {"json": {"price": "11.00"}, "headers": bidder("ann")}),
        ("too_high", {"json": {"price": "99999.00"}, "headers": bidder("ann")}),
        ("already_leading", {"json": {"price": "12.00"}, "headers": bidder("bob")}),
        ("invalid", {"json": {"price": 12}, "headers": bidder("ann")}),
        ("invalid", {"content": b"{", "headers": bidder("ann")}),
        ("too_large", {"content": b" " * 20_000, "headers": bidder("ann")}),
        ("unauthorized", {"json": {"price": "12.00"}}),
        ("forbidden", {"json": {"price": "12.00"}, "headers": bidder("ann", auctions=[])}),
    ]
    timed = server.metric("sse_auction_bid_seconds_count")
    for number, (result, options) in enumerate(sent, 1):
        before = server.metric("sse_auction_bids_total", result=result)
        httpx.post(url, **options)  # type: ignore[arg-type]  # mixed options
        assert server.metric("sse_auction_bids_total", result=result) == before + 1, result
        assert server.metric("sse_auction_bid_seconds_count") == timed + number
    assert server.metric("sse_auction_bid_seconds_sum") > 0
    assert server.metric("sse_auction_bids_total", result="error") == 0


def test_metrics_are_in_prometheus_text_format(any_server: Server, guid: str) -> None:
    create(any_server, guid)
    bid(any_server, guid, "ann", "10.00")
    with openapi_client(any_server) as client:
        reply = client.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    sample = re.compile(r'\w+(\{\w+="[^"]*"(,\w+="[^"]*")*,?\})? \S+')
    for line in reply.text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line), line
    assert guid not in reply.text, "a label per auction would grow without end"
    assert "ann" not in re.findall(r'"([^"]*)"', reply.text)


def test_states_that_a_slow_viewer_never_took_are_counted(directory: Path, guid: str) -> None:
    with (
        running_store("valkey", directory) as store,
        running_server(directory, REDIS_URL=store.url, SSE_AUCTION_MAX_RATE="1000") as server,
        store.client() as site,
        socket.socket() as viewer,
    ):
        create(server, guid, title="\U0001f3fa" * 200)  # a state of a kilobyte fills the buffers sooner
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.connect(("127.0.0.1", server.port))
        viewer.sendall(f"GET /auctions/{guid}/stream HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        until(lambda: server.metric("sse_auction_streams") == 1, "the stream")
        price = iter(range(1, 10**9))

        def raise_price() -> float:
            for _ in range(200):
                site.set(f"AuctionMaxPrice-{guid}", str(next(price)))
            return server.metric("sse_auction_states_conflated_total")

        until(raise_price, "a state that was replaced by a newer one", within_seconds=40)


async def test_streams_that_are_turned_away_are_counted(valkey: StoreProcess, directory: Path, guid: str) -> None:
    async def _events(url: str) -> list[Any]:
        async with open_stream(url) as stream:
            return await stream.rest()

    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_MAX_STREAMS="1") as server:
        url = f"{server.url}/auctions/{guid}/stream"
        async with open_stream(url) as stream:
            await stream.next()
            assert [event.name for event in await _events(url)] == ["busy"]
        assert server.metric("sse_auction_streams_refused_total", reason="too_many_streams") == 1


async def test_several_workers_count_as_one(valkey: StoreProcess, directory: Path, guid: str) -> None:
    viewers = 24
    with running_server(directory, REDIS_URL=valkey.url, WEB_CONCURRENCY="2") as server:
        until(lambda: len(server.workers()) == 2, "both workers")
        create(server, guid)
        async with AsyncExitStack() as stack:
            url = f"{server.url}/auctions/{guid}/stream"
            streams = [await stack.enter_async_context(open_stream(url)) for _ in range(viewers)]
            for stream in streams:
                assert (await stream.next()).data["price"] is None
            assert server.metric("sse_auction_streams") == viewers
            rooms = server.metric("sse_auction_rooms")
            assert rooms in (1, 2), "one in each worker that has a viewer"
            before = server.metric("sse_auction_states_delivered_total")
            for number in range(6):
                reply = await asyncio.to_thread(bid, server, guid, f"b{number % 2}", f"{10 + number}.00")
                assert reply.status_code == 201, "on any worker"
            for stream in streams:
                while (await stream.next("price")).data["price"] != "15.00":
                    pass
            # Another worker may answer before the one that delivered has counted it.
            until(lambda: server.metric("sse_auction_states_delivered_total") >= before + viewers, "all deliveries")
            until(lambda: server.metric("sse_auction_bids_total", result="accepted") == 6, "all bids")
            until(lambda: server.metric("sse_auction_bid_seconds_count") == 6, "all durations")
            assert server.metric("sse_auction_mirror_live") == 1
        until(lambda: server.metric("sse_auction_streams") == 0, "the viewers to be forgotten")
        assert server.metric("sse_auction_rooms") == 0
        assert server.stop() == 0


async def test_a_worker_that_was_killed_is_replaced_and_its_viewers_are_no_longer_counted(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url, WEB_CONCURRENCY="2") as server:
        create(server, guid)
        until(lambda: len(server.workers()) == 2, "both workers")
        workers = server.workers()
        async with AsyncExitStack() as stack:
            url = f"{server.url}/auctions/{guid}/stream"
            for _ in range(8):
                await (await stack.enter_async_context(open_stream(url))).next()
            for pid in workers:
                os.kill(pid, signal.SIGKILL)
            until(lambda: len(server.workers()) == 4, "new workers")
            until(lambda: _ready(server), "the new workers to serve")
            until(lambda: server.metric("sse_auction_streams") == 0, "the dead workers' viewers to be left out")


def _ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("kind", ["serve", "uvicorn"])
async def test_readiness_fails_before_the_streams_end_and_the_listener_closes(
    valkey: StoreProcess, directory: Path, guid: str, kind: str
) -> None:
    with running_server(directory, kind, REDIS_URL=valkey.url, SSE_AUCTION_DRAIN_SECONDS="3") as server:
        create(server, guid)
        async with open_stream(f"{server.url}/auctions/{guid}/stream") as stream:
            await stream.next()
            server.send_signal(signal.SIGTERM)
            await asyncio.to_thread(until, lambda: httpx.get(f"{server.url}/readyz").status_code == 503, "its failure")
            assert await asyncio.to_thread(lambda: httpx.get(f"{server.url}/livez").status_code) == 200
            assert server.metric("sse_auction_streams") == 1, "it is open still"
            until(lambda: server.metric("sse_auction_draining") == 1, "the gauge")
            reply = await asyncio.to_thread(bid, server, guid, "ann", "10.00")
            assert reply.status_code == 201, "bids are taken until the end"
            async with open_stream(f"{server.url}/auctions/{guid}/stream") as newcomer:
                (event,) = await newcomer.rest()
            assert (event.name, event.data["reason"]) == ("busy", "draining")
            assert max(newcomer.retry_ms) <= 3000, "another process may have room at once"
            await stream.rest()
            assert 500 <= stream.retry_ms[-1] <= 3000
        server.stop()


@pytest.mark.parametrize("kind", ["serve", "uvicorn"])
def test_a_held_poll_ends_when_its_poller_leaves(valkey: StoreProcess, directory: Path, guid: str, kind: str) -> None:
    with running_server(directory, kind, REDIS_URL=valkey.url) as server:
        create(server, guid)
        with socket.create_connection(("127.0.0.1", server.port)) as poller:
            held = f"GET /auctions/{guid}/price?wait=30 HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n"
            poller.sendall(held.encode())
            until(lambda: server.metric("sse_auction_rooms") == 1, "the poll to be held")
        until(lambda: server.metric("sse_auction_rooms") == 0, "its end, which by itself would come in 30 s")


async def test_a_poller_that_has_seen_more_than_this_process_is_not_shown_less(
    valkey: StoreProcess, service: Server, directory: Path, guid: str
) -> None:
    """With a pace of ten seconds, a process that watches an auction shows late what another one has decided."""
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_MAX_RATE="0.1") as server:
        create(server, guid)
        async with open_stream(f"{server.url}/auctions/{guid}/stream") as stream, httpx.AsyncClient() as client:
            await stream.next()
            for who, price in (("ann", "10.00"), ("bob", "20.00"), ("ann", "30.00")):
                reply = await asyncio.to_thread(bid, service, guid, who, price)
            answered = reply.json()["state"]
            url = f"{server.url}/auctions/{guid}/price"
            assert (await client.get(url)).json()["rev"] < answered["rev"], "it is behind"
            known = {"If-None-Match": f'"{answered["tag"]}"'}
            assert (await client.get(url, headers=known)).status_code == 304


async def test_polls_and_bids_that_come_while_it_leaves_are_answered_properly(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    """Requests at any moment until the listener closes, held ones too; none gets an error of the service."""
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_DRAIN_SECONDS="1") as server:
        tag = create(server, guid)["state"]["tag"]
        held, path = {"If-None-Match": f'"{tag}"'}, f"/auctions/{guid}"
        async with httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_SECONDS) as client:

            async def ask(after_seconds: float) -> tuple[int, int] | None:
                await asyncio.sleep(after_seconds)
                with suppress(httpx.TransportError):  # the listener has been closed
                    poll = client.get(f"{path}/price?wait=25", headers=held)
                    low = client.post(f"{path}/bids", json={"price": "1.00"}, headers=bidder("ann"))
                    answers = await asyncio.gather(poll, low)
                    return answers[0].status_code, answers[1].status_code
                return None

            server.send_signal(signal.SIGTERM)
            asked = await asyncio.gather(*(ask(number / 10) for number in range(12)))
        assert set(asked) - {None} == {(304, 409)}
        assert server.stop() == 0


def test_a_second_signal_stops_it_at_once(valkey: StoreProcess, directory: Path) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_DRAIN_SECONDS="500") as server:
        server.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503, "its draining")
        assert server.stop(signal.SIGTERM) == 0


def test_ctrl_c_without_streams_ends_at_once(valkey: StoreProcess, directory: Path) -> None:
    with running_server(directory, REDIS_URL=valkey.url, SSE_AUCTION_DRAIN_SECONDS="500") as server:
        assert server.stop(signal.SIGINT) == 0


async def test_a_frozen_store_shows_in_the_gauges(directory: Path, guid: str) -> None:
    with (
        running_store("valkey", directory) as store,
        running_server(directory, REDIS_URL=store.url, SSE_AUCTION_STORE_TIMEOUT_SECONDS="0.5") as server,
    ):
        create(server, guid)
        async with open_stream(f"{server.url}/auctions/{guid}/stream") as stream:
            await stream.next()
            assert server.metric("sse_auction_mirror_staleness_seconds") < 3
            missed = server.metric("sse_auction_deadlines_missed_total")
            with store.frozen():
                reply = await asyncio.to_thread(bid, server, guid, "ann", "10.00")
                assert reply.status_code == 503
                until(lambda: server.metric("sse_auction_mirror_staleness_seconds") > 3, "staleness")
            assert server.metric("sse_auction_deadlines_missed_total", connection="store") >= 1
            assert server.metric("sse_auction_deadlines_missed_total") > missed
            until(lambda: server.metric("sse_auction_mirror_staleness_seconds") < 1.5, "freshness")
            assert server.metric("sse_auction_store_seconds_count", connection="store") > 0
            assert server.metric("sse_auction_store_seconds_count", connection="mirror") > 0


@pytest.mark.parametrize("kind", ["serve", "uvicorn"])
def test_a_clean_stop_says_nothing_of_errors(valkey: StoreProcess, directory: Path, guid: str, kind: str) -> None:
    with running_server(directory, kind, REDIS_URL=valkey.url) as server:
        create(server, guid)
        assert httpx.post(f"{server.url}/auctions/{guid}/refresh", headers=OPERATOR).status_code == 202
        code = server.stop()
        assert code == 0 or kind == "uvicorn", "uvicorn ends by the signal that it got"
        assert "Traceback" not in server.log()
        assert not server.log_lines(level="ERROR") + server.log_lines(level="CRITICAL"), server.log()


def demo_lots(client: httpx.Client) -> dict[str, str | None]:
    """The prices of the demo's open lots, from all pages of the listing."""
    found: dict[str, str | None] = {}
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/auctions", params={"status": "open", "limit": 200, **cursor}).json()
        states = [each["state"] for each in page["auctions"]]
        found |= {state["guid"]: state["price"] for state in states if state["guid"].startswith("demo-")}
        if page["next"] is None:
            return found
        cursor = {"after": page["next"]}


def test_the_demo_keeps_its_lots_among_many_others_and_over_a_restart(directory: Path) -> None:
    def look(server: Server, known: set[str]) -> set[str]:
        with openapi_client(server) as client:
            until(lambda: len(demo_lots(client)) == 6, "the demo's lots")
            assert not known or demo_lots(client).keys() == known
            soon = {"title": "x", "start_price": "1.00", "closes_at": int(time.time() * 1000) + 90_000}
            for _ in range(51):
                assert client.post("/auctions", json=soon, headers=OPERATOR).status_code == 201
            shown = demo_lots(client)
            until(lambda: demo_lots(client) != shown, "a house bid")
            assert demo_lots(client).keys() == shown.keys(), "the same six"
            return set(shown)

    with running_store("valkey", directory) as store:
        lots: set[str] = set()
        for _ in range(2):
            with running_server(directory, REDIS_URL=store.url, SSE_AUCTION_DEMO="1") as server:
                lots = look(server, lots)
            (directory / "server.log").unlink()
