"""A small disk for one test, which can be filled up to the last byte."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class SmallDisk:
    """A file system of a few megabytes at `path`; `fill` stands for other users of the disk."""

    path: Path

    def fill(self) -> None:
        """Write until not one byte more can be written."""
        with (self.path / "filler").open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(65536))

    def make_room(self) -> None:
        """Delete what `fill` has written."""
        (self.path / "filler").unlink()

    def free(self) -> int:
        disk = os.statvfs(self.path)
        return disk.f_bfree * disk.f_frsize


@contextmanager
def small_disk(megabytes: int = 16) -> Iterator[SmallDisk]:
    """A tmpfs in its own mount namespace, which ends with the process that made it.

    It is reached by that process's view of the root, so that no other process needs to enter the namespace. Its path is
    short enough for a socket's.
    """
    place = tempfile.mkdtemp(prefix="disk-", dir="/tmp")
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    mount = f'mount -t tmpfs -o size={megabytes}m,mode=700 none "$0" && echo mounted && exec cat'
    holder = subprocess.Popen(
        ["unshare", *own_user, "--mount", "sh", "-c", mount, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"mounted\n"
        yield SmallDisk(Path(f"/proc/{holder.pid}/root{place}"))
    finally:
        holder.stdin.close()
        holder.wait()
        holder.stdout.close()
        os.rmdir(place)
