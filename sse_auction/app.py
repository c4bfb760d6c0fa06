"""The application, as data: its routes, its middleware, its lifespan."""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from sse_auction.lifecycle import running_service
from sse_auction.metrics import MULTIPROCESS_VARIABLE
from sse_auction.scratch import using
from sse_auction.settings import Settings
from sse_auction.store.connection import StoreError
from sse_auction.web import (
    auctions,
    batches,
    exports,
    operations,
    operators,
    pages,
    polling,
    problems,
    standings,
    streams,
)
from sse_auction.web.endpoint import Endpoint
from sse_auction.web.requests import AppState

log = logging.getLogger(__name__)


def _route(path: str, handle: Callable[[Request], Awaitable[Response]], method: str = "GET") -> Route:
    return Route(path, Endpoint(handle), methods=[method], name=handle.__name__)


def _stream(path: str, stream: ASGIApp, name: str) -> Route:
    return Route(path, stream, methods=["GET"], name=name)


ROUTES: list[BaseRoute] = [  # matched in this order: the most frequent ones first
    _route("/auctions/{guid}/price", polling.price),
    _route("/auctions/{guid}/bids", auctions.bid, "POST"),
    _route("/auctions/{guid}/bids", auctions.history),
    _stream("/auctions/{guid}/stream", streams.StreamEndpoint(streams.one_auction), "stream"),
    _route("/auctions/{guid}/bids.csv", exports.export_csv),
    _route("/auctions/{guid}/bids.ndjson", exports.export_ndjson),
    _stream("/auctions/stream", streams.StreamEndpoint(streams.several_auctions), "stream_many"),
    _route("/auctions/{guid}/refresh", auctions.refresh, "POST"),
    *(_route(f"/auctions/{{guid}}/{name}", act, "POST") for name, act in operators.ACTS.items()),
    _route("/auctions/{guid}", operators.edit, "PATCH"),
    _route("/auctions/{guid}", operators.delete, "DELETE"),
    _route("/bidders/erase", operators.erase, "POST"),
    _route("/auctions/{guid}", auctions.read_auction),
    _route("/auctions", batches.create, "POST"),
    _route("/auctions", auctions.list_auctions),
    _route("/me/standings", standings.standings),
    _stream("/me/stream", standings.StandingsEndpoint(), "stream"),
    _route("/livez", operations.livez),
    _route("/readyz", operations.readyz),
    _route("/metrics", operations.show_metrics),
    _route("/openapi.json", operations.openapi),
    _route("/", pages.lots_page),
    _route("/lots/{guid}", pages.lot_page),
    Mount("/static", pages.pages),
]
DEMO_ROUTES: list[BaseRoute] = [_route("/guest", pages.guest, "POST")]

EXCEPTION_HANDLERS = {
    problems.Problem: problems.on_problem,
    StoreError: problems.on_store_error,
    HTTPException: problems.on_http_exception,
    Exception: problems.on_unexpected,
}


def create_app(settings: Settings | None = None) -> Starlette:
    """The ASGI application: `uvicorn sse_auction.app:create_app --factory`."""
    settings = settings or Settings.from_environment()
    app = Starlette(
        routes=ROUTES + (DEMO_ROUTES if settings.demo else []),
        middleware=_middleware(settings),
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=partial(_lifespan, settings),
    )
    app.router.redirect_slashes = False  # else a slash too many is answered with an address made of the Host header
    return app


@asynccontextmanager
async def _lifespan(settings: Settings, app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
    # Metrics of several workers lie in a folder, which must be there as long as one of them is.
    with using(Path(os.environ.get(MULTIPROCESS_VARIABLE, ""))):
        async with running_service(settings) as service:
            app.state.service = service  # for the server that runs us, to see how it ended
            yield {"app": AppState.of(service)}


def _middleware(settings: Settings) -> list[Middleware]:
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "If-None-Match",
                "X-Request-ID",
            ],
            expose_headers=["ETag", "Location", "Retry-After", "Idempotent-Replayed", "X-Request-ID"],
            max_age=600,
        )
    ]
