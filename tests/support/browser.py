"""A real browser for tests: fixtures, as a plugin.

Rule: every viewer has its own context and a console that must stay silent; a test declares first which errors it
makes. A violated Content-Security-Policy is one of them, as Chromium writes it there.

A module that uses these says `pytest_plugins = ["tests.support.browser"]`, and imports what it needs from
`tests.support.pages`. The browser lasts for one module: while it is open its event loop runs in this thread, and other
tests need their own.
"""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.support.harness import Server, StoreProcess, running_server
from tests.support.pages import ForeignSite, OpenPage, running_site

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # it needs rights that containers do not give
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
BACK_FORWARD_CACHE_OFF = "--disable-back-forward-cache"  # playwright's default; here pages freeze and come back


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    assert program, "no browser is installed; scripts/install-system-packages.sh chromium"
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=program, args=ARGUMENTS, ignore_default_args=[BACK_FORWARD_CACHE_OFF]
        ) as running,
    ):
        yield running


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Open an address as a new viewer: `open_page(url, troubles=[…], script=…, **context_options)`."""
    with ExitStack() as viewers:

        def open_as_new_viewer(url: str, troubles: Sequence[str] = (), script: str = "", **options: Any) -> Page:
            page = viewers.enter_context(_viewer(browser, troubles, {"locale": "en-US", **options}))
            if script:
                page.add_init_script(script)
            page.goto(url)
            return page

        yield open_as_new_viewer


@contextmanager
def _viewer(browser: Browser, troubles: Sequence[str], options: dict[str, Any]) -> Iterator[Page]:
    written: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            written.append(f"{message.text} ({message.location['url']})")

    with browser.new_context(**options) as context:
        page = context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: written.append(str(error)))
        yield page
    unexpected = [line for line in written if not any(re.search(pattern, line) for pattern in troubles)]
    assert not unexpected, "the console must stay silent"


@pytest.fixture(scope="session")
def foreign_site() -> Iterator[ForeignSite]:
    """A site that the service allows to embed its prices."""
    with running_site() as site:
        yield site


@pytest.fixture(scope="session")
def house(
    valkey: StoreProcess, foreign_site: ForeignSite, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A service for tests that only need auctions of their own."""
    with running_server(
        tmp_path_factory.mktemp("house"), REDIS_URL=valkey.url, SSE_AUCTION_CORS_ORIGINS=foreign_site.origin
    ) as running:
        yield running
