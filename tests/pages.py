"""Pages of the built book, parsed."""

from __future__ import annotations

from pathlib import Path

from bs4 import BeautifulSoup, Tag


def article(page: Path) -> Tag:
    found = soup(page).find("article")
    assert isinstance(found, Tag), f"{page.name} has no article"
    return found


def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
