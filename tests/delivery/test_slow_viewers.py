"""Viewers that read nothing: they are cut after a while, and others lose nothing in the meantime."""

import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.harness import Server, StoreProcess, open_stream, price_key, running_server, until

AUCTIONS = [f"lot-{number}" for number in range(50)]
MANY = "/auctions/stream?" + "&".join(f"guid={guid}" for guid in AUCTIONS)


@contextmanager
def reader_that_stops(server: Server) -> Iterator[socket.socket]:
    """A viewer of many auctions that has sent its request and reads nothing; its kernel buffers little."""
    address = urlsplit(server.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((address.hostname, address.port))
        connection.sendall(f"GET {MANY} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        yield connection


@pytest.mark.parametrize("kind", ["serve", "uvicorn"])
async def test_a_viewer_that_reads_nothing_is_cut_and_others_notice_nothing(
    kind: str, own_store: StoreProcess, directory: Path
) -> None:
    settings = {"REDIS_URL": own_store.url, "SSE_AUCTION_STALL_SECONDS": "1", "SSE_AUCTION_MAX_RATE": "1000"}
    with running_server(directory, kind, **settings) as server:
        with own_store.client() as site, reader_that_stops(server):
            until(lambda: server.metric("sse_auction_streams") == 1, "the stream is open")
            prices = itertools.count(1)

            def cut() -> bool:
                for _ in range(100):  # until the kernels are full and it is behind
                    site.mset({price_key(guid): next(prices) for guid in AUCTIONS})
                return server.metric("sse_auction_streams_ended_total", reason="stalled") == 1

            async with open_stream(f"{server.url}/auctions/{AUCTIONS[-1]}/stream") as other:
                until(cut, "it is cut")
                assert server.metric("sse_auction_streams") == 1, "the other one stays"
                assert server.metric("sse_auction_states_conflated_total") > 0
                last = f"{next(prices) - 1}.00"
                while (await other.next("price")).data["price"] != last:
                    pass
        if kind == "serve":  # plain uvicorn shows its own log lines only
            assert server.log().count("ended: stalled") == 1
