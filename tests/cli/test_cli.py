"""The command line: every command, against the store and against a service; as scripts and as people use it."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from sse_auction.cli import commands
from tests.support.commands import COMMAND, output, refusal, run_command, watching
from tests.support.harness import (
    DEADLINE_SECONDS,
    TOKENS,
    Server,
    StoreProcess,
    bid,
    create,
    now_ms,
    running_server,
    until,
)

# --- help and serve ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, *commands.commands])
def test_help_names_every_option(name: str | None) -> None:
    done = run_command(*([name] if name else []), "--help")
    assert (done.returncode, done.stderr) == (0, "")
    if name is None:
        assert set(commands.commands) <= set(done.stdout.split())
        return
    for parameter in commands.commands[name].params:
        shown = parameter.opts if isinstance(parameter, click.Option) else [parameter.human_readable_name.upper()]
        assert all(each in done.stdout for each in shown)


def test_wrong_usage_is_answered_with_the_usage() -> None:
    for arguments in (["nothing"], ["price", "a b"], ["bid", "x", "1"], ["token", "ann", "--auction", "a b"],
                      ["webhooks", "--retry", "a b"], ["load", "http://x", "--guid", "a b"]):  # fmt: skip
        done = run_command(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Usage:" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_guid_may_begin_with_a_dash(valkey: StoreProcess, guid: str) -> None:
    name = f"-x{guid}"
    where = {"REDIS_URL": valkey.url}
    made = run_command("create", "Desk", "--guid", name, "--start-price", "1", "--closes", "+1h", **where)
    assert made.returncode == 0
    for command, rest in (("price", []), ("bid", ["1"]), ("export", []), ("verify", []), ("watch", []), ("pause", []),
                          ("rename", ["Chair"])):  # fmt: skip
        options = {"bid": ["--bidder", "ann"], "pause": ["--reason", "x"], "rename": ["--reason", "x"]}.get(command, [])
        result = run_command(command, *options, name, *rest, **where)
        assert (result.returncode, result.stdout) == (2, "")
        (typed,) = re.findall(r"\[OPTIONS\] -- (.*)", " ".join(result.stderr.split()))
        assert typed.split()[0] == name
        if command != "watch":
            assert run_command(command, *options, "--", name, *rest, **where).returncode == 0
    typo = run_command("price", "x", "--jsno", **where)
    assert "Did you mean" in typo.stderr


def test_at_the_top_of_what_can_be_bid_there_is_no_next_bid(service: Server, valkey: StoreProcess, guid: str) -> None:
    create(service, guid, currency="JPY", start_price="9007199254740991", increments="flat:1")
    assert bid(service, guid, "ann", "9007199254740991").status_code == 201
    result = refusal(run_command("bid", guid, "9007199254740990", "--bidder", "bob", REDIS_URL=valkey.url))
    assert result == "9007199254740990 is too low, and no higher bid is possible than 9007199254740991 JPY"
    assert bid(service, guid, "bob", "5").json()["detail"] == result.replace("9007199254740990", "5", 1)
    assert "above the largest amount" in refusal(
        run_command("bid", guid, "9" * 17, "--bidder", "b", REDIS_URL=valkey.url)
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_serve_on_a_busy_port_reports_it(valkey: StoreProcess, workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_command("serve", "--port", str(port), "--workers", workers, REDIS_URL=valkey.url)
    assert refusal(done) == f"cannot listen on 127.0.0.1 port {port}: Address already in use"


def test_serve_where_there_is_no_such_address(valkey: StoreProcess) -> None:
    done = run_command("serve", "--host", "no-such-host.invalid", "--port", "0", REDIS_URL=valkey.url)
    assert refusal(done).startswith("cannot listen on no-such-host.invalid port 0: ")


# --- against the store, and against a service ------------------------------------------------------------------------


@pytest.fixture(params=["embedded", "service"])
def place(
    request: pytest.FixtureRequest, directory: Path, valkey: StoreProcess
) -> tuple[Mapping[str, str], Mapping[str, list[str]]]:
    """The target of commands: the environment, and the options that identify the operator and the bidder."""
    if request.param == "service":
        url = request.getfixturevalue("service").url
        operator, ann, bob = (TOKENS.issue(who, role=role) for who, role in WHO)
        return {"SSE_AUCTION_URL": url}, {
            "create": ["--token", operator], "ann": ["--token", ann], "bob": ["--token", bob]
        }  # fmt: skip
    return {"SSE_AUCTION_DATA_DIR": str(directory / "data")}, {
        "create": [],
        "ann": ["--bidder", "ann"],
        "bob": ["--bidder", "bob"],
    }


WHO: list[tuple[str, Any]] = [("the-house", "operator"), ("ann", "bidder"), ("bob", "bidder")]


def test_an_auction_can_be_created_bid_in_and_read(
    place: tuple[Mapping[str, str], Mapping[str, list[str]]], guid: str
) -> None:
    where, who = place
    terms = [
        "Ming 花瓶",
        "--guid",
        guid,
        "--start-price",
        "10.00",
        "--closes",
        "+2h",
        "--increments",
        "0:1.00,100:5.00",
    ]
    made = output(run_command("create", *terms, *who["create"], "--json", **where))
    assert (made["terms"]["title"], made["state"]["status"]) == ("Ming 花瓶", "open")
    assert made["terms"]["increments"] == [{"from": "0.00", "step": "1.00"}, {"from": "100.00", "step": "5.00"}]
    assert abs(made["terms"]["closes_at"] - time.time() * 1000 - 7_200_000) < 30_000
    assert "exists already" in refusal(run_command("create", *terms, *who["create"], **where))

    first = output(run_command("bid", guid, "10.00", *who["ann"], "--key", "k1", "--json", **where))
    assert (first["seq"], first["paddle"], first["state"]["price"]) == (1, 1, "10.00")
    again = output(run_command("bid", guid, "10.00", *who["ann"], "--key", "k1", "--json", **where))
    assert (again["seq"], again["state"]["bids"]) == (1, 1), "the same key counts once"
    low = run_command("bid", guid, "10.50", *who["bob"], **where)
    assert refusal(low) == "10.50 is too low; the next bid is 11.00 CNY"
    high = ["bid", guid, "2000.00", *who["bob"]]
    assert "confirm" in refusal(run_command(*high, **where))
    result = run_command(*high, "--confirm", **where)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("accepted as bid 2, paddle 2, leading: ")

    state = output(run_command("price", guid, "--json", **where))
    assert (state["price"], state["bids"], state["leader"]) == ("2000.00", 2, 2)
    assert run_command("price", guid, **where).stdout == (
        "Ming 花瓶 | open | 2000.00 CNY | next bid 2005.00 | 2 bids, paddle 2 leads\n"
    )


def test_operators_act_from_the_command_line(place: tuple[Any, Any], guid: str) -> None:
    where, who = place
    terms = ["Desk", "--guid", guid, "--start-price", "10.00", "--closes", "+2h", "--currency", "EUR",
             "--bidding", "proxy", "--reserve", "80.00", "--buy-now", "300.00:ceiling",
             "--soft-close", "60:90", "--hard-close", "+3h",
             "--max-extensions", "3", "--aligned", "--priority", "bob", "--seller", "sam"]  # fmt: skip
    made = output(run_command("create", *terms, *who["create"], "--json", **where))["terms"]
    assert made["buy_now"] == {"price": "300.00", "mode": "ceiling"}
    assert made["soft_close"] == {"window_s": 60, "extend_s": 90}
    assert (made["bidding"], made["aligned"], made["max_extensions"]) == ("proxy", True, 3)
    first = output(run_command("bid", guid, "--max", "50.00", *who["ann"], "--json", **where))
    assert (first["standing"], first["state"]["price"], first["state"]["reserve_met"]) == ("leading", "10.00", False)
    assert "is not a whole number" in refusal(run_command("bid", guid, "--max", "20.50", *who["bob"], **where))
    beaten = output(run_command("bid", guid, "20.00", *who["bob"], "--json", **where))
    assert (beaten["standing"], beaten["state"]["price"]) == ("outbid", "21.00")
    assert "has none" in refusal(run_command("bid", guid, *who["bob"], **where))

    def act(*arguments: str) -> str:
        result = run_command(*arguments, "--reason", "because", *who["create"], **where)
        assert (result.returncode, result.stderr) == (0, ""), result.stderr
        line: str = result.stdout
        return line

    assert "paused | reserve not met" in act("pause", guid)
    assert "is paused" in refusal(run_command("bid", guid, "30.00", *who["bob"], **where))
    again = run_command("pause", guid, "--reason", "x", *who["create"], **where)
    assert "is paused already" in refusal(again)
    assert "paused" not in act("resume", guid)
    assert act("rename", guid, "Walnut desk").startswith("Walnut desk | open")
    assert "next bid 22.00" in act("extend", guid, "--closes", "+4h")
    assert "| 10.00 EUR | next bid 11.00" in act("void", guid, "bob")
    assert "has no bids" in refusal(run_command("void", guid, "nobody", "--reason", "x", *who["create"], **where))
    assert "reserve not met" in act("close", guid)
    assert run_command("price", guid, "--json", **where).stdout.count('"outcome":"reserve_not_met"') == 1
    assert "is closed" in refusal(run_command("cancel", guid, "--reason", "x", *who["create"], **where))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "x" * 201, "--start-price", "1", "--closes", "+1h"], "title"),
        (["create", "x", "--start-price", "1", "--closes", "1000"], "closes_at 1000"),
        (["create", "x", "--start-price", "1", "--closes", "9" * 20], "closes_at"),
        (["create", "x", "--start-price", "1", "--closes", "+1h", "--increments", "0:1,5"], "''"),
        (["create", "x", "--start-price", "1", "--closes", "+1h", "--seller", "ann\udcff"], "not valid UTF-8"),
        (["token", "x" * 129], "'sub'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(valkey: StoreProcess, arguments: list[str], said: str) -> None:
    assert said in refusal(run_command(*arguments, REDIS_URL=valkey.url))


def test_without_a_store_there_is_one_sentence(directory: Path) -> None:
    for arguments in (["watch", "x"], ["serve", "--port", "0"]):
        done = run_command(*arguments, REDIS_URL=f"unix://{directory}/none.sock")
        assert refusal(done).startswith("the store is not reachable: ")


class AnotherServer(BaseHTTPRequestHandler):
    """A web server that is not sse-auction."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_where_no_service_answers_there_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert "does not answer" in refusal(run_command("price", "x", "--url", nobody))
    assert "does not answer" in refusal(run_command("watch", "x", "--url", nobody))
    assert "is not a URL" in refusal(run_command("price", "x", "--url", "http://[::1"))
    assert "127.0.0.1" in refusal(run_command("price", "x", "--url", "127.0.0.1:1"))
    with HTTPServer(("127.0.0.1", 0), AnotherServer) as other:
        threading.Thread(target=other.serve_forever).start()
        url = f"http://127.0.0.1:{other.server_port}"
        assert "not as sse-auction does" in refusal(run_command("price", "x", "--url", url))
        assert "text/event-stream" in refusal(run_command("watch", "x", "--url", url))
        other.shutdown()


def test_a_service_refuses_a_token_without_the_right(service: Server, guid: str) -> None:
    create(service, guid)
    url = ["--url", service.url]
    new = ["create", "x", "--start-price", "1", "--closes", "+1h", *url]
    ann = ["--token", TOKENS.issue("ann")]
    assert "needs a token" in refusal(run_command("bid", guid, "10.00", *url))
    assert "cannot be used" in refusal(run_command("bid", guid, "10.00", *url, "--token", "rubbish"))
    assert "cannot be sent" in refusal(run_command("bid", guid, "10.00", *url, "--token", "caf\xe9"))
    assert "operator" in refusal(run_command(*new, *ann))


def test_the_service_accepts_the_token(service: Server, guid: str) -> None:
    create(service, guid)
    made = output(run_command("token", "ann", "--name", "Ann", "--auction", guid, "--hours", "1", "--json"))
    assert (made["sub"], made["role"]) == ("ann", "bidder")
    identity = TOKENS.read(made["token"])
    assert (identity.subject, identity.name, identity.auctions) == ("ann", "Ann", frozenset({guid}))
    taken = output(run_command("bid", guid, "10.00", "--url", service.url, "--token", made["token"], "--json"))
    assert taken["accepted"] is True
    token = run_command("token", "the-house", "--role", "operator").stdout
    assert TOKENS.read(token.removesuffix("\n")).role == "operator"


# --- watch -----------------------------------------------------------------------------------------------------------


def next_state(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    state: dict[str, Any] = json.loads(process.stdout.readline())
    return state


def where_to_watch(kind: str, service: Server, valkey: StoreProcess) -> dict[str, str]:
    return {"SSE_AUCTION_URL": service.url} if kind == "service" else {"REDIS_URL": valkey.url}


@pytest.mark.parametrize("kind", ["service", "store"])
def test_watch_prints_each_state_and_ends_with_the_auction(
    service: Server, valkey: StoreProcess, guid: str, kind: str
) -> None:
    with watching(guid, "--json", **where_to_watch(kind, service, valkey)) as process:
        assert next_state(process)["status"] == "unknown"
        create(service, guid, closes_at=now_ms() + 4000)
        assert next_state(process)["status"] == "open"
        assert bid(service, guid, "ann", "10.00").status_code == 201
        assert next_state(process)["price"] == "10.00"
        rest, errors = process.communicate(timeout=DEADLINE_SECONDS)
        (final,) = map(json.loads, rest.splitlines())
        assert (final["status"], final["price"]) == ("closed", "10.00")
        assert (process.returncode, errors) == (0, "")
    over = run_command("watch", guid, **where_to_watch(kind, service, valkey))
    assert (over.returncode, over.stderr) == (0, "")
    assert over.stdout == f"Lot {guid} | closed | 10.00 CNY | 1 bid, paddle 1 leads | sold\n", (
        "one line without a terminal"
    )


def test_watch_outlives_the_longest_life_of_a_stream(service: Server, valkey: StoreProcess, guid: str) -> None:
    create(service, guid)
    with watching(guid, "--json", REDIS_URL=valkey.url, SSE_AUCTION_STREAM_LIFE_SECONDS="1") as process:
        assert next_state(process)["price"] is None
        ended = time.monotonic() + 2.5  # more than two lives of a stream
        until(lambda: time.monotonic() > ended)
        assert process.poll() is None
        bid(service, guid, "ann", "10.00")
        assert next_state(process)["price"] == "10.00", "and nothing twice"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_watch_over_http_survives_a_restart_of_the_service(
    valkey: StoreProcess, directory: Path, guid: str, how: int
) -> None:
    with running_server(directory, REDIS_URL=valkey.url) as server:
        create(server, guid)
        with watching(guid, "--json", "--url", server.url) as process:
            shown = [next_state(process)]
            bid(server, guid, "ann", "10.00")
            shown.append(next_state(process))
            server.stop(how)
            server.restart_on_same_port()
            until(lambda: server.metric("sse_auction_streams") == 1, "the watcher to come back")
            bid(server, guid, "bob", "11.00")
            shown.append(next_state(process))
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert [state["price"] for state in shown] == [None, "10.00", "11.00"], "nothing twice, nothing missed"
    assert (rest, errors.strip(), process.returncode) == ("", "", 130)


@pytest.mark.parametrize("kind", ["service", "store"])
def test_watch_shows_the_price_in_a_terminal_until_ctrl_c(
    service: Server, valkey: StoreProcess, guid: str, kind: str
) -> None:
    create(service, guid)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    environment = {**os.environ, **where_to_watch(kind, service, valkey), "TERM": "xterm-256color"}
    process = subprocess.Popen([*COMMAND, "watch", guid], env=environment, preexec_fn=lambda: os.login_tty(theirs))
    os.close(theirs)
    screen = bytearray()

    def shows(text: str) -> bool:
        with suppress(OSError):  # the terminal ends with the command
            while select.select([ours], [], [], 0)[0]:
                screen.extend(os.read(ours, 65536))
        return text in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode(errors="replace"))

    try:
        until(lambda: shows("no bid yet CNY"), "the first state")
        assert shows(f"Lot {guid}")
        assert shows("closes in")
        bid(service, guid, "ann", "10.00")
        until(lambda: shows("10.00 CNY"), "the price")
        until(lambda: shows("11.00"), "the next bid")
        os.write(ours, b"\x03")
        until(lambda: shows("\n") and process.poll() is not None, "the end")
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 130
    assert "Traceback" not in screen.decode(errors="replace")
    assert b"\x1b[?25h" in screen, "the cursor is back"


@pytest.mark.parametrize("options", [["--json"], []])
def test_output_into_a_closed_pipe_ends_quietly(
    service: Server, valkey: StoreProcess, guid: str, options: list[str]
) -> None:
    create(service, guid)
    for where in ({"SSE_AUCTION_URL": service.url}, {"REDIS_URL": valkey.url}):
        with watching(guid, *options, **where) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()
            price = 10 + (httpx.get(f"{service.url}/auctions/{guid}").json()["state"]["bids"])
            assert bid(service, guid, f"b{price}", f"{price}.00").status_code == 201
            errors = process.stderr.read()
            assert process.wait(DEADLINE_SECONDS) == 1
            assert errors == ""
