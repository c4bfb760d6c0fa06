"""What tests of the link share: an open one, and the news that it brings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sse_auction.link import Link, connect
from tests.harness import (
    PATIENCE_SECONDS,
)


@asynccontextmanager
async def open_link(url: str, timeout: float = PATIENCE_SECONDS, **options: Any) -> AsyncIterator[Link]:
    link = await connect(url, timeout, **options)
    try:
        yield link
    finally:
        link.close()


async def have_come(pushes: list[list[Any]], count: int = 1) -> bool:
    return len(pushes) >= count
