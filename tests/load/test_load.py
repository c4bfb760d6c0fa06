"""The load test: figures with known answers; the command against real servers that work, refuse, die and return."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import httpx
import pytest

from sse_auction.auction.state import State
from sse_auction.load.bidding import due_moments
from sse_auction.load.figures import ANSWER_SECONDS, Ledger, Lot, Summary, View, percentile, summary
from sse_auction.load.report import Bids, Bounds, Report, Streams, client_limits, judged
from tests.support.auctions import act, done
from tests.support.harness import DEADLINE_SECONDS, SECRET, TOKENS, Server, StoreProcess, create, running_server, until

COMMAND = [sys.executable, "-m", "sse_auction", "load"]
BRIEF = ["--ramp", "0.5", "--duration", "2", "--bids-per-second", "10"]

# --- figures -------------------------------------------------------------------------------------------------------


def test_percentiles_are_nearest_ranks_from_above() -> None:
    hundred = [float(number) for number in range(1, 101)]
    assert [percentile(hundred, share) for share in (0.001, 0.5, 0.99, 0.991, 1.0)] == [1, 50, 99, 100, 100]
    assert percentile([7.0], 0.5) == percentile([7.0], 0.99) == 7.0
    assert percentile([1.0, 2.0], 0.5) == 1.0
    assert summary([3.0, 1.0, 2.0]) == Summary(3, 2.0, 3.0, 3.0, 3.0)
    assert summary([]) == Summary(0)


def test_the_rate_of_bids_rises_over_the_ramp_and_then_holds() -> None:
    due = list(takewhile(lambda moment: moment <= 4, due_moments(10, 2)))
    assert len(due) == 10 + 20, "half of the rate on the average of the ramp"
    assert due[9] == 2.0
    assert due[10:13] == pytest.approx([2.1, 2.2, 2.3])
    assert due == sorted(due)
    assert list(takewhile(lambda moment: moment <= 1, due_moments(4, 0))) == [0.25, 0.5, 0.75, 1.0]


def state(rev: int, epoch: str = "e", **changes: Any) -> State:
    made = State(
        guid="x", title="x", price=f"{rev}.00", currency="CNY", status="open", bids=rev, leader=1,
        next_bid=f"{rev + 1}.00", next_bids=(f"{rev + 1}.00",), opens_at=0, closes_at=1, extensions=0, reserve_met=None,
        outcome=None, paused=False, buy_now=None, rev=rev, tag=f"{epoch}-{rev}-{rev}.00", now=0,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture
def lot() -> Lot:
    return Lot("x")


def test_a_delivery_counts_from_when_the_bid_was_due_and_staleness_from_its_answer(lot: Lot) -> None:
    ledger, early, late = Ledger(), View(lot), View(lot)
    for view in (early, late):
        ledger.shown(view, state(1), 0.0)
    ledger.shown(early, state(2), 1.25)  # pushed before the bidder had the answer
    ledger.settle(1.25)
    assert len(ledger.delivery_ms) == 0, "which bid made it is not known yet"
    ledger.accepted(lot, state(2), 1.0, 1.5)
    assert late.is_behind
    ledger.shown(late, state(2), 2.0)
    ledger.settle(2.0)
    assert list(ledger.delivery_ms) == [250.0, 1000.0]
    assert list(ledger.staleness_ms) == [0.0, 500.0]
    assert not late.is_behind


def test_a_delivery_of_several_bids_counts_from_the_oldest(lot: Lot) -> None:
    ledger, view = Ledger(), View(lot)
    ledger.shown(view, state(1), 0.0)
    for rev, due in ((2, 1.0), (3, 2.0), (4, 3.0)):
        ledger.accepted(lot, state(rev), due, due + 0.5)
    ledger.shown(view, state(4), 4.0)
    ledger.settle(4.0)
    assert (list(ledger.delivery_ms), list(ledger.staleness_ms)) == ([3000.0], [2500.0])


def test_bids_of_others_are_not_measured(lot: Lot) -> None:
    ledger, view = Ledger(), View(lot)
    ledger.shown(view, state(1), 0.0)
    ledger.shown(view, state(2), 1.0)
    ledger.settle(1.0 + ANSWER_SECONDS + 1)
    assert (ledger.foreign, len(ledger.delivery_ms)) == (1, 0)


def test_a_stream_that_never_gets_the_last_price_does_not_look_fresh(lot: Lot) -> None:
    ledger, view, silent = Ledger(), View(lot), View(lot)
    ledger.shown(view, state(1), 0.0)
    ledger.accepted(lot, state(2), 1.0, 2.0)
    ledger.accepted(lot, state(3), 3.0, 4.0)
    ledger.finish([view, silent], 10.0)
    assert (list(ledger.delivery_ms), list(ledger.staleness_ms)) == ([9000.0], [8000.0])
    assert view.is_behind
    assert silent.is_behind, "it shows nothing at all"


def test_a_lower_revision_is_a_regression_unless_the_stores_generation_changed(lot: Lot) -> None:
    ledger, view = Ledger(), View(lot)
    for each in (state(5), state(4), state(5)):
        ledger.shown(view, each, 0.0)
    assert ledger.regressions == 1
    ledger.shown(view, state(1, "f"), 1.0)
    assert ledger.regressions == 1
    assert not view.is_behind
    assert lot.state == state(1, "f")


def a_report(**changes: Any) -> Report:
    few = Summary(1, 5.0, 5.0, 5.0, 5.0)
    streams = Streams(
        wanted=1, opened=1, open_at_end=1, drops=2, reconnects=2, busy=0, not_live=0, ends={"not connected": 3},
        events=9, foreign=0, regressions=changes.pop("regressions", 0), behind=changes.pop("behind", 0),
        down=changes.pop("down", 0), opening_ms=few,
    )  # fmt: skip
    bids = Bids(
        bidders=2, due=9, accepted=5, refused={"too_low": 1}, failed={"rate_limited": 1}, unknown=1, unsent=1,
        latency_ms=Summary(0),
    )  # fmt: skip
    made = Report(
        url="http://x", auctions=["x"], seconds=1.0, interrupted=changes.pop("interrupted", False),
        answered_at_end=changes.pop("answered", True), streams=streams,
        bids=bids, delivery_ms=few, staleness_ms=few, stale_share=0.0, client=client_limits(few, 0.1),
    )  # fmt: skip
    assert not changes
    return made


@pytest.mark.parametrize(
    ("changes", "bounds", "missed"),
    [
        ({}, {}, []),
        ({}, {"delivery_p99": 5.0, "drops": 2, "errors": 6}, []),
        ({}, {"delivery_p99": 4.5}, ["delivery p99 is 5 ms; at most 4.5 ms is allowed"]),
        ({}, {"errors": 5}, ["errors is 6; at most 5 is allowed"]),
        ({}, {"bid_p99": 10.0}, ["bid p99 was not measured; at most 10 ms is allowed"]),
        ({"regressions": 1}, {}, ["revisions that went back is 1; at most 0 is allowed"]),
        ({"behind": 1}, {}, ["streams without the last price is 1; at most 0 is allowed"]),
        ({"down": 2}, {}, ["streams that were down in the end is 2; at most 0 is allowed"]),
        ({"answered": False}, {}, ["http://x did not answer in the end"]),
        ({"behind": 1, "down": 1, "answered": False, "interrupted": True}, {}, []),
    ],
)
def test_a_run_is_judged_by_its_bounds(changes: dict[str, Any], bounds: dict[str, Any], missed: list[str]) -> None:
    assert [str(miss) for miss in judged(a_report(**changes), Bounds(**bounds)).misses] == missed


def test_the_client_is_called_the_limit_when_it_was_late_or_busy() -> None:
    calm, late = Summary(9, 1.0, 2.0, 3.0, 90.0), Summary(9, 1.0, 2.0, 60.0, 90.0)
    assert not client_limits(calm, 0.5).was_the_limit
    assert client_limits(late, 0.5).limits == ["its event loop was 60 ms late (p99; 25 is too much)"]
    assert client_limits(calm, 0.97).limits == ["it used 97% of a core (85% is too much)"]


# --- the command -----------------------------------------------------------------------------------------------------


@contextmanager
def loading(*arguments: str, secret: str = SECRET, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [*COMMAND, *arguments], env={**os.environ, "SSE_AUCTION_SECRET": secret, **environment}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def load(*arguments: str, given: str | None = None, **environment: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a whole run."""
    with loading(*arguments, **environment) as process:
        out, errors = process.communicate(given, timeout=3 * DEADLINE_SECONDS)
        return process.returncode, out, errors


@pytest.fixture(scope="module")
def service(valkey: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("load"), REDIS_URL=valkey.url) as running:
        yield running


def test_streams_and_bidders_are_measured_and_counted(service: Server) -> None:
    code, out, errors = load(
        service.url, "--streams", "6", "--bidders", "3", "--auctions", "2", *BRIEF, "--max-errors", "0", "--json"
    )
    assert (code, errors) == (0, "")
    report = json.loads(out)
    assert len(report["auctions"]) == 2
    assert report["misses"] == []
    streams, bids = report["streams"], report["bids"]
    assert (streams["wanted"], streams["opened"], streams["open_at_end"]) == (6, 6, 6)
    assert (streams["drops"], streams["regressions"], streams["behind"], streams["ends"]) == (0, 0, 0, {})
    assert streams["opening_ms"]["count"] == 6
    assert bids["due"] == bids["accepted"] + sum(bids["refused"].values()) == bids["latency_ms"]["count"]
    assert bids["accepted"] > 0
    assert set(bids["refused"]) <= {"too_low", "already_leading"}
    assert 0 < report["delivery_ms"]["count"] <= 3 * bids["accepted"]
    assert report["delivery_ms"]["p50"] <= report["delivery_ms"]["p99"] <= report["delivery_ms"]["max"]
    assert set(report) == {
        "url", "auctions", "seconds", "interrupted", "answered_at_end", "streams", "bids", "delivery_ms",
        "staleness_ms", "stale_share", "client", "misses",
    }  # fmt: skip
    assert set(report["client"]) == {"lag_ms", "cpu_share", "was_the_limit", "limits"}


def test_a_missed_bound_is_named_with_its_figure(service: Server, guid: str) -> None:
    create(service, guid)
    tokens = "".join(f"{TOKENS.issue(who)}\n" for who in ("ann", "bob"))
    arguments = [service.url, "--guid", guid, "--tokens", "-", "--streams", "2", *BRIEF, "--max-delivery-p99", "0"]
    code, out, errors = load(*arguments, given=tokens)
    assert code == 1
    (line,) = errors.splitlines()
    assert line.startswith("sse-auction: delivery p99 is ")
    assert line.endswith(" ms; at most 0 ms is allowed")
    assert "missed" in out
    assert "2 of 2 opened" in out
    assert "by 2 bidders" in out


def refusal(done: tuple[int, str, str]) -> str:
    code, out, errors = done
    assert (code, out) == (1, "")
    (line,) = errors.splitlines()
    return line.removeprefix("sse-auction: ")


def test_a_load_test_that_cannot_begin_is_one_sentence(service: Server, guid: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
    assert "does not answer" in refusal(load(nobody))
    other = "another secret of at least thirty-two bytes"
    assert "not signed by this service's secret" in refusal(load(service.url, secret=other))
    assert "operator" in refusal(load(service.url, "--token", TOKENS.issue("ann")))
    assert "there is no auction" in refusal(load(service.url, "--guid", guid))
    create(service, guid)
    watching = ["--guid", guid, "--streams", "1", *BRIEF]
    assert "bidders' tokens" in refusal(load(service.url, *watching, secret=other))
    few_files = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *COMMAND, service.url, "--streams", "300"]
    done = subprocess.run(few_files, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    assert "300 streams" in refusal((done.returncode, done.stdout, done.stderr))
    code, _, errors = load(service.url, *watching, "--tokens", "-", "--bidders", "2", given=TOKENS.issue("ann"))
    assert code == 2
    assert "too few" in errors


def open_streams(server: Server, number: int) -> Callable[[], bool]:
    return lambda: server.metric("sse_auction_streams") == number


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_dies_and_returns_is_seen_by_all_streams(
    valkey: StoreProcess, directory: Path, guid: str, how: int
) -> None:
    with running_server(directory, REDIS_URL=valkey.url) as server:
        create(server, guid)
        arguments = [server.url, "--guid", guid, "--streams", "4", "--bidders", "2", "--ramp", "0", "--json"]
        with loading(*arguments, "--duration", "600", "--max-drops", "3") as process:
            until(open_streams(server, 4), "the streams")
            until(lambda: server.metric("sse_auction_bids_total") > 4, "bids, during which it reads its streams too")
            server.stop(how)
            server.restart_on_same_port()
            until(open_streams(server, 4), "the streams to come back")
            before = server.metric("sse_auction_bids_total")
            until(lambda: server.metric("sse_auction_bids_total") > before, "bids")
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=DEADLINE_SECONDS)
    report = json.loads(out)
    assert (process.returncode, report["interrupted"]) == (130, True)
    streams = report["streams"]
    assert (streams["opened"], streams["drops"], streams["reconnects"]) == (4, 4, 4)
    assert streams["regressions"] == 0
    assert [miss["figure"] for miss in report["misses"]] == ["drops"]
    assert "drops is 4; at most 3 is allowed" in errors


def test_a_stream_waits_for_a_reconnect_and_then_shows_the_last_price(
    valkey: StoreProcess, directory: Path, guid: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url) as server:
        create(server, guid)
        arguments = [server.url, "--guid", guid, "--streams", "2", "--bidders", "0", "--ramp", "0", "--json"]
        with loading(*arguments, "--duration", "15") as process:
            until(open_streams(server, 2), "the streams")
            server.stop(signal.SIGKILL)
            server.restart_on_same_port()
            out, _ = process.communicate(timeout=3 * DEADLINE_SECONDS)
    report = json.loads(out)
    assert process.returncode == 0
    assert (report["streams"]["behind"], report["streams"]["open_at_end"], report["bids"]["due"]) == (0, 2, 0)


@pytest.mark.parametrize(("streams", "bidders", "ramp"), [("2", "2", "3"), ("0", "2", "0"), ("2", "0", "0")])
def test_a_server_that_does_not_come_back_is_a_failure(
    valkey: StoreProcess, directory: Path, guid: str, streams: str, bidders: str, ramp: str
) -> None:
    with running_server(directory, REDIS_URL=valkey.url) as server:
        create(server, guid)
        arguments = [server.url, "--guid", guid, "--streams", streams, "--bidders", bidders, "--ramp", ramp]
        with loading(*arguments, "--duration", "3") as process:
            began = "sse_auction_bids_total" if streams == "0" else "sse_auction_streams"
            until(lambda: server.metric(began) > 0, "it has begun")
            server.stop(signal.SIGKILL)
            out, errors = process.communicate(timeout=3 * DEADLINE_SECONDS)
    assert process.returncode == 1
    assert f"sse-auction: {server.url} did not answer in the end\n" in errors
    assert "missed" in out


def test_at_the_top_of_what_can_be_bid_no_more_is_bid(service: Server, guid: str) -> None:
    create(service, guid, currency="JPY", start_price="9007199254740991")
    arguments = [service.url, "--guid", guid, "--streams", "1", "--bidders", "2", "--json"]
    code, out, errors = load(*arguments, "--ramp", "0", "--duration", "2")
    assert (code, errors) == (0, "")
    assert json.loads(out)["bids"]["accepted"] == 1


def test_an_auction_that_closes_ends_its_streams_for_good(service: Server, guid: str) -> None:
    create(service, guid)
    arguments = [service.url, "--guid", guid, "--streams", "2", "--bidders", "2", "--json"]
    with loading(*arguments, "--ramp", "0", "--duration", "6", "--max-errors", "0") as process:
        until(lambda: service.metric("sse_auction_streams") == 2, "the streams")
        until(lambda: httpx.get(f"{service.url}/auctions/{guid}/price").json()["bids"], "a bid")
        done(act(service, guid, "close"))
        out, _ = process.communicate(timeout=2 * DEADLINE_SECONDS)
    report = json.loads(out)
    assert (process.returncode, report["streams"]["ends"], report["streams"]["drops"]) == (0, {"closed": 2}, 0)
    assert report["bids"]["accepted"] > 0


def test_ctrl_c_prints_the_report(service: Server, guid: str) -> None:
    create(service, guid)
    with loading(service.url, "--guid", guid, "--streams", "1", "--ramp", "0", "--bids-per-second", "0.01") as process:
        until(lambda: service.metric("sse_auction_streams") == 1, "the stream")
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "1 of 1 opened" in out
    assert "interrupted" in out
