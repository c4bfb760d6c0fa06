"""The workflow of the forge runs what the Makefile has."""

import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
WORKFLOW: Any = yaml.safe_load((CHECKOUT / ".github" / "workflows" / "test.yml").read_text())


def commands(job: str) -> list[str]:
    return [step["run"] for step in WORKFLOW["jobs"][job]["steps"] if "run" in step]


def planned(command: str) -> str:
    """What make would do, where nothing is installed yet."""
    arguments = [*command.split(), "--dry-run", "VENV=not-there"]
    return subprocess.run(arguments, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout


def test_each_version_of_python_is_tested_with_the_pins() -> None:
    assert WORKFLOW["jobs"]["pinned"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    (command,) = commands("pinned")
    installs = re.findall(r"pip install .*", planned(command))
    assert installs
    assert all("--constraint constraints.txt" in each for each in installs)
    assert "pytest" in planned(command)


def test_each_week_the_newest_dependencies_are_tested() -> None:
    (command,) = commands("newest")
    installs = re.findall(r"pip install .*", planned(command))
    assert installs
    assert not [each for each in installs if "constraints.txt" in each]
    assert "pytest" in planned(command)
