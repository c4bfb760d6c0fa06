"""The newest entry of the changelog is the version of the code."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from scripts.changelog import problem

CHECKOUT = Path(__file__).parents[2]
TODAY = date(2026, 3, 1)


def test_the_newest_entry_is_the_version_of_the_code() -> None:
    command = [sys.executable, "-m", "scripts.changelog"]
    checked = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("moment", ["unreleased", "2026-02-28"])
def test_an_entry_has_a_date_or_is_unreleased(moment: str) -> None:
    assert problem(f"# Changelog\n\n## 1.2.0 ({moment})\n\n- New.\n\n## 1.1.0 (2025-01-01)\n", "1.2.0") is None


@pytest.mark.parametrize(
    ("heading", "sentence"),
    [
        ("## 1.1.0 (unreleased)", "is for version 1.1.0, but sse_auction/__init__.py has version 1.2.0."),
        ("## Unreleased", "The newest entry is '## Unreleased'; it must be '## 1.2.0 (unreleased)'"),
        ("## 1.2.0 (soon)", "it must be '## 1.2.0 (unreleased)' or '## 1.2.0 (YYYY-MM-DD)'."),
        ("## 1.2.0 (2026-02-30)", "it must be '## 1.2.0 (unreleased)' or '## 1.2.0 (YYYY-MM-DD)'."),
        ("### 1.2.0 (unreleased)", "The changelog has no entry"),
    ],
)
def test_another_newest_entry_is_a_sentence(heading: str, sentence: str) -> None:
    assert sentence in str(problem(f"# Changelog\n\n{heading}\n", "1.2.0"))


@pytest.mark.parametrize(
    ("moment", "sentence"),
    [
        ("unreleased", "Version 1.2.0 has no date yet: write the day of the release in place of 'unreleased'."),
        ("2026-03-02", "Version 1.2.0 has the date 2026-03-02, which is after today, 2026-03-01 (UTC)."),
        ("2026-03-01", "None"),
    ],
)
def test_a_release_needs_a_date(moment: str, sentence: str) -> None:
    assert str(problem(f"## 1.2.0 ({moment})\n", "1.2.0", TODAY)) == sentence
