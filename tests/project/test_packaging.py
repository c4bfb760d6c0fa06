"""The wheel works where no checkout is, and the Procfile runs."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.harness import DEADLINE_SECONDS, SECRET, Server, StoreProcess, free_port, until

CHECKOUT = Path(__file__).parents[2]
INSTALL_SECONDS = 80
BARE = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def installed(directory: Path) -> Path:
    """A fresh environment outside the checkout, with the wheel of this checkout in it; its bin directory."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    quick = {"cwd": directory, "env": BARE, "check": True, "timeout": INSTALL_SECONDS}
    build = [*pip, "wheel", str(CHECKOUT), "--no-deps", "--no-build-isolation", "--wheel-dir", str(directory)]
    subprocess.run(build, **quick)  # type: ignore[call-overload]  # mixed options
    (wheel,) = directory.glob("sse_auction-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], **quick)  # type: ignore[call-overload]  # as above
    install = [*pip, "--python", "venv/bin/python", "install", "--no-compile", str(wheel)]
    subprocess.run([*install, "--constraint", str(CHECKOUT / "constraints.txt")], **quick)  # type: ignore[call-overload]  # as above
    return directory / "venv" / "bin"


def lots(client: httpx.Client) -> dict[str, Any]:
    return {each["state"]["guid"]: each["state"] for each in client.get("/auctions?status=open").json()["auctions"]}


def test_the_wheel_brings_everything_a_demo_needs(directory: Path) -> None:
    binaries = installed(directory)
    environment = {**BARE, "SSE_AUCTION_DATA_DIR": str(directory / "data"), "SSE_AUCTION_DRAIN_SECONDS": "0.2"}
    where = [str(binaries / "python"), "-c", "import sse_auction; print(sse_auction.__file__)"]
    home = subprocess.run(where, cwd=directory, env=BARE, capture_output=True, text=True, check=True).stdout
    assert Path(home).is_relative_to(directory), "nothing may come from the checkout"
    assert (Path(home).parent / "py.typed").exists()

    command = [str(binaries / "sse-auction"), "serve", "--demo", "--port", "0"]
    server = Server(command, environment, directory / "server.log")
    server.start(within_seconds=2 * DEADLINE_SECONDS)
    try:
        with httpx.Client(base_url=server.url) as client:
            assert 'type="module"' in client.get("/").text
            assert client.get("/static/auction-price.js").headers["content-type"].startswith("text/javascript")
            for file in (CHECKOUT / "static").rglob("*.*"):
                assert client.get(f"/{file.relative_to(CHECKOUT)}").content == file.read_bytes(), file
            until(lambda: len(lots(client)) >= 6, "the demo's lots")
            before = {guid: state["price"] for guid, state in lots(client).items()}
            until(lambda: {g: s["price"] for g, s in lots(client).items()} != before, "a price that moves")
            guest = client.post("/guest").json()
            headers = {"Authorization": f"Bearer {guest['token']}"}

            def bid_as_guest() -> bool:
                state = next(iter(lots(client).values()))
                body = {"price": state["next_bid"]}
                return client.post(f"/auctions/{state['guid']}/bids", json=body, headers=headers).status_code == 201

            until(bid_as_guest, "a guest's bid that counts")
    finally:
        code = server.stop()
    assert code == 0
    assert "Traceback" not in server.log(), server.log()
    assert not (directory / "data" / "valkey.sock").exists(), "its store is stopped too"


@contextmanager
def honcho(directory: Path, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join([str(Path(sys.executable).parent), BARE["PATH"]])
    options = ["--procfile", str(CHECKOUT / "Procfile"), "--app-root", str(directory)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "honcho", *options, "start"],
            env={**BARE, "PATH": path, **environment}, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(DEADLINE_SECONDS)


def test_the_procfile_runs_and_stops(valkey: StoreProcess, directory: Path) -> None:
    port, log = free_port(), directory / "honcho.log"
    environment = {"REDIS_URL": valkey.url, "SSE_AUCTION_SECRET": SECRET, "SSE_AUCTION_DRAIN_SECONDS": "0.2"}
    with honcho(directory, log, PORT=str(port), **environment) as process:

        def is_ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://127.0.0.1:{port}/readyz").is_success
            assert process.poll() is None, log.read_text()
            return False

        until(is_ready, "the service at $PORT")
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)
    said = log.read_text()
    assert re.search(r"web\.1\s+\| sse-auction is at ", said)
    assert "Application shutdown complete" in said
    assert "SIGKILL" not in said, "it stopped at the signal"
    assert not re.search(r" (ERROR|CRITICAL) |Traceback", said), said
