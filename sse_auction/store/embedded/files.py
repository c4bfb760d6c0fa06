"""Files that are there whole or not at all, places for what must not be deleted, and locks."""

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
    """A new file beside `path`, which takes its place, synced, when the block ends well; else it is as before."""
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
    """Give `path` this content, atomically."""
    with written_whole(path) as draft:
        draft.write_bytes(content)


def write_in_place(path: Path, text: bytes, *, synced: bool) -> None:
    """Write a short text over the one that is there, with blanks behind it.

    It takes no new room, so it can be done on a full disk; and nothing of it can be missed but by a power loss.
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
    """A name in the data directory that nothing has yet, for what is kept: such as `torn-20300131-235959-000`."""
    return data_dir / f"{what}-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"


def try_lock(file: IO[str]) -> bool:
    """Lock for ourselves alone, if nobody else holds it; released when the last copy of `file` is closed."""
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
