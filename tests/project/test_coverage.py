"""What `make coverage` counts includes the processes of the service, also when a signal ends them."""

from pathlib import Path

import coverage
import pytest

from tests.support.harness import StoreProcess, server_process

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize(("kind", "workers"), [("serve", 1), ("serve", 2), ("uvicorn", 1)])
def test_each_process_of_a_terminated_server_writes_what_it_executed(
    kind: str, workers: int, valkey: StoreProcess, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # of the run that may measure this test
    monkeypatch.setenv("COVERAGE_PROCESS_START", str(CHECKOUT / "pyproject.toml"))
    monkeypatch.setenv("COVERAGE_FILE", str(directory / "counts"))
    server = server_process(directory, kind, REDIS_URL=valkey.url, WEB_CONCURRENCY=str(workers))
    server.start()
    server.stop()
    files = list(directory.glob("counts.*"))
    serving = [file for file in files if _executed(file, "delivery/mirror.py") > 100]
    assert len(serving) == workers, f"{len(files)} files, {len(serving)} of processes that served"


def _executed(file: Path, module: str) -> int:
    """How many lines of this module a process has executed."""
    data = coverage.CoverageData(str(file))
    data.read()
    return len(data.lines(str(CHECKOUT / "sse_auction" / module)) or [])
