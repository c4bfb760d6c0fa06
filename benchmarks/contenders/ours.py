"""This service, as `sse-auction serve` runs it, on a Valkey of its own."""

import platform
import sys
from collections.abc import Mapping
from typing import Any

import sse_auction
from benchmarks.contenders.base import Contender
from sse_auction.web.tokens import Tokens

SECRET = "a secret of at least thirty-two bytes for benchmarks"


class Ours(Contender):
    name = "ours"
    title = "sse-auction"
    needs_store = True

    @classmethod
    def version(cls) -> str:
        return f"sse-auction {sse_auction.__version__}, Python {platform.python_version()}"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "sse_auction", "serve", "--host", "127.0.0.1", "--port", str(self.port)]

    def environment(self) -> Mapping[str, str]:
        assert self.store is not None
        return {
            "REDIS_URL": self.store.url,
            "SSE_AUCTION_DATA_DIR": str(self.directory / "data"),
            "SSE_AUCTION_SECRET": SECRET,
            "SSE_AUCTION_MAX_STREAMS": "100000",
            "SSE_AUCTION_BID_RATE": "0",
            "SSE_AUCTION_DRAIN_SECONDS": "0",
        }

    def target(self) -> dict[str, Any]:
        assert self.store is not None
        return {"kind": "redis", "store": self.store.path}

    @staticmethod
    def tokens() -> Tokens:
        return Tokens(SECRET)
