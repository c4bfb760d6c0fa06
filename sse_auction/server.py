"""The server: uvicorn with the socket options, protocol and limits of this service.

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
ACCEPTS_PER_TURN = 8  # many new connections at once delay the existing ones little; the kernel holds the rest
KEEP_ALIVE_SECONDS = 75  # longer than the 60 s of common proxies, so that they close an idle connection, not we
# Limits for the data that the kernel holds per viewer. Accepted connections inherit them from the listening socket. A
# platform without an option does without it. SO_SNDBUF is not set: the first option already bounds stale data, and a
# small buffer would only slow the pages down.
_KERNEL_SHARE = [
    (getattr(socket, name), value)
    for name, value in (
        # The kernel accepts no more data beyond so many unsent bytes: two states. Without this limit up to 4 MB of old
        # prices wait for a slow reader.
        ("TCP_NOTSENT_LOWAT", 1024),
        # Milliseconds for which sent bytes may stay unacknowledged: a phone can disappear without notice, and the
        # kernel would keep trying for a quarter of an hour.
        ("TCP_USER_TIMEOUT", 30_000),
        ("TCP_NODELAY", 1),  # a price is one small segment and must not wait for the acknowledgement of the last
    )
    if hasattr(socket, name)
]


class ResponseWriter:
    """The transport of one response for uvicorn: it sends the head together with the data of the same loop turn.

    uvicorn writes head and body separately, and uvloop sends each at once: two system calls and two packets for every
    poll and bid.
    """

    __slots__ = ("_held", "_is_begun", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        self._is_begun = False

    def write(self, data: bytes) -> None:
        """Hold the first piece until the second one, or until the loop's next turn."""
        if self._is_begun:
            self._transport.write(self.take_held() + data)
        else:
            self._is_begun = True
            self._held = data
            asyncio.get_running_loop().call_soon(self._flush)

    def take_held(self) -> bytes:
        """Return the data that is not written yet; the caller must write it."""
        held, self._held = self._held, b""
        return held

    def _flush(self) -> None:
        if self._held:
            self._transport.write(self.take_held())

    def close(self) -> None:
        """Close the connection after all data is sent."""
        self._flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed or closing."""
        return self._transport.is_closing()


class StreamProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which can hand its connection over to a stream."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        cast("dict[str, object]", self.scope)["extensions"] = {EXTENSION: self.transport}

    def on_headers_complete(self) -> None:
        cycle = self.cycle
        super().on_headers_complete()
        if self.cycle is not cycle:
            self.cycle.transport = ResponseWriter(self.transport)  # type: ignore[assignment]  # it has what a cycle uses

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn does this only when the peer closed; after a reset its timer would keep these objects, about 8 KB,
        # for `KEEP_ALIVE_SECONDS`.
        self._unset_keepalive_if_required()

    def end_body_with_connection(self) -> None:
        """Send the next response without chunking; the end of the connection is the end of the body."""
        self.cycle.chunked_encoding = False
        self.cycle.keep_alive = False

    def hand_over(self, successor: DirectStream) -> None:
        """Give the connection to `successor` for good, after the response has begun.

        To uvicorn the cycle looks disconnected, so it neither completes the response nor closes the transport.
        """
        head = cast(ResponseWriter, self.cycle.transport).take_held()
        self.cycle.disconnected = True
        self.flow.resume_reading()  # otherwise a closed connection would not be noticed
        self.connections.discard(self)
        transport, connections = self.transport, self.connections
        transport.set_protocol(successor)
        # These objects refer to each other in cycles. Cut, they are freed now and not by a later garbage collection.
        self.cycle = self.scope = self.headers = self.parser = self.flow = self.transport = None  # type: ignore[assignment]  # not used any more
        successor.start(transport, connections, head)  # type: ignore[arg-type]  # a set of protocols; ours is one


def serve(settings: Settings, host: str) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code: 1 when a part of the service died."""
    _raise_descriptor_limit()
    if settings.workers == 1:
        return _serve_alone(settings, host)
    with scratch_folder("metrics", in_memory=True) as shared_metrics:
        os.environ.setdefault(MULTIPROCESS_VARIABLE, str(shared_metrics))
        return _serve_workers(settings, host)


def listen(host: str, port: int) -> socket.socket:
    """A bound socket with the socket options of this service. Raises: OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for option, value in _KERNEL_SHARE:
        with contextlib.suppress(OSError):  # a platform that has the name but not the option
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
    """The URL of a listening socket, for a browser."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "localhost"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _serve_alone(settings: Settings, host: str) -> int:
    app = create_app(settings)
    config = uvicorn.Config(app, **_options(settings))  # type: ignore[arg-type]  # a mapping of mixed options
    listener = _announced(host, settings)
    # At its end uvicorn raises the received signals again; a clean stop must end with exit code 0.
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
        "proxy_headers": False,  # nothing here needs the client's address or scheme; it would cost every request
        "log_config": configuration(),
        "backlog": BACKLOG,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        # Requests that are still open after the streams have ended: as long as the store may take to answer. A bid that
        # the store has accepted must get its answer.
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
    """Allow as many open files as the machine permits: each stream is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
