"""Fixtures: one store and one server of each kind for all tests that only need auctions of their own."""

import asyncio
import functools
import inspect
import signal
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import uvloop

pytest.register_assert_rewrite("tests.support")  # their assertions show values too

from tests.support.harness import Server, StoreProcess, running_server, running_store  # noqa: E402  # after the line above
from tests.support.openapi_client import openapi_client  # noqa: E402  # after the line above
from tests.support.receiver import Receiver, running_receiver  # noqa: E402  # after the line above

# A shell starts background jobs with SIGINT ignored; the processes of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def few_authorities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One certificate authority instead of the system's: httpx loads all of them for every client, even for http.

    Loading them takes longer than most of the requests here.
    """
    bundle = tmp_path_factory.mktemp("authorities") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(bundle))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SSL_CERT_FILE", str(bundle))
        yield


@pytest.fixture(scope="session", params=["valkey", "redis"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store of each kind: the Valkey that is embedded, and Debian's Redis 7.0."""
    with running_store(request.param, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """One store, for tests in which its kind does not matter."""
    with running_store("valkey", tmp_path_factory.mktemp("valkey-alone")) as running:
        yield running


@pytest.fixture(scope="session")
def server(store: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`sse-auction serve` on a store of each kind."""
    with running_server(tmp_path_factory.mktemp("serve"), REDIS_URL=store.url) as running:
        yield running


@pytest.fixture(scope="session")
def service(valkey: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """`sse-auction serve` with default settings, for tests in which the store's kind does not matter."""
    with running_server(tmp_path_factory.mktemp("service"), REDIS_URL=valkey.url) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Server) -> Iterator[httpx.Client]:
    """A client that checks every reply against the service's own description."""
    with openapi_client(service) as opened:
        yield opened


@pytest.fixture(scope="module")
def own_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    """A store that a module may freeze, kill or wipe: the embedded kind, or those that its `pytestmark` names."""
    kind = getattr(request, "param", "valkey")
    with running_store(kind, tmp_path_factory.mktemp(f"own-{kind}")) as running:
        yield running


@pytest.fixture(scope="module")
def own_server(own_store: StoreProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service on that store; it must survive whatever happens there."""
    with running_server(tmp_path_factory.mktemp("own-server"), REDIS_URL=own_store.url) as running:
        yield running


@pytest.fixture(scope="session", params=["serve", "uvicorn"])
def any_server(
    request: pytest.FixtureRequest, valkey: StoreProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """The service under its own server and under plain uvicorn: both must deliver alike."""
    with running_server(tmp_path_factory.mktemp(request.param), request.param, REDIS_URL=valkey.url) as running:
        yield running


@pytest.fixture
def guid() -> str:
    """A name that no other auction has."""
    return str(uuid.uuid4())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with running_receiver() as running:
        yield running


CLEAN_UP_SECONDS = 10.0  # for a test that was cancelled
EVENT_LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The event loop of an asynchronous test: asyncio's own, or those that a `pytestmark` names."""
    return "asyncio", {"loop_factory": EVENT_LOOPS[getattr(request, "param", "asyncio")]}


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Cancel an asynchronous test shortly before pytest-timeout ends it: that signal does not wake an idle uvloop.

    A cancelled test runs its `finally` clauses, and its traceback shows what it waited for.
    """
    test = pyfuncitem.obj
    if inspect.iscoroutinefunction(test):
        marker = pyfuncitem.get_closest_marker("timeout")
        seconds = float(marker.args[0] if marker else pyfuncitem.config.getini("timeout")) - CLEAN_UP_SECONDS

        @functools.wraps(test)
        async def limited(**arguments: Any) -> None:
            async with asyncio.timeout(seconds):
                await test(**arguments)

        pyfuncitem.obj = limited
    return (yield)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory of this test's own, with a short name as sockets need one."""
    return tmp_path
