"""Room on the disk for the server's log.

A server that cannot append to its log exits. So a part of the disk is reserved behind the log's end, if the file
system can do that. It belongs to the log, even when other programs fill the disk, and the server stays alive. When
too little is free, the server refuses writes before it needs the reserve; when more is free again, it accepts them.
"""

import ctypes
import errno
import os
from contextlib import suppress

from sse_auction.store.embedded.append_log import AppendLog

FULL = "the embedded store's disk is full: nothing is written until there is room"
MIN_FREE_BYTES = 1 << 20  # with less free disk space, writes are refused; with twice that, they are accepted again
SMALL_DISK_SHARE = 16  # on a very small disk the limit is 1/16 of it
RESERVES = 2  # times that limit behind the log's end: one second of bids at the highest rate
_KEEP_SIZE = 1  # FALLOC_FL_KEEP_SIZE: the length of the file does not change
_libc = ctypes.CDLL(None, use_errno=True)


class Room:
    """The disk space that is left for a log."""

    def __init__(self, append_log: AppendLog) -> None:
        self._log = append_log
        disk = os.statvfs(append_log.data_dir)
        self._min_free = min(MIN_FREE_BYTES, disk.f_frsize * disk.f_blocks // SMALL_DISK_SHARE)
        self._reserve_bytes = RESERVES * self._min_free
        self._reserved: tuple[str, int] = ("", 0)  # (name of the file, end of the reserve)

    def free(self) -> int:
        """The free bytes of the disk that this process may use."""
        disk = os.statvfs(self._log.data_dir)
        return disk.f_frsize * (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail)

    def is_enough(self, *, was_enough: bool = True) -> bool:
        """Whether writes can be accepted; after a refusal, only with twice the space free."""
        return self._reserve() and self.free() >= self._min_free * (1 if was_enough else 2)

    def _reserve(self) -> bool:
        """Keep the reserve behind the log's end; False when the disk is too full."""
        path = self._log.last_file()
        if path is None:
            return True  # at the first start there is no log yet
        with suppress(FileNotFoundError):
            length = path.stat().st_size
            name, end = self._reserved
            if name == path.name and length + self._reserve_bytes // 2 <= end:
                return True
            with path.open("r+b") as file:
                failure = _allocate(file.fileno(), length, self._reserve_bytes)
            if failure in (errno.ENOSPC, errno.EDQUOT):
                return False
            # Also when this file system cannot reserve: another attempt would fail too.
            self._reserved = (path.name, length + self._reserve_bytes)
        return True


def _allocate(descriptor: int, start: int, length: int) -> int:
    """Reserve blocks for a file without changing its length; an errno, or 0."""
    allocate = getattr(_libc, "fallocate64", None) or getattr(_libc, "fallocate", None)
    if allocate is None:
        return errno.ENOSYS
    failed = allocate(descriptor, _KEEP_SIZE, ctypes.c_int64(start), ctypes.c_int64(length))
    return ctypes.get_errno() if failed else 0
