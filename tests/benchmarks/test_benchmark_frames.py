"""The generator's decoders find every price once, however the bytes are split."""

import pytest

from benchmarks.instruments.frames import BadStream, Memo, SseDecoder, WebSocketDecoder
from tests.support.instruments import (
    CHUNKED_HEAD,
    HEARTBEAT,
    MARKER,
    PLAIN_HEAD,
    chunked,
    event,
    receive_frame,
    text_frame,
)

SSE_STREAMS = {
    "plain": PLAIN_HEAD + b"retry: 3000\n" + event(1) + HEARTBEAT + event(2) + event(3),
    "crlf": PLAIN_HEAD + event(1, b"\r\n") + b": comment\r\n\r\n" + event(2, b"\r\n") + event(3, b"\r\n"),
    "an event a chunk": CHUNKED_HEAD + chunked(event(1), HEARTBEAT, event(2), event(3)),
    "several events a chunk": CHUNKED_HEAD + chunked(event(1) + HEARTBEAT + event(2), event(3)),
    "chunks that tear events": CHUNKED_HEAD
    + chunked(event(1)[:57], event(1)[57:] + event(2)[:3], event(2)[3:], event(3)),
    "chunks of one byte": CHUNKED_HEAD
    + chunked(*[bytes([byte]) for byte in event(1) + event(2) + HEARTBEAT + event(3)]),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 100_000])
@pytest.mark.parametrize("name", SSE_STREAMS)
def test_every_price_is_found_once_however_the_bytes_are_split(name: str, size: int) -> None:
    stream = SSE_STREAMS[name]
    memo = Memo()
    for _ in range(2):  # the second decoder shares what the first has left in the memo
        decoder = SseDecoder(MARKER, memo)
        found = [price for start in range(0, len(stream), size) for price in decoder.feed(stream[start : start + size])]
        assert found == [1, 2, 3]


def test_a_price_counts_when_its_event_is_complete_and_not_before() -> None:
    decoder = SseDecoder(MARKER, Memo())
    assert decoder.feed(CHUNKED_HEAD + chunked(event(1))) == (1,)
    frame = chunked(event(2))
    assert decoder.feed(frame[:-3]) == ()
    assert decoder.feed(frame[-3:]) == (2,)


def test_what_is_remembered_of_equal_bytes_is_not_used_in_the_middle_of_a_frame() -> None:
    memo = Memo()
    first, second = SseDecoder(MARKER, memo), SseDecoder(MARKER, memo)
    tail = b'data: {"price":"7.00"}\n\n'
    for decoder in (first, second):
        decoder.feed(PLAIN_HEAD + event(1))
    assert first.feed(tail) == (7,)
    assert memo.data == tail
    assert second.feed(b'data: {"price":"5.00"}\n') == ()
    assert second.feed(tail) == (5,), "the event began with another line"
    assert second.feed(tail) == (7,)


def test_heartbeats_are_counted_for_each_watcher() -> None:
    memo = Memo()
    for _ in range(2):
        decoder = SseDecoder(MARKER, memo)
        decoder.feed(PLAIN_HEAD + event(1))
        assert decoder.feed(HEARTBEAT) == decoder.feed(HEARTBEAT + event(2))[1:] == ()
        assert decoder.other_events == 2


def test_any_answer_but_a_stream_is_an_error() -> None:
    with pytest.raises(BadStream, match="503"):
        SseDecoder(MARKER, Memo()).feed(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_prices_are_found_in_websocket_frames_of_any_size(size: int) -> None:
    stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + text_frame(b"0{}") + text_frame(b'40{"sid":"x"}')
    stream += receive_frame(1) + receive_frame(2, 200) + text_frame(b"2") + receive_frame(3, 70_000)
    messages: list[bytes] = []
    decoder = WebSocketDecoder(b'"nowprice":"', Memo(), messages.append)
    found = [price for start in range(0, len(stream), size) for price in decoder.feed(stream[start : start + size])]
    assert (found, messages) == ([1, 2, 3], [b"0{}", b'40{"sid":"x"}', b"2"])
