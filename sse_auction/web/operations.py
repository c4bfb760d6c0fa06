"""The routes for the people who run the service: probes, metrics, the OpenAPI document."""

from starlette.requests import Request
from starlette.responses import Response

from sse_auction import metrics
from sse_auction.web.openapi import document
from sse_auction.web.requests import service_of
from sse_auction.wire.replies import encode


def _probe(trouble: str | None, note: str | None = None) -> Response:
    body = encode({"ok": trouble is None, "trouble": trouble or note})
    return Response(body, 200 if trouble is None else 503, {"cache-control": "no-store"}, "application/json")


async def livez(request: Request) -> Response:
    """Whether the process works: 503 when a part of it has died of a bug, or its supervisor has died."""
    return _probe(service_of(request).failure)


async def readyz(request: Request) -> Response:
    """Whether to send requests here: 503 also when the store does not answer, and while the process drains.

    While the disk of the embedded store is full, the answer is 200 with the trouble: prices are still live, and there
    is no other process that could show them.
    """
    service = service_of(request)
    trouble = service.failure
    if service.is_draining:
        trouble = trouble or "the process is draining"
    if not (service.mirror.is_live and service.store.connection.is_connected):
        trouble = trouble or service.store_trouble or "the store does not answer"
    return _probe(trouble, service.store_trouble)


async def show_metrics(request: Request) -> Response:
    """All metrics, in Prometheus' text format."""
    body, content_type = metrics.render()
    return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})


async def openapi(request: Request) -> Response:
    """The OpenAPI document of every route."""
    body = encode(document(demo=service_of(request).settings.demo))
    return Response(body, headers={"cache-control": "no-cache"}, media_type="application/json")
