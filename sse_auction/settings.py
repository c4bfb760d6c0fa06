"""The settings: read once from the environment into a frozen object.

Rule: a wrong variable stops the start with its name and its value. Every setting has a default, so that the service
runs without any variable, on the embedded store.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sse_auction.auction.money import AmountError, exponent_of

_ORIGIN = re.compile(r"https?://[^\s/?#@]+")  # scheme, host and port, as browsers send them


class SettingsError(ValueError):
    """A wrong setting; the message names the variable and the value."""


def _number(kind: type[int] | type[float], least: float, most: float) -> Any:
    def parse(text: str) -> int | float:
        try:
            if not text.isascii() or "_" in text:  # Python itself accepts more forms than people mean
                raise ValueError
            value = kind(text)
        except ValueError:
            raise ValueError(f"is not a {'whole ' if kind is int else ''}number") from None
        if not least <= value <= most:  # NaN compares false and is refused here too
            raise ValueError(f"is not between {least} and {most}")
        return value

    return parse


def _flag(text: str) -> bool:
    try:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}[text.lower()]
    except KeyError:
        raise ValueError("is neither 1 nor 0") from None


def _redis_url(text: str) -> str:
    try:
        scheme = urlsplit(text).scheme
    except ValueError:
        raise ValueError("is not a URL") from None
    if scheme not in ("redis", "rediss", "unix"):
        raise ValueError("does not begin with redis://, rediss:// or unix://")
    return text


def _http_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_whole = bool(parts.hostname) and parts.port != 0 and text.isascii() and text.isprintable()
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not is_whole:
        raise ValueError("does not begin with http:// or https:// and a host")
    return text


def _currency(text: str) -> str:
    try:
        exponent_of(text)
    except AmountError:
        raise ValueError("is not an ISO 4217 currency code such as CNY, JPY or KWD") from None
    return text


def _secret(text: str) -> str:
    if len(text.encode()) < 32:
        raise ValueError("is shorter than 32 bytes, which HS256 needs to be safe")
    return text


def _secrets(text: str) -> tuple[str, ...]:
    secrets = tuple(_secret(each.strip()) for each in text.split(","))
    if len(secrets) > 2:
        raise ValueError("has more than two secrets separated by commas")
    return secrets


def _origins(text: str) -> tuple[str, ...]:
    origins = tuple(origin.strip().rstrip("/") for origin in text.split(",") if origin.strip())
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError(f"has {origin!r}, which is not an origin such as https://shop.example")
    return origins


def _data_dir(text: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError("begins with the home directory of a user that does not exist") from None


def _default_data_dir() -> Path:
    return _data_dir(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "sse-auction"


_HIDDEN = ("SSE_AUCTION_SECRET", "SSE_AUCTION_WEBHOOK_SECRET", "SSE_AUCTION_WEBHOOK_URL", "REDIS_URL")


def _setting(variable: str, parse: Any, default: Any, help: str, when_unset: str = "") -> Any:
    """A field; `help` is its row of docs/reference.md, `when_unset` describes its default if that is not a value."""
    metadata = {"variable": variable, "parse": parse, "help": help, "when_unset": when_unset}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings; each field's metadata has its variable and its help."""

    redis_url: str | None = _setting(
        "REDIS_URL", _redis_url, None,
        "the store: `redis://`, `rediss://` or `unix://`; Redis 6.2 or newer, or Valkey", "an embedded Valkey",
    )  # fmt: skip
    port: int = _setting("PORT", _number(int, 0, 65535), 8000, "port that `serve` listens on; `0` picks a free one")
    workers: int = _setting("WEB_CONCURRENCY", _number(int, 1, 64), 1, "worker processes of `serve`, 1 to 64")
    data_dir: Path = _setting(
        "SSE_AUCTION_DATA_DIR", _data_dir, _default_data_dir,
        "directory of the embedded store and the generated secret",
        "`$XDG_DATA_HOME/sse-auction`, `~/.local/share/sse-auction`",
    )  # fmt: skip
    secret: str | None = _setting(
        "SSE_AUCTION_SECRET", _secret, None,
        "HS256 key of all tokens, 32 bytes or more; the same in every process", "generated in the data directory",
    )  # fmt: skip
    currency: str = _setting(
        "SSE_AUCTION_CURRENCY", _currency, "CNY", "currency of external auctions, and of new ones that name none"
    )
    max_rate: float = _setting(
        "SSE_AUCTION_MAX_RATE", _number(float, 0.1, 1000), 20.0, "maximum number of states per second and auction"
    )
    cors_origins: tuple[str, ...] = _setting(
        "SSE_AUCTION_CORS_ORIGINS", _origins, (),
        "other sites that may embed prices: origins separated by commas, or `*`",
    )  # fmt: skip
    heartbeat_seconds: float = _setting(
        "SSE_AUCTION_HEARTBEAT_SECONDS",
        _number(float, 0.2, 300),
        15.0,
        "silence after which a stream gets an `hb` event",
    )
    stream_life_seconds: float = _setting(
        "SSE_AUCTION_STREAM_LIFE_SECONDS", _number(float, 1, 86400), 600.0,
        "maximum life of one stream; each lives 80 to 100 % of it, and the browser resumes it",
    )  # fmt: skip
    stall_seconds: float = _setting(
        "SSE_AUCTION_STALL_SECONDS", _number(float, 0.5, 3600), 30.0,
        "how long a viewer may read nothing before its stream is cut",
    )  # fmt: skip
    drain_seconds: float = _setting(
        "SSE_AUCTION_DRAIN_SECONDS", _number(float, 0, 600), 2.0,
        "time over which the ends of streams are spread at shutdown, so that browsers reconnect spread out too",
    )  # fmt: skip
    max_streams: int = _setting(
        "SSE_AUCTION_MAX_STREAMS", _number(int, 1, 1_000_000), 20_000,
        "maximum number of streams and held polls of one worker; further ones get `busy`, or 503, and come back later",
    )  # fmt: skip
    store_timeout_seconds: float = _setting(
        "SSE_AUCTION_STORE_TIMEOUT_SECONDS", _number(float, 0.05, 60), 2.0,
        "how long a request waits for the store",
    )  # fmt: skip
    bid_rate: float = _setting(
        "SSE_AUCTION_BID_RATE", _number(float, 0, 1_000_000), 20.0,
        "maximum number of bids per second, per bidder and worker; `0` sets no limit",
    )  # fmt: skip
    reopen_hours: float = _setting(
        "SSE_AUCTION_REOPEN_HOURS", _number(float, 0, 8760), 24.0,
        "how long after its closing an auction can be reopened, by the store's clock; `0`: never",
    )  # fmt: skip
    webhook_url: str | None = _setting(
        "SSE_AUCTION_WEBHOOK_URL", _http_url, None, "receiver of signed POSTs about auctions; see [Webhooks](#webhooks)"
    )
    webhook_secrets: tuple[str, ...] = _setting(
        "SSE_AUCTION_WEBHOOK_SECRET", _secrets, (),
        "signs these messages; required with the URL, 32 bytes or more. Two, separated by a comma, both sign",
    )  # fmt: skip
    webhook_bids: bool = _setting("SSE_AUCTION_WEBHOOK_BIDS", _flag, False, "`1`: send a message for each bid too")
    webhook_give_up_seconds: float = _setting(
        "SSE_AUCTION_WEBHOOK_GIVE_UP_SECONDS", _number(float, 1, 30 * 86400), 86400.0,
        "time after which a message that the receiver does not take becomes a dead letter",
    )  # fmt: skip
    demo: bool = _setting("SSE_AUCTION_DEMO", _flag, False, "`1`: demo lots, house bidders, guests may bid")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read `environment`, by default that of the process. Raises: `SettingsError` for a wrong variable."""
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for each in fields(cls):
            variable = each.metadata["variable"]
            text = environment.get(variable, "")
            if not text:
                continue
            try:
                values[each.name] = each.metadata["parse"](text)
            except ValueError as error:
                shown = "(hidden)" if variable in _HIDDEN else repr(text)
                raise SettingsError(f"{variable} = {shown} {error}") from None
        if values.get("webhook_url") and not values.get("webhook_secrets"):
            raise SettingsError("SSE_AUCTION_WEBHOOK_URL is set, and needs SSE_AUCTION_WEBHOOK_SECRET to sign with")
        return cls(**values)
