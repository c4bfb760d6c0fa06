"""Room on the disk for the server's log.

A server that cannot append to its log exits. So a piece of the disk is reserved behind the log's end, where the file
system can do that: it is the log's own, whoever fills up the rest, and the server lives on. When less is free than
that, writes are refused before it comes to it; when more is free again, they are taken.
"""

import ctypes
import errno
import os
from contextlib import suppress

from sse_auction.store.embedded.append_log import AppendLog

FULL = "the embedded store's disk is full: nothing is written until there is room"
LEAST_FREE_BYTES = 1 << 20  # with less on the disk, writes are refused; with twice that, they are taken again
SMALL_DISK_SHARE = 16  # of a very small disk, it is this part
RESERVES = 2  # times that behind the log's end: a second of bids, as fast as they come
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: the file is as long as before
_libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """How much of the disk is left for a log."""

    def __init__(self, append_log: AppendLog) -> None:
        self._log = append_log
        disk = os.statvfs(append_log.data_dir)
        self._least_free = min(LEAST_FREE_BYTES, disk.f_frsize * disk.f_blocks // SMALL_DISK_SHARE)
        self._reserve_bytes = RESERVES * self._least_free
        self._reserved: tuple[str, int] = ("", 0)  # in which file, up to where

    def free(self) -> int:
        """Bytes that anybody may still write there."""
        disk = os.statvfs(self._log.data_dir)
        return disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)

    def is_enough(self, *, was_enough: bool = True) -> bool:
        """Whether writes can be taken; after they could not, only with some room to spare."""
        return self._reserve() and self.free() >= self._least_free * (1 if was_enough else 2)

    def _reserve(self) -> bool:
        """Keep the reserve behind the log's end; False when the disk is too full for it."""
        path = self._log.last_file()
        if path is None:
            return True  # the first start: there is no log yet
        with suppress(FileNotFoundError):
            length = path.stat().st_size
            name, end = self._reserved
            if name == path.name and length + self._reserve_bytes // 2 <= end:
                return True
            with path.open("r+b") as file:
                failure = _allocate(file.fileno(), length, self._reserve_bytes)
            if failure in (errno.ENOSPC, errno.EDQUOT):
                return False
            self._reserved = (
                path.name,
                length + self._reserve_bytes,
            )  # or it cannot be had here, and asking again is vain
        return True


def _allocate(descriptor: int, start: int, length: int) -> int:
    """Give a file blocks that it does not show yet; an errno, or 0."""
    allocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
    if allocate is None:
        return errno.ENOSYS
    failed = allocate(descriptor, _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(length))
    return ctypes.get_errno() if failed else 0
