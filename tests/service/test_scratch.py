"""Folders in the temporary folder: used by several processes, and deleted with the last one, however it ends."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from tests.support.harness import Server, StoreProcess, running_server, until


@pytest.fixture
def temporary(directory: Path) -> Path:
    folder = directory / "tmp"
    folder.mkdir()
    return folder


@pytest.fixture
def four_workers(directory: Path, temporary: Path, valkey: StoreProcess) -> Iterator[Server]:
    settings = {"REDIS_URL": valkey.url, "WEB_CONCURRENCY": "4", "TMPDIR": str(temporary)}
    with running_server(directory, **settings) as server:
        until(lambda: len(server.workers()) == 4, "four workers")
        yield server


def folders(temporary: Path) -> list[Path]:
    return list(temporary.iterdir())


def has_ended(pid: int) -> bool:
    """Whether a process has ended; its parent may not have noticed yet."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def test_the_workers_metrics_go_with_the_server(four_workers: Server, temporary: Path) -> None:
    (folder,) = folders(temporary)
    assert folder.name.startswith("sse-auction-metrics-")
    assert four_workers.stop() == 0
    assert folders(temporary) == []


def test_the_workers_metrics_go_with_the_last_worker(four_workers: Server, temporary: Path) -> None:
    assert len(folders(temporary)) == 1
    four_workers.stop(signal.SIGKILL)
    until(lambda: folders(temporary) == [], "the workers end, and the last one removes the folder")
    assert "Traceback" not in four_workers.log()


def test_what_was_left_is_removed_at_the_next_start(four_workers: Server, temporary: Path, directory: Path) -> None:
    (left,) = folders(temporary)
    foreign = temporary / "sse-auction-metrics-foreign"
    foreign.mkdir()
    workers = four_workers.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)  # so that none sees the end of the supervisor before its own
    four_workers.stop(signal.SIGKILL)
    for pid in workers:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: all(map(has_ended, workers)), "the end of all workers")
    assert left in folders(temporary)
    four_workers.restart_on_same_port()
    assert left not in folders(temporary)
    assert len(folders(temporary)) == 2, "its own folder, and the one without a known owner"
    assert foreign in folders(temporary)


def test_a_folder_in_use_is_not_removed(
    four_workers: Server, temporary: Path, directory: Path, valkey: StoreProcess
) -> None:
    (used,) = folders(temporary)
    (directory / "other").mkdir()
    settings = {"REDIS_URL": valkey.url, "WEB_CONCURRENCY": "2", "TMPDIR": str(temporary)}
    with running_server(directory / "other", **settings):
        assert len(folders(temporary)) == 2
    assert folders(temporary) == [used]
    assert "sse_auction_streams" in httpx.get(f"{four_workers.url}/metrics").text


def test_one_worker_needs_no_folder(directory: Path, temporary: Path, valkey: StoreProcess) -> None:
    with running_server(directory, REDIS_URL=valkey.url, TMPDIR=str(temporary)):
        assert folders(temporary) == []


def test_the_way_to_a_deep_data_directory_is_removed_at_the_next_start(directory: Path) -> None:
    deep = directory / ("d" * 90)
    with (
        TemporaryDirectory() as short,  # a socket's path must fit in it
        running_server(directory, SSE_AUCTION_DATA_DIR=str(deep), TMPDIR=short) as server,
    ):
        left = set(folders(Path(short)))
        server.stop(signal.SIGKILL)
        assert set(folders(Path(short))) == left != set()
        server.restart_on_same_port()
        assert len(folders(Path(short))) == len(left)
        assert not left & set(folders(Path(short)))
        server.stop()
        assert folders(Path(short)) == []
