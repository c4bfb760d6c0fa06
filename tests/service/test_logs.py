"""The log for operators: JSON lines, or lines for people; a request's id; one line per end of a stream."""

import logging
import os
import pty
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from sse_auction import logs
from tests.support.harness import (
    DEADLINE_SECONDS,
    Server,
    StoreProcess,
    bidder,
    create,
    open_stream,
    running_server,
    server_process,
    stream_url,
    until,
)


@pytest.mark.parametrize("given", ["from-the-proxy", "9f1c:2/4+a=", ""])
async def test_a_line_about_a_request_has_the_id_that_its_response_has(service: Server, guid: str, given: str) -> None:
    create(service, guid)
    headers = {"X-Request-ID": given} if given else {}
    async with httpx.AsyncClient(base_url=service.url) as client:
        async with client.stream("GET", f"/auctions/{guid}/stream", headers=headers) as reply:
            await anext(reply.aiter_raw())
        request_id = reply.headers["x-request-id"]
        assert request_id == given or (not given and request_id)
        until(lambda: service.log_lines(request=request_id), "the line of the stream's end")
    (line,) = service.log_lines(request=request_id)
    assert (line["reason"], line["auctions"], line["events"]) == ("gone", [guid], 1)
    assert line["age_seconds"] >= 0
    assert {"time", "level", "logger", "process", "message"} <= line.keys()


def test_ids_are_in_every_reply_and_no_two_are_alike(service: Server, guid: str) -> None:
    create(service, guid)
    headers = bidder("ann")
    with httpx.Client(base_url=service.url) as client:
        replies = [
            client.get(f"/auctions/{guid}/price"),
            client.get(f"/auctions/{guid}-none/price"),
            client.post(f"/auctions/{guid}/bids", json={"price": "1"}, headers=headers),
            client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}, headers=headers),
            client.post(f"/auctions/{guid}/bids", json={"price": "10.00"}),
        ]
    assert [reply.status_code for reply in replies] == [200, 404, 409, 201, 401]
    assert len({reply.headers["x-request-id"] for reply in replies}) == len(replies)


@pytest.mark.parametrize("given", ["with space", "a" * 65, '"quoted"', "é"])
def test_an_id_that_might_be_something_else_is_replaced(service: Server, guid: str, given: str) -> None:
    headers = {"X-Request-ID": given.encode("latin-1")}
    reply = httpx.get(f"{service.url}/livez", headers=headers)  # type: ignore[arg-type]  # bytes are taken too
    assert reply.headers["x-request-id"] not in ("", given)


async def test_every_line_of_a_server_without_a_terminal_is_json(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url) as server:
        create(server, guid)
        async with open_stream(stream_url(server, guid)) as stream:
            await stream.next()
        assert server.stop() == 0
        lines = [line for line in server.log().splitlines() if not line.startswith("sse-auction is at")]
        assert lines
        assert len(server.log_lines()) == len(lines), server.log()


def test_a_terminal_gets_lines_for_people(valkey: StoreProcess, directory: Path) -> None:
    server = server_process(directory, REDIS_URL=valkey.url)
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                shown.extend(data)
        except OSError:  # the other end has been closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    process = subprocess.Popen(
        server.command, env={**os.environ, **server.environment}, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    try:
        until(lambda: b"Application startup complete." in shown, "the start")
    finally:
        process.terminate()
        process.wait(DEADLINE_SECONDS)
        reader.join(DEADLINE_SECONDS)
        os.close(ours)
    lines = shown.decode().splitlines()
    assert not [line for line in lines if line.startswith("{")]
    assert any(f"INFO     uvicorn.error[{process.pid}]: Application startup complete." in line for line in lines)


def test_a_repeated_failure_is_logged_once_and_then_counted() -> None:
    now = 0.0
    repeats = logs.Repeats(lambda: now)

    def let_through(message: str, level: int = logging.ERROR) -> str | None:
        record = logging.LogRecord("x", level, "x", 1, message, (), None)
        return record.getMessage() if repeats.filter(record) else None

    assert let_through("no store") == "no store"
    assert [let_through("no store") for _ in range(5)] == [None] * 5
    assert let_through("no disk") == "no disk", "another trouble is another line"
    assert let_through("a viewer left", logging.INFO) == let_through("a viewer left", logging.INFO) == "a viewer left"
    now = logs.REPEATS_SECONDS + 1
    assert let_through("no store") == "no store (and 5 times more before)"
    for number in range(5000):
        let_through(f"trouble {number}")
    assert len(repeats._met) <= 1000
