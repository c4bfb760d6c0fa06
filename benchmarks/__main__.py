"""`python -m benchmarks`: asks every question and writes docs/results/benchmarks.md; `--quick` takes under two minutes.

Questions can be named, so that one is asked again without the others; the report is always of the latest answer to
each, and each carries its own date. An interrupted run goes on with `--resume`.
"""

import os
import time
from datetime import UTC, datetime

import click
import msgspec
from rich.console import Console

from benchmarks import report
from benchmarks.bench import Answer, Bench
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import PEERS, Absent, Store
from benchmarks.instruments import processes
from benchmarks.questions import QUESTIONS, QUICK

ANSWERS = PEERS / "answers"
WIDTH_OF_LOGS = 200  # columns, where no terminal says how wide it is: tables stay legible


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(QUESTIONS)))
@click.option("--quick", is_flag=True, help="The main rows, one short run each; printed, not written to docs/.")
@click.option("--runs", type=click.IntRange(1), help="Runs per contender (3; with --quick 1).")
@click.option("--resume", is_flag=True, help="Ask only what has no answer yet from this version.")
@click.option("--report-only", is_flag=True, help="Write the report again from the answers that are there.")
def main(names: tuple[str, ...], quick: bool, runs: int | None, resume: bool, report_only: bool) -> None:
    """Measure sse-auction next to its peers."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH_OF_LOGS
    processes.raise_descriptor_limit()
    if not report_only:
        ask(console, names or tuple(QUICK if quick else QUESTIONS), quick, runs, resume)
    if not quick:
        answers = [answer for name in QUESTIONS if (answer := load(name))]
        if answers:
            console.print(f"wrote {report.write(answers)}")


def ask(console: Console, names: tuple[str, ...], quick: bool, runs: int | None, resume: bool) -> None:
    versions = versions_here()
    for name, version in versions.items():
        console.print(f"{CONTENDERS[name].title}: {version}", highlight=False)
    load_average = os.getloadavg()[0]
    if load_average > 0.5:
        console.print(f"[yellow]the machine is not quiet: load {load_average:.1f}[/]")
    for name in names:
        earlier = load(name)
        if resume and earlier is not None and earlier.versions == versions:
            console.print(f"[bold]{name}[/]: answered on {earlier.date}")
            continue
        console.rule(f"[bold]{name}")
        started = time.monotonic()
        answer = QUESTIONS[name](Bench(console, quick=quick, runs=runs))
        answer.seconds = time.monotonic() - started
        answer.date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        answer.machine, answer.versions, answer.is_quick = processes.machine(), versions, quick
        report.show(console, answer)
        if not quick:
            ANSWERS.mkdir(parents=True, exist_ok=True)
            (ANSWERS / f"{name}.json").write_bytes(msgspec.json.encode(answer))


def versions_here() -> dict[str, str]:
    """Each contender's version, or why it is absent."""
    versions = {}
    for name, contender in CONTENDERS.items():
        try:
            versions[name] = contender.version()
        except Absent as absent:
            versions[name] = f"absent: {absent}"
    versions["ours"] += f", on {Store.version()}"
    return versions


def load(name: str) -> Answer | None:
    """The latest answer to a question, if it is of the present shape."""
    try:
        return msgspec.json.decode((ANSWERS / f"{name}.json").read_bytes(), type=Answer)
    except (OSError, msgspec.DecodeError):
        return None


if __name__ == "__main__":
    main()
