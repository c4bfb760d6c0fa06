"""The generator and the writer, as seen by the one who measures: processes that obey one line at a time."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.instruments import processes


class WorkerError(RuntimeError):
    """A worker could not carry out a command; the message says why."""


class Worker:
    """A process that answers each command, in order."""

    def __init__(self, module: str) -> None:
        self._name = module.rpartition(".")[2]
        self.process = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(self, command: str, **options: Any) -> None:
        """Tell it what to do, without waiting."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": command, **options}).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What came of the oldest command not answered yet."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise WorkerError(f"the {self._name} ended with {self.process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise WorkerError(f"the {self._name}: {reply['error']}")
        return reply

    def do(self, command: str, **options: Any) -> dict[str, Any]:
        """Tell it and wait."""
        self.begin(command, **options)
        return self.answer()


@contextmanager
def worker(instrument: str) -> Iterator[Worker]:
    """A process of an instrument, `generator` or `writer`, that ends with the context."""
    running = Worker(f"benchmarks.instruments.{instrument}")
    try:
        yield running
    finally:
        processes.end(running.process)
        for pipe in (running.process.stdin, running.process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue
