"""The service with a part that crashes at SIGUSR1: `python -m tests.faults.chaos.crashable PART serve`."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from sse_auction.cli import main
from sse_auction.delivery.hub import Hub
from sse_auction.delivery.mirror import Mirror
from sse_auction.store.settlement import Settlement


class PlantedBug(Exception):
    """The exception of the crash."""


def crashable(work: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    """The same work, which ends with that exception at the signal."""

    async def run(*arguments: Any, **options: Any) -> None:
        signalled = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, signalled.set)
        working = asyncio.create_task(work(*arguments, **options))
        dying = asyncio.create_task(signalled.wait())
        await asyncio.wait((working, dying), return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        raise PlantedBug("on purpose")

    return run


def plant(part: str) -> None:
    """Make a part of the service crashable."""
    match part:
        case "mirror":
            Mirror.run = crashable(Mirror.run)  # type: ignore[method-assign]  # that is the point
        case "hub":
            Hub.run = crashable(Hub.run)  # type: ignore[method-assign]  # as above
        case "settling":
            Settlement.run = crashable(Settlement.run)  # type: ignore[method-assign]  # as above
        case _:
            raise ValueError(f"there is no part {part!r}")


if __name__ == "__main__":
    plant(sys.argv.pop(1))
    main()
