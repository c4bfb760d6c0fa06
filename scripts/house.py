"""The measure of the house: rooms at the top, the longest module, the longest function. `make house`.

Exits 1 when a module of `sse_auction/` has more than `MAX_MODULE_LINES` or a function more than `MAX_FUNCTION_LINES`.
The layers are held by the contracts of import-linter, in pyproject.toml.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "sse_auction"
MAX_MODULE_LINES = 320
MAX_FUNCTION_LINES = 50


def rooms() -> tuple[list[str], list[str]]:
    """(modules, packages) at the top of the package, but for its face and `python -m`."""
    modules = sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("__"))
    packages = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    return modules, packages


def modules() -> Iterator[tuple[int, str]]:
    """(lines, path) of each module."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield len(path.read_text().splitlines()), str(path.relative_to(PACKAGE.parent))


def functions() -> Iterator[tuple[int, str]]:
    """(lines, path:line name) of each function and method."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                place = f"{path.relative_to(PACKAGE.parent)}:{node.lineno} {node.name}"
                yield node.end_lineno - node.lineno + 1, place


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def main() -> int:
    """Print the measure."""
    top_modules, packages = rooms()
    _say(f"top of sse_auction/: {len(top_modules)} modules and {len(packages)} packages")
    _say(f"  {' '.join(top_modules)}")
    _say(f"  {' '.join(f'{name}/' for name in packages)}")
    is_kept = True
    for noun, measured, limit in (
        ("module", list(modules()), MAX_MODULE_LINES),
        ("function", list(functions()), MAX_FUNCTION_LINES),
    ):
        lines, place = max(measured)
        _say(f"longest {noun}: {lines} lines of at most {limit}: {place}")
        too_long = sorted((each for each in measured if each[0] > limit), reverse=True)
        for lines, place in too_long:
            _say(f"  too long: {lines} lines: {place}")
        is_kept = is_kept and not too_long
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
