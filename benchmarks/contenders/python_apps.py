"""The applications of the Python peers, for uvicorn: `STORE` is the path of the store's socket.

- `recipe`: sse-starlette as in its own examples, an `asyncio.Queue` per viewer, redis-py's pub/sub.
- `bare`: Starlette with next to nothing in it: the least that a POST, a GET or a stream costs there.
- `evalsha`: our own bid decision, each awaited alone over redis-py's pool: what the pipelined link is worth.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import redis.asyncio
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.contenders.ours import SECRET
from benchmarks.instruments.writer import state
from sse_auction.auction.decisions import Accepted, BidAmount, Refused
from sse_auction.auction.money import parse_amount
from sse_auction.store.clock import StoreClock
from sse_auction.store.parts import Store
from sse_auction.web.tokens import InvalidToken, Tokens
from sse_auction.wire.requests import CreateRequest, new_auction

# --- the usual recipe ------------------------------------------------------------------------------------------


def recipe() -> Starlette:
    client = redis.asyncio.Redis(unix_socket_path=os.environ["STORE"], decode_responses=True)
    viewers: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)
    newest: dict[str, str] = {}

    async def listen() -> None:
        async with client.pubsub() as pubsub:
            await pubsub.psubscribe("price:*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    guid = message["channel"].removeprefix("price:")
                    newest[guid] = message["data"]
                    for queue in viewers[guid]:
                        queue.put_nowait(message["data"])

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(listen())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await client.aclose()

    async def stream(request: Request) -> Response:
        guid = request.path_params["guid"]

        async def events() -> AsyncIterator[dict[str, Any]]:
            queue: asyncio.Queue[str] = asyncio.Queue()
            viewers[guid].add(queue)
            try:
                if guid in newest:
                    yield {"event": "price", "data": newest[guid]}
                while True:
                    yield {"event": "price", "data": await queue.get()}
            finally:
                viewers[guid].discard(queue)

        return EventSourceResponse(events())

    return Starlette(routes=[Route("/auctions/{guid}/stream", stream)], lifespan=lifespan)


# --- bare Starlette --------------------------------------------------------------------------------------------


def bare() -> Starlette:
    body = state("a", 1).encode()
    event = b"event: price\ndata: %b\n\n" % body
    never = asyncio.Event()

    async def echo(request: Request) -> Response:
        return Response(await request.body(), 201, media_type="application/json")

    async def read(request: Request) -> Response:
        return Response(body, media_type="application/json")

    async def stream(request: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield event
            await never.wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/auctions/{guid}/bids", echo, methods=["POST"]),
            Route("/auctions/{guid}/price", read),
            Route("/auctions/{guid}/stream", stream),
        ]
    )


# --- one EVALSHA per request -----------------------------------------------------------------------------------


class PooledLink:
    """Stands where our pipelined link is: each call takes a connection of redis-py's pool and awaits its reply."""

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client

    async def call(self, *arguments: Any) -> Any:
        return await self._client.execute_command(*arguments)  # type: ignore[no-untyped-call]  # redis-py has no types there

    async def transaction(self, *commands: tuple[str, str]) -> Any:
        async with self._client.pipeline() as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return await pipeline.execute()


def evalsha() -> Starlette:
    client = redis.asyncio.Redis(unix_socket_path=os.environ["STORE"], protocol=3, max_connections=64)
    store = Store(f"unix://{os.environ['STORE']}", 5.0, StoreClock(), "CNY")
    tokens = Tokens(SECRET)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        for script in (store.auctions._create_script, store.auctions._bid_script):
            await client.script_load(script.source)
        store.connection._link = PooledLink(client)  # type: ignore[assignment]  # that is the difference to be measured
        yield
        await client.aclose()

    async def bid(request: Request) -> Response:
        guid = request.path_params["guid"]
        try:
            identity = tokens.read(request.headers["authorization"].removeprefix("Bearer "))
        except InvalidToken:
            return Response(status_code=401)
        wanted = msgspec.json.decode(await request.body())
        currency = await store.auctions.currency_of(guid)
        if isinstance(currency, Refused):
            return Response(status_code=404)
        offer = BidAmount("price", parse_amount(wanted["price"], currency))
        result = await store.auctions.bid(guid, identity.subject, offer, currency)
        status = 201 if isinstance(result, Accepted) else 409
        return Response(msgspec.json.encode(result.state), status, media_type="application/json")

    async def create(request: Request) -> Response:
        wanted = msgspec.json.decode(await request.body(), type=CreateRequest)
        await store.auctions.create(new_auction(wanted, wanted.guid or "", "CNY"))
        return Response(status_code=201)

    routes = [Route("/auctions/{guid}/bids", bid, methods=["POST"]), Route("/auctions", create, methods=["POST"])]
    return Starlette(routes=routes, lifespan=lifespan)
