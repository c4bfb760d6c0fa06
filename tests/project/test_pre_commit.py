"""The hooks of pre-commit run what the Makefile has, and download nothing."""

import importlib.util
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
REPOSITORIES: Any = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())["repos"]
HOOKS: dict[str, Any] = {hook["id"]: hook for repository in REPOSITORIES for hook in repository["hooks"]}


def test_every_hook_is_of_this_repository() -> None:
    assert {repository["repo"] for repository in REPOSITORIES} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}, "another language installs an environment"


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_runs_a_target_or_a_script_that_exists(name: str) -> None:
    command = HOOKS[name]["entry"].split()
    if command[0] == "make":
        planned = subprocess.run([*command, "--dry-run"], cwd=CHECKOUT, capture_output=True, text=True)
        assert planned.returncode == 0, planned.stderr
    else:
        assert command[:2] == [".venv/bin/python", "-m"]
        assert importlib.util.find_spec(command[2])


def test_lint_and_types_are_checked() -> None:
    assert {"lint", "types"} <= {hook["entry"].split()[-1] for hook in HOOKS.values()}
