"""Every kind of URL of a store, on both event loops: what leads to a connection, and how a refusal is explained."""

import asyncio
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from sse_auction.store.connection import StoreUnavailable, connect
from tests.support.connections import have_come, open_connection
from tests.support.harness import DEADLINE_SECONDS, free_port, store_process, until_async

pytestmark = pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)

PASSWORD = "s3cret:with@signs/?#"
QUOTED = "s3cret%3Awith%40signs%2F%3F%23"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Redis with TLS, a password and a user `web`: the parts of its URLs."""
    directory = tmp_path_factory.mktemp("guarded")
    authority, stranger = trustme.CA(), trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(directory / "own.pem")
    authority.cert_pem.write_to_path(directory / "ca.pem")
    stranger.cert_pem.write_to_path(directory / "stranger.pem")
    port, tls_port = free_port(), free_port()
    store = store_process(
        "redis", directory, "--port", str(port), "--tls-port", str(tls_port), "--requirepass", PASSWORD,
        "--tls-cert-file", "own.pem", "--tls-key-file", "own.pem", "--tls-ca-cert-file", "ca.pem",
        "--tls-auth-clients", "no", "--user", "web", "on", f">{PASSWORD}", "~*", "+@all",
    )  # fmt: skip
    path = store.url.removeprefix("unix://")
    store.url = f"unix://:{QUOTED}@{path}"
    store.start()
    yield {"port": str(port), "tls": str(tls_port), "path": path, "certificates": str(directory)}
    store.stop()


@pytest.mark.parametrize(
    ("url", "user", "database"),
    [
        ("redis://:{password}@127.0.0.1:{port}", "default", 0),
        ("redis://:{password}@localhost:{port}/3", "default", 3),
        ("redis://web:{password}@127.0.0.1:{port}/1", "web", 1),
        ("unix://:{password}@{path}", "default", 0),
        ("unix://web:{password}@{path}?db=5", "web", 5),
        ("rediss://:{password}@localhost:{tls}?ssl_ca_certs={certificates}/ca.pem", "default", 0),
        ("rediss://web:{password}@localhost:{tls}/2?ssl_ca_certs={certificates}/ca.pem", "web", 2),
    ],
)
async def test_every_kind_of_url_leads_to_a_connection_that_calls_and_receives_changes(
    guarded: dict[str, str], url: str, user: str, database: int
) -> None:
    pushes: list[list[Any]] = []
    async with open_connection(url.format(password=QUOTED, **guarded), on_push=pushes.append) as connection:
        info = (await connection.call("CLIENT", "INFO")).decode()
        fields = dict(field.split("=", 1) for field in info.split())
        assert (fields["user"], int(fields["db"]), fields["resp"]) == (user, database, "3")
        await connection.call("CLIENT", "TRACKING", "ON")
        large = "x" * 300_000
        assert await connection.call("ECHO", large) == large.encode()
        await connection.call("GET", "k")
        await connection.call("SET", "k", large)
        await until_async(partial(have_come, pushes), "the invalidation")
        assert pushes == [[b"invalidate", [b"k"]]]
        assert await connection.call("GET", "k") == large.encode()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://:wrong@127.0.0.1:{port}", "the store refused the login"),
        ("redis://web:wrong@127.0.0.1:{port}", "the store refused the login"),
        ("redis://127.0.0.1:{port}", "the store refused the login"),
        ("unix://:wrong@{path}", "the store refused the login"),
        ("unix://:{password}@{path}.not", "the store is not reachable"),
        ("redis://:{password}@127.0.0.1:{port}/99", "the store is not reachable"),
        ("redis://:{password}@127.0.0.1:1", "the store is not reachable"),
        ("redis://:{password}@127.0.0.1:{tls}", "the store is not reachable"),
        ("rediss://:{password}@localhost:{port}?ssl_ca_certs={certificates}/ca.pem", "the store is not reachable"),
        ("rediss://:{password}@localhost:{tls}?ssl_ca_certs={certificates}/stranger.pem", "the store is not reachable"),
        ("rediss://:{password}@localhost:{tls}", "the store is not reachable"),
        ("redis://:{password}@127.0.0.1:{port}?socket_timeout=soon", "the store's URL cannot be used"),
        ("redis://:{password}@127.0.0.1:{port}?no_such_option=1", "the store's URL cannot be used"),
        ("http://127.0.0.1:{port}", "the store's URL cannot be used"),
    ],
)
async def test_an_unreachable_store_is_explained_in_a_sentence_without_the_password(
    guarded: dict[str, str], url: str, sentence: str
) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await connect(url.format(password=QUOTED, **guarded), DEADLINE_SECONDS)
    text = str(caught.value)
    assert text.startswith(sentence)
    assert "\n" not in text
    assert PASSWORD not in text
    assert QUOTED not in text
    assert "wrong@" not in text


async def test_a_server_that_accepts_and_says_nothing_is_unavailable_and_leaves_no_socket_behind(
    directory: Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(directory / "mute.sock"))
        mute.listen()
        with pytest.raises(StoreUnavailable, match="not reachable"):
            await connect(f"unix://{directory}/mute.sock", DEADLINE_SECONDS)
        accepted, _ = mute.accept()
        with accepted:
            accepted.settimeout(DEADLINE_SECONDS)
            received = await asyncio.to_thread(read_to_end, accepted)
        assert b"HELLO" in received


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(4096):
        received += chunk
    return received
