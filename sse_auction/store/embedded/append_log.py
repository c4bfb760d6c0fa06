"""The server's log of writes: which part of it must be there, and which may be cut off at its end.

To the server, a log that was lost, cut or altered looks like a shorter one, and it would start with less data. So a
small file beside the log, the mark, records what is known to be on disk: the files, their lengths and a checksum. It
is refreshed several times a second, and covers only writes that were answered. At the start:

- A log that is shorter than the mark, or differs from it, stops the start with a sentence: answered bids are missing.
- The part behind the mark is read command by command. The server never answered a write that was torn in the middle:
  such an end is cut off, with a warning, and kept aside. A half script is cut with it, because a script is one
  transaction.

A directory without a mark is from an older version: its whole log is read that way, once.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sse_auction.store.connection import StoreUnavailable
from sse_auction.store.embedded.files import aside, try_lock, write_in_place
from sse_auction.store.embedded.log_files import Manifest, Part, crc32_of, goes_on, scan, truncate

log = logging.getLogger(__name__)

FOLDER, MANIFEST, MARK = "appendonlydir", "appendonly.aof.manifest", "log.mark"
LOCK = "looking.lock"  # held by the process that writes the mark
REFRESH_SECONDS = 0.2  # the loss of the writes of this time can go unnoticed
SYNC_SECONDS = 5.0  # of the mark itself: each sync costs a bid's time, and only a power loss needs it
_WAYS_ON = (
    "`sse-auction repair` keeps what can be read of it, `sse-auction restore FILE --replace` puts a backup in its "
    "place, and `sse-auction restore --empty --replace` starts empty; each keeps the present files aside"
)


class DamagedLog(StoreUnavailable):
    """The log is damaged. The message is a sentence that says what was found, and what can be done."""

    def __init__(self, data_dir: Path, found: str) -> None:
        super().__init__(
            f"the embedded store in {data_dir} was not started, as its log is damaged: {found}; {_WAYS_ON}"
        )


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """The part of a file that is on disk. A base has its own checksum, which the server checks."""

    length: int
    crc32: int = 0


class Mark(msgspec.Struct, frozen=True):
    """The state of the log that is known to be on disk."""

    manifest: str
    extents: dict[str, Extent]


@dataclass(frozen=True, slots=True)
class Glance:
    """The log's manifest and the length of its last file at one moment."""

    manifest: Manifest
    length: int


class AppendLog:
    """The log in one data directory."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.folder = data_dir / FOLDER
        self._mark_path = data_dir / MARK
        self._synced_at = float("-inf")

    # --- what is there -------------------------------------------------------------------------------------------

    def manifest(self) -> Manifest | None:
        """The server's list of the log's files; None when there is none. Raises: ValueError when it is not readable."""
        try:
            text = (self.folder / MANIFEST).read_text()
        except FileNotFoundError:
            return None
        try:
            return Manifest.read(text)
        except (ValueError, KeyError):
            raise ValueError(f"{self.folder / MANIFEST} cannot be read") from None

    def mark(self) -> Mark | None:
        """The mark; None when there is none, or when it is not readable."""
        try:
            return msgspec.json.decode(self._mark_path.read_bytes(), type=Mark)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            log.warning("%s cannot be read and is ignored", self._mark_path)
            return None

    def glance(self) -> Glance | None:
        """The present manifest and length of the last file; None when there is no log."""
        with suppress(ValueError, FileNotFoundError):
            if manifest := self.manifest():
                return Glance(manifest, self._length(manifest.parts[-1]))
        return None

    def last_file(self) -> Path | None:
        """The file that the server appends to; None when there is no log."""
        seen = self.glance()
        return self.folder / seen.manifest.parts[-1].name if seen else None

    def _length(self, part: Part) -> int:
        return (self.folder / part.name).stat().st_size

    # --- before the start ----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Cut off a torn end. Raises: `DamagedLog` when the server must not start on this log."""
        mark = self.mark()
        try:
            manifest = self.manifest()
        except ValueError as error:
            raise DamagedLog(self.data_dir, str(error)) from None
        if manifest is None:
            if mark is not None or any(self.folder.glob("*.aof")):
                raise DamagedLog(self.data_dir, f"{self.folder / MANIFEST} is gone")
            return
        for part in manifest.parts:
            if not (self.folder / part.name).exists():
                raise DamagedLog(self.data_dir, f"{self.folder / part.name} is gone")
        if mark is not None:
            self._compare(mark, manifest)
        self._cut_torn_end(mark, manifest.parts[-1])

    def _compare(self, mark: Mark, manifest: Manifest) -> None:
        """Raise `DamagedLog` when the log lacks something that the mark has."""
        known = Manifest.read(mark.manifest)
        listed = {part.name: part for part in manifest.parts}
        for part in known.parts:
            path, extent = self.folder / part.name, mark.extents[part.name]
            if part.name not in listed:
                if manifest.base_number > known.base_number:
                    continue  # the server has rewritten its log since
                raise DamagedLog(self.data_dir, f"{self.folder / MANIFEST} is an older one, without {part.name}")
            length = path.stat().st_size
            if length < extent.length:
                raise DamagedLog(self.data_dir, f"{path} has {length} of at least {extent.length} bytes")
            if not part.is_base and crc32_of(path, 0, extent.length) != extent.crc32:
                raise DamagedLog(self.data_dir, f"{path} holds other bytes than were written")

    def _cut_torn_end(self, mark: Mark | None, last: Part) -> None:
        path = self.folder / last.name
        extent = mark.extents.get(last.name) if mark else None
        sound, broken_at = scan(path, extent.length if extent else 0)
        length = path.stat().st_size
        if sound == length:
            return
        if mark is None and goes_on(path, broken_at):
            raise DamagedLog(self.data_dir, f"{path} cannot be read at byte {broken_at} of {length}")
        with suppress(OSError), path.open("rb") as file:  # such as a full disk
            file.seek(sound)
            aside(self.data_dir, "torn").write_bytes(file.read())
        truncate(path, sound)
        log.warning(
            "the last %d bytes of %s were cut off: a write that was not finished, and not answered",
            length - sound, path,
        )  # fmt: skip

    # --- the mark ------------------------------------------------------------------------------------------------

    def refresh_mark(self, seen: Glance | None, info: Mapping[str, str]) -> None:
        """Mark what the server reports in `info` to be on disk; `seen` is a glance taken just before the report.

        A reported length is the end of a complete command, and synced: the server does both before it replies.
        """
        with suppress(FileNotFoundError):
            if 0 <= time.time() - self._mark_path.stat().st_mtime < REFRESH_SECONDS:
                return
        now = self.glance()
        if seen is None or now is None or now.manifest.text != seen.manifest.text:
            return
        *others, _ = now.manifest.parts
        # A server that started empty does not count its base until it has written one itself.
        counted = [part for part in others if not part.is_base or info.get("aof_base_size") != "0"]
        length = int(info.get("aof_current_size", -1)) - sum(map(self._length, counted))
        if seen.length <= length <= now.length:
            self._write_mark(now.manifest, length)

    def mark_whole(self) -> None:
        """Mark all complete commands of the log; called after a start or a stop of the server."""
        with suppress(ValueError, OSError), (self.data_dir / LOCK).open("a") as lock:
            if not try_lock(lock):
                return  # another process writes the mark now
            if (manifest := self.manifest()) is not None:
                mark = self.mark()
                last = manifest.parts[-1]
                known = mark.extents.get(last.name) if mark else None
                sound, _ = scan(self.folder / last.name, known.length if known else 0)
                self._write_mark(manifest, sound)

    def _write_mark(self, manifest: Manifest, length: int) -> None:
        before = self.mark()
        known = before.extents if before else {}
        extents = {}
        for part in manifest.parts:
            end = length if part is manifest.parts[-1] else self._length(part)
            extent = known.get(part.name, Extent(0))
            if part.is_base:
                extent = Extent(end)
            elif extent.length != end:
                extent = extent if extent.length < end else Extent(0)
                extent = Extent(end, crc32_of(self.folder / part.name, extent.length, end, extent.crc32))
            extents[part.name] = extent
        mark = Mark(manifest.text, extents)
        if mark != before:
            due = time.monotonic() - self._synced_at > SYNC_SECONDS
            write_in_place(self._mark_path, msgspec.json.encode(mark), synced=due)
            if due:
                self._synced_at = time.monotonic()

    @staticmethod
    def is_damage(words: str) -> bool:
        """Whether the server's last words are about the files that it should have loaded."""
        return any(word in words for word in ("AOF", "RDB", "append only", "manifest"))
