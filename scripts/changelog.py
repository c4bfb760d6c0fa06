"""Compares the newest entry of CHANGELOG.md with the version of the code: `python -m scripts.changelog [--release]`.

The first heading of the second level is `## VERSION (unreleased)` or `## VERSION (YYYY-MM-DD)`. With `--release` it
must have a date, which is not after today. When something does not fit, the exit code is 1 and stderr has one sentence.
"""

import argparse
import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from sse_auction import __version__

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"
ENTRY = re.compile(r"## (?P<version>\S+) \((?P<moment>[^)]+)\)")
UNRELEASED = "unreleased"


def problem(text: str, version: str, today: date | None = None) -> str | None:
    """What is wrong with a changelog for this version; with `today`, also what is wrong for a release on that day."""
    heading = next((line for line in text.splitlines() if line.startswith("## ")), None)
    if heading is None:
        return "The changelog has no entry: no line starts with '## '."
    entry = ENTRY.fullmatch(heading)
    if entry is None or not (entry["moment"] == UNRELEASED or _day(entry["moment"])):
        return (
            f"The newest entry is '{heading}'; it must be '## {version} ({UNRELEASED})' or '## {version} (YYYY-MM-DD)'."
        )
    if entry["version"] != version:
        return (
            f"The newest entry is for version {entry['version']}, but sse_auction/__init__.py has version {version}."
            " Both must be the version that is released next."
        )
    if today is not None:
        day = _day(entry["moment"])
        if day is None:
            return f"Version {version} has no date yet: write the day of the release in place of '{UNRELEASED}'."
        if day > today:
            return f"Version {version} has the date {day}, which is after today, {today} (UTC)."
    return None


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        return None


def main() -> int:
    """Check the changelog of this checkout; 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--release", action="store_true", help="the entry must have a date, not in the future")
    today = datetime.now(UTC).date() if parser.parse_args().release else None
    if found := problem(CHANGELOG.read_text(), __version__, today):
        sys.stderr.write(f"{CHANGELOG.name}: {found}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
