"""The built book as one file to print: `python -m resperturb.printing` makes _build/book.pdf from _build/html.

The pages are put together in the order of the table of contents, their anchors made their own, so that links between
pages become links within the file; a Chromium prints it. Nothing is executed, and Sphinx does not run again.
"""

from __future__ import annotations

import argparse
import posixpath
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from resperturb.errors import ExperimentError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SHEETS = ("pygments.css", "sphinx-design.min.css")
STYLE = Path(__file__).with_name("print.css")  # not among the site's files, which every page loads
ONLY_ON_SCREENS = (
    "script, style, button, a.headerlink, div.toctree-wrapper, .sources, div.highlight-bash + .copybtn, "
    "details.hide, .tag_hide-input > .cell_input, .tag_hide-cell"
)
"""Parts of a page that say nothing on paper: controls, links to data, code that the page itself hides."""
ON_SCREENS = {"explorer.html", "runs.html"}  # a tool, and a table of hundreds of rows to sort
PATIENCE = 300  # seconds


class PrintingError(ExperimentError):
    """The book cannot be printed; the message says why."""


def chapters(first: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """Parts of the book from the first page's menu: caption, and a (page, title) for each chapter that is printed."""
    parts = []
    for caption in first.select("nav.bd-links p.caption"):
        links = caption.find_next_sibling("ul").select("li.toctree-l1 > a")
        pages = [(link["href"], link.get_text(strip=True)) for link in links if link["href"] not in ON_SCREENS]
        parts.append((caption.get_text(strip=True), pages))
    return parts


def anchor(page: str, fragment: str = "") -> str:
    """Name of a page, or of a place in it, in the one file."""
    return f"{page.removesuffix('.html')}--{fragment}"


def within(page: str, address: str, printed: set[str], site: str) -> str | None:
    """Where a link of a page leads in the one file; None where it leads nowhere from paper."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return address
    target = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path))) if parts.path else page
    if target in printed:
        return "#" + anchor(target, parts.fragment)
    return f"{site}{target}{'#' + parts.fragment if parts.fragment else ''}" if site else None


def article_of(html: Path, page: str, printed: set[str], site: str) -> Any:
    """A page's article: its anchors begin with its name, its pictures are found from beside the folder of the site."""
    article: Any = BeautifulSoup((html / page).read_text(encoding="utf-8"), "html.parser").find("article")
    for part in article.select(ONLY_ON_SCREENS):
        part.decompose()
    for part in article.find_all(id=True):
        part["id"] = anchor(page, part["id"])
    for link in article.find_all("a", href=True):
        target = within(page, link["href"], printed, site)
        if target is None:
            link.unwrap()
        else:
            link["href"] = target
    for picture in article.find_all("img", src=True):
        if not urlsplit(picture["src"]).scheme:
            picture["src"] = posixpath.normpath(posixpath.join(html.name, posixpath.dirname(page), picture["src"]))
        picture.attrs.pop("loading", None)  # on paper nothing is scrolled to
    article.name = "section"
    article["class"] = "chapter"
    article["id"] = anchor(page)
    return article


def one_file(html: Path) -> str:
    """The built book as one page, to lie beside the folder of the site.

    Args:
        html: the folder of the built site.

    Raises:
        PrintingError: there is no built book.
    """
    if not (html / "index.html").is_file():
        raise PrintingError(f"there is no built book in {html}: make book builds it.")
    first: Any = BeautifulSoup((html / "index.html").read_text(encoding="utf-8"), "html.parser")
    parts = chapters(first)
    printed = {"index.html", *(page for _, pages in parts for page, _ in pages)}
    canonical = first.find("link", rel="canonical")
    site = canonical["href"].removesuffix("index.html") if canonical else ""
    title = first.find("h1").get_text().removesuffix("#")
    made = first.find(class_="extra_footer")

    page: Any = BeautifulSoup(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"></head><body></body></html>', "html.parser"
    )
    page.head.append(page.new_tag("title", string=title))
    for sheet in SHEETS:
        page.head.append(page.new_tag("link", rel="stylesheet", href=f"{html.name}/_static/{sheet}"))
    page.head.append(page.new_tag("style", string=STYLE.read_text(encoding="utf-8")))
    formulas = next((html / name for name in sorted(printed) if "startup.js" in (html / name).read_text("utf-8")), None)
    if formulas is not None:
        holding: Any = BeautifulSoup(formulas.read_text("utf-8"), "html.parser")
        for script in holding.find_all("script"):
            if "mathjax" in f"{script.get('src', '')}{script.string or ''}".lower():
                if "src" in script.attrs:
                    script["src"] = f"{html.name}/{script['src']}"
                page.head.append(script)

    cover = page.new_tag("header")
    cover.append(page.new_tag("p", attrs={"class": "title"}, string=title))
    if made:
        cover.append(page.new_tag("p", string=made.get_text(strip=False).strip()))
    contents = page.new_tag("nav")
    contents.append(page.new_tag("h2", string="Contents"))
    start = article_of(html, "index.html", printed, site)
    page.body.extend([cover, contents, start])
    for caption, pages in parts:
        contents.append(page.new_tag("p", string=caption))
        entries = page.new_tag("ul")
        contents.append(entries)
        for name, heading in pages:
            entry = page.new_tag("li")
            entry.append(page.new_tag("a", href="#" + anchor(name), string=heading))
            entries.append(entry)
            page.body.append(article_of(html, name, printed, site))
    return str(page)


def browser() -> str:
    """A Chromium of the system's.

    Raises:
        PrintingError: there is none.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise PrintingError(f"printing the book needs a browser: install one of {', '.join(BROWSERS)}.")
    return found


def print_book(html: Path, pdf: Path) -> None:
    """Print the built book.

    Args:
        html: the folder of the built site.
        pdf: the file to write.

    Raises:
        PrintingError: there is no built book or no browser, or the browser failed.
    """
    chromium = browser()
    source = html.parent / "book.html"
    source.write_text(one_file(html), encoding="utf-8")
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, "--headless", "--disable-gpu", "--no-sandbox", f"--user-data-dir={profile}"]
        command += ["--virtual-time-budget=600000", "--no-pdf-header-footer", "--generate-pdf-document-outline"]
        partial = pdf.with_suffix(".part")
        partial.unlink(missing_ok=True)
        try:
            done = subprocess.run(
                [*command, f"--print-to-pdf={partial.resolve()}", source.resolve().as_uri()],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            raise PrintingError(f"{chromium} had not printed {source} after {PATIENCE} seconds.") from None
    if done.returncode or not partial.is_file():
        raise PrintingError(
            f"{chromium} could not print {source}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}"
        )
    partial.replace(pdf)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resperturb.printing", description="The built book as a PDF.")
    parser.add_argument(
        "html", nargs="?", type=Path, default=Path("_build/html"), help="the site (default: _build/html)"
    )
    parser.add_argument("--into", type=Path, help="the file to write (default: book.pdf beside the site's folder)")
    options = parser.parse_args(arguments)
    pdf = options.into or options.html.parent / "book.pdf"
    try:
        print_book(options.html, pdf)
    except ExperimentError as error:
        print(f"resperturb.printing: {error}", file=sys.stderr)
        return 2
    print(pdf)
    return 0


if __name__ == "__main__":
    sys.exit(main())
