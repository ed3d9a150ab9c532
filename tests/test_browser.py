"""The built book in headless Chromium: it shows what it should, on a desk and on a phone, and asks nobody else."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Site
from playwright.sync_api import Browser, Page, sync_playwright

pytestmark = [pytest.mark.book, pytest.mark.browser]

HIDDEN_FIGURES = """() => [...document.querySelectorAll('article img, article svg')].filter(figure => {
  const box = figure.getBoundingClientRect();
  return !figure.closest('details:not([open])') && (!box.width || !box.height || figure.naturalWidth === 0);
}).map(figure => figure.getAttribute('alt') || figure.outerHTML.slice(0, 80))"""
WIDER_THAN_THE_WINDOW = """() => document.documentElement.scrollWidth <= window.innerWidth ? null :
  [...document.querySelectorAll('article *')].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
    .slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(' | ') || 'something outside the article'"""
LEFT_AS_TEX = """() => [...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container')).length"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass  # what fails is heard of from the browser


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *arguments: object) -> None:
        pass  # a browser that moves on closes its connections


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    """The book over HTTP, as `make serve` gives it."""
    handler = functools.partial(Quiet, directory=str(site.html))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Watched:
    """A page, and all that went wrong on it."""

    def __init__(self, browser: Browser, width: int, address: str) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900})
        self.trouble: list[str] = []
        host = urlsplit(address).netloc
        self.page.on("console", lambda message: message.type == "error" and self.note(message.text))
        self.page.on("pageerror", lambda error: self.note(str(error)))
        self.page.on("requestfailed", lambda request: self.note(f"failed: {request.url}"))
        self.page.on(
            "response", lambda response: response.status >= 400 and self.note(f"{response.status}: {response.url}")
        )
        self.page.on("request", lambda request: self.check_host(request.url, host))

    def note(self, text: str) -> None:
        self.trouble.append(f"{urlsplit(self.page.url).path}: {text}")

    def check_host(self, url: str, host: str) -> None:
        if urlsplit(url).scheme in ("http", "https") and urlsplit(url).netloc != host:
            self.note(f"asks another host: {url}")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_shows_all_it_has(site: Site, address: str, browser: Browser, width: int, scheme: str) -> None:
    watched = Watched(browser, width, address)
    watched.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    for path in site.pages:
        watched.page.goto(f"{address}/{path.relative_to(site.html).as_posix()}", wait_until="load")
        watched.page.evaluate("() => window.MathJax?.startup?.promise")
        watched.page.evaluate("() => document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        watched.page.wait_for_load_state("networkidle")
        for figure in watched.page.evaluate(HIDDEN_FIGURES):
            watched.note(f"figure not visible: {figure}")
        if wide := watched.page.evaluate(WIDER_THAN_THE_WINDOW):
            watched.note(f"scrolls sideways: {wide}")
        if left := watched.page.evaluate(LEFT_AS_TEX):
            watched.note(f"{left} formulas left as TeX")
        theme = watched.page.evaluate("() => document.documentElement.dataset.theme")
        if theme != scheme:
            watched.note(f"is {theme} where the reader prefers {scheme}")
    watched.page.close()
    assert watched.trouble == []


def test_search_finds_a_word(address: str, browser: Browser) -> None:
    watched = Watched(browser, 1280, address)
    watched.page.goto(f"{address}/search.html?q=perturbation")
    first = watched.page.locator("#search-results li a").first
    first.wait_for(timeout=20_000)
    watched.page.wait_for_load_state("networkidle")  # it fetches the pages it found, to quote from them
    first.click()
    watched.page.wait_for_load_state("load")
    assert "perturbation" in watched.page.locator("article").inner_text().lower()
    watched.page.close()
    assert watched.trouble == []


def test_a_reader_finds_the_way_by_links(site: Site, address: str, browser: Browser) -> None:
    """From the first page on, 'next' leads to every chapter."""
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    seen = {"index.html"}
    while (following := page.locator("a.right-next")).count():
        following.click()
        page.wait_for_load_state("load")
        path = Path(urlsplit(page.url).path).relative_to("/").as_posix()
        assert path not in seen, f"{path} comes twice"
        seen.add(path)
    page.close()
    assert seen == {path.relative_to(site.html).as_posix() for path in site.pages}
