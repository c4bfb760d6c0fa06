"""The server's log of writes: what of it must be there, and what may be cut off at its end.

A log that was lost, cut or altered looks to the server like a shorter one, and it would start with less. So a small
file beside the log, the mark, says what is known to be on disk: which files, how long, and a checksum. It is
refreshed several times a second, always behind a write that was answered and never ahead of one. At the start

- what is less than the mark, or other than it, stops the start with a sentence: answered bids are missing;
- what lies behind the mark is read command by command. An end that was torn off in the middle of a write was never
  answered: it is cut off, with a warning, and kept aside. Half a script is cut with it, as its whole is one
  transaction.

A directory without a mark is of an older version: all of its log is read that way, once.
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
LOCK = "looking.lock"  # held by whoever writes the mark
REFRESH_SECONDS = 0.2  # so much of what was answered may go without being missed
SYNC_SECONDS = 5.0  # the mark itself: each sync costs a bid's time, and only a power loss asks for it
_WAYS_ON = (
    "`sse-auction repair` keeps what can be read of it, `sse-auction restore FILE --replace` puts a backup in its "
    "place, and `sse-auction restore --empty --replace` begins anew; each keeps the present files aside"
)


class DamagedLog(StoreUnavailable):
    """The log is not what it was; the message is a sentence that says what was found, and what can be done."""

    def __init__(self, data_dir: Path, found: str) -> None:
        super().__init__(
            f"the embedded store in {data_dir} was not started, as its log is damaged: {found}; {_WAYS_ON}"
        )


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """So much of a file is on disk. A base has a checksum of its own, which the server tries."""

    length: int
    crc32: int = 0


class Mark(msgspec.Struct, frozen=True):
    """What is known to be on disk."""

    manifest: str
    extents: dict[str, Extent]


@dataclass(frozen=True, slots=True)
class Glance:
    """The log's list and the length of its last file at some moment."""

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
        """The server's list; None where there is none, ValueError where it is none."""
        try:
            text = (self.folder / MANIFEST).read_text()
        except FileNotFoundError:
            return None
        try:
            return Manifest.read(text)
        except (ValueError, KeyError):
            raise ValueError(f"{self.folder / MANIFEST} cannot be read") from None

    def mark(self) -> Mark | None:
        """What is known to be on disk; None where nobody has said."""
        try:
            return msgspec.json.decode(self._mark_path.read_bytes(), type=Mark)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            log.warning("%s cannot be read and is ignored", self._mark_path)
            return None

    def glance(self) -> Glance | None:
        """The list and the last file's length as of now."""
        with suppress(ValueError, FileNotFoundError):
            if manifest := self.manifest():
                return Glance(manifest, self._length(manifest.parts[-1]))
        return None

    def last_file(self) -> Path | None:
        """The file that is appended to."""
        seen = self.glance()
        return self.folder / seen.manifest.parts[-1].name if seen else None

    def _length(self, part: Part) -> int:
        return (self.folder / part.name).stat().st_size

    # --- before the start ----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Cut off a torn end; raise `DamagedLog` when the server must not start on what is there."""
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
        """Raise `DamagedLog` when something is missing that the mark knows."""
        known = Manifest.read(mark.manifest)
        listed = {part.name: part for part in manifest.parts}
        for part in known.parts:
            path, extent = self.folder / part.name, mark.extents[part.name]
            if part.name not in listed:
                if manifest.base_number > known.base_number:
                    continue  # the server has written its log anew since
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
        with suppress(OSError), path.open("rb") as file:  # such as a disk without room for it
            file.seek(sound)
            aside(self.data_dir, "torn").write_bytes(file.read())
        truncate(path, sound)
        log.warning(
            "the last %d bytes of %s were cut off: a write that was not finished, and not answered",
            length - sound, path,
        )  # fmt: skip

    # --- the mark ------------------------------------------------------------------------------------------------

    def refresh_mark(self, seen: Glance | None, info: Mapping[str, str]) -> None:
        """Mark what the server has said, in `info`, to have on disk; `seen` is of just before it did.

        A length that it tells is one behind whole commands, and synced: it does both before it answers anybody.
        """
        with suppress(FileNotFoundError):
            if 0 <= time.time() - self._mark_path.stat().st_mtime < REFRESH_SECONDS:
                return
        now = self.glance()
        if seen is None or now is None or now.manifest.text != seen.manifest.text:
            return
        *others, _ = now.manifest.parts
        # A server that began with nothing does not count its base until it has written one itself.
        counted = [part for part in others if not part.is_base or info.get("aof_base_size") != "0"]
        length = int(info.get("aof_current_size", -1)) - sum(map(self._length, counted))
        if seen.length <= length <= now.length:
            self._write_mark(now.manifest, length)

    def mark_whole(self) -> None:
        """Mark all whole commands that are there: for whoever has just started or stopped the server."""
        with suppress(ValueError, OSError), (self.data_dir / LOCK).open("a") as lock:
            if not try_lock(lock):
                return  # somebody who looks after it marks just now
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
        """Whether the server's last words are about what it should have loaded."""
        return any(word in words for word in ("AOF", "RDB", "append only", "manifest"))
