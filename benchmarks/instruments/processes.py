"""What processes cost, read from /proc: CPU time, memory, sockets; and what else the machine did meanwhile.

CPU is that of a process and all its children, to the nanosecond, by each process's own clock. Memory is PSS, in which
pages shared by several processes count once.
"""

import contextlib
import os
import platform
import resource
import signal
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
STOP_DEADLINE_SECONDS = 2.0  # nothing that is measured is worth a longer goodbye
FSYNCS = 30  # tried, to know a disk
SPARE_DESCRIPTORS = 120  # of a server or a generator, beyond its watchers' sockets


def tree(pid: int) -> list[int]:
    """A process and all its descendants that are alive."""
    found = [pid]
    for each in found:
        for task in _listing(Path(f"/proc/{each}/task")):
            try:
                found.extend(map(int, (task / "children").read_text().split()))
            except OSError:
                continue
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time that these process trees have used so far."""
    nanoseconds = 0
    for pid in {each for root in pids for each in tree(root)}:
        with contextlib.suppress(OSError):  # it has ended
            nanoseconds += time.clock_gettime_ns(_cpu_clock(pid))
    return nanoseconds / 1e9


def _cpu_clock(pid: int) -> int:
    """The id of the clock that counts the CPU time of another process, as Linux forms it (`clock_getcpuclockid(3)`)."""
    return (~pid << 3) | 2


def pss_bytes(pids: Iterable[int]) -> int:
    """Memory of these process trees, shared pages counted once."""
    total = 0
    for pid in {each for root in pids for each in tree(root)}:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def open_sockets(pids: Iterable[int]) -> int:
    """How many sockets these process trees hold."""
    total = 0
    for pid in {each for root in pids for each in tree(root)}:
        for link in _listing(Path(f"/proc/{pid}/fd")):
            try:
                total += os.readlink(link).startswith("socket:")
            except OSError:
                continue
    return total


def busy_seconds() -> float:
    """CPU time that the whole machine has used so far, time stolen by its host included."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def raise_descriptor_limit() -> int:
    """As many open files as may be, inherited by all that is started from here; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def max_watchers(wanted: int) -> int:
    """`wanted`, or what one process can hold here."""
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS)


def fsync_ms(directory: Path) -> float:
    """The median time that one small write and its fsync take on a disk, in ms: what a durable store waits for."""
    took = []
    with (directory / "fsync").open("wb") as file:
        for _ in range(FSYNCS):
            started = time.monotonic()
            file.write(b"x" * 200)
            file.flush()
            os.fsync(file.fileno())
            took.append((time.monotonic() - started) * 1000)
    return statistics.median(took)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, and its children: politely, then not."""
    if process.poll() is None:
        children = tree(process.pid)[1:]
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            for child in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
    process.wait()


@dataclass(frozen=True)
class Snapshot:
    """CPU seconds of each party so far, and of the whole machine, at one moment (monotonic seconds)."""

    at: float
    parties: Mapping[str, float]
    machine: float

    @classmethod
    def take(cls, at: float, parties: Mapping[str, Iterable[int]]) -> "Snapshot":
        return cls(at, {name: cpu_seconds(pids) for name, pids in parties.items()}, busy_seconds())

    def used_since(self, before: "Snapshot") -> dict[str, float]:
        """CPU seconds of each party between two snapshots; `others` is everything else that ran."""
        used = {name: seconds - before.parties[name] for name, seconds in self.parties.items()}
        used["others"] = max(0.0, self.machine - before.machine - sum(used.values()))
        return used


def machine() -> str:
    """One line about the machine."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory_kb = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return f"{os.cpu_count()} cores ({model}), {memory_kb / 2**20:.0f} GB, Linux {platform.release()}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _listing(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
