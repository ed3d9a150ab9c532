"""Pages of the built book, parsed."""

from __future__ import annotations

import functools
from pathlib import Path

from bs4 import BeautifulSoup, Tag


def article(page: Path) -> Tag:
    found = soup(page).find("article")
    assert isinstance(found, Tag), f"{page.name} has no article"
    return found


@functools.cache  # the built book does not change while it is read
def soup(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
