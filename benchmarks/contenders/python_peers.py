"""The Python peers: the applications of `python_apps` on uvicorn with uvloop and httptools.

They are given the same options as our own server has, so that only the applications differ.
"""

import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from benchmarks.contenders.base import Contender

SERVER = [
    "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning", "--backlog", "4096",
    "--no-proxy-headers", "--no-server-header",
]  # fmt: skip


class OnUvicorn(Contender):
    """An application of `python_apps`."""

    app: ClassVar[str]
    packages: ClassVar[tuple[str, ...]] = ("starlette", "uvicorn", "uvloop", "httptools")

    @classmethod
    def version(cls) -> str:
        return ", ".join(f"{package} {version(package)}" for package in cls.packages)

    def command(self) -> list[str]:
        app = f"benchmarks.contenders.python_apps:{self.app}"
        return [sys.executable, "-m", "uvicorn", app, "--factory", "--port", str(self.port), *SERVER]

    def environment(self) -> Mapping[str, str]:
        return {"STORE": self.store.path} if self.store else {}


class Recipe(OnUvicorn):
    name = "recipe"
    title = "sse-starlette recipe"
    app = "recipe"
    needs_store = True
    packages = ("sse-starlette", "redis", *OnUvicorn.packages)

    def target(self) -> dict[str, Any]:
        assert self.store is not None
        return {"kind": "redis-publish", "store": self.store.path}


class Bare(OnUvicorn):
    name = "bare"
    title = "bare Starlette"
    app = "bare"


class EvalshaPerRequest(OnUvicorn):
    name = "evalsha"
    title = "one EVALSHA per request"
    app = "evalsha"
    needs_store = True
    packages = ("redis", *OnUvicorn.packages)
