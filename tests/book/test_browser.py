"""The built book in headless Chromium: it shows what it should, on a desk and on a phone, and asks nobody else."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator

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
def address(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The book over HTTP, below an address that is not the host's own."""
    root = tmp_path_factory.mktemp("served")
    (root / "book").symlink_to(site.html)
    with Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/book"
        server.shutdown()


def test_every_page_shows_all_it_has(site: Site, address: str, open_page: Callable[..., Page]) -> None:
    """Each is loaded once and looked at in both widths and themes."""
    page, wrong = open_page(address), []
    for path in site.pages:
        page.set_viewport_size({"width": 1280, "height": 900})
        page.emulate_media(color_scheme="light")
        part = "#folder=lesion" if path.name == "runs.html" else ""  # axe takes a minute for all rows, which are alike
        page.goto(f"{address}/{path.relative_to(site.html).as_posix()}{part}", wait_until="load")
        page.evaluate("() => window.MathJax?.startup?.promise")
        page.evaluate("() => document.querySelectorAll('img').forEach(image => image.loading = 'eager')")
        page.wait_for_function("() => [...document.images].every(image => image.complete)")
        page.evaluate(AXE_SCRIPT)
        if left := page.evaluate(LEFT_AS_TEX):
            wrong.append(f"{path.name}: {left} formulas left as TeX")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                page.evaluate(PAINTED)
                wrong += [f"{path.name} at {width}, {scheme}: {found}" for found in look(page, width, scheme)]
    assert wrong == []


def look(page: Page, width: int, scheme: str) -> Iterator[str]:
    """What is wrong with the page in one width and theme."""
    yield from (f"figure not visible: {figure}" for figure in page.evaluate(HIDDEN_FIGURES))
    if wide := page.evaluate(WIDER_THAN_THE_WINDOW):
        yield f"scrolls sideways: {wide}"
    if (theme := page.evaluate("() => document.documentElement.dataset.theme")) != scheme:
        yield f"is {theme}"
    if (width, scheme) in TRIED_BY_AXE:
        yield from page.evaluate(GRAVE)


@pytest.mark.parametrize("served", [True, False], ids=["server", "folder"])
def test_search_finds_a_word(site: Site, address: str, open_page: Callable[..., Page], served: bool) -> None:
    book = address if served else site.html.as_uri()
    page = open_page(f"{book}/search.html?q=perturbation")
    first = page.locator("#search-results li a").first
    first.wait_for(timeout=20_000)
    page.wait_for_load_state("networkidle")  # it fetches the pages it found, to quote from them
    first.click()
    page.wait_for_load_state("networkidle")
    assert page.url.startswith(f"{book}/")
    assert "perturbation" in page.locator("article").inner_text().lower()


@pytest.mark.parametrize("name", sorted(HEAVIEST))
def test_pages_are_light_and_soon_there(address: str, browser: Browser, name: str) -> None:
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
