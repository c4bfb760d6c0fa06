"""The files of the server's log: their list, how far they can be read, and their checksums."""

import mmap
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

_PIECE_BYTES = 1 << 20
_HEAD_BYTES = 32  # of a command or an argument: a sign, a number, a line end


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the log: the base, or the commands appended since."""

    name: str
    number: int
    is_base: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """The server's own list of the log's files, in order. The server appends to the last one."""

    text: str
    parts: tuple[Part, ...]

    @classmethod
    def read(cls, text: str) -> "Manifest":
        """Parse the text of a manifest. Raises: ValueError when it is not one."""
        parts = []
        for line in text.splitlines():
            words = line.split()
            fields = dict(zip(words[::2], words[1::2], strict=True))
            if fields.get("type") in ("b", "i"):
                parts.append(Part(fields["file"], int(fields["seq"]), fields["type"] == "b"))
        if not parts or parts[-1].is_base:
            raise ValueError("it names no file to append to")
        return cls(text, tuple(parts))

    @property
    def base_number(self) -> int:
        return max((part.number for part in self.parts if part.is_base), default=0)


def scan(path: Path, start: int = 0) -> tuple[int, int]:
    """(end of the last complete command or transaction, where reading ended) of a log, from the command at `start`."""
    size = path.stat().st_size
    if start >= size:
        return size, size
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        whole = at = start
        is_open = False  # inside a transaction
        while (end := _end_of_command(data, at)) is not None:
            if data[at : at + 15] == b"*1\r\n$5\r\nMULTI\r\n":
                is_open = True
            elif is_open and data[at : at + 14] == b"*1\r\n$4\r\nEXEC\r\n":
                is_open = False
            at = end
            if not is_open:
                whole = at
        return whole, at


def _end_of_command(data: mmap.mmap, at: int) -> int | None:
    """The end of the command at `at`; None when it is incomplete."""
    size = len(data)
    try:
        head_end = data.find(b"\r\n", at, at + _HEAD_BYTES)
        if head_end < 0 or data[at] != ord("*"):
            return None
        count, at = int(data[at + 1 : head_end]), head_end + 2
        for _ in range(count):
            head_end = data.find(b"\r\n", at, at + _HEAD_BYTES)
            if head_end < 0 or data[at] != ord("$"):
                return None
            at = head_end + 4 + int(data[at + 1 : head_end])
            if at > size or data[at - 2 : at] != b"\r\n":
                return None
    except (ValueError, IndexError):  # not a number, or the end of the file
        return None
    return at


def goes_on(path: Path, broken_at: int) -> bool:
    """Whether other commands follow the unreadable place. After a torn write nothing follows."""
    rest = path.read_bytes()[broken_at + 1 :]
    return any(b"\r\n*%d\r\n$" % count in rest for count in range(1, 100))


def crc32_of(path: Path, start: int, end: int, crc32: int = 0) -> int:
    """The checksum of a piece of a file, continued from `crc32`."""
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (piece := file.read(min(_PIECE_BYTES, end - start))):
            crc32 = zlib.crc32(piece, crc32)
            start += len(piece)
    return crc32


def truncate(path: Path, length: int) -> None:
    """Cut a file to `length` bytes and sync it."""
    with path.open("r+b") as file:
        file.truncate(length)
        os.fsync(file.fileno())
