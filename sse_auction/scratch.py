"""Folders in the system's temporary folder that are gone when their last user is.

Each user holds a shared lock in the folder, and the last who leaves removes it. Of those who were killed the kernel
gives the lock back, and whoever makes the next folder removes what they have left.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_LOCK_NAME = "users.lock"
_MEMORY = Path("/dev/shm")


@contextmanager
def scratch_folder(purpose: str, *, in_memory: bool = False) -> Iterator[Path]:
    """A new folder, `sse-auction-<purpose>-…`, in use as long as this lasts.

    `in_memory` is for files that are mapped: a process dies that writes to one for which the disk has no room.
    """
    prefix = f"sse-auction-{purpose}-"
    parent = _MEMORY if in_memory and "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) else _temporary()
    _sweep(parent, prefix)
    # It gets its name when its lock is held: else another's sweep could take it for one that was left.
    made = Path(tempfile.mkdtemp(prefix="sse-auction-new-", dir=parent))
    with (made / _LOCK_NAME).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        folder = made.rename(made.with_name(made.name.replace("sse-auction-new-", prefix)))
        try:
            yield folder
        finally:
            _remove_if_unused(folder, lock)


@contextmanager
def using(folder: Path) -> Iterator[None]:
    """Keep a folder that another process has made; any other folder is no business of this."""
    try:
        lock = (folder / _LOCK_NAME).open("r")
    except OSError:
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        try:
            yield
        finally:
            _remove_if_unused(folder, lock)


def _temporary() -> Path:
    return Path(tempfile.gettempdir())


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # it went meanwhile, or has no lock: then somebody else made it
            if folder.lstat().st_uid == os.getuid():
                with (folder / _LOCK_NAME).open("r") as lock:
                    _remove_if_unused(folder, lock)


def _remove_if_unused(folder: Path, lock: IO[str]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    shutil.rmtree(folder, ignore_errors=True)
