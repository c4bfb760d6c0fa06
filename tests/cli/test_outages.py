"""Commands while the service or its store does not answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.commands import refusal, run_command, watching
from tests.support.harness import Server, StoreProcess, create


@pytest.mark.parametrize("kind", ["service", "store"])
def test_watch_says_when_the_price_is_not_live_and_when_it_is_again(
    own_server: Server, own_store: StoreProcess, guid: str, kind: str
) -> None:
    create(own_server, guid)
    where = {"SSE_AUCTION_URL": own_server.url} if kind == "service" else {"REDIS_URL": own_store.url}
    with watching(guid, **where) as process:
        assert process.stdout is not None
        shown = process.stdout.readline()
        assert guid in shown
        with own_store.frozen():
            assert process.stdout.readline() == "not live\n"
        assert process.stdout.readline() == shown, "without a new bid"


@contextmanager
def service_that_dies_before_it_answers() -> Iterator[str]:
    """The URL of a service that takes one request, and closes the connection without an answer."""

    def take_one(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take_one, args=(listener,))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    ("command", "is_in_doubt"),
    [(["bid", "x", "10.00"], True), (["cancel", "x", "--reason", "y"], True), (["price", "x"], False)],
)
def test_a_request_that_may_have_been_carried_out_says_so(command: list[str], is_in_doubt: bool) -> None:
    with service_that_dies_before_it_answers() as url:
        sentence = refusal(run_command(*command, "--url", url, "--token", "any"))
    assert "does not answer" in sentence
    assert ("whether it was carried out is unknown" in sentence) == is_in_doubt
