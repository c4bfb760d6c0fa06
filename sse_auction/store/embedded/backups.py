"""Backups of the embedded store, and the ways to start with other data: restore a backup, start empty, repair.

A backup is the server's own snapshot (RDB) of a moment after the request, read as a replica reads it. The service
continues meanwhile, and only the backup is written.

`restore` and `repair` need a store that no process uses. The replaced files are kept in the data directory and never
deleted, and a server has loaded the new files before they are put in place. When these commands are killed, either
the old data are in place, or the store refuses to start, as after any loss.
"""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sse_auction.store import keys
from sse_auction.store.connection import StoreUnavailable
from sse_auction.store.embedded import embedded_store, server_of
from sse_auction.store.embedded.append_log import FOLDER, MANIFEST, MARK, AppendLog
from sse_auction.store.embedded.files import aside, try_lock, write_whole, written_whole
from sse_auction.store.embedded.log_files import Manifest, scan, truncate
from sse_auction.store.embedded.server import START_TIMEOUT_SECONDS, Control, Server

_PIECE_BYTES = 1 << 18
_END_BYTES = 40  # of the random word at the end of a snapshot of unknown length
_MAGIC = (b"REDIS", b"VALKEY")
_BASE, _APPENDED = "appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"
_NEW_MANIFEST = f"file {_BASE} seq 1 type b\nfile {_APPENDED} seq 1 type i\n"


def back_up(data_dir: Path, target: Path) -> int:
    """Write a backup of the store to `target`, completely or not at all; how many auctions it has at least."""
    with embedded_store(data_dir) as store, Control(store.server.socket_path, START_TIMEOUT_SECONDS) as control:
        auctions = _count_auctions(control)
        try:
            with written_whole(target) as draft, draft.open("wb") as file:
                for piece in _snapshot(control):
                    file.write(piece)
        except OSError as error:
            raise StoreUnavailable(f"no backup was written: {error}") from None
    return auctions


def _snapshot(control: Control) -> Iterator[bytes]:
    """The server's present data, in the format of its own files."""
    control.call("REPLCONF", "rdb-only", "1")
    control.call("REPLCONF", "capa", "eof")
    control.socket.sendall(b"SYNC\r\n")
    stream = control.replies
    while (head := stream.readline()) == b"\n":
        pass  # a keep-alive line
    if head.startswith(b"$EOF:"):
        end, held = head[5:-2], b""
        while not held.endswith(end):
            piece = stream.read1(_PIECE_BYTES)
            if not piece:
                raise ConnectionError("the store ended in the middle of it")
            held += piece
            yield held[:-_END_BYTES]
            held = held[-_END_BYTES:]
        return
    if not head.startswith(b"$"):
        raise ConnectionError(f"the store gives none: {head.decode(errors='replace').strip()}")
    left = int(head[1:])
    while left:
        piece = stream.read1(min(left, _PIECE_BYTES))
        if not piece:
            raise ConnectionError("the store ended in the middle of it")
        left -= len(piece)
        yield piece


def restore(data_dir: Path, source: Path | None, *, replace: bool) -> tuple[int, Path | None]:
    """Put the backup `source` in place, or an empty store; (number of auctions, where the old data are kept).

    Raises: `StoreUnavailable` with a sentence when nothing was restored.
    """
    with _unused(data_dir) as server:
        folder = server.data_dir / FOLDER
        if (folder.exists() or (data_dir / MARK).exists()) and not replace:
            raise StoreUnavailable(f"there is a store in {data_dir} already; --replace keeps it aside")
        with _staged(data_dir, source) as (staging, auctions):
            kept = None
            if folder.exists() or (data_dir / MARK).exists():
                kept = aside(data_dir, "replaced")
                kept.mkdir(mode=0o700)
                # In this order a kill at any moment leaves a mark for a log that is missing, so the start is refused.
                if (data_dir / MARK).exists():
                    shutil.copy2(data_dir / MARK, kept / MARK)
                (staging / MARK).replace(data_dir / MARK)
                if folder.exists():
                    folder.replace(kept / FOLDER)
            else:
                (staging / MARK).replace(data_dir / MARK)
            (staging / FOLDER).replace(folder)
        return auctions, kept


def repair(data_dir: Path) -> tuple[list[str], Path]:
    """Keep the readable part of a damaged log; (what was done, one sentence each; where the damaged files are kept).

    Raises: `StoreUnavailable` with a sentence when nothing can be repaired.
    """
    with _unused(data_dir) as server:
        append_log = AppendLog(data_dir)
        if not append_log.folder.exists():
            raise StoreUnavailable(f"there is nothing in {data_dir} that could be repaired; restore a backup")
        kept = aside(data_dir, "damaged")
        shutil.copytree(append_log.folder, kept / FOLDER)
        if (data_dir / MARK).exists():
            shutil.copy2(data_dir / MARK, kept / MARK)
        done = _mend(append_log)
        try:
            server.start_or_join()
        except StoreUnavailable:
            if (kept / MARK).exists():
                shutil.copy2(kept / MARK, data_dir / MARK)  # without its mark, the log would pass as sound
            raise
        server.stop()
        return done, kept


def _mend(append_log: AppendLog) -> list[str]:
    """Change the log so that a server can load its readable part; what was done, one sentence each."""
    done = []
    mark = append_log.mark()
    try:
        manifest = append_log.manifest()
    except ValueError:
        manifest = None
    if manifest is None:
        manifest = Manifest.read(mark.manifest) if mark else _guessed(append_log.folder)
        write_whole(append_log.folder / MANIFEST, manifest.text.encode())
        done.append(f"{MANIFEST} was rewritten")
    missing = [part.name for part in manifest.parts if not (append_log.folder / part.name).exists()]
    if missing:
        raise StoreUnavailable(f"the log cannot be repaired without {', '.join(missing)}; restore a backup")
    appended = [part for part in manifest.parts if not part.is_base]
    for part in appended:
        path = append_log.folder / part.name
        sound, length = scan(path)[0], path.stat().st_size
        if sound < length:
            truncate(path, sound)
            done.append(f"{part.name} was cut from {length} to {sound} bytes")
            for later in appended[appended.index(part) + 1 :]:
                truncate(append_log.folder / later.name, 0)
                done.append(f"{later.name} was emptied, as it goes on from there")
            break
        if mark and part.name in mark.extents and mark.extents[part.name].length > length:
            done.append(f"{part.name} lacks {mark.extents[part.name].length - length} bytes or more at its end")
    (append_log.data_dir / MARK).unlink(missing_ok=True)
    return done


def _guessed(folder: Path) -> Manifest:
    """A manifest made from the names of the log's files."""
    bases = sorted(folder.glob("*.base.*"), key=_number)[-1:]
    appended = sorted(folder.glob("*.incr.aof"), key=_number)
    lines = [f"file {path.name} seq {_number(path)} type b\n" for path in bases]
    lines += [f"file {path.name} seq {_number(path)} type i\n" for path in appended]
    if not bases or not appended:
        raise StoreUnavailable(f"the files in {folder} cannot be repaired; restore a backup")
    return Manifest.read("".join(lines))


def _number(path: Path) -> int:
    return int(path.name.split(".")[-3])


@contextmanager
def _unused(data_dir: Path) -> Iterator[Server]:
    """The stopped server of a data directory; no process uses it, and none can start it meanwhile."""
    with ExitStack() as held:
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            users = held.enter_context((data_dir / "users.lock").open("a"))
            server = held.enter_context(server_of(data_dir))
            held.enter_context(server.starting())
        except OSError as error:
            raise StoreUnavailable(f"the data directory {data_dir} cannot be used: {error}") from None
        if not try_lock(users):
            raise StoreUnavailable(f"the embedded store in {data_dir} is in use; stop what uses it first")
        fcntl.flock(users, fcntl.LOCK_UN)
        _end(server)
        for left in data_dir.glob("restoring-*"):  # left by a process that was killed
            with server_of(left) as other:
                _end(other)
            shutil.rmtree(left)
        yield server


def _end(server: Server) -> None:
    if not server.is_gone():  # the last process that used it was killed
        server.stop()
    if not server.is_gone():
        raise StoreUnavailable(f"the embedded store in {server.data_dir} does not stop")


@contextmanager
def _staged(data_dir: Path, source: Path | None) -> Iterator[tuple[Path, int]]:
    """(a directory with a log and a mark, which a server has loaded; the number of auctions in it)."""
    staging = aside(data_dir, "restoring")
    folder = staging / FOLDER
    try:
        staging.mkdir(mode=0o700)
        if source is not None:
            _lay_out(source, folder)
        with server_of(staging) as server, server.starting():
            try:
                server.start_or_join()
                with Control(server.socket_path) as control:
                    auctions = _count_auctions(control)
            except StoreUnavailable:
                words = server.last_words()
                raise StoreUnavailable(f"{source} cannot be restored, and nothing was changed: {words}") from None
            finally:
                server.stop()
        yield staging, auctions
    except OSError as error:
        raise StoreUnavailable(f"nothing was restored: {error}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _lay_out(source: Path, folder: Path) -> None:
    """Make a backup the base of a new log, to which nothing was appended yet."""
    with source.open("rb") as file:
        if not file.read(8).startswith(_MAGIC):
            raise StoreUnavailable(f"{source} is not a backup of a store; nothing was changed")
    folder.mkdir(mode=0o700)
    shutil.copyfile(source, folder / _BASE)
    (folder / _APPENDED).touch(0o600)
    (folder / MANIFEST).write_text(_NEW_MANIFEST)


def _count_auctions(control: Control) -> int:
    return int(control.call("ZCARD", keys.INDEX))
