"""The processes around an embedded store, and its data at the end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.support.harness import DEADLINE_SECONDS, SECRET, Server


def processes() -> Iterator[tuple[int, list[str]]]:
    """(pid, command line) of all live processes."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if command:  # a zombie has none
                yield int(entry.name), [os.fsdecode(word) for word in command.split(b"\0")]


def stores_in(data_dir: Path) -> list[int]:
    """The servers that use this data directory, under any of its names."""
    place = os.path.realpath(data_dir)
    return [
        pid
        for pid, command in processes()
        if "valkey-server" in command[0] and os.path.realpath(f"/proc/{pid}/cwd") == place
    ]


def the_store_in(data_dir: Path) -> int:
    (pid,) = stores_in(data_dir)
    return pid


def command(data_dir: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """`sse-auction ...` on this data directory."""
    environment = {"SSE_AUCTION_DATA_DIR": str(data_dir), "SSE_AUCTION_SECRET": SECRET, "REDIS_URL": "", **variables}
    return subprocess.run(
        [sys.executable, "-m", "sse_auction", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=3 * DEADLINE_SECONDS,
    )  # fmt: skip


def assert_one_sentence(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert result.returncode == 1, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("sse-auction: ")
    for part in parts:
        assert part in line


def bids_in_log(server: Server, guid: str) -> dict[int, str]:
    """The price after each bid, by its seq."""
    logged: dict[int, str] = {}
    while True:
        after = max(logged, default=0)
        page = httpx.get(f"{server.url}/auctions/{guid}/bids?after={after}&limit=200").json()["bids"]
        if not page:
            return logged
        logged |= {each["seq"]: each["price"] for each in page}
