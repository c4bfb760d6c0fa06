"""From received bytes to prices: Server-Sent Events (plain or chunked) and socket.io over WebSocket.

Rule: a decoder takes bytes as they come, torn anywhere or several frames at once, and returns every price that has
become complete. A server sends the same bytes to thousands of watchers; what bytes mean to a decoder that has
nothing pending depends on the bytes alone, so `Memo` remembers the last answer. That is the hot path.

It knows neither sockets nor clocks. A price's whole part is the number of its write; see `writer`.
"""

from collections.abc import Callable
from typing import Protocol

HEAD_END = b"\r\n\r\n"


class BadStream(Exception):
    """A response that is no open stream; the message has its first bytes."""


class Memo:
    """The last bytes decoded from a clean start to a clean end, and the prices in them; shared by all watchers."""

    __slots__ = ("data", "prices")

    def __init__(self) -> None:
        self.data = b""
        self.prices: tuple[int, ...] = ()


class Decoder(Protocol):
    """What a watcher feeds."""

    def feed(self, data: bytes) -> tuple[int, ...]: ...


def price_in(text: bytes, marker: bytes) -> int | None:
    """The whole part of the price after `marker`, or None where there is none."""
    start = text.find(marker)
    if start < 0:
        return None
    start += len(marker)
    return int(text[start : text.index(b'"', start)].partition(b".")[0])


class Chunks:
    """Undoes `Transfer-Encoding: chunked`, byte by byte if need be."""

    __slots__ = ("_left", "_line")

    def __init__(self) -> None:
        self._line = b""
        self._left = 0  # of the present chunk, its closing CRLF included

    @property
    def is_clean(self) -> bool:
        return not self._left and not self._line

    def feed(self, data: bytes) -> bytes:
        payload = []
        while data:
            if self._left:
                taken, data = data[: self._left], data[self._left :]
                kept = max(0, min(len(taken), self._left - 2))
                payload.append(taken[:kept])
                self._left -= len(taken)
                continue
            line, found, rest = (self._line + data).partition(b"\r\n")
            if not found:
                self._line += data
                break
            self._line, data = b"", rest
            self._left = int(line.partition(b";")[0], 16) + 2
        return b"".join(payload)


class SseDecoder:
    """The prices in a response that is an event stream."""

    __slots__ = ("_chunks", "_head", "_marker", "_memo", "_pending", "other_events")

    def __init__(self, marker: bytes, memo: Memo) -> None:
        self._marker = marker
        self._memo = memo
        self._head: bytes | None = b""  # None once it is over
        self._chunks: Chunks | None = None
        self._pending = b""
        self.other_events = 0

    @property
    def is_open(self) -> bool:
        """Whether the response's head has come."""
        return self._head is None

    def feed(self, data: bytes) -> tuple[int, ...]:
        clean = not self._pending and self._head is None and (self._chunks is None or self._chunks.is_clean)
        if clean and data == self._memo.data:
            return self._memo.prices
        payload = data
        if self._head is not None:
            payload = self._read_head(data)
        if self._chunks is not None:
            payload = self._chunks.feed(payload)
        others_before = self.other_events
        prices = self._events(payload)
        ends_clean = not self._pending and (self._chunks is None or self._chunks.is_clean)
        if clean and ends_clean and prices and self.other_events == others_before:
            self._memo.data, self._memo.prices = data, prices
        return prices

    def _read_head(self, data: bytes) -> bytes:
        assert self._head is not None
        head, found, rest = (self._head + data).partition(HEAD_END)
        if not found:
            self._head += data
            return b""
        if not head.startswith(b"HTTP/1.1 200"):
            raise BadStream(f"no stream: {head[:200]!r}")
        if b"\r\ntransfer-encoding: chunked" in head.lower():
            self._chunks = Chunks()
        self._head = None
        return rest

    def _events(self, payload: bytes) -> tuple[int, ...]:
        buffer = self._pending + payload
        prices: list[int] = []
        while True:
            end, width = _event_end(buffer)
            if end < 0:
                self._pending = buffer
                return tuple(prices)
            price = price_in(buffer[:end], self._marker)
            buffer = buffer[end + width :]
            if price is None:
                self.other_events += 1
            else:
                prices.append(price)


def _event_end(buffer: bytes) -> tuple[int, int]:
    """Where the first event ends, and how long its blank line is: lines end with LF or CRLF."""
    plain, with_cr = buffer.find(b"\n\n"), buffer.find(b"\n\r\n")
    if with_cr >= 0 and (plain < 0 or with_cr < plain):
        return with_cr, 3
    return plain, 2


class WebSocketDecoder:
    """The prices in the frames of a WebSocket; every other text message goes to `on_message`."""

    __slots__ = ("_buffer", "_is_open", "_marker", "_memo", "_on_message")

    def __init__(self, marker: bytes, memo: Memo, on_message: Callable[[bytes], None]) -> None:
        self._marker = marker
        self._memo = memo
        self._on_message = on_message
        self._is_open = False
        self._buffer = b""

    def feed(self, data: bytes) -> tuple[int, ...]:
        clean = self._is_open and not self._buffer
        if clean and data == self._memo.data:
            return self._memo.prices
        self._buffer += data
        if not self._is_open and not self._shake_hands():
            return ()
        prices: list[int] = []
        prices_only = True
        while (message := self._message()) is not None:
            price = price_in(message, self._marker) if message.startswith(b"42") else None
            if price is None:
                prices_only = False
                self._on_message(message)
            else:
                prices.append(price)
        if clean and prices_only and prices and not self._buffer:
            self._memo.data, self._memo.prices = data, tuple(prices)
        return tuple(prices)

    def _shake_hands(self) -> bool:
        head, found, rest = self._buffer.partition(HEAD_END)
        if not found:
            return False
        if not head.startswith(b"HTTP/1.1 101"):
            raise BadStream(f"no WebSocket: {head[:200]!r}")
        self._is_open, self._buffer = True, rest
        return True

    def _message(self) -> bytes | None:
        """The next whole message; servers do not mask, and these do not fragment."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        if len(buffer) < start + length:
            return None
        self._buffer = buffer[start + length :]
        return buffer[start : start + length]


def masked_text(message: bytes) -> bytes:
    """A client's text frame of up to 65,535 bytes. Its mask is zero: legal, and cheap for both sides."""
    length = len(message)
    size = bytes([0x80 | length]) if length < 126 else bytes([0xFE]) + length.to_bytes(2, "big")
    return b"\x81" + size + bytes(4) + message
