"""Many auctions at once: all or none, whatever process dies in between, and once, however often they are sent."""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.commands import COMMAND, refusal, run_command
from tests.support.harness import (
    DEADLINE_SECONDS,
    OPERATOR,
    SECRET,
    TOKENS,
    Server,
    StoreProcess,
    bidder,
    create,
    now_ms,
    running_server,
    running_store,
    until,
)
from tests.support.openapi_client import problem

MANY = 600
LINES = {**OPERATOR, "Content-Type": "application/x-ndjson"}


def a_line(**terms: Any) -> str:
    return json.dumps({"title": "Lot", "start_price": "1.00", "closes_at": now_ms() + 10**8, **terms})


def file_of(directory: Path, number: int, name: str = "", kind: str = "ndjson") -> Path:
    """Lots named `<name>-<n>`, or without a name."""
    path = directory / f"lots-{name}.{kind}"
    if kind == "csv":
        rows = "".join(f"Lot {each},1.00,+2h\n" for each in range(number))
        path.write_text(f"title,start_price,closes_at\n{rows}")
    else:
        path.write_text("\n".join(a_line(**({"guid": f"{name}-{each}"} if name else {})) for each in range(number)))
    return path


def recorded(store: StoreProcess) -> int:
    with store.client() as client:
        return int(client.zcard("sse-auction:auctions"))


def keys_like(store: StoreProcess, pattern: str) -> int:
    with store.client() as client:
        return sum(1 for _ in client.scan_iter(pattern, count=5000))


def at_rest(store: StoreProcess) -> bool:
    """Whether what was decided has been carried out."""
    with store.client() as client:
        decided = {
            key.split(":")[2].rstrip("}") for key in client.scan_iter("{sse-auction:batch:*:decided", count=5000)
        }
        return not decided & set(client.zrange("sse-auction:batches", 0, -1))


@pytest.fixture
def fresh(directory: Path) -> Iterator[StoreProcess]:
    with running_store("valkey", directory) as running:
        yield running


@pytest.fixture(params=["store", "service"])
def anywhere(
    request: pytest.FixtureRequest, fresh: StoreProcess, directory: Path
) -> Iterator[tuple[Server, Mapping[str, str]]]:
    """A service on its own store, and the environment by which a command finds the store or the service."""
    with running_server(directory, REDIS_URL=fresh.url) as server:
        token = OPERATOR["Authorization"].removeprefix("Bearer ")
        yield server, (
            {"REDIS_URL": fresh.url} if request.param == "store"
            else {"SSE_AUCTION_URL": server.url, "SSE_AUCTION_TOKEN": token}
        )  # fmt: skip


def begin(path: Path, **where: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*COMMAND, "create", "--from", str(path)], env={**os.environ, "SSE_AUCTION_SECRET": SECRET, **where},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


MOMENTS: dict[str, Callable[[StoreProcess], bool]] = {
    "it is written down": lambda store: keys_like(store, "{sse-auction:batch:*:lots:*") > 0,
    "guids are held": lambda store: keys_like(store, "*:held") > 0,
    "it is decided": lambda store: keys_like(store, "{sse-auction:batch:*:decided") > 0,
    "some are created": lambda store: recorded(store) > 0,
}


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        ("it is written down", signal.SIGKILL),
        ("guids are held", signal.SIGINT),
        ("it is decided", signal.SIGKILL),
        ("some are created", signal.SIGINT),
        ("some time", signal.SIGKILL),
    ],
)
def test_whenever_the_command_dies_all_are_created_or_none(
    anywhere: tuple[Server, Mapping[str, str]], fresh: StoreProcess, directory: Path, moment: str, how: int
) -> None:
    _, where = anywhere
    path = file_of(directory, MANY)
    ends_at = time.monotonic() + random.uniform(0.2, 3)
    with begin(path, **where) as process:
        reached = MOMENTS.get(moment) or (lambda _: time.monotonic() > ends_at)
        until(lambda: reached(fresh) or process.poll() is not None, moment)
        process.send_signal(how)
        out, errors = process.communicate(timeout=2 * DEADLINE_SECONDS)
        assert "Traceback" not in errors or moment == "some time", "an error of Python itself, during its start"
    until(lambda: at_rest(fresh), "what was decided to be carried out", 3 * DEADLINE_SECONDS)
    assert recorded(fresh) in (0, MANY)
    if how == signal.SIGINT and process.returncode == 130 and "SSE_AUCTION_URL" not in where:
        assert out == ""
    again = run_command("create", "--from", str(path), **where)
    assert again.returncode == 0, again.stderr
    assert recorded(fresh) == MANY, "and the same command again creates none twice"
    assert len(again.stdout.splitlines()) == MANY


@pytest.mark.parametrize("moment", ["guids are held", "some are created"])
def test_whenever_the_service_dies_all_are_created_or_none(fresh: StoreProcess, directory: Path, moment: str) -> None:
    path = file_of(directory, MANY, "x")
    with running_server(directory, REDIS_URL=fresh.url) as server:
        where = {"SSE_AUCTION_URL": server.url, "SSE_AUCTION_TOKEN": LINES["Authorization"].removeprefix("Bearer ")}
        with begin(path, **where) as process:
            until(lambda: MOMENTS[moment](fresh) or process.poll() is not None, moment)
            server.stop(signal.SIGKILL)
            _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0 or "the same command again" in errors, errors
        server.restart_on_same_port()
        until(lambda: at_rest(fresh), "what was decided to be carried out", 3 * DEADLINE_SECONDS)
        assert recorded(fresh) in (0, MANY)
        again = run_command("create", "--from", str(path), **where)
        assert (again.returncode, recorded(fresh)) == (0, MANY), again.stderr


@pytest.mark.parametrize("moment", ["it is written down", "it is decided"])
def test_whenever_the_store_dies_all_are_created_or_none(fresh: StoreProcess, directory: Path, moment: str) -> None:
    path = file_of(directory, MANY, "x", "ndjson")
    with begin(path, REDIS_URL=fresh.url) as process:
        until(lambda: MOMENTS[moment](fresh) or process.poll() is not None, moment)
        fresh.restart()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0 or "the same command again" in errors, errors
    again = run_command("create", "--from", str(path), REDIS_URL=fresh.url)
    assert (again.returncode, recorded(fresh)) == (0, MANY), again.stderr


def test_a_file_is_taken_once_and_again_with_another_key(
    anywhere: tuple[Server, Mapping[str, str]], fresh: StoreProcess, directory: Path
) -> None:
    _, where = anywhere
    path = file_of(directory, 3, kind="csv")
    first = run_command("create", "--from", str(path), "--json", **where)
    assert (first.returncode, first.stderr) == (0, "")
    again = run_command("create", "--from", str(path), "--json", **where)
    assert again.returncode == 0
    assert "was created before, and nothing new was created" in again.stderr
    guids = [[json.loads(line)["state"]["guid"] for line in done.stdout.splitlines()] for done in (first, again)]
    assert guids[0] == guids[1]
    assert len(set(guids[0])) == 3
    other = run_command("create", "--from", str(path), "--key", "the second time", **where)
    assert (other.returncode, other.stderr, recorded(fresh)) == (0, "", 6)
    path.write_text(path.read_text() + "Another,1.00,+2h\n")
    wrong = run_command("create", "--from", str(path), "--key", "the second time", **where)
    assert "was used for other auctions" in wrong.stderr
    assert (wrong.returncode, recorded(fresh)) == (1, 6)


def test_of_two_files_with_an_auction_in_common_one_is_accepted(
    anywhere: tuple[Server, Mapping[str, str]], fresh: StoreProcess, directory: Path
) -> None:
    _, where = anywhere
    paths = [file_of(directory, 300, name) for name in ("x", "y")]
    for path in paths:
        path.write_text(f"{path.read_text()}\n{a_line(guid='common')}\n")
    started = [begin(path, **where) for path in paths]
    ends = [(process.communicate(timeout=2 * DEADLINE_SECONDS), process.returncode) for process in started]
    assert sorted(code for _, code in ends) == [0, 1]
    assert recorded(fresh) == 301
    ((_, errors),) = [end for end, code in ends if code == 1]
    assert "line 301: auction 'common' " in errors
    assert "nothing was created" in errors


def test_a_guid_that_is_held_belongs_to_one_batch(
    service: Server, valkey: StoreProcess, guid: str, directory: Path
) -> None:
    with valkey.client() as client:
        client.set(f"{{AuctionMaxPrice-{guid}}}:held", "another batch", px=20_000)
    body = {"guid": guid, "title": "x", "start_price": "1", "closes_at": now_ms() + 10**6}
    refused = httpx.post(f"{service.url}/auctions", json=body, headers=OPERATOR)
    assert (refused.status_code, problem(refused)["code"]) == (409, "exists")
    assert "is being created by another request now" in problem(refused)["detail"]
    path = directory / "lots.ndjson"
    path.write_text(f"\n{a_line()}\n{a_line(guid=guid)}")
    said = run_command("create", "--from", str(path), REDIS_URL=valkey.url).stderr
    assert f"line 3: auction '{guid}' is being created by another request now" in said


# --- over HTTP -------------------------------------------------------------------------------------------------------


def post(client: httpx.Client, *lines: str, **headers: str) -> httpx.Response:
    return client.post("/auctions", content="\n".join(lines), headers={**LINES, **headers})


def test_lines_of_json_are_answered_by_lines_of_json(client: httpx.Client, guid: str) -> None:
    lines = [a_line(guid=guid), "", a_line(title="East\u2028West")]
    made = post(client, *lines, **{"Idempotency-Key": guid})
    assert (made.status_code, made.headers["content-type"]) == (201, "application/x-ndjson")
    replies = [json.loads(line) for line in made.text.strip().split("\n")]
    assert [reply["terms"]["title"] for reply in replies] == ["Lot", "East\u2028West"]
    assert client.get(f"/auctions/{guid}").json()["terms"] == replies[0]["terms"]
    again = post(client, *lines, **{"Idempotency-Key": guid})
    assert again.headers["idempotent-replayed"] == "true"
    assert [json.loads(line)["terms"] for line in again.text.strip().split("\n")] == [r["terms"] for r in replies]
    other = post(client, a_line(title="Other"), **{"Idempotency-Key": guid})
    assert (other.status_code, problem(other)["code"]) == (422, "invalid")
    assert "was used for other auctions" in problem(other)["detail"]
    taken = post(client, a_line(), a_line(guid=guid))
    assert (taken.status_code, problem(taken)["code"]) == (409, "exists")
    assert problem(taken)["detail"] == f"line 2: auction '{guid}' exists already and was not changed"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["{", a_line(), a_line(title=" ")], "line 1: "),
        ([a_line(), "", a_line(title=" ")], "line 3: title is blank"),
        ([a_line(closes_at=1000)], "line 1: closes_at 1000 is not in the future"),
        ([a_line(guid="a b")], "line 1: "),
        ([a_line(guid="a"), a_line(guid="a")], "line 2: guid 'a' is also in line 1"),
        ([""], "no lots"),
        (["\x00"], "NUL"),
    ],
)
def test_what_is_wrong_is_reported_by_line(client: httpx.Client, lines: list[str], said: str) -> None:
    refused = post(client, *lines)
    assert (refused.status_code, problem(refused)["code"]) == (422, "invalid")
    assert said in problem(refused)["detail"]


def test_only_operators_create_many_and_only_within_their_token(client: httpx.Client, guid: str) -> None:
    for headers, status in (({"Authorization": ""}, 401), (bidder("ann"), 403)):
        assert post(client, "rubbish", **headers).status_code == status
    token = TOKENS.issue("house", role="operator", auctions=[guid])
    own = {"Authorization": f"Bearer {token}"}
    assert post(client, a_line(guid=guid), a_line(guid=f"{guid}-2"), **own).status_code == 403
    assert post(client, a_line(guid=guid), **own).status_code == 201
    large = client.post("/auctions", content=iter([b" " * 1024 * 1024] * 33), headers=LINES)
    assert (large.status_code, problem(large)["code"]) == (413, "too_large")


def test_a_body_of_many_lines_is_no_limit_for_bids(service: Server, guid: str) -> None:
    create(service, guid)
    lines = "\n".join(a_line(title="x" * 200) for _ in range(200))
    assert len(lines) > 16 * 1024
    made = httpx.post(f"{service.url}/auctions", content=lines, headers=LINES, timeout=DEADLINE_SECONDS)
    assert (made.status_code, len(made.text.splitlines())) == (201, 200)


def test_without_a_store_there_is_one_sentence(directory: Path) -> None:
    path = file_of(directory, 2)
    refused = refusal(run_command("create", "--from", str(path), REDIS_URL=f"unix://{directory}/none.sock"))
    assert refused.startswith("the store is not reachable")
