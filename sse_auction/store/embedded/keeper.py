"""Every process that uses the server looks after it: restarts it, protects it from a full disk, and marks its log.

Each process has a keeper, a thread. Keepers need not agree on who acts: each look is taken under a lock, and depends
only on what the server reports and what is on disk. So a keeper may be stopped or killed at any moment, and the
others continue.
"""

import logging
import select
import socket
import threading
import time
from contextlib import suppress

from sse_auction.store.connection import StoreUnavailable
from sse_auction.store.embedded.append_log import LOCK, AppendLog
from sse_auction.store.embedded.files import try_lock
from sse_auction.store.embedded.room import FULL, Room
from sse_auction.store.embedded.server import REFUSE_WRITES, TAKE_WRITES, Control, Server

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # between looks at the disk
CONFIGURE_AGAIN_SECONDS = 5.0  # another process may have configured the server differently, and exited
START_AGAIN_SECONDS = 1.0  # between attempts, when the server does not start or does not stay alive
_GROWTH_BEFORE_REWRITE = "100"  # per cent, the server's own default


class Keeper:
    """Looks after the server of a data directory from `start` to `stop`."""

    def __init__(self, server: Server) -> None:
        self.trouble: str | None = None  # a sentence
        self._server = server
        self._log = AppendLog(server.data_dir)
        self._room = Room(self._log)
        self._leaving = False
        self._bell, self._ear = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="embedded-store", daemon=True)
        self._configured: tuple[str, ...] = ()  # the configuration that this connection has set, and when
        self._configured_at = 0.0

    def start(self) -> None:
        """Take a first look and start the thread."""
        with suppress(OSError), Control(self._server.socket_path) as control:
            self._look(control)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread at once."""
        self._leaving = True
        self._bell.send(b"!")
        self._thread.join()
        self._bell.close()
        self._ear.close()

    def _run(self) -> None:
        began = float("-inf")
        while not self._leaving:
            with suppress(OSError), Control(self._server.socket_path) as control:
                began = time.monotonic()
                self._configured = ()
                self._look_on(control)
            if not self._leaving:
                self._revive(has_just_begun=time.monotonic() - began < START_AGAIN_SECONDS)

    def _look_on(self, control: Control) -> None:
        """Look every `LOOK_SECONDS` until `stop`. Raises: OSError when the server is gone."""
        while True:
            self._look(control)
            heard, _, _ = select.select([self._ear, control.socket], [], [], LOOK_SECONDS)
            if self._ear in heard:
                return
            if heard:
                raise ConnectionError("the server has closed the connection")

    def _look(self, control: Control) -> None:
        with (self._server.data_dir / LOCK).open("a") as lock:
            if not try_lock(lock):
                return  # another process looks now
            seen = self._log.glance()
            info = control.info()
            was_enough = _takes_writes(info)
            is_enough = self._room.is_enough(was_enough=was_enough)
            self._configure(control, info, is_enough)
            self.trouble = None if is_enough else FULL
            if is_enough != was_enough:
                log.log(logging.INFO if is_enough else logging.WARNING, "%s", _news(is_enough))
            with suppress(OSError):  # the disk is full: the older mark is still true
                self._log.refresh_mark(seen, info)

    def _configure(self, control: Control, info: dict[str, str], is_enough: bool) -> None:
        """Configure the server to accept or refuse writes, and to rewrite its log only when both logs have room."""
        may_rewrite = is_enough and self._room.free() > int(info.get("aof_current_size", 0))
        wanted = (TAKE_WRITES if is_enough else REFUSE_WRITES, _GROWTH_BEFORE_REWRITE if may_rewrite else "0")
        if (
            _takes_writes(info) == is_enough
            and wanted == self._configured
            and time.monotonic() - self._configured_at < CONFIGURE_AGAIN_SECONDS
        ):
            return
        control.call("CONFIG", "SET", "min-replicas-to-write", wanted[0])
        control.call("CONFIG", "SET", "auto-aof-rewrite-percentage", wanted[1])
        with suppress(OSError):  # a server without this option still deletes expired keys, and uses the reserve
            control.call("CONFIG", "SET", "import-mode", "no" if is_enough else "yes")
        self._configured, self._configured_at = wanted, time.monotonic()

    def _revive(self, *, has_just_begun: bool) -> None:
        """Start the server again if it has died."""
        try:
            if self._server.is_gone():
                if has_just_begun:
                    self._rest(START_AGAIN_SECONDS)
                reason = self._server.last_words()
                with self._server.starting():
                    if not self._leaving and self._server.start_or_join():
                        log.error("the embedded store has died and was started again; its last words: %s", reason)
                self.trouble = None
                return
        except (StoreUnavailable, OSError) as error:
            log.error("the embedded store has died and could not be started again: %s", error)
            self.trouble = str(error)
            self._rest(START_AGAIN_SECONDS)
            return
        self._rest(LOOK_SECONDS)  # the server lives, but is stopped or accepts no connections

    def _rest(self, seconds: float) -> None:
        select.select([self._ear], [], [], seconds)


def _takes_writes(info: dict[str, str]) -> bool:
    return "min_slaves_good_slaves" not in info  # a server that requires replicas reports this field


def _news(is_enough: bool) -> str:
    return "the embedded store's disk has room again: writes are accepted" if is_enough else FULL
