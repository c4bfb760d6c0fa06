"""Files of auctions to create: CSV with the columns below, or one JSON object per line, as in a POST.

Rule: the whole file is read and every line is checked before the first auction is created. All errors are reported
together, each with its line.
"""

import codecs
import csv
import io
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from sse_auction.auction.terms import is_guid
from sse_auction.auction.texts import counted
from sse_auction.wire.replies import SoftCloseSeconds
from sse_auction.wire.requests import WRONG, BandRequest, BuyNowRequest, CreateRequest, decode, new_auction

_DURATION = re.compile(r"\+([0-9]+)(s|m|h|d)")
_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, because it begins with the mark of UTF-16
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class WrongLots(ValueError):
    """The errors in a file of lots; the message has one line for each."""


class WrongEncoding(ValueError):
    """A file that is not UTF-8; the message says what shows it."""


@dataclass(frozen=True, slots=True)
class Lot:
    """One auction to create, and the number of its line in the file."""

    line: int
    guid: str
    request: CreateRequest


# --- how people write terms: on the command line, and in cells ------------------------------------------------------


def moment(text: str) -> int:
    """Epoch ms of `+90s`, `+10m`, `+2h`, `+3d` or a number of epoch ms. Raises: ValueError with a sentence."""
    if match := _DURATION.fullmatch(text):
        return int(time.time() * 1000) + int(match[1]) * _UNIT_MS[match[2]]
    if text.isascii() and text.isdigit():
        return int(text)
    raise ValueError(f"{text!r} is neither a time from now such as +10m nor epoch milliseconds.")


def increments(text: str) -> str | list[BandRequest]:
    """A preset by name, or a table such as `0:1.00,100:5.00`."""
    if "," not in text and not text[:1].isdigit():
        return text
    return [BandRequest(start, step) for start, _, step in (band.partition(":") for band in text.split(","))]


def buy_now(text: str) -> BuyNowRequest:
    """`300.00`, or with a mode `300.00:ceiling`. Raises: ValueError with a sentence."""
    price, _, mode = text.partition(":")
    if mode not in ("", "ceiling", "until_first_bid"):
        raise ValueError(f"{mode!r} is neither ceiling nor until_first_bid.")
    return BuyNowRequest(price, "ceiling" if mode == "ceiling" else "until_first_bid")


def soft_close(text: str) -> Any:
    """A preset by name, `60:90` (window and extension in seconds), or `none`. Raises: ValueError with a sentence."""
    if text in ("usual", "live", "judicial"):
        return text
    window, _, extend = text.partition(":")
    if text != "none" and not (window.isdigit() and extend.isdigit()):
        raise ValueError(f"{text!r} is none of usual, live, judicial, none, and no WINDOW:EXTEND such as 60:90.")
    return None if text == "none" else SoftCloseSeconds(int(window), int(extend))


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
        raise ValueError(f"{text!r} is neither true nor false.")
    return text.lower() in ("true", "yes", "1")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number.")
    return int(text)


_CELLS: dict[str, Callable[[str], Any]] = {
    "title": str, "start_price": str, "closes_at": moment, "opens_at": moment, "guid": str, "currency": str,
    "increments": increments, "seller": str, "bidding": str, "aligned": _truth, "reserve": str, "buy_now": buy_now,
    "soft_close": soft_close, "hard_close_at": moment, "max_extensions": _whole,
    "priority": lambda text: [each.strip() for each in text.split(";")],
}  # fmt: skip
COLUMNS = tuple(_CELLS)


# --- files -----------------------------------------------------------------------------------------------------------


def read_text(data: bytes) -> str:
    """The text of a file, without a byte order mark. Raises: `WrongEncoding` when it is not UTF-8."""
    for mark, encoding in _OTHER_MARKS:
        if data.startswith(mark):
            raise WrongEncoding(f"it is {encoding}")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise WrongEncoding(
            f"it is not UTF-8: byte {error.start + 1}, in line {line}, is 0x{data[error.start]:02X}"
        ) from None
    head, nul, _ = text.partition("\0")
    if nul:  # in UTF-16, every second byte of most texts
        line = head.count("\n") + 1
        raise WrongEncoding(f"it has a NUL in line {line}, so it is probably not UTF-8")
    return text.removeprefix("\ufeff")


def read_lots(text: str, *, is_csv: bool, currency: str) -> list[Lot]:
    """All auctions of a file, checked. Raises: `WrongLots`, which names every wrong line.

    `currency` is for lots that name none. A lot without a guid gets a random one.
    """
    lots: list[Lot] = []
    wrong: list[str] = []
    lines_of: dict[str, int] = {}
    for line, make in _requests(text, is_csv=is_csv):
        try:
            request = make()
            guid = request.guid or str(uuid.uuid4())
            if not is_guid(guid):
                raise ValueError(f"guid {guid!r} cannot name an auction")
            if guid in lines_of:
                raise ValueError(f"guid {guid!r} is also in line {lines_of[guid]}")
            lines_of[guid] = line
            new_auction(request, guid, currency)
            if request.closes_at <= time.time() * 1000:
                raise ValueError(f"closes_at {request.closes_at} is not in the future")
            lots.append(Lot(line, guid, request))
        except (*WRONG, ValueError, msgspec.DecodeError) as error:
            wrong.append(f"line {line}: {error}")
    if wrong:
        raise WrongLots("\n".join(wrong))
    if not lots:
        raise WrongLots("there are no lots in it")
    return lots


def _requests(text: str, *, is_csv: bool) -> Iterator[tuple[int, Callable[[], CreateRequest]]]:
    """(number of the first line, function that makes the request) for each row that is not blank."""
    lines = io.StringIO(text, newline="")  # LF, CR and CRLF end a line; Unicode's other line ends may be in a title
    if not is_csv:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, lambda line=line: decode(line.encode(), CreateRequest)  # type: ignore[misc]  # bound at once
        return
    reader = csv.reader(lines, strict=True)
    begins = 1
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header)
        begins = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield begins, lambda cells=cells: _of_cells(header, cells)  # type: ignore[misc]  # as above
            begins = reader.line_num + 1  # a quoted cell may span several lines
    except csv.Error as error:
        raise WrongLots(f"line {begins}: {error}") from None


def _check_header(header: Iterable[str]) -> None:
    names = list(header)
    unknown = [name for name in names if name not in _CELLS]
    twice = {name for name in names if names.count(name) > 1}
    if unknown or twice:
        named = ", ".join(repr(name) for name in unknown or sorted(twice))
        raise WrongLots(
            f"line 1: {named} {'is not a column' if unknown else 'appears twice'}; the columns are {', '.join(COLUMNS)}"
        )


def _of_cells(header: list[str], cells: list[str]) -> CreateRequest:
    if len(cells) > len(header):
        raise ValueError(f"it has {counted(len(cells), 'cell')}, and the header {len(header)}")
    terms: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=False):
        if cell.strip():
            try:
                terms[name] = _CELLS[name](cell.strip())
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
    return msgspec.convert(msgspec.to_builtins(terms), CreateRequest)
