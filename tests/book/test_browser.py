"""The built book in headless Chromium: it shows what it should, on a desk and on a phone, and asks nobody else."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import Site
from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.book, pytest.mark.browser]

HIDDEN_FIGURES = """() => [...document.querySelectorAll('article img, article svg')].filter(figure => {
  const box = figure.getBoundingClientRect();
  return !figure.closest('details:not([open])') && (!box.width || !box.height || figure.naturalWidth === 0);
}).map(figure => figure.getAttribute('alt') || figure.outerHTML.slice(0, 80))"""
WIDER_THAN_THE_WINDOW = """() => document.documentElement.scrollWidth <= window.innerWidth ? null :
  [...document.querySelectorAll('article *')].filter(e => e.getBoundingClientRect().right > window.innerWidth + 1)
    .slice(0, 3).map(e => e.outerHTML.slice(0, 80)).join(' | ') || 'something outside the article'"""
LEFT_AS_TEX = """() => [...document.querySelectorAll('.math')].filter(m => !m.querySelector('mjx-container')).length"""


GRAVE = """async () => (await axe.run(document, {resultTypes: ['violations'], preload: false})).violations
  .filter(found => ['serious', 'critical'].includes(found.impact))
  .map(found => `${found.id}: ${found.nodes.slice(0, 3).map(node => node.target.join(' ')).join(' | ')}`)"""
PAINTED = """() => Promise.race([
  new Promise(done => setTimeout(done, 500)),
  new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
]).then(() => document.getAnimations().forEach(moving => { try { moving.finish(); } catch { moving.cancel(); } }))"""
UNTOLD = r"""() => [...document.images].filter(image => {
  const words = image.getAttribute('alt');
  return words === null || /\.(png|svg|jpe?g)$/.test(words) || (image.closest('article') && !words.trim());
}).map(image => image.outerHTML.slice(0, 80))"""
SECONDS = """() => { const took = performance.getEntriesByType('navigation')[0];
  return {interactive: took.domInteractive / 1000, loaded: took.loadEventEnd / 1000}; }"""
HEAVIEST = {"index.html": 1.5e6, "explorer.html": 6e6}  # bytes of all it asks for, none compressed
WIDTHS = (1280, 390)
TRIED_BY_AXE = ((1280, "light"), (390, "dark"))  # contrast depends on the theme, the rest on the width


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


def test_every_page_shows_all_it_has(site: Site, address: str, browser: Browser) -> None:
    """Each is loaded once and looked at in both widths and themes."""
    watched = Watched(browser, 1280, address)
    page = watched.page
    for path in site.pages:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")
        part = "#folder=lesion" if path.name == "runs.html" else ""  # axe takes a minute for all rows, which are alike
        page.goto(f"{address}/{path.relative_to(site.html).as_posix()}{part}", wait_until="load")
        page.evaluate("() => window.MathJax?.startup?.promise")
        page.evaluate("() => document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        page.wait_for_load_state("networkidle")
        page.evaluate(AXE_SCRIPT)
        if left := page.evaluate(LEFT_AS_TEX):
            watched.note(f"{left} formulas left as TeX")
        for image in page.evaluate(UNTOLD):
            watched.note(f"image without words: {image}")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.evaluate(PAINTED)
                look(watched, width, scheme)
    page.close()
    assert watched.trouble == []


def look(watched: Watched, width: int, scheme: str) -> None:
    """Note what is wrong with the page in one width and theme."""
    page, where = watched.page, f"at {width}, {scheme}"
    for figure in page.evaluate(HIDDEN_FIGURES):
        watched.note(f"figure not visible {where}: {figure}")
    if wide := page.evaluate(WIDER_THAN_THE_WINDOW):
        watched.note(f"scrolls sideways {where}: {wide}")
    theme = page.evaluate("() => document.documentElement.dataset.theme")
    if theme != scheme:
        watched.note(f"is {theme} {where}")
    if (width, scheme) in TRIED_BY_AXE:
        for violation in page.evaluate(GRAVE):
            watched.note(f"axe {where}: {violation}")


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


def test_the_book_opens_from_a_folder(site: Site, browser: Browser) -> None:
    watched = Watched(browser, 1280, "")
    for page in ("index.html", "search.html?q=perturbation"):
        watched.page.goto(f"{site.html.as_uri()}/{page}", wait_until="load")
        watched.page.wait_for_load_state("networkidle")
    watched.page.locator("#search-results li a").first.click()
    watched.page.wait_for_load_state("load")
    assert "perturbation" in watched.page.locator("article").inner_text().lower()
    watched.page.close()
    assert watched.trouble == []


def test_the_book_opens_below_another_address(site: Site, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "some" / "where").mkdir(parents=True)
    (tmp_path / "some" / "where" / "book").symlink_to(site.html)
    handler = functools.partial(Quiet, directory=str(tmp_path))
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        watched = Watched(browser, 1280, address)
        watched.page.goto(f"{address}/some/where/book/search.html?q=perturbation")
        watched.page.locator("#search-results li a").first.wait_for(timeout=20_000)
        watched.page.wait_for_load_state("networkidle")
        watched.page.locator("#search-results li a").first.click()
        watched.page.wait_for_load_state("networkidle")
        assert urlsplit(watched.page.url).path.startswith("/some/where/book/")
        watched.page.close()
        server.shutdown()
    assert watched.trouble == []


@pytest.mark.parametrize("name", sorted(HEAVIEST))
def test_pages_are_light_and_soon_there(site: Site, address: str, browser: Browser, name: str) -> None:
    if not (site.html / name).is_file():
        pytest.skip(f"the book has no {name}")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    sizes: list[int] = []
    page.on("requestfinished", lambda request: sizes.append(request.sizes()["responseBodySize"]))
    page.goto(f"{address}/{name}", wait_until="load")
    page.wait_for_load_state("networkidle")
    took = page.evaluate(SECONDS)
    page.close()
    assert 1e5 < sum(sizes) < HEAVIEST[name]
    assert took["interactive"] < 2
    assert took["loaded"] < 4


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
