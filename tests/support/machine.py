"""What a busy machine adds to a measured time: the processes that it depends on wait for a processor.

A time that is compared with a promise of the service is measured by a process that does other work too, on a machine
that may run anything beside it. The kernel counts for how long each process was ready to run and did not.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path


def children_of(pid: int) -> list[int]:
    """The processes that a process has started; empty when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _waited_seconds(pid: int) -> float:
    """For how long a process has waited for a processor since it began; 0 where the kernel does not say."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


class MachineDelay:
    """Counts from its creation on. Of `alternatives`, such as workers, only one takes part: the slowest counts."""

    def __init__(self, processes: Sequence[int], alternatives: Sequence[int] = ()) -> None:
        self._processes = {pid: _waited_seconds(pid) for pid in (os.getpid(), *processes)}
        self._alternatives = {pid: _waited_seconds(pid) for pid in alternatives}
        self._own_work = time.thread_time()

    @property
    def seconds(self) -> float:
        """The waits of all that took part, and the other work of this process."""
        waits = sum(max(0.0, _waited_seconds(pid) - before) for pid, before in self._processes.items())
        slowest = max((_waited_seconds(pid) - before for pid, before in self._alternatives.items()), default=0.0)
        return waits + max(0.0, slowest) + time.thread_time() - self._own_work
