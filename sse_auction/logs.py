"""The format of log lines: text for people on a terminal, otherwise one JSON object per line.

Every line of a request has the request's id; the response has it too (`X-Request-ID`). An id that comes with the
request is kept, so that the lines of a proxy and of this service can be matched. A repeated warning or error is logged
once in ten seconds, with the number of repeats.

A leaf: it imports nothing from this project.
"""

import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import count
from typing import Any

import msgspec

REPEATS_SECONDS = 10.0
_MAX_REMEMBERED = 1000  # messages
REQUEST_ID_HEADER = b"x-request-id"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,64}")  # harmless in a header and in a log

_current_request: ContextVar[str] = ContextVar("request_id", default="")
_prefix = secrets.token_hex(4)  # of the ids that this process makes
_numbers = count(1)


def begin_request(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The id of a new request, from its header or generated. Lines logged in this context have it from now on."""
    request_id = ""
    for name, value in headers:
        if name == REQUEST_ID_HEADER and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
    request_id = request_id or f"{_prefix}-{next(_numbers):x}"
    _current_request.set(request_id)
    return request_id


def current_request() -> str:
    """The id of the request in this context; empty outside of a request."""
    return _current_request.get()


class JSONFormatter(logging.Formatter):
    """One JSON object per line: time (RFC 3339), level, logger, process, message, and the record's extra fields."""

    _standard_fields = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if request_id := _current_request.get():
            line["request"] = request_id
        line |= {name: value for name, value in record.__dict__.items() if name not in self._standard_fields}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


class TextFormatter(logging.Formatter):
    """A line for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-8s %(name)s[%(process)d]: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the base class's name for it
        request_id = getattr(record, "request", "") or _current_request.get()
        return super().formatMessage(record) + (f" [{request_id}]" if request_id else "")


class Repeats(logging.Filter):
    """Passes a repeated warning once in `REPEATS_SECONDS`, with the number of repeats."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._met: dict[str, tuple[float, int]] = {}  # by message: (when it passed, repeats since)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        message, now = record.getMessage(), self._clock()
        let_through_at, times = self._met.get(message, (float("-inf"), 0))
        if now - let_through_at < REPEATS_SECONDS:
            self._met[message] = let_through_at, times + 1
            return False
        if len(self._met) >= _MAX_REMEMBERED:
            self._met.clear()
        self._met[message] = now, 0
        if times:
            record.msg, record.args = f"{message} (and {times} times more before)", ()
        return True


def configuration() -> dict[str, Any]:
    """The logging configuration of a server, for `logging.config.dictConfig`."""
    formatter = TextFormatter if sys.stderr.isatty() else JSONFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "filters": {"repeats": {"()": Repeats}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["repeats"]}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {"httpx": {"level": "WARNING"}},  # it logs every webhook as INFO
    }
