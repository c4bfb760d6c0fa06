"""The embedded store: a persistent Valkey in the data directory, for those who bring no Redis.

Whoever comes first starts it, the others join it, and the last who leaves cleanly stops it. Files say who is there,
and the kernel keeps them true even after `kill -9`:

- `valkey.sock`: the server's socket.
- `server.lock`: held by the server itself, which inherits it, for as long as it lives: never two on the same data.
- `starting.lock`: held while somebody looks for the server, starts it or stops it.
- `users.lock`: held shared by every user of the server for as long as he uses it.
- `looking.lock`: held for each look at the disk and the log, see `keeper`.

Every write is on disk before it is answered (`appendfsync always`), so that a killed machine loses no accepted bid;
and `log.mark` says what is there, so that a log that was lost or cut is noticed (`append_log`).
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

_LONGEST_SOCKET_PATH_BYTES = 100  # the kernel takes 107


class EmbeddedStore:
    """The store of a data directory, in use."""

    def __init__(self, server: Server, keeper: Keeper) -> None:
        self.url = f"unix://{quote(str(server.socket_path))}"
        self.server = server
        self._keeper = keeper

    @property
    def trouble(self) -> str | None:
        """Why it does not take everything now, in a sentence."""
        return self._keeper.trouble

    @property
    def is_full(self) -> bool:
        """Whether it takes no writes, as its disk is full."""
        return self.trouble == FULL

    @staticmethod
    def explained(error: StoreError) -> StoreError:
        """The error with its cause: it has no replicas, and asks for some only where its disk is full."""
        return StoreNotReady(f"{FULL}; this was not counted") if "NOREPLICAS" in str(error) else error


@contextmanager
def embedded_store(data_dir: Path) -> Iterator[EmbeddedStore]:
    """Start or join the store of `data_dir`.

    Should the server die meanwhile, one of its users starts it again. Raises `StoreUnavailable` with a sentence when
    there is no server to start or it does not start.
    """
    with ExitStack() as held:
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            users = held.enter_context((data_dir / "users.lock").open("a"))
            (data_dir / LOCK).touch()  # now: there may be no room for it later
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
    """The server of a data directory, by a path that leaves room for a socket's name: its own, or a link to it."""
    if len(os.fsencode(data_dir / SOCKET_NAME)) <= _LONGEST_SOCKET_PATH_BYTES:
        yield Server(data_dir, data_dir / SOCKET_NAME)
        return
    with scratch_folder("data") as folder:
        link = folder / "data"
        link.symlink_to(data_dir)
        yield Server(data_dir, link / SOCKET_NAME)
