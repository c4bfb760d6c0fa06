"""Opens a client: of a service elsewhere, or of the store."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx

from sse_auction.client.http import HttpClient
from sse_auction.client.interface import Client, ClientError
from sse_auction.client.local import LocalClient
from sse_auction.lifecycle import running_service
from sse_auction.settings import Settings


@asynccontextmanager
async def open_client(
    url: str | None, token: str | None, settings: Settings, *, bidder: str = "", user: str = ""
) -> AsyncIterator[Client]:
    """A client of the service at `url`, which `token` identifies; of the store if `url` is None."""
    if url is None:
        async with running_service(replace(settings, demo=False), is_server=False) as service:
            yield LocalClient(service, bidder, user)
    else:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            http = httpx.AsyncClient(base_url=url, headers=headers, timeout=10.0)
        except httpx.InvalidURL as error:
            raise ClientError(f"{url!r} is not a URL: {error}") from None
        async with http:
            yield HttpClient(http)
