"""Files that are there whole or not at all, places for what must not be deleted, and locks."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO


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
    """Give `path` this content, atomically; for one writer at a time. After a power loss it may have the old one."""
    draft = path.with_name(f"{path.name}.new")
    try:
        draft.write_bytes(content)
        _sync(draft)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)  # what there was room for
        raise


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
