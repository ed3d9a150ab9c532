"""The built book as one file to print: links lead within it, and a browser makes a PDF of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import Site

from resperturb.printing import main, one_file, print_book


@pytest.mark.book
def test_every_link_within_the_file_leads_somewhere(site: Site) -> None:
    page = BeautifulSoup(one_file(site.html), "html.parser")
    names = {str(part["id"]) for part in page.find_all(id=True)}
    links = [str(link["href"]) for link in page.find_all("a", href=True)]
    inside = {link[1:] for link in links if link.startswith("#")}
    assert len(inside) > 50
    assert inside - names == set()
    assert [link for link in links if ".html" in link and "//" not in link] == []
    assert page.select("script[src^='http'], img[src^='http'], button") == []


@pytest.mark.book
@pytest.mark.browser
def test_a_browser_prints_it(site: Site, chromium: str, tmp_path: Path) -> None:
    print_book(site.html, tmp_path / "book.pdf")
    content = (tmp_path / "book.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page\n") > 50


def test_without_a_built_book_it_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "make book builds it" in said or "install one of" in said
    assert list(tmp_path.iterdir()) == []
