"""What tests of the connection share: an open connection, a count of its pushes, and a slow line to the store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sse_auction.store.connection import Connection, connect
from tests.support.harness import DEADLINE_SECONDS, StoreProcess


@asynccontextmanager
async def open_connection(url: str, timeout: float = DEADLINE_SECONDS, **options: Any) -> AsyncIterator[Connection]:
    connection = await connect(url, timeout, **options)
    try:
        yield connection
    finally:
        connection.close()


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
