"""The server: uvicorn with this service's socket, protocol and limits.

`sse-auction serve` runs it. Any other ASGI server can run `sse_auction.app:create_app` instead.
"""

import asyncio
import contextlib
import math
import os
import resource
import signal
import socket
from typing import cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from sse_auction.app import create_app
from sse_auction.delivery.direct import EXTENSION, DirectStream
from sse_auction.logs import configuration
from sse_auction.metrics import MULTIPROCESS_VARIABLE
from sse_auction.scratch import scratch_folder
from sse_auction.settings import Settings

BACKLOG = 4096  # connections that wait while the loop is busy; the kernel's own limit may be lower
ACCEPTS_PER_TURN = 8  # a rush of newcomers keeps those waiting little who are there; the kernel holds the rest
KEEP_ALIVE_SECONDS = 75  # longer than the 60 s of common proxies, so that they and not we close an idle connection
# What the kernel may hold back per viewer; accepted connections inherit it from the listening socket. A platform
# without an option goes without it. Why no SO_SNDBUF: the first option bounds what is stale, and a small buffer would
# only slow the pages down.
_KERNEL_SHARE = [
    (getattr(socket, name), value)
    for name, value in (
        # Unsent bytes beyond which the kernel takes no more: two states. Without it a slow reader has up to 4 MB of
        # old prices before him (at 2 KB/s: 12 s after 25 s, and falling back further; with it: 1.2 s).
        ("TCP_NOTSENT_LOWAT", 1024),
        # Milliseconds for which sent bytes may stay unacknowledged: phones vanish silently, and the kernel would keep
        # trying for a quarter of an hour.
        ("TCP_USER_TIMEOUT", 30_000),
        ("TCP_NODELAY", 1),  # a price is one small segment and must not wait for the acknowledgement of the last
    )
    if hasattr(socket, name)
]


class ResponseWriter:
    """Where uvicorn writes one response: its head leaves together with what follows in the same turn of the loop.

    uvicorn writes head and body apart, and uvloop sends each at once: two system calls and two packets for every
    poll and bid.
    """

    __slots__ = ("_held", "_is_begun", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Hold the first piece until the second comes, or until the loop's next turn."""
        if self._is_begun:
            self._transport.write(self.take_held() + data)
        else:
            self._is_begun = True
            self._held = data
            asyncio.get_running_loop().call_soon(self._flush)

    def take_held(self) -> bytes:
        """What has not been written yet, to be written by whoever takes it."""
        held, self._held = self._held, b""
        return held

    def _flush(self) -> None:
        if self._held:
            self._transport.write(self.take_held())

    def close(self) -> None:
        """End the connection when everything has left."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is gone, or going."""
        return self._transport.is_closing()


class StreamProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, from which a stream can take its connection over."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, object]", self.scope)["extensions"] = {EXTENSION: self.transport}

    def on_headers_complete(self) -> None:
        cycle = self.cycle
        super().on_headers_complete()
        if self.cycle is not cycle:
            self.cycle.transport = ResponseWriter(self.transport)  # type: ignore[assignment]  # all that a cycle needs

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn does this only when the other end closed; after a reset its timer would keep all of this, some 8 KB,
        # until the connection's 75 s are over.
        self._unset_keepalive_if_required()

    def end_body_with_connection(self) -> None:
        """Send the coming response without chunking; the end of the connection is the end of the body."""
        self.cycle.chunked_encoding = False
        self.cycle.keep_alive = False

    def hand_over(self, successor: DirectStream) -> None:
        """Let `successor` have the connection, whose response has begun, for good.

        To uvicorn the cycle looks disconnected: it neither completes the response nor closes the transport.
        """
        head = cast(ResponseWriter, self.cycle.transport).take_held()
        self.cycle.disconnected = True
        self.flow.resume_reading()  # or the viewer's leaving would not be noticed
        self.connections.discard(self)
        transport, connections = self.transport, self.connections
        transport.set_protocol(successor)
        # These refer to each other in circles; cut, all of it is freed now and not by the collector some day.
        self.cycle = self.scope = self.headers = self.parser = self.flow = self.transport = None  # type: ignore[assignment]  # it is used no more
        successor.start(transport, connections, head)  # type: ignore[arg-type]  # a set of protocols; ours is one


def serve(settings: Settings, host: str) -> int:
    """Serve until told to stop; returns the exit code: 1 when a part of the service died."""
    _raise_descriptor_limit()
    if settings.workers == 1:
        return _serve_alone(settings, host)
    with scratch_folder("metrics", in_memory=True) as shared_metrics:
        os.environ.setdefault(MULTIPROCESS_VARIABLE, str(shared_metrics))
        return _serve_workers(settings, host)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for option, value in _KERNEL_SHARE:
        with contextlib.suppress(OSError):  # a platform that knows the name but not the option
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def _copies(listener: socket.socket) -> list[socket.socket]:
    """The same listener several times: the event loop accepts one connection per listener in each turn."""
    return [listener, *(listener.dup() for _ in range(ACCEPTS_PER_TURN - 1))]


def address_of(listener: socket.socket) -> str:
    """The URL of a listening socket, as one types it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _serve_alone(settings: Settings, host: str) -> int:
    app = create_app(settings)
    config = uvicorn.Config(app, **_options(settings))  # type: ignore[arg-type]  # a mapping of mixed options
    listener = _announced(host, settings)
    # uvicorn raises the signals that it got once more when it is done; a clean stop is to end with exit code 0.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _nothing_more)
    uvicorn.Server(config).run(sockets=_copies(listener))
    service = getattr(app.state, "service", None)
    return 0 if service is not None and service.failure is None else 1


def _serve_workers(settings: Settings, host: str) -> int:
    config = uvicorn.Config(
        "sse_auction.app:create_app", factory=True, workers=settings.workers, **_options(settings)  # type: ignore[arg-type]  # as above
    )  # fmt: skip
    listener = _announced(host, settings)
    supervisor = Multiprocess(config, sockets=_copies(listener))
    supervisor.run()
    return 1 if any((worker.exitcode or 0) > 0 for worker in supervisor.processes) else 0


def _options(settings: Settings) -> dict[str, object]:
    return {
        "loop": "uvloop",
        "http": StreamProtocol,
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # nothing here depends on the client's address or scheme; it would cost every request
        "log_config": configuration(),
        "backlog": BACKLOG,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        # For what is still being answered when the streams have gone: as long as the store may take to answer, lest a
        # bid be cut that it has taken.
        "timeout_graceful_shutdown": math.ceil(settings.store_timeout_seconds),
    }


def _announced(host: str, settings: Settings) -> socket.socket:
    listener = listen(host, settings.port)
    store = "the store at REDIS_URL" if settings.redis_url else f"the embedded store in {settings.data_dir}"
    print(f"sse-auction is at {address_of(listener)} with {store}", flush=True)  # noqa: T201  # for people, on stdout
    return listener


def _nothing_more(number: int, frame: object) -> None:
    pass


def _raise_descriptor_limit() -> None:
    """As many open files as the machine lets us: each stream is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
