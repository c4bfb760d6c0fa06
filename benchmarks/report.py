"""The answers as tables and plots: on the terminal, and in docs/results/benchmarks.md.

Rule: every figure comes from the answers; the prose here holds none.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from rich.console import Console
from rich.table import Table

from benchmarks.bench import Answer, Column, Goal, Row

matplotlib.use("svg")
from matplotlib import pyplot  # only after the backend is chosen, for machines without a display

NOTHING = "-"  # where no figure is
RESULTS = Path(__file__).parents[1] / "docs" / "results"
OURS_COLOUR, PEER_COLOUR = "#c2410c", "#94a3b8"
VERDICTS = {True: "met", False: "**missed**", None: "not measured"}
INTRODUCTION = """# Benchmarks

What delivery costs and how fresh it is, next to peers of the same run, on one machine over loopback. `make bench`
measures all of this again and writes this page; `make bench-quick` does the main rows in under two minutes;
`python -m benchmarks fanout memory` asks single questions.

How to read it:

- **The ratios to the peers of the same run are the result.** Absolute figures are context: they are those of this
  machine and of its mood. Contenders take turns, and each figure is the median of its runs.
- CPU is user and system time of the server's whole process tree, from `/proc`. The store's is given apart.
- The load generator and the writer run on the same machine. *client-bound* marks a figure for which the generator
  used most of a core, so that it and not the server may have set the pace; *lateness client-bound* one in which the
  generator needed more CPU to take a price than the server to deliver it, so that lateness in a crowd is the
  generator's; *disturbed* one during which other
  programs used the machine.
- Prices are written at fixed moments whether or not the server keeps up, and staleness counts from those moments.
- For the rows of delivery the store does not persist; for the bids it does, with `appendfsync always`.
- A peer that is not installed, or failed, is listed as such. `scripts/install-benchmark-peers.sh` installs them.
"""


# --- cells -------------------------------------------------------------------------------------------------------


def header(answer: Answer) -> list[str]:
    conditions = len({row.condition for row in answer.rows})
    return [*(["condition"] if conditions > 1 else []), "server", *(column.title for column in answer.columns), ""]


def cells(answer: Answer) -> list[list[str]]:
    """The rows of the table, as text."""
    conditions = len({row.condition for row in answer.rows})
    return [
        [*([row.condition] if conditions > 1 else []), row.title, *figures(row, answer.columns), remark(row)]
        for row in answer.rows
    ]


def figures(row: Row, columns: Sequence[Column]) -> list[str]:
    known = row.figures
    return [f"{known[column.key]:,.{column.digits}f}" if column.key in known else NOTHING for column in columns]


def remark(row: Row) -> str:
    return row.trouble or ", ".join(row.marks)


def goal_text(goal: Goal) -> str:
    value = NOTHING if goal.value is None else f"{goal.value:,.2f}"
    return f"{goal.text}: {value} ({goal.kind} {goal.bound:,g}): {VERDICTS[goal.is_met]}"


# --- the terminal ------------------------------------------------------------------------------------------------


def show(console: Console, answer: Answer) -> None:
    """One answer, for people."""
    table = Table(*header(answer), title=answer.question.partition("\n")[0])
    for row in cells(answer):
        table.add_row(*row)
    console.print(table)
    for goal in answer.goals:
        console.print(f"  {goal_text(goal).replace('**', '')}", highlight=False)
    for note in answer.notes:
        console.print(f"  {note}", highlight=False)
    console.print(f"  took {answer.seconds:.0f} s", highlight=False)


# --- the page ----------------------------------------------------------------------------------------------------


FINDINGS = Path(__file__).with_name("findings.md")  # what no program can find out


def write(answers: Sequence[Answer], results: Path = RESULTS) -> Path:
    """Write the page and its plots; where it is."""
    (results / "benchmarks").mkdir(parents=True, exist_ok=True)
    parts = [INTRODUCTION, summary(answers), FINDINGS.read_text()]
    parts += [section(answer, results) for answer in answers]
    parts.append(environment(answers))
    path = results / "benchmarks.md"
    path.write_text("\n".join(parts))
    return path


def summary(answers: Sequence[Answer]) -> str:
    """All goals in one table."""
    lines = ["## Goals\n", "| question | goal | measured | |", "|---|---|---|---|"]
    for answer in answers:
        for goal in answer.goals:
            value = NOTHING if goal.value is None else f"{goal.value:,.2f}"
            bound = f"{goal.text} {goal.kind} {goal.bound:,g}"
            lines.append(f"| [{answer.name}](#{answer.name}) | {bound} | {value} | {VERDICTS[goal.is_met]} |")
    return "\n".join(lines) + "\n"


def section(answer: Answer, results: Path) -> str:
    title, _, rest = answer.question.strip().partition("\n")
    lines = [f"## {answer.name}\n", f"**{title}**", rest, ""]
    lines += ["| " + " | ".join(header(answer)) + " |", "|" + "---|" * len(header(answer))]
    lines += ["| " + " | ".join(row) + " |" for row in cells(answer)]
    lines += [""] + [f"- {goal_text(goal)}" for goal in answer.goals] + [f"- {note}" for note in answer.notes]
    if plot := draw(answer, results / "benchmarks"):
        lines += ["", f"![{title}](benchmarks/{plot})"]
    runs = max((len(row.runs) for row in answer.rows), default=0)
    lines += ["", f"<sub>{answer.date}, median of {runs} run{'s' * (runs != 1)}, {answer.seconds:.0f} s</sub>", ""]
    return "\n".join(lines)


def environment(answers: Sequence[Answer]) -> str:
    """The machines and versions of all answers: one each, unless they were measured apart."""
    lines = ["## Machine and versions\n"]
    lines += [f"- {machine}" for machine in dict.fromkeys(answer.machine for answer in answers)]
    lines += list(
        dict.fromkeys(f"- {name}: {version}" for answer in answers for name, version in answer.versions.items())
    )
    return "\n".join(lines) + "\n"


# --- plots -------------------------------------------------------------------------------------------------------


def draw(answer: Answer, directory: Path) -> str | None:
    """The answer's plot, or None where there is nothing to draw."""
    rows = [row for row in answer.rows if row.runs]
    if answer.plot is None or not rows:
        return None
    # Text stays text, in the page's own font; a fixed salt, so that an unchanged plot is an unchanged file.
    with pyplot.rc_context({"svg.fonttype": "none", "svg.hashsalt": answer.name, "font.size": 10}):
        if answer.plot == "lines":
            draw_lines(rows)
        else:
            draw_bars(rows, next(column for column in answer.columns if column.key == answer.plot))
        name = f"{answer.name}.svg"
        pyplot.savefig(directory / name, metadata={"Date": None}, bbox_inches="tight")
        pyplot.close()
    return name


def draw_bars(rows: Sequence[Row], column: Column) -> None:
    """One bar per row, the median; its runs as dots."""
    conditions = len({row.condition for row in rows})
    labels = [f"{row.title}, {row.condition}" if conditions > 1 else row.title for row in rows]
    _, axes = pyplot.subplots(figsize=(7.5, 0.5 + 0.36 * len(rows)))
    values = [row.figures[column.key] for row in rows]
    colours = [OURS_COLOUR if row.contender == "ours" else PEER_COLOUR for row in rows]
    axes.barh(range(len(rows)), values, color=colours)
    for place, row in enumerate(rows):
        runs = [run[column.key] for run in row.runs if column.key in run]
        axes.plot(runs, [place] * len(runs), "o", markersize=3, color="black", alpha=0.5)
    if min(values) > 0 and max(values) > 50 * min(values):
        axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlabel(column.title)
    axes.spines[["top", "right"]].set_visible(False)


def draw_lines(rows: Sequence[Row]) -> None:
    """Staleness over time, a line per contender."""
    _, axes = pyplot.subplots(figsize=(7.5, 3))
    for row in rows:
        colour = OURS_COLOUR if row.contender == "ours" else PEER_COLOUR
        axes.plot(row.lines["x"], row.lines["y"], color=colour, label=row.title)
    axes.set_xlabel("seconds")
    axes.set_ylabel("staleness, s")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
