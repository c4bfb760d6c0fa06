"""An auction's log as CSV or as lines of JSON: the public part, or all of it.

Rows are made one by one, so that a log of any length is written without holding it in memory.
"""

import csv
import io
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Literal, TypeAlias

import msgspec

from sse_auction.auction.history import entries_of
from sse_auction.auction.money import format_amount

Format: TypeAlias = Literal["csv", "ndjson"]
MEDIA_TYPES: Mapping[Format, str] = {"csv": "text/csv; charset=utf-8", "ndjson": "application/x-ndjson"}
PUBLIC_COLUMNS = ("seq", "paddle", "price", "automatic", "at", "voided")
COLUMNS = (
    "id", "kind", "at", "seq", "paddle", "bidder", "price", "automatic", "max", "voided", "actor", "reason", "details",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a cell that starts with one of these for a formula

_AMOUNTS = ("reserve", "start_price", "buy_now")  # stored in minor units

Cell: TypeAlias = str | int | bool | dict[str, str | None] | None
Row: TypeAlias = dict[str, Cell]


async def lines(
    entries: AsyncIterator[tuple[str, Mapping[str, str]]], form: Format, *, currency: str, voided: Collection[str],
    include_private: bool,
) -> AsyncIterator[bytes]:  # fmt: skip
    """The lines of an export, each with its line end; with `include_private`, also the data for operators only.

    `voided` has paddles with void bids, and entries of purchases that a reopening has undone.
    """
    columns = COLUMNS if include_private else PUBLIC_COLUMNS
    if form == "csv":
        yield _csv_line(list(columns))
    bidders: dict[str, str] = {}  # by paddle
    async for entry_id, fields in entries:
        if "kind" not in fields:
            bidders[fields["paddle"]] = fields["bidder"]
            rows = _rows_of_bid(entry_id, fields, currency, voided, bidders)
        else:
            rows = [_row_of_act(entry_id, fields, currency, voided)] if include_private else []
        for row in rows:
            if form == "csv":
                yield _csv_line([row.get(name) for name in columns])
            else:
                yield msgspec.json.encode({name: row[name] for name in columns if row.get(name) is not None}) + b"\n"


def _rows_of_bid(
    entry_id: str, fields: Mapping[str, str], currency: str, voided: Collection[str], bidders: Mapping[str, str]
) -> list[Row]:
    rows: list[Row] = []
    for entry in entries_of(entry_id, fields, currency, voided):
        row = {"id": entry_id, "kind": "bid", "bidder": bidders.get(str(entry.paddle)), **msgspec.to_builtins(entry)}
        if not entry.automatic:
            row["max"] = format_amount(int(fields["max"]), currency) if "max" in fields else None
            row["details"] = {"buy_now": "1"} if fields.get("buy_now") else None
        rows.append(row)
    return rows


def _row_of_act(entry_id: str, fields: Mapping[str, str], currency: str, voided: Collection[str]) -> Row:
    kind, paddle, most = fields["kind"], fields.get("paddle"), fields.get("max")
    rest: dict[str, str | None] = {
        name: format_amount(int(value), currency) if name in _AMOUNTS and value else value or None
        for name, value in fields.items()
        if name not in COLUMNS and (value != "" or kind == "edit")  # an empty value of an edit removes the field
    }
    return {
        "id": entry_id,
        "kind": kind,
        "at": int(fields["at"]),
        "seq": int(entry_id.partition("-")[0]),
        "paddle": int(paddle) if paddle else None,
        "bidder": fields.get("bidder"),
        "price": fields.get("price"),
        "max": format_amount(int(most), currency) if most else None,
        "voided": paddle in voided if kind == "raise" else None,
        "actor": fields.get("actor"),
        "reason": fields.get("reason"),
        "details": rest or None,
    }


def _csv_line(values: list[Cell]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow([_cell(value) for value in values])
    return line.getvalue().encode()


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        value = msgspec.json.encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
