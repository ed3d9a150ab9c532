"""The built book as a reader goes through it: figures lead to what is behind them, terms to the glossary, exercises to
solutions that were run."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from bs4 import Tag
from conftest import ROOT, Site
from pages import article, soup

from _ext.figure_sources import DRAWN, drawings

CHAPTERS = sorted(path for path in (ROOT / "book").glob("*.md"))
WITHOUT_EXERCISE = {
    "index",
    "api",
    "glossary",
    "measurement_check",
    "objections",
    "plan",
    "reproduce",
    "runs",
    "references",
}  # nothing to find out in them
WITHOUT_TERMS = {"index", "api", "glossary", "plan", "explorer", "runs", "references"}


def figures_named(chapter: Path) -> set[str]:
    """The figures that a chapter's cells declare."""
    return set(re.findall(r"^    name: (fig-[\w-]+)$", chapter.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_is_drawn_by_a_function_of_the_package(chapter: Path) -> None:
    drawn = drawings(chapter.read_text(encoding="utf-8"))
    if chapter.stem not in ("runs", "explorer"):
        assert set(drawn) == figures_named(chapter)
    for drawing in drawn.values():
        lines = inspect.getsource(importlib.import_module(drawing.module)).splitlines()
        assert lines[drawing.line - 1].startswith((f"def {drawing.function}(", "@"))


def test_a_figure_that_shows_no_function_of_the_package_is_not_taken_for_one() -> None:
    header = "---\nmystnb:\n  figure:\n    name: fig-x\n---\n"
    imports = "```{code-cell} python\nfrom resperturb import figures\n```\n"
    for code, expected in (
        ("figures.concentration(t)", {"fig-x": "figures.concentration"}),
        ("figures.concentration(t) if t else None", {"fig-x": "figures.concentration"}),
        ("plt.figure()", {}),
        ("x = figures.concentration(t)", {}),
    ):
        drawn = drawings(f"{imports}```{{code-cell}} python\n{header}{code}\n```\n")
        assert {name: drawing.words for name, drawing in drawn.items()} == expected


def sources_behind(figure: Tag) -> Tag | None:
    """The line of sources that follows a figure, before the next one."""
    following = figure.find_next(lambda tag: tag.name == "figure" or "sources" in (tag.get("class") or []))
    return following if isinstance(following, Tag) and following.name == "p" else None


def lacks(figure: Tag, page: Path) -> list[str]:
    """What a figure and the line behind it do not have."""
    line = sources_behind(figure)
    if line is None:
        return ["a line of sources"]
    links = [str(a["href"]) for a in line.find_all("a", href=True)]
    words, missing = line.get_text(), []
    if words.startswith(DRAWN):  # a schematic has no data and no axes
        return [] if any(link.startswith("code/resperturb.figures") for link in links) else ["its code"]
    if not any(link.endswith(".csv") for link in links):
        missing.append("a CSV file")
    if not any(link.startswith("code/") for link in links):
        missing.append("its code")
    if not any(link.startswith("runs.html#folder=") for link in links) and "Rests on:" not in words:
        missing.append("its runs")
    image = figure.find("img")
    assert isinstance(image, Tag)
    tree = ElementTree.parse(page.parent / unquote(str(image["src"])))
    groups = list(tree.iter("{http://www.w3.org/2000/svg}g"))
    places = ("matplotlib.axis_", "figure_")  # panels that share an axis have its words once, beside them all
    named = [group for group in groups if group.get("id", "").startswith(places)]
    if not any(part.get("id", "").startswith("text_") for group in named for part in group):  # numbers are further in
        missing.append("words on its axes")
    return missing


@pytest.mark.book
def test_every_figure_leads_to_its_data_its_code_and_its_runs(site: Site) -> None:
    bad, figures = [], 0
    for chapter in CHAPTERS:
        if chapter.stem in ("runs", "explorer"):
            continue
        page = site.html / f"{chapter.stem}.html"
        found = [figure for figure in article(page).find_all("figure") if figure.find("img")]
        figures += len(found)
        bad += [f"{page.name}, {figure.get('id')}: no {what}" for figure in found for what in lacks(figure, page)]
    assert bad == []
    assert figures > 20


@pytest.mark.book
def test_every_chapter_that_draws_or_computes_a_table_offers_its_numbers(site: Site) -> None:
    for chapter in CHAPTERS:
        kept = set(re.findall(r'\bsave_table\("(\w+)"', chapter.read_text(encoding="utf-8")))
        links = article(site.html / f"{chapter.stem}.html").find_all("a", href=re.compile(r"\.csv$"))
        assert kept <= {Path(str(link["href"])).stem for link in links}, chapter.stem


@pytest.mark.book
def test_every_chapter_has_an_exercise_whose_hidden_solution_was_run(site: Site) -> None:
    for chapter in CHAPTERS:
        if chapter.stem in WITHOUT_EXERCISE:
            continue
        found = article(site.html / f"{chapter.stem}.html")
        assert found.find(class_="exercise"), f"{chapter.stem} has no exercise"
        solution = found.find(class_="solution")
        assert isinstance(solution, Tag), f"{chapter.stem} has no solution"
        assert "dropdown" in (solution.get("class") or []), f"the solution in {chapter.stem} is not hidden"
        assert solution.find(class_="cell_input"), f"the solution in {chapter.stem} has no code"
        output = solution.find(class_="cell_output")
        assert isinstance(output, Tag)
        assert output.get_text(strip=True), f"the solution in {chapter.stem} gave nothing"


STATES = ("runs.html", "explorer.html")  # whose fragments say what is chosen, and are no places


@pytest.mark.book
def test_every_link_leads_to_a_file_and_a_place_in_it(site: Site) -> None:
    """Of all pages but those of runs, which have a test of their own."""
    pages = [*site.html.glob("*.html"), *site.html.glob("code/**/*.html")]
    assert len(pages) > len(CHAPTERS)
    broken = []
    for page in pages:
        for link in soup(page).find_all(href=True):
            address = urlsplit(str(link["href"]))
            if address.scheme or address.netloc:
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            place = unquote(address.fragment)
            if not target.is_file():
                broken.append(f"{page.name}: {link['href']}")
            elif place and not (target.name in STATES and "=" in place) and not soup(target).find(id=place):
                broken.append(f"{page.name}: no {place} in {target.name}")
    assert broken == []


@pytest.mark.book
def test_next_leads_from_the_first_page_to_every_other(site: Site) -> None:
    page, seen = site.html / "index.html", []
    while page not in seen:
        seen.append(page)
        following = soup(page).select_one("a.right-next")
        page = Path(os.path.normpath(page.parent / str(following["href"]))) if following else page
    assert sorted(seen) == site.pages


@pytest.mark.book
def test_every_page_is_described_in_words(site: Site) -> None:
    for chapter in CHAPTERS:
        tags = soup(site.html / f"{chapter.stem}.html").find_all("meta", attrs={"name": "description"})
        assert len(tags) == 1, f"{chapter.stem} has {len(tags)} descriptions"
        words = str(tags[0]["content"])
        assert 40 < len(words) <= 200, f"{chapter.stem}: {words}"
        assert not re.search(r"[$\\_{}]", words), f"{chapter.stem}: {words}"


@pytest.mark.book
def test_terms_lead_to_the_glossary(site: Site) -> None:
    for chapter in CHAPTERS:
        if chapter.stem in WITHOUT_TERMS:
            continue
        links = article(site.html / f"{chapter.stem}.html").find_all("a", href=re.compile(r"^glossary\.html#term-"))
        assert links, f"{chapter.stem} has no link to a term"


@pytest.mark.book
def test_the_landing_page_answers_before_anything_else(site: Site) -> None:
    found = article(site.html / "index.html")
    first = found.find("p")
    assert isinstance(first, Tag)
    assert re.search(r"−\d\.\d\d \(−\d\.\d\d to −\d\.\d\d\)", first.get_text())
    figure = found.find("figure")
    assert isinstance(figure, Tag)
    assert first in figure.find_all_previous("p")
    assert len(first.get_text().split(". ")) == 3, "the answer is three sentences"
    assert len(found.find_all(class_="sd-card")) == 3
