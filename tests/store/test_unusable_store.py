"""A store that is missing, too old or not a store: every command reports it in one sentence."""

import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import hiredis
import pytest

from tests.support.harness import DEADLINE_SECONDS, SECRET, Server, free_port, running_server, running_store


class OldRedis(socketserver.BaseRequestHandler):
    """Just enough of a Redis 6.0.16 to answer with its version; no package of one exists any more."""

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
        capture_output=True, text=True, timeout=3 * DEADLINE_SECONDS,
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


@pytest.mark.parametrize("kind", ["valkey", "redis"])
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_store_that_may_drop_auctions_is_refused_with_its_policy(kind: str, policy: str, directory: Path) -> None:
    with running_store(kind, directory, "--maxmemory-policy", policy) as store:
        result = attempt(store.url, directory, "sse_auction", "serve", "--port", "0")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert f"maxmemory-policy is {policy}" in line
    assert "noeviction" in line, "it says what to do"


def test_a_store_that_may_forget_answers_is_warned_of(directory: Path) -> None:
    with (
        running_store("valkey", directory, "--maxmemory-policy", "volatile-lru") as store,
        running_server(directory, REDIS_URL=store.url) as server,
    ):
        warnings = server.log_lines(level="WARNING")
        assert any("maxmemory-policy is volatile-lru" in line["message"] for line in warnings)


def test_something_else_than_a_store_is_one_sentence_and_exit_code_1(server: Server, directory: Path) -> None:
    result = attempt(f"redis://127.0.0.1:{server.port}", directory, "sse_auction", "price", "x")
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("sse-auction: the store is not reachable: ")


def test_another_server_fails_to_start_with_the_same_sentence(no_redis: str, directory: Path) -> None:
    app = ["uvicorn", "sse_auction.app:create_app", "--factory", "--port", str(free_port())]
    result = attempt(no_redis, directory, *app)
    assert result.returncode != 0
    assert "the store is not reachable: " in result.stderr
