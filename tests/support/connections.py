"""Connections to the store: an open one, the parts of the store on one, a slow line, a user with few rights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sse_auction.store.clock import StoreClock
from sse_auction.store.connection import Connection, connect
from sse_auction.store.parts import Store
from tests.support.harness import DEADLINE_SECONDS, StoreProcess


@asynccontextmanager
async def open_connection(url: str, timeout: float = DEADLINE_SECONDS, **options: Any) -> AsyncIterator[Connection]:
    connection = await connect(url, timeout, **options)
    try:
        yield connection
    finally:
        connection.close()


@asynccontextmanager
async def connected_store(url: str, currency: str) -> AsyncIterator[Store]:
    """The parts of the store as a process of the service has them, with a connection."""
    store = Store(url, 10.0, StoreClock(), currency)
    running = asyncio.create_task(store.connection.run())
    try:
        await store.connection.connected()
        yield store
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def have_come(pushes: list[list[Any]], count: int = 1) -> bool:
    return len(pushes) >= count


@asynccontextmanager
async def slow_line(
    directory: Path, store: StoreProcess, *, there: float = 0.0, back: float = 0.0, after: bytes = b""
) -> AsyncIterator[str]:
    """A URL of the store with delays of `there` and `back` seconds, from the first data that contains `after`."""

    async def carry(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_slow: asyncio.Event, seconds: float
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if after in data:
                    is_slow.set()
                asyncio.get_running_loop().call_later(seconds if is_slow.is_set() else 0, writer.write, data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        carrying.add(task)
        store_reader, store_writer = await asyncio.open_unix_connection(store.url.removeprefix("unix://"))
        is_slow = asyncio.Event()
        try:
            await asyncio.gather(
                carry(reader, store_writer, is_slow, there), carry(store_reader, writer, is_slow, back)
            )
        finally:
            writer.transport.abort()
            store_writer.transport.abort()

    line = directory / "line.sock"
    carrying: set[asyncio.Task[None]] = set()
    async with await asyncio.start_unix_server(accept, str(line)):
        try:
            yield f"unix://{line}"
        finally:
            for task in carrying:
                task.cancel()
            await asyncio.gather(*carrying, return_exceptions=True)


def as_user(store: StoreProcess, *rules: str) -> str:
    """A URL for a new user with the rights of these rules."""
    with store.client() as site:
        site.acl_setuser(
            "web", reset=True, enabled=True, passwords=["+pw"]
        )  # the client library does not know rules of subcommands
        site.execute_command("ACL", "SETUSER", "web", *rules)
    return store.url.replace("unix://", "unix://web:pw@")
