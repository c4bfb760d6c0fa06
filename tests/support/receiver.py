"""A receiver of webhooks for tests: a real HTTP server that records what it receives."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.harness import StoreProcess

WEBHOOK_SECRET = "a secret of at least thirty-two bytes for webhooks"


@dataclass
class Receiver:
    """A real HTTP server that records what it receives; it waits for `delay_seconds`, and answers with `status`.

    The names of events in `refuses` are answered with 500.
    """

    url: str = ""
    status: int = 204
    refuses: str = ""
    delay_seconds: float = 0.0
    taken: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)  # one for each of `bodies`

    def messages(self, guid: str) -> list[dict[str, Any]]:
        """Messages without repeats, by id, in the order in which they came first."""
        return list({each["id"]: each for each in self.taken if each["guid"] == guid}.values())

    def once(self, guid: str) -> list[str]:
        """Their events."""
        return [each["event"] for each in self.messages(guid)]


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    noted = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with suppress(ConnectionError):  # of a sender that was killed
                super().handle()

        def do_POST(self) -> None:  # the name that http.server calls
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(noted.delay_seconds)
            message = json.loads(body)
            status = 500 if message["event"] == noted.refuses else noted.status
            if status == 204:
                noted.taken.append(message)
                noted.headers.append({name.lower(): value for name, value in self.headers.items()})
                noted.bodies.append((self.headers["Sse-Auction-Signature"], body))
            else:
                noted.refused += 1
            self.send_response(status)
            self.send_header("content-length", "0")
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    class ReceivingServer(ThreadingHTTPServer):
        request_queue_size = 128  # otherwise a sender's connections, which all come at once, wait for seconds

    with ReceivingServer(("127.0.0.1", 0), Handler) as server:
        noted.url = f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield noted
        server.shutdown()
        thread.join()


def hooked(store: StoreProcess, receiver: Receiver, **more: str) -> dict[str, str]:
    return {
        "REDIS_URL": store.url, "SSE_AUCTION_WEBHOOK_URL": receiver.url, "SSE_AUCTION_WEBHOOK_SECRET": WEBHOOK_SECRET,
        **more,
    }  # fmt: skip
