"""Commands as a person or a script runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.harness import DEADLINE_SECONDS, SECRET

COMMAND = [sys.executable, "-m", "sse_auction"]


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], env={**os.environ, "SSE_AUCTION_SECRET": SECRET, **environment},
        capture_output=True, text=True, timeout=2 * DEADLINE_SECONDS, check=False,
    )  # fmt: skip


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence on stderr of a command that failed."""
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("sse-auction: ")
    return line.removeprefix("sse-auction: ")


def output(done: subprocess.CompletedProcess[str]) -> Any:
    """The object that a command with --json printed."""
    assert (done.returncode, done.stderr) == (0, ""), done
    return json.loads(done.stdout)


@contextmanager
def watching(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """`sse-auction watch`, killed at the end."""
    process = subprocess.Popen(
        [*COMMAND, "watch", *arguments], env={**os.environ, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()
