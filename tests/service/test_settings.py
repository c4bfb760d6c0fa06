"""Settings: each is read from its variable; a wrong value is named with its variable."""

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from sse_auction.settings import Settings, SettingsError
from tests.support.harness import DEADLINE_SECONDS, SECRET

GOOD: list[tuple[str, str, str, Any]] = [
    ("REDIS_URL", "redis_url", "redis://user:pw@localhost:6379/3", "redis://user:pw@localhost:6379/3"),
    ("REDIS_URL", "redis_url", "rediss://localhost", "rediss://localhost"),
    ("REDIS_URL", "redis_url", "unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ("PORT", "port", "0", 0),
    ("PORT", "port", "65535", 65535),
    ("WEB_CONCURRENCY", "workers", "4", 4),
    ("SSE_AUCTION_DATA_DIR", "data_dir", "/var/lib/auction", Path("/var/lib/auction")),
    ("SSE_AUCTION_DATA_DIR", "data_dir", "here", Path.cwd() / "here"),
    ("SSE_AUCTION_DATA_DIR", "data_dir", "~/there", Path.home() / "there"),
    ("SSE_AUCTION_SECRET", "secret", SECRET, SECRET),
    ("SSE_AUCTION_SECRET", "secret", "秘" * 11, "秘" * 11),
    ("SSE_AUCTION_CURRENCY", "currency", "JPY", "JPY"),
    ("SSE_AUCTION_MAX_RATE", "max_rate", "0.5", 0.5),
    ("SSE_AUCTION_CORS_ORIGINS", "cors_origins", "*", ("*",)),
    (
        "SSE_AUCTION_CORS_ORIGINS", "cors_origins", "https://a.example/, http://b.example:8080 ,",
        ("https://a.example", "http://b.example:8080"),
    ),
    ("SSE_AUCTION_HEARTBEAT_SECONDS", "heartbeat_seconds", "7.5", 7.5),
    ("SSE_AUCTION_STREAM_LIFE_SECONDS", "stream_life_seconds", "60", 60.0),
    ("SSE_AUCTION_STALL_SECONDS", "stall_seconds", "5", 5.0),
    ("SSE_AUCTION_DRAIN_SECONDS", "drain_seconds", "0", 0.0),
    ("SSE_AUCTION_MAX_STREAMS", "max_streams", "1000000", 1_000_000),
    ("SSE_AUCTION_STORE_TIMEOUT_SECONDS", "store_timeout_seconds", "0.25", 0.25),
    ("SSE_AUCTION_BID_RATE", "bid_rate", "0", 0.0),
    ("SSE_AUCTION_REOPEN_HOURS", "reopen_hours", "0.5", 0.5),
    ("SSE_AUCTION_WEBHOOK_URL", "webhook_url", "https://shop.example/hook", "https://shop.example/hook"),
    ("SSE_AUCTION_WEBHOOK_SECRET", "webhook_secrets", f"{SECRET}, {SECRET[::-1]}", (SECRET, SECRET[::-1])),
    ("SSE_AUCTION_WEBHOOK_BIDS", "webhook_bids", "1", True),
    ("SSE_AUCTION_WEBHOOK_GIVE_UP_SECONDS", "webhook_give_up_seconds", "60", 60.0),
    ("SSE_AUCTION_DEMO", "demo", "1", True),
    ("SSE_AUCTION_DEMO", "demo", "TRUE", True),
    ("SSE_AUCTION_DEMO", "demo", "no", False),
]  # fmt: skip

NEEDED = {"SSE_AUCTION_WEBHOOK_URL": {"SSE_AUCTION_WEBHOOK_SECRET": SECRET}}

WRONG = [
    ("SSE_AUCTION_WEBHOOK_URL", "ftp://shop.example"),
    ("SSE_AUCTION_WEBHOOK_URL", "https:/shop.example"),
    ("SSE_AUCTION_WEBHOOK_URL", "https://shop.example:port/"),
    ("SSE_AUCTION_WEBHOOK_URL", "https://\u2603.example/"),
    ("SSE_AUCTION_WEBHOOK_BIDS", "often"),
    ("SSE_AUCTION_WEBHOOK_SECRET", "x" * 31),
    ("SSE_AUCTION_WEBHOOK_GIVE_UP_SECONDS", "0"),
    ("REDIS_URL", "http://localhost"),
    ("REDIS_URL", "localhost:6379"),
    ("REDIS_URL", "redis://[::1"),
    ("PORT", "eighty"),
    ("PORT", "-1"),
    ("PORT", "65536"),
    ("PORT", "80.0"),
    ("PORT", "8_000"),
    ("PORT", "\uff18\uff10"),  # full-width digits
    ("WEB_CONCURRENCY", "0"),
    ("WEB_CONCURRENCY", "65"),
    ("SSE_AUCTION_DATA_DIR", "~nobody-of-that-name/data"),
    ("SSE_AUCTION_SECRET", "x" * 31),
    ("SSE_AUCTION_CURRENCY", "cny"),
    ("SSE_AUCTION_CURRENCY", "BTC"),
    ("SSE_AUCTION_MAX_RATE", "0"),
    ("SSE_AUCTION_MAX_RATE", "1001"),
    ("SSE_AUCTION_MAX_RATE", "nan"),
    ("SSE_AUCTION_MAX_RATE", "inf"),
    ("SSE_AUCTION_CORS_ORIGINS", "shop.example"),
    ("SSE_AUCTION_CORS_ORIGINS", "https://a.example/path"),
    ("SSE_AUCTION_CORS_ORIGINS", "https://a.example?x=1"),
    ("SSE_AUCTION_CORS_ORIGINS", "ftp://a.example"),
    ("SSE_AUCTION_CORS_ORIGINS", "https://user@a.example"),
    ("SSE_AUCTION_HEARTBEAT_SECONDS", "0.1"),
    ("SSE_AUCTION_STREAM_LIFE_SECONDS", "0"),
    ("SSE_AUCTION_STALL_SECONDS", "soon"),
    ("SSE_AUCTION_DRAIN_SECONDS", "-1"),
    ("SSE_AUCTION_MAX_STREAMS", "0"),
    ("SSE_AUCTION_MAX_STREAMS", "1000001"),
    ("SSE_AUCTION_STORE_TIMEOUT_SECONDS", "0"),
    ("SSE_AUCTION_BID_RATE", "-1"),
    ("SSE_AUCTION_REOPEN_HOURS", "8761"),
    ("SSE_AUCTION_DEMO", "maybe"),
]


@pytest.mark.parametrize(("variable", "name", "text", "value"), GOOD)
def test_a_variable_sets_its_setting_and_no_other(variable: str, name: str, text: str, value: Any) -> None:
    needed = NEEDED.get(variable, {})
    settings = Settings.from_environment({variable: text, **needed})
    assert getattr(settings, name) == value
    others = {each.name for each in fields(Settings) if each.metadata["variable"] not in (variable, *needed)}
    assert {other: getattr(settings, other) for other in others} == {
        other: getattr(Settings(), other) for other in others
    }


def test_every_variable_is_tried_here() -> None:
    variables = {each.metadata["variable"] for each in fields(Settings)}
    assert variables == {row[0] for row in GOOD} == {row[0] for row in WRONG}


@pytest.mark.parametrize(("variable", "text"), WRONG)
def test_a_wrong_value_is_named_with_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({variable: text})
    sentence = str(caught.value)
    assert sentence.startswith(f"{variable} = ")
    if variable in ("REDIS_URL", "SSE_AUCTION_SECRET", "SSE_AUCTION_WEBHOOK_SECRET", "SSE_AUCTION_WEBHOOK_URL"):
        assert text not in sentence, "it may hold a password"
        assert "(hidden)" in sentence
    else:
        assert repr(text) in sentence
    assert "e+0" not in sentence, "limits are written as people write them"


def test_webhooks_need_a_secret() -> None:
    with pytest.raises(SettingsError, match="needs SSE_AUCTION_WEBHOOK_SECRET"):
        Settings.from_environment({"SSE_AUCTION_WEBHOOK_URL": "https://shop.example/hook"})


def test_a_variable_that_is_set_to_nothing_is_not_set() -> None:
    nothing = {each.metadata["variable"]: "" for each in fields(Settings)}
    assert Settings.from_environment(nothing) == Settings.from_environment({}) == Settings()


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]  # that is what is tried


@pytest.mark.parametrize(
    ("variable", "text", "shown"),
    [
        ("PORT", "eighty", "PORT = 'eighty' is not a whole number"),
        ("SSE_AUCTION_SECRET", "hunter2", "SSE_AUCTION_SECRET = (hidden) is shorter than 32 bytes"),
        ("REDIS_URL", "http://:hunter2@x", "REDIS_URL = (hidden) does not begin with redis://"),
        ("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0", "the store is not reachable"),
        ("REDIS_URL", "redis://:hunter2@x:y/0", "the store's URL cannot be used"),
        ("SSE_AUCTION_DATA_DIR", __file__, f"the data directory {__file__} cannot be used"),
    ],
)
def test_serve_does_not_start_on_a_wrong_setting(variable: str, text: str, shown: str, directory: Path) -> None:
    environment = {"SSE_AUCTION_DATA_DIR": str(directory), "SSE_AUCTION_SECRET": SECRET, "PORT": "0", variable: text}
    done = subprocess.run(
        [sys.executable, "-m", "sse_auction", "serve"],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=2 * DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert shown in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert done.stdout == ""


def test_a_secret_that_can_be_neither_read_nor_made_is_reported_once(directory: Path) -> None:
    (directory / "file").touch()
    environment = {"SSE_AUCTION_DATA_DIR": str(directory / "file"), "REDIS_URL": "redis://127.0.0.1:1", "PORT": "0"}
    for command in (["serve"], ["token", "ann"]):
        done = subprocess.run(
            [sys.executable, "-m", "sse_auction", *command],
            env={**os.environ, **environment}, capture_output=True, text=True, timeout=2 * DEADLINE_SECONDS,
            check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.startswith("sse-auction: SSE_AUCTION_SECRET is not set and ")
        assert len(done.stderr.splitlines()) == 1, done.stderr
