"""The README's pictures, taken from a running demo: `screenshots.py <directory>`.

It starts a demo of its own, lets a few guests bid beside the house until there is something to see, and photographs
the pages as a visitor who leads.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"]
DESKTOP: dict[str, Any] = {"viewport": {"width": 1200, "height": 840}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
EMBED: dict[str, Any] = {"viewport": {"width": 700, "height": 310}}

PATIENCE_SECONDS = 60.0
GUESTS = 4
GUESTS_BIDS = 11

SHOP = """<!doctype html><html lang="en"><meta charset="utf-8"><title>A shop</title><link rel="icon" href="data:,">
<style>
  body {{ margin: 0; padding: 44px 56px; background: #eef3f6; color: #15303f; font: 17px/1.6 Verdana, sans-serif; }}
  h1 {{ font-size: 25px; margin: 0 0 14px; }} p {{ margin: 0 0 12px; max-width: 34em; }}
  table {{ border-collapse: collapse; margin-top: 18px; }}
  td {{ padding: 6px 48px 6px 0; border-top: 1px solid #c3d3dc; }}
  auction-price {{ color: #b3361b; font-weight: 700; }}
</style>
<script type="module" src="{url}static/auction-price.js"></script>
<h1>Harbour Street Antiques</h1>
<p>This week in the saleroom, at prices of this very second.</p>
<table>{rows}</table>"""


# --- what is photographed --------------------------------------------------------------------------------------


@contextmanager
def running_demo(directory: Path, shop: str) -> Iterator[str]:
    """A demo on a free port with its own data; its address."""
    environment = {**os.environ, "SSE_AUCTION_DATA_DIR": str(directory / "data"), "SSE_AUCTION_CORS_ORIGINS": shop}
    environment.pop("REDIS_URL", None)
    command = [sys.executable, "-m", "sse_auction", "serve", "--demo", "--port", "0"]
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        yield wait_for(lambda: address_in(log), "the demo's start")
    finally:
        process.terminate()
        process.wait()


def address_in(log: Path) -> str | None:
    match = re.search(r"http://\S+/", log.read_text())
    try:
        return match[0] if match and httpx.get(f"{match[0]}readyz").is_success else None
    except httpx.TransportError:
        return None


def wait_for(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if seen := look():
            return seen
        time.sleep(0.1)
    sys.exit(f"screenshots: {what} did not come within {PATIENCE_SECONDS:g} s")


def states(url: str) -> list[dict[str, Any]]:
    listed = httpx.get(f"{url}auctions", params={"status": "open"}).json()["auctions"]
    return [auction["state"] for auction in listed]


def let_guests_bid(url: str, guid: str) -> None:
    """A lively lot: several guests, one after the other, at uneven times."""
    tokens = [httpx.post(f"{url}guest").json()["token"] for _ in range(GUESTS)]
    for number in range(GUESTS_BIDS):
        price = httpx.get(f"{url}auctions/{guid}/price").json()["next_bid"]
        headers = {"Authorization": f"Bearer {tokens[number * 3 % GUESTS]}"}
        httpx.post(f"{url}auctions/{guid}/bids", json={"price": price}, headers=headers)
        time.sleep(random.uniform(0.3, 1.8))


@contextmanager
def running_shop() -> Iterator[tuple[str, list[str]]]:
    """Somebody else's site: its origin, and a list whose last item it serves as its page."""
    pages = [""]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(pages[-1].encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()


# --- the pictures ----------------------------------------------------------------------------------------------


@contextmanager
def running_browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit("screenshots: there is no Chromium here; install it, e.g. scripts/install-system-packages.sh chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=ARGUMENTS) as browser,
    ):
        yield browser


def open_live(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    expect(page.locator("html")).to_have_attribute("data-connection", "live")
    return page


def shoot(page: Page, path: Path, scheme: str = "light") -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.screenshot(path=path, animations="disabled")


def take_the_lead(page: Page) -> None:
    """Bid until the page says that its viewer leads: the house bids too."""
    wait_for(lambda: leads(page) or bid_next(page), "the lead")
    expect(page.locator(f'#history li[data-seq="{shown_bids(page)}"]')).to_be_visible()


def leads(page: Page) -> bool:
    return page.locator("#standing").get_attribute("data-standing") == "leading"


def bid_next(page: Page) -> bool:
    page.locator(".quick button").first.click()
    page.locator("#bid-submit").click()
    expect(page.locator("#message")).not_to_have_attribute("data-kind", "pending")
    return leads(page)


def shown_bids(page: Page) -> str:
    return (page.locator("#facts").text_content() or "").split(" ", 1)[0]


def shoot_lots(browser: Browser, url: str, directory: Path) -> None:
    with browser.new_context(**DESKTOP, device_scale_factor=1.5, locale="en-US") as context:
        page = open_live(context, url)
        wait_for(lambda: all(state["price"] for state in states(url)), "a bid on every lot")
        expect(page.locator('.price[data-price=""]')).to_have_count(0)
        shoot(page, directory / "lots.png")
        shoot(page, directory / "lots-dark.png", "dark")


def shoot_lot(browser: Browser, url: str, guid: str, directory: Path) -> None:
    with browser.new_context(**DESKTOP, device_scale_factor=1.5, locale="en-US") as context:
        page = open_live(context, f"{url}lots/{guid}")
        for scheme, name in (("light", "lot.png"), ("dark", "lot-dark.png")):
            take_the_lead(page)
            shoot(page, directory / name, scheme)
        memory = context.storage_state()
    with browser.new_context(**PHONE, device_scale_factor=1.5, locale="en-US", storage_state=memory) as context:
        page = open_live(context, f"{url}lots/{guid}")
        take_the_lead(page)
        page.evaluate("scrollTo(0, 0)")
        shoot(page, directory / "lot-phone.png")


def shoot_embed(browser: Browser, url: str, shop: str, pages: list[str], directory: Path) -> None:
    cell = '<tr><td>{title}</td><td><auction-price guid="{guid}"></auction-price></td></tr>'
    pages.append(SHOP.format(url=url, rows="".join(cell.format(**state) for state in states(url)[:3])))
    with browser.new_context(**EMBED, device_scale_factor=1.5, locale="en-US") as context:
        page = context.new_page()
        page.goto(shop)
        expect(page.locator("auction-price[data-connection=live][data-price]")).to_have_count(3)
        shoot(page, directory / "embed.png")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("screenshots: say where the pictures go: screenshots.py <directory>")
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with (
        running_browser() as browser,
        tempfile.TemporaryDirectory(prefix="sse-auction-") as scratch,
        running_shop() as (shop, pages),
        running_demo(Path(scratch), shop) as url,
    ):
        lot = min(wait_for(lambda: states(url), "the demo's lots"), key=lambda state: len(state["title"]))["guid"]
        let_guests_bid(url, lot)
        shoot_lots(browser, url, directory)
        shoot_lot(browser, url, lot, directory)
        shoot_embed(browser, url, shop, pages, directory)


if __name__ == "__main__":
    main()
