"""Atomic writes of files, places for files that must be kept, and locks."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

_BLOCK_BYTES = 4096


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A new file beside `path`. It replaces `path`, synced, when the block succeeds; otherwise `path` is unchanged."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
        _sync(draft)
        draft.replace(path)
        _sync(path.parent)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """Replace the content of `path` atomically."""
    with written_whole(path) as draft:
        draft.write_bytes(content)


def write_in_place(path: Path, text: bytes, *, synced: bool) -> None:
    """Overwrite a file with a short text, padded with blanks.

    It needs no new disk space, so it works on a full disk. Only a power loss can tear the write.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        size = max(os.fstat(descriptor).st_size, _BLOCK_BYTES * -(-len(text) // _BLOCK_BYTES))
        os.pwrite(descriptor, text.ljust(size), 0)
        if synced:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def aside(data_dir: Path, what: str) -> Path:
    """An unused path in the data directory for files that are kept, such as `torn-20300131-235959-000`."""
    return data_dir / f"{what}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"


def try_lock(file: IO[str]) -> bool:
    """Take an exclusive lock if no other process holds one; released when the last copy of `file` is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
