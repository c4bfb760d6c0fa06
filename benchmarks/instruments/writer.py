"""The writer: a process that raises prices at given moments, whether or not the server keeps up.

Rule: an open loop. A write's time is the moment it was issued here; what a busy server does not take at once waits
in this process, and that waiting counts against the server. The n-th write of an auction has the price `n.00`.

What "a write" is differs by contender, as it would in use:
- `redis`: SET of the price key. Our mirror notices.
- `redis-publish`: SET, and PUBLISH of the event: the usual recipe around sse-starlette.
- `redis-visit`: SET, and once it is confirmed a visit to the server's "price changed" address: the ancestor.
- `http`: POST of the event to nchan's publisher.
- `line`: the event as a line on a socket: the floor.
All published events have the same size and shape as our own.
"""

import json
import select
import socket
import sys
import time
from array import array
from pathlib import Path
from typing import Any

STATE = (
    '{"guid":"%s","title":null,"price":"%d.00","currency":"CNY","status":"open","bids":null,"leader":null,'
    '"next_bid":null,"opens_at":null,"closes_at":null,"extensions":0,"reserve_met":null,"outcome":null,"rev":0,'
    '"tag":"5d108687-0-%d.00","now":%d}'
)


def state(guid: str, number: int) -> str:
    """The event of a write, as our service would send it."""
    return STATE % (guid, number, number, int(time.time() * 1000))


def redis_command(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded)


class Channel:
    """A non-blocking connection: what is sent waits here for as long as it must, replies are counted."""

    def __init__(self, address: str | int, reply: bytes) -> None:
        if isinstance(address, int):
            self.connection = socket.create_connection(("127.0.0.1", address))
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self.connection = socket.socket(socket.AF_UNIX)
            self.connection.connect(address)
        self.connection.setblocking(False)
        self.waiting = bytearray()
        self.replies = 0
        self._reply = reply
        self._tail = b""

    def send(self, data: bytes) -> None:
        self.waiting += data
        self.flush()

    def flush(self) -> None:
        while self.waiting:
            try:
                sent = self.connection.send(self.waiting)
            except BlockingIOError:
                return
            del self.waiting[:sent]

    def receive(self) -> int:
        """How many more replies have come."""
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return 0
        if not data:
            raise ConnectionError("the server closed the writer's connection")
        text = self._tail + data
        found = text.count(self._reply)
        self._tail = text[-(len(self._reply) - 1) :] if len(self._reply) > 1 else b""
        self.replies += found
        return found


class Target:
    """Where and how prices are written."""

    def __init__(self, kind: str, store: str = "", port: int = 0, path: str = "") -> None:
        self.kind, self._port = kind, port
        self._visits: list[bytes] = []
        self.store = Channel(store, b"+OK\r\n") if kind.startswith("redis") else None
        self.server: Channel | None = None
        if kind in ("http", "redis-visit"):
            self.server = Channel(port, b"HTTP/1.1 2")
        elif kind == "line":
            self.server = Channel(path, b"\n")
        self.channels = [each for each in (self.store, self.server) if each is not None]
        self.written = 0  # since it was connected, as are the replies: those to earlier writes may still come
        self.began = 0  # how many were written before the present window

    def write(self, guid: str, number: int) -> None:
        self.written += 1
        if self.store is not None:
            command = redis_command("SET", f"AuctionMaxPrice-{guid}", f"{number}.00")
            if self.kind == "redis-publish":
                command += redis_command("PUBLISH", f"price:{guid}", state(guid, number))
            self.store.send(command)
            if self.kind == "redis-visit":
                self._visits.append(f"GET /changed/{guid} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        elif self.kind == "http" and self.server is not None:
            body = state(guid, number)
            head = f"POST /publish/{guid} HTTP/1.1\r\nHost: localhost\r\nX-EventSource-Event: price\r\n"
            self.server.send(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        elif self.server is not None:
            self.server.send(state(guid, number).encode() + b"\n")

    def attend(self, timeout: float) -> None:
        """Send what waits, take replies, for up to `timeout` seconds."""
        readable, writable, _ = select.select(
            [each.connection for each in self.channels],
            [each.connection for each in self.channels if each.waiting],
            [],
            max(0.0, timeout),
        )
        for each in self.channels:
            if each.connection in writable:
                each.flush()
            if each.connection in readable:
                found = each.receive()
                if each is self.store and self._visits and self.server is not None:
                    self.server.send(b"".join(self._visits[:found]))
                    del self._visits[:found]

    @property
    def taken(self) -> int:
        """Writes of this window that the server has answered, in order.

        A floor answers none: there all count as taken when nothing waits in this process.
        """
        if self.kind == "line":
            return 0 if self.channels[0].waiting else self.written - self.began
        return max(0, min(each.replies for each in self.channels) - self.began)


def write(target: Target, guids: list[str], rate: float, seconds: float, first: int, path: str) -> dict[str, Any]:
    """`rate` writes a second over all `guids` in turn; their times go to `path`, in order."""
    count = max(1, round(rate * seconds / len(guids))) * len(guids)
    times = array("d")
    target.began = target.written
    started = time.monotonic()
    for number in range(count):
        due = started + number / rate
        while (left := due - time.monotonic()) > 0:
            target.attend(left)
        times.append(time.monotonic())
        target.write(guids[number % len(guids)], first + number // len(guids))
        target.attend(0)
    ended = started + count / rate
    while (left := ended - time.monotonic()) > 0:
        target.attend(left)
    ended = time.monotonic()
    taken_in_time = target.taken
    with Path(path).open("wb") as file:
        times.tofile(file)
    return {
        "writes": count,
        "seconds": ended - started,
        "taken": taken_in_time,
        "last": first + count // len(guids) - 1,
    }


def settle(target: Target, timeout: float) -> dict[str, Any]:
    """Wait until everything written has been taken; whether it was."""
    deadline = time.monotonic() + timeout
    written = target.written - target.began
    while target.taken < written and time.monotonic() < deadline:
        target.attend(0.01)
    return {"taken": target.taken, "written": written}


def main() -> None:
    target: Target | None = None
    for line in sys.stdin:
        options = json.loads(line)
        answer: dict[str, Any] = {}
        try:
            match options.pop("do"):
                case "connect":
                    target = Target(**options)
                case "write" if target is not None:
                    answer = write(target, **options)
                case "settle" if target is not None:
                    answer = settle(target, **options)
                case other:
                    answer = {"error": f"cannot {other}"}
        except (OSError, ValueError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
