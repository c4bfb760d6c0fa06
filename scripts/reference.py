"""Writes the generated tables of the documents from the code: `python -m scripts.reference [--check]`.

A table stands between two marks, `<!-- name: … -->` and `<!-- end of name -->`. With `--check` nothing is written:
the exit code is 1 when a table is not up to date, and the difference is printed.
"""

import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase
from starlette.routing import Mount, Route

from sse_auction import metrics
from sse_auction.app import DEMO_ROUTES, ROUTES
from sse_auction.settings import Settings
from sse_auction.web.descriptions import DESCRIPTIONS
from sse_auction.web.openapi import OPERATIONS
from tests.faults.chaos.scenarios import SCENARIOS

DOCUMENTS = Path(__file__).parents[1] / "docs"
METHODS = ("GET", "POST", "PATCH", "DELETE")


def settings() -> Iterator[tuple[str, ...]]:
    """A row for each setting."""
    yield "variable", "default", "what"
    for each in fields(Settings):
        default = each.metadata["when_unset"] or _shown(each.default)
        yield f"`{each.metadata['variable']}`", default, each.metadata["help"]


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    assert default is not MISSING, "a default that is computed needs `when_unset`"
    return f"`{default:g}`" if isinstance(default, int | float) else f"`{default}`"


def routes() -> Iterator[tuple[str, ...]]:
    """A row for each route, in the order of the descriptions; a route without one, or one without a route, fails."""
    yield "route", "token", "what"
    found = set()
    for route in ROUTES + DEMO_ROUTES:
        if isinstance(route, Mount):
            found.add(f"GET {route.path}/{{path}}")
        else:
            assert isinstance(route, Route)
            found |= {f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"}}
    operations = {f"{each.method.upper()} {each.path}": each for each in OPERATIONS}
    if odd := (found ^ DESCRIPTIONS.keys()) | (found ^ operations.keys()):
        raise SystemExit(f"not both a route and described: {', '.join(sorted(odd))}")
    for name, description in DESCRIPTIONS.items():
        operation = operations[name]
        role = ("operator" if "(operators)" in operation.summary else "bidder") if operation.token else ""
        yield f"`{name}`", role, description


def counted() -> Iterator[tuple[str, ...]]:
    """A row for each metric of the module `metrics`."""
    yield "metric", "what"
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (described,) = metric.describe()
            labels = f"{{{','.join(metric._labelnames)}}}" if metric._labelnames else ""  # no public way to them
            suffix = "_total" if described.type == "counter" else ""
            yield f"`{described.name}{suffix}{labels}`", described.documentation


def scenarios() -> Iterator[tuple[str, ...]]:
    """A row for each scenario of the chaos tests, from its docstring."""
    yield "scenario", "fault", "must hold, besides the above"
    for name, scenario in SCENARIOS.items():
        fault, _, holds = (inspect.getdoc(scenario) or "").partition("\n\nMust hold: ")
        if not holds:
            raise SystemExit(f"the docstring of {name} does not say what must hold")
        yield f"`{name}`", fault.rstrip("."), " ".join(holds.split()).rstrip(".")


TABLES: dict[str, tuple[str, Callable[[], Iterator[tuple[str, ...]]]]] = {
    "settings": ("reference.md", settings),
    "routes": ("reference.md", routes),
    "metrics": ("reference.md", counted),
    "scenarios": ("reliability.md", scenarios),
}


def written(text: str, name: str, rows: Iterator[tuple[str, ...]]) -> str:
    """The text, with these rows between the marks of this name."""
    head, *body = rows
    lines = [f"| {' | '.join(row)} |" for row in (head, *body)]
    lines.insert(1, "|" + "---|" * len(head))
    table = "\n".join(lines)
    between = re.compile(rf"(<!-- {name}: .*? -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    text, count = between.subn(lambda found: f"{found[1]}{table}\n{found[2]}", text)
    if count != 1:
        raise SystemExit(f"there are {count} places for the table {name}")
    return text


def main() -> int:
    """Write the tables, or check them."""
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        raise SystemExit(__doc__)
    stale = False
    for document in sorted({document for document, _ in TABLES.values()}):
        path = DOCUMENTS / document
        before = after = path.read_text()
        for name, (place, rows) in TABLES.items():
            if place == document:
                after = written(after, name, rows())
        if not check:
            path.write_text(after)
        elif before != after:
            stale = True
            lines = before.splitlines(), after.splitlines()
            sys.stdout.write("\n".join(difflib.unified_diff(*lines, f"{path}", "as generated", lineterm="")) + "\n")
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
