"""The frame around a question: alternating runs, medians, progress, and the answer's shape.

Rule: contenders take turns (A B C, A B C, A B C), so that a slow minute of the machine hits all of them; a figure is
the median of its runs. A contender that is absent or fails is in the answer with the reason, and no figure is made up.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from rich.console import Console

from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.base import Absent
from benchmarks.stage import Figures

CLIENT_BOUND_SHARE = 0.85  # of a core: above it the generator, not the server, may have set the pace
DISTURBED_SHARE = 0.3  # of a core that other programs used meanwhile


class Column(msgspec.Struct, frozen=True):
    """One figure of a table. A bound on `ratio` to a peer or on the value itself is stated in a `Goal`."""

    key: str
    title: str
    digits: int = 0


class Goal(msgspec.Struct, frozen=True):
    """What was promised, and what came of it; `value` is None where a peer that it needs is missing."""

    text: str
    value: float | None
    bound: float
    kind: Literal["at most", "at least"] = "at most"

    @property
    def is_met(self) -> bool | None:
        if self.value is None or self.value != self.value:
            return None
        return self.value <= self.bound if self.kind == "at most" else self.value >= self.bound


class Row(msgspec.Struct):
    """One contender under one condition: the runs, and their medians."""

    contender: str
    title: str
    condition: str
    runs: list[Figures]
    trouble: str | None = None
    lines: dict[str, list[float]] = {}  # for a plot over time

    @property
    def figures(self) -> Figures:
        keys = [key for key in self.runs[0] if all(key in run for run in self.runs)] if self.runs else []
        return {key: statistics.median(run[key] for run in self.runs) for key in keys}

    @property
    def marks(self) -> list[str]:
        """What makes a figure doubtful."""
        figures = self.figures
        marks = []
        if figures.get("generator_share", 0) > CLIENT_BOUND_SHARE:
            marks.append("client-bound")
        elif "last_p99_ms" in figures and figures["generator_us"] > figures["cpu_us"]:
            marks.append("lateness client-bound")
        if figures.get("others_share", 0) > DISTURBED_SHARE:
            marks.append("disturbed")
        return marks


class Answer(msgspec.Struct):
    """All that a question brought to light."""

    name: str
    question: str
    columns: list[Column]
    rows: list[Row]
    goals: list[Goal]
    notes: list[str] = []
    plot: str | None = None  # the key of the figure that is drawn
    date: str = ""
    machine: str = ""
    versions: dict[str, str] = {}
    seconds: float = 0.0
    is_quick: bool = False


Measure = Callable[[str], Figures | tuple[Figures, dict[str, list[float]]]]


class Bench:
    """What a question gets: how thorough to be, and whom to tell how far it is."""

    def __init__(self, console: Console, *, quick: bool, runs: int | None = None) -> None:
        self.is_quick = quick
        self.runs = runs or (1 if quick else 3)
        self._console = console

    def pick(self, full: Any, quick: Any) -> Any:
        """A size or a choice, by thoroughness."""
        return quick if self.is_quick else full

    def alternate(self, contenders: Sequence[str], condition: str, measure: Measure, runs: int = 0) -> list[Row]:
        """Run `measure` for each contender in turn, `runs` times (by default as often as was asked for)."""
        runs = runs or self.runs
        rows = [Row(name, CONTENDERS[name].title, condition, []) for name in contenders]
        for number in range(runs):
            for row in rows:
                if row.trouble is None:
                    self._run(row, measure, f"{row.title}, {condition or 'run'} ({number + 1} of {runs})")
        return rows

    def _run(self, row: Row, measure: Measure, what: str) -> None:
        started = time.monotonic()
        try:
            CONTENDERS[row.contender].version()
            with self._console.status(what):
                result = measure(row.contender)
            figures, row.lines = result if isinstance(result, tuple) else (result, row.lines)
            row.runs.append({key: value for key, value in figures.items() if math.isfinite(value)})
        except Absent as absent:
            row.trouble = f"absent: {absent}"
        except Exception as error:  # noqa: BLE001  # reported in its row; the other contenders go on
            row.trouble = "failed: " + str(error).partition("\n")[0]
            notes = " ".join(getattr(error, "__notes__", []))
            self._console.print(f"  [red]{row.title} failed:[/] {error} {notes}", highlight=False)
        took = time.monotonic() - started
        marks = f" [yellow]{', '.join(row.marks)}[/]" if row.marks else ""
        self._console.print(f"  {what}: {took:.0f} s{marks}", highlight=False)


def ratio(rows: Sequence[Row], key: str, one: str, other: str, condition: str | None = None) -> float | None:
    """The figure of `one` over that of `other` (under one condition), or None where either is missing."""
    top, below = figure(rows, key, one, condition), figure(rows, key, other, condition)
    return top / below if top is not None and below else None


def figure(rows: Sequence[Row], key: str, contender: str, condition: str | None = None) -> float | None:
    """A contender's median, or None."""
    for row in rows:
        if row.contender == contender and condition in (None, row.condition):
            return row.figures.get(key)
    return None
