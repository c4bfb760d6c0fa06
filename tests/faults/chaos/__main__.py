"""`python -m tests.faults.chaos`: runs every scenario many times, each time with another seed, for some minutes."""

import argparse
import itertools
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

import click
import msgspec

from tests.faults.chaos.play import play
from tests.faults.chaos.scenarios import SCENARIOS
from tests.faults.chaos.stage import Report

AT_ONCE = 3  # on two cores: a scenario mostly waits
SUMS = {
    "bids tried": "bids tried", "unknown": "bids unknown", "in the log": "bids found in the log",
    "states seen": "states seen by watchers", "reconnects": "reconnects", "503s": "answered 503",
}  # fmt: skip
WORST = {"longest not live, s": "longest not live (s)", "slowest answer, s": "slowest answer (s)"}
ALONE = {"overload", "terminated", "four-workers-terminated"}  # which need all of the machine


def plays(names: list[str], first_seed: int | None, minutes: float) -> Iterator[tuple[str, int]]:
    """The runs in their order: one round with a given seed, or rounds until the time is up."""
    deadline = time.monotonic() + minutes * 60
    for seed in itertools.count(random.randrange(10**6) if first_seed is None else first_seed):
        for name in names:
            if first_seed is None and time.monotonic() > deadline:
                return
            yield name, seed
        if first_seed is not None:
            return


def run(waiting: Iterator[tuple[str, int]], *, short: bool) -> dict[str, dict[int, Report]]:
    """Run them, several at once; reports by scenario and seed."""
    reports: dict[str, dict[int, Report]] = {}
    running: dict[Future[Report], tuple[str, int]] = {}
    upcoming = next(waiting, None)
    with ProcessPoolExecutor(AT_ONCE, max_tasks_per_child=1) as pool:
        while upcoming or running:
            if upcoming and _has_room(upcoming[0], [name for name, _ in running.values()]):
                running[pool.submit(play, *upcoming, short=short)] = upcoming
                upcoming = next(waiting, None)
                continue
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                name, seed = running.pop(done)
                reports.setdefault(name, {})[seed] = report = done.result()
                show(name, seed, report)
    return reports


def _has_room(name: str, running: list[str]) -> bool:
    if not running:
        return True
    return len(running) < AT_ONCE and not ALONE & {name, *running}


def show(name: str, seed: int, report: Report) -> None:
    """Print what a run counted."""
    counted = ", ".join(f"{what}: {number:g}" for what, number in report.counts.items())
    click.echo(f"{name} (seed {seed}): {'VIOLATED' if report.violations else 'held'}; {counted}")
    for violation in report.violations[:10]:
        click.echo(f"    {violation[:2000]}")
    if report.violations:
        click.echo(f"    again: python -m tests.faults.chaos {name} --seed {seed}")


def table(reports: dict[str, dict[int, Report]]) -> str:
    """All counts as Markdown: sums, and the worst of each time."""
    head = ("scenario", "runs", "seeds", "held", *SUMS, *WORST)
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for name in filter(reports.__contains__, SCENARIOS):
        runs = reports[name]
        counts = [report.counts for report in runs.values()]
        seeds = ", ".join(map(str, sorted(runs)))
        held = sum(not report.violations for report in runs.values())
        sums = (f"{sum(each.get(what, 0) for each in counts):,.0f}" for what in SUMS.values())
        worst = (f"{max(each.get(what, 0) for each in counts):.1f}" for what in WORST.values())
        lines.append(" | ".join((name, str(len(runs)), seeds, str(held), *sums, *worst)))
    return "\n".join(f"| {line} |" for line in lines)


def main() -> int:
    """Run until the time is up; exit code 1 when anything was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.chaos", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)} [all]")
    parser.add_argument("--minutes", type=float, default=15, help="begin no scenario after that [15]")
    parser.add_argument("--seed", type=int, help="run one round, with this seed")
    parser.add_argument("--short", action="store_true", help="the form that the tests run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write what was counted")
    arguments = parser.parse_args()
    names = arguments.scenarios or list(SCENARIOS)
    if unknown := set(names) - SCENARIOS.keys():
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    reports = run(plays(names, arguments.seed, arguments.minutes), short=arguments.short)
    if arguments.json:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(reports)))
    runs = [report for seeds in reports.values() for report in seeds.values()]
    failed = sum(bool(report.violations) for report in runs)
    click.echo(table(reports))
    click.echo(f"{len(runs)} runs of {len(reports)} scenarios, {failed} with a violation")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
