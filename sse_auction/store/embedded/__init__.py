"""The embedded store: a persistent Valkey server in the data directory, used when `REDIS_URL` is not set.

The first process starts the server, the others join it, and the last process that exits cleanly stops it. These files
coordinate the processes. The kernel releases their locks even after `kill -9`:

- `valkey.sock`: the server's socket.
- `server.lock`: held by the server, which inherits it, while it lives: there are never two servers on the same data.
- `starting.lock`: held while a process looks for the server, starts it or stops it.
- `users.lock`: held shared by every process while it uses the server.
- `looking.lock`: held for each look at the disk and the log, see `keeper`.

Every write is on disk before its reply is sent (`appendfsync always`), so a crash of the machine loses no accepted
bid. `log.mark` records what is on disk, so that a lost or cut log is noticed (`append_log`).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

from sse_auction.scratch import scratch_folder
from sse_auction.store.connection import StoreError, StoreNotReady, StoreUnavailable
from sse_auction.store.embedded.append_log import LOCK
from sse_auction.store.embedded.files import try_lock
from sse_auction.store.embedded.keeper import Keeper
from sse_auction.store.embedded.room import FULL
from sse_auction.store.embedded.server import SOCKET_NAME, Server

_MAX_SOCKET_PATH_BYTES = 100  # the kernel accepts 107


class EmbeddedStore:
    """The running store of a data directory."""

    def __init__(self, server: Server, keeper: Keeper) -> None:
        self.url = f"unix://{quote(str(server.socket_path))}"
        self.server = server
        self._keeper = keeper

    @property
    def trouble(self) -> str | None:
        """Why the store does not accept all commands now, as a sentence; None when it does."""
        return self._keeper.trouble

    @property
    def is_full(self) -> bool:
        """Whether the store refuses writes because its disk is full."""
        return self.trouble == FULL

    @staticmethod
    def explained(error: StoreError) -> StoreError:
        """The error with its cause: the server requires replicas, which it never has, only while its disk is full."""
        return StoreNotReady(f"{FULL}; this was not counted") if "NOREPLICAS" in str(error) else error


@contextmanager
def embedded_store(data_dir: Path) -> Iterator[EmbeddedStore]:
    """Start or join the store of `data_dir`.

    When the server dies meanwhile, one of the processes that use it starts it again.
    Raises: `StoreUnavailable` with a sentence when there is no server program or the server does not start.
    """
    with ExitStack() as held:
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            users = held.enter_context((data_dir / "users.lock").open("a"))
            (data_dir / LOCK).touch()  # now, because the disk may be full later
            server = held.enter_context(server_of(data_dir))
            with server.starting():
                server.start_or_join()
                fcntl.flock(users, fcntl.LOCK_SH)
        except OSError as error:
            raise StoreUnavailable(f"the data directory {data_dir} cannot be used: {error}") from None
        keeper = Keeper(server)
        keeper.start()
        try:
            yield EmbeddedStore(server, keeper)
        finally:
            keeper.stop()
            with server.starting():
                fcntl.flock(users, fcntl.LOCK_UN)
                if try_lock(users):
                    server.stop()
                else:
                    server.disown()


@contextmanager
def server_of(data_dir: Path) -> Iterator[Server]:
    """The server of a data directory. When its path is too long for a socket's name, a short link replaces it."""
    if len(os.fsencode(data_dir / SOCKET_NAME)) <= _MAX_SOCKET_PATH_BYTES:
        yield Server(data_dir, data_dir / SOCKET_NAME)
        return
    with scratch_folder("data") as folder:
        link = folder / "data"
        link.symlink_to(data_dir)
        yield Server(data_dir, link / SOCKET_NAME)
