"""The interactive pictures of single chapters in a browser, opened from the disk and driven by keys and mouse."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable

import pytest
from conftest import Site
from playwright.sync_api import Browser, Locator, Page, expect

from _ext.training_film import FILM_SCRIPT, film_data
from resperturb.records.sweeps import load_sweeps

pytestmark = [pytest.mark.book, pytest.mark.browser]

Opener = Callable[..., Page]
PICTURES = {"idea": "steps", "decay": "training"}
CORNERS = "path => path.getAttribute('d').slice(1).split('L').map(point => point.split(' ').map(Number))"


@pytest.fixture
def chapter(site: Site, open_page: Opener) -> Opener:
    """Opens a chapter at a width."""
    return lambda name, width=1280: open_page((site.html / f"{name}.html").as_uri(), width)


@pytest.fixture(scope="module")
def film(site: Site) -> dict:
    return film_data(load_sweeps(site.tree.root / "results"))


def lengths_and_cosine(path: Locator) -> tuple[list[float], float, float]:
    """Of a drawn path: the lengths of its steps, the mean cosine of two of them, and the way from start to end."""
    corners = path.evaluate(CORNERS)
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(corners)]
    lengths = [math.hypot(*step) for step in steps]
    way = math.dist(corners[0], corners[-1])
    cosines = (way**2 - sum(length**2 for length in lengths)) / (sum(lengths) ** 2 - sum(x**2 for x in lengths))
    return lengths, cosines, way


def test_steps_obey_keys_and_are_said(chapter: Opener) -> None:
    page = chapter("idea")
    picture = page.locator("#steps")
    blocks, alignment = picture.get_by_label("Number of blocks", exact=True), picture.get_by_label("Alignment")
    mark, readout = picture.locator(".interactive-here"), picture.locator(".interactive-readout")
    before = mark.get_attribute("cy")
    blocks.focus()
    page.keyboard.press("ArrowRight")
    expect(blocks).to_have_attribute("aria-valuetext", "17 blocks")
    assert mark.get_attribute("cy") != before
    page.keyboard.press("End")
    expect(readout).to_contain_text("64 blocks, alignment 0.00: each step is 0.13 of the way")
    expect(readout).to_contain_text("as 1/√L")
    page.keyboard.press("Home")
    expect(readout).to_contain_text("1 block, alignment 0.00: each step is 1 of the way")
    page.keyboard.press("Tab")
    expect(alignment).to_be_focused()
    assert alignment.evaluate("input => getComputedStyle(input).outlineStyle") == "solid"
    page.keyboard.press("End")
    blocks.fill("10")
    expect(readout).to_contain_text("10 blocks, alignment 1.00: each step is 0.1 of the way")
    expect(readout).to_contain_text("as 1/L (slope −1.00 here)")
    expect(picture.get_by_role("status")).to_contain_text("10 blocks, alignment 1.00: each step is 0.1 of the way")


@pytest.mark.parametrize(("blocks", "alignment"), [(2, 0.0), (7, 0.0), (16, 0.5), (64, 0.05), (64, 0.0), (33, 1.0)])
def test_the_path_has_the_size_of_step_and_the_cosine_that_it_says(
    chapter: Opener, blocks: int, alignment: float
) -> None:
    picture = chapter("idea").locator("#steps")
    ends = picture.locator(".interactive-end").evaluate_all("ends => ends.map(end => Number(end.getAttribute('cx')))")
    picture.get_by_label("Number of blocks", exact=True).fill(str(blocks))
    picture.get_by_label("Alignment").fill(str(alignment))
    path = picture.locator("path.interactive-line").first
    lengths, cosine, way = lengths_and_cosine(path)
    assert way == pytest.approx(ends[1] - ends[0], abs=0.02)  # it ends where it should
    wanted = way / math.sqrt(blocks * (1 + (blocks - 1) * alignment))
    assert lengths == pytest.approx([wanted] * blocks, abs=0.03)
    assert cosine == pytest.approx(alignment, abs=0.01)
    box = path.evaluate("path => [path.getBBox(), path.ownerSVGElement.viewBox.baseVal].map(b => [b.width, b.height])")
    assert box[0][0] < box[1][0]
    assert box[0][1] < box[1][1]


def test_a_training_is_seen_at_each_snapshot(chapter: Opener, film: dict) -> None:
    page = chapter("decay")
    picture, last = page.locator("#training"), len(film["runs"][0]["snapshots"]) - 1
    moment, rows = picture.get_by_role("slider"), picture.locator("tbody tr")
    line = picture.locator('path[data-training="usual decay"]')
    assert rows.count() == len(film["runs"]) == 3
    moment.focus()
    for key, at in (("Home", 0), ("ArrowRight", 1), ("End", last)):
        before = line.get_attribute("d")
        page.keyboard.press(key)
        expect(line).not_to_have_attribute("d", str(before))
        for row, run in zip(rows.all(), film["runs"], strict=True):
            shown = run["snapshots"][at]
            expect(row.locator("td").first).to_have_text(f"{shown['average']:.3f}")
            expect(row.locator("td").nth(1)).to_have_text(f"{shown['clock']:.2f}")
        expect(picture.get_by_role("status")).to_contain_text(
            f"usual decay {film['runs'][1]['snapshots'][at]['average']:.2f}"
        )
    expect(moment).to_have_attribute("aria-valuetext", re.compile("^After training"))
    picture.get_by_role("checkbox", name="no decay").uncheck()
    expect(picture.locator('path[data-training="no decay"]')).to_have_count(0)
    expect(line).to_be_visible()


def test_a_training_plays_and_pauses(chapter: Opener) -> None:
    page = chapter("decay")
    picture = page.locator("#training")
    moment = picture.get_by_role("slider")
    expect(picture.get_by_role("button")).to_have_text("Play")  # nothing plays of its own accord
    picture.get_by_role("button", name="Play").press("Enter")
    expect(moment).to_have_attribute("aria-valuetext", "Before training")
    expect(moment).to_have_attribute("aria-valuetext", re.compile("^Epoch"))
    picture.get_by_role("button", name="Pause").click()
    stopped = moment.input_value()
    page.wait_for_timeout(1500)
    assert moment.input_value() == stopped
    picture.get_by_role("button", name="Play").click()
    expect(picture.get_by_role("button")).to_have_text("Play", timeout=10_000)  # at the end
    expect(moment).to_have_attribute("aria-valuetext", re.compile("^After training"))


def test_no_motion_where_none_is_wanted(chapter: Opener) -> None:
    page = chapter("decay")
    page.emulate_media(reduced_motion="reduce")
    picture = page.locator("#training")
    line = picture.locator('path[data-training="usual decay"]')
    picture.get_by_role("slider").fill("0")
    shown = line.get_attribute("d")
    page.wait_for_timeout(600)
    assert line.get_attribute("d") == shown


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("width", [1280, 390])
def test_pictures_fit_and_can_be_read(chapter: Opener, name: str, width: int) -> None:
    picture = chapter(name, width).locator(f"#{PICTURES[name]}")
    expect(picture).to_be_visible()
    inside = picture.locator("svg[role=img]").evaluate_all(
        """all => all.flatMap(svg => [...svg.querySelectorAll('text')].filter(text => {
          const [a, b] = [text, svg].map(each => each.getBoundingClientRect());
          const across = a.left >= b.left - 1 && a.right <= b.right + 1;
          return !across || a.top < b.top - 1 || a.bottom > b.bottom + 1 || a.height < 9;
        }).map(text => text.textContent))"""
    )
    assert inside == [], "words that are cut or too small"
    small = picture.locator("button, input").evaluate_all(
        """all => all.map(e => e.type === 'checkbox' ? e.closest('label') : e)
          .filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"""
    )
    assert small == []


@pytest.mark.parametrize("name", PICTURES)
def test_a_page_without_scripts_hides_what_needs_them(site: Site, browser: Browser, name: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site.html / f"{name}.html").as_uri())
    expect(page.locator(f"#{PICTURES[name]}")).to_be_hidden()
    assert page.locator("article figure img").count() > 0
    context.close()


def test_no_other_page_loads_their_scripts_and_styles(site: Site) -> None:
    users = {"steps.js": {"idea.html"}, "training.js": {"decay.html"}, FILM_SCRIPT: {"decay.html"}}
    users |= {key: {"idea.html", "decay.html", "explorer.html"} for key in ("interactive.js", "interactive.css")}
    users |= {key: {"explorer.html"} for key in ("explorer.js", "explorer-charts.js", "vendor/d3-", "vendor/plot-")}
    texts = {page.name: page.read_text(encoding="utf-8") for page in site.pages}
    users |= {"explorer.css": {"explorer.html"}, "book.css": {*texts}}
    for script, wanted in users.items():
        assert {name for name, text in texts.items() if f"_static/{script}" in text} == wanted
