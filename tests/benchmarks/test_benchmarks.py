"""The benchmarks as a whole: a stage with our own server, its processes, and the report."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.bench import Answer, Column, Goal, Row
from benchmarks.contenders.base import claim_port
from benchmarks.instruments import processes
from benchmarks.stage import stage
from tests.support.harness import until

BURN = """
import os, socket, subprocess, sys, time
burn, megabytes, depth = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
child = subprocess.Popen([sys.executable, "-c", sys.argv[4], *map(str, (burn, megabytes, depth - 1)), sys.argv[4]],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE) if depth else None
held = bytearray(os.urandom(1 << 20) * megabytes)
sockets = [socket.socket() for _ in range(7)]
while time.process_time() < burn:
    pass
if child:
    child.stdout.readline()
print("done", flush=True)
sys.stdin.read()
"""


def test_cpu_memory_and_sockets_of_a_whole_tree_are_counted() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BURN, "0.6", "40", "1", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        parent.stdout.readline()
        pids = [parent.pid]
        assert len(processes.tree(parent.pid)) == 2
        assert processes.cpu_seconds(pids) == pytest.approx(1.2, abs=0.1)
        assert 80 <= processes.pss_bytes(pids) / 2**20 <= 80 + 30, "two interpreters, and 40 MB each"
        assert processes.open_sockets(pids) == 14
        parent.stdin.close()
    until(lambda: processes.cpu_seconds(pids) == 0, "the end of the tree")


def test_the_cpu_of_another_process_is_counted_to_less_than_a_tick_of_the_kernel() -> None:
    work = "import sys, time\nwhile time.process_time() < 0.1234: pass\nprint(time.process_time(), flush=True)"
    work += "\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        used = float(worker.stdout.readline())
        assert used <= processes.cpu_seconds([worker.pid]) < used + 0.005


def test_a_stage_measures_our_own_server() -> None:
    with stage("ours") as on:
        on.prime(2)
        on.open(20)
        on.check_watchers()
        figures = on.deliver(20.0, 1.0)
    assert figures["behind"] == figures["untaken"] == figures["repeats"] == 0
    assert 20 <= figures["deliveries"] <= 20 * 10
    assert 0 < figures["stale_p50_ms"] <= figures["stale_p99_ms"]
    assert figures["server_share"] > 0


def test_two_benchmarks_at_once_do_not_take_the_same_port() -> None:
    first, claim = claim_port()
    second, other_claim = claim_port()
    with claim, other_claim:
        assert first != second


def test_the_report_names_what_is_absent_failed_or_doubtful(directory: Path) -> None:
    rows = [
        Row("ours", "sse-auction", "", [{"us": 8.0, "generator_share": 0.95}, {"us": 9.0, "generator_share": 0.97}]),
        Row("nchan", "nginx + nchan", "", [], trouble="absent: the nchan module of nginx is not installed"),
    ]
    goals = [Goal("CPU over nchan's", None, 0.75), Goal("CPU, µs", 8.5, 8.0), Goal("CPU, µs", 8.5, 8.0, "at least")]
    answer = Answer("fanout", "How?\n\nSo.", [Column("us", "CPU, µs", 1)], rows, goals, plot="us")
    page = report.write([answer], directory).read_text()
    assert "| sse-auction | 8.5 | client-bound |" in page
    assert "| nginx + nchan | - | absent: the nchan module of nginx is not installed |" in page
    for verdict in (
        "CPU over nchan's: - (at most 0.75): not measured",
        "8.50 (at most 8): **missed**",
        "least 8): met",
    ):
        assert verdict in page
    assert "benchmarks/fanout.svg" in page
    assert (directory / "benchmarks" / "fanout.svg").read_text().count("sse-auction") == 1
