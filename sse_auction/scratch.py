"""Temporary folders that are removed when the last process stops using them.

Each process holds a shared lock in the folder, and the last one removes the folder. The kernel releases the locks of a
killed process; the next process that makes a folder then removes what is left.
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
    """A new folder, `sse-auction-<purpose>-…`, in use until the block ends.

    `in_memory` is for memory-mapped files: on a full disk, a write to such a file kills the process.
    """
    prefix = f"sse-auction-{purpose}-"
    parent = _MEMORY if in_memory and "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) else _temporary()
    _sweep(parent, prefix)
    # It gets its name when its lock is held: otherwise another process could take it for a left-over folder.
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
    """Keep a folder that another process has made; a folder without a lock file is ignored."""
    try:
        lock = (folder / _LOCK_NAME).open("r")
    except OSError:
        lock = None
    if lock is None:
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
        with suppress(OSError):  # it was removed meanwhile, or has no lock file and is not ours
            if folder.lstat().st_uid == os.getuid():
                with (folder / _LOCK_NAME).open("r") as lock:
                    _remove_if_unused(folder, lock)


def _remove_if_unused(folder: Path, lock: IO[str]) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    shutil.rmtree(folder, ignore_errors=True)
