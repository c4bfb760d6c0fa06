"""The application, as data: its routes, its middleware, its lifespan."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount, Route

from sse_auction.link import StoreError
from sse_auction.service import running_service
from sse_auction.settings import Settings
from sse_auction.web import auctions, operations, pages, problems, streams

log = logging.getLogger(__name__)

ROUTES: list[BaseRoute] = [
    Route("/auctions/stream", streams.stream_many),
    Route("/auctions/{guid}/stream", streams.stream),
    Route("/auctions/{guid}/price", auctions.price),
    Route("/auctions/{guid}/bids", auctions.bid, methods=["POST"]),
    Route("/auctions/{guid}/bids", auctions.history),
    Route("/auctions/{guid}/refresh", auctions.refresh, methods=["POST"]),
    Route("/auctions/{guid}", auctions.read_auction),
    Route("/auctions", auctions.create_auction, methods=["POST"]),
    Route("/auctions", auctions.list_auctions),
    Route("/livez", operations.livez),
    Route("/readyz", operations.readyz),
    Route("/metrics", operations.show_metrics),
    Route("/openapi.json", operations.openapi),
    Route("/", pages.lots_page),
    Route("/lots/{guid}", pages.lot_page),
    Mount("/static", pages.pages),
]
DEMO_ROUTES: list[BaseRoute] = [Route("/guest", pages.guest, methods=["POST"])]

EXCEPTION_HANDLERS = {
    problems.Problem: problems.on_problem,
    StoreError: problems.on_store_error,
    HTTPException: problems.on_http_exception,
    Exception: problems.on_unexpected,
}


def create_app(settings: Settings | None = None) -> Starlette:
    """The ASGI application: `uvicorn sse_auction.app:create_app --factory`."""
    settings = settings or Settings.from_environment()
    return Starlette(
        routes=ROUTES + (DEMO_ROUTES if settings.demo else []),
        middleware=_middleware(settings),
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=partial(_lifespan, settings),
    )


@asynccontextmanager
async def _lifespan(settings: Settings, app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
    async with running_service(settings) as service:
        app.state.service = service  # for the server that runs us, to see how it ended
        yield {"service": service}


def _middleware(settings: Settings) -> list[Middleware]:
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "If-None-Match",
            ],
            expose_headers=["ETag", "Location", "Retry-After", "Idempotent-Replayed"],
            max_age=600,
        )
    ]
