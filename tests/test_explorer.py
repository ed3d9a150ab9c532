"""The explorer: its data are those of the records, and in a browser it is driven by mouse, by keys and by address."""

from __future__ import annotations

import dataclasses
import json
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT, Site
from playwright.sync_api import Browser, Page, expect, sync_playwright

from resperturb import explorer
from resperturb.explorer import DIGITS, GLOBAL, MEASURES, MOMENTS, explorer_data, law_of, run_data, run_table, script
from resperturb.records import Record
from resperturb.sweeps import Sweep, main_sweeps, sweeps

HEAVIEST = {"data": 2_000_000, "page": 6_000_000}  # bytes


@pytest.fixture(scope="module")
def main() -> dict[str, Sweep]:
    return main_sweeps(sweeps(ROOT / "results", own=False))


@pytest.fixture(scope="module")
def data(main: dict[str, Sweep]) -> dict:
    return explorer_data(main, ["mnist/blocks-006-seed-0-beea53"])


def near(value: float) -> object:
    return pytest.approx(value, rel=0.51 * 10 ** (1 - DIGITS), abs=1e-12)


def test_data_are_those_of_the_records(main: dict[str, Sweep], data: dict) -> None:
    assert [sweep["name"] for sweep in data["sweeps"]] == list(main)
    for sweep, shown in zip(main.values(), data["sweeps"], strict=True):
        assert [run["name"] for run in shown["runs"]] == [record.name for record in sweep.records]
        for record, run in ((sweep.records[at], shown["runs"][at]) for at in (0, len(sweep.records) // 2, -1)):
            assert (run["blocks"], run["seed"]) == (record.blocks, record.seed)
            assert run["accuracy"] == near(record.run["accuracy"])
            for moment in MOMENTS:
                blocks = record.blocks_at(moment)
                for measure, column in MEASURES.items():
                    assert run["profile"][moment][measure] == near(blocks[column].tolist())
                    assert run["averages"][moment][measure] == pytest.approx(blocks[column].mean(), rel=1e-3, abs=1e-4)
                assert run["profile"][moment]["scaled_high"] == near(blocks["scaled_q95"].tolist())
            identity = record.at("end").query("kind == 'identity'")
            starts = identity.loc[identity["section"].diff() != 0, "block"].tolist()
            assert run["sections"] == starts
            assert {f"blocks {record.blocks}", f"seed {record.seed}"} < set(run["command"].split(" -p "))
        for measure, laws in shown["laws"].items():
            for moment, law in laws.items():
                fitted = law_of(sweep.records, measure, moment)
                assert [law["exponent"], law["low"], law["high"]] == near([fitted.exponent, fitted.low, fitted.high])


def test_the_script_is_small_and_holds_no_nan(data: dict) -> None:
    text = script(data)
    assert len(text.encode()) < HEAVIEST["data"]
    assert not re.search(r"\b(NaN|Infinity)\b", text)
    assert json.loads(text.removeprefix(f"window.{GLOBAL} = ").rstrip(";\n")) == data


def test_only_runs_with_a_page_are_linked(data: dict) -> None:
    linked = [f"{sweep['folder']}/{run['name']}" for sweep in data["sweeps"] for run in sweep["runs"] if run["page"]]
    assert linked == ["mnist/blocks-006-seed-0-beea53"]


def test_a_diverged_run_has_no_end(main: dict[str, Sweep]) -> None:
    whole = main["mnist"].records[0]
    averages = {"initialization": whole.run["averages"]["initialization"]}
    record = Record(whole.folder, {**whole.run, "diverged": True, "accuracy": None, "averages": averages})
    record.__dict__["perturbations"] = whole.perturbations.query("moment == 'initialization'")
    shown = run_data(record)
    assert (shown["accuracy"], shown["profile"]["end"]) == (None, {})
    assert "end" not in shown["averages"]
    assert len(shown["profile"]["initialization"]["scaled"]) == record.blocks
    json.dumps(shown, allow_nan=False)


def test_sweeps_of_one_kind_are_told_apart(main: dict[str, Sweep]) -> None:
    again = dataclasses.replace(main["mnist"], name="mnist-again", records=main["mnist"].records[:2])
    kinds = [sweep["kind"] for sweep in explorer_data({"mnist": main["mnist"], "mnist-again": again})["sweeps"]]
    assert kinds == ["preactivation", "again"]


def test_the_table_has_every_run(main: dict[str, Sweep]) -> None:
    table = run_table(main)
    assert len(table) == sum(len(sweep.records) for sweep in main.values())
    assert table["after training"].iloc[0] == main["digits"].records[0].run["averages"]["end"]["scaled"]


def test_scripts_are_kept_off_other_pages() -> None:
    config = types.SimpleNamespace(
        html_js_files=["explorer.js", ("vendor/d3-7.js", {}), ("own.js", {})],
        html_css_files=["explorer.css", "book.css"],
    )
    explorer.off_other_pages(None, config)
    assert (config.html_js_files, config.html_css_files) == ([("own.js", {})], ["book.css"])


def test_the_script_is_written_again_only_when_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []
    monkeypatch.setattr(explorer, "sweeps", lambda results: {})
    monkeypatch.setattr(explorer, "explorer_data", lambda chosen, pages: made.append(list(pages)) or {"sweeps": []})
    (tmp_path / "html").mkdir()
    (tmp_path / "trees").mkdir()
    builder = types.SimpleNamespace(format="html")
    app = types.SimpleNamespace(
        builder=builder, srcdir=tmp_path / "book", outdir=tmp_path / "html", doctreedir=tmp_path / "trees"
    )
    explorer.write_script(app, None)
    explorer.write_script(app, None)
    assert made == [[]]
    page = tmp_path / "html" / "runs" / "mnist" / "a.html"
    page.parent.mkdir(parents=True)
    page.touch()
    explorer.write_script(app, None)
    assert made == [[], ["mnist/a"]]
    record = tmp_path / "results" / "mnist" / "a" / "run.json"
    record.parent.mkdir(parents=True)
    record.touch()
    explorer.write_script(app, None)
    (tmp_path / "html" / "_static" / explorer.SCRIPT).unlink()
    explorer.write_script(app, None)
    assert len(made) == 4


# In the browser, from the disk, as a reader opens it who has downloaded the book.


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


Opener = Callable[..., Page]


@pytest.fixture
def open_page(site: Site, browser: Browser) -> Iterator[Opener]:
    """Opens the explorer at an address and a width; what goes wrong on a page fails the test."""
    pages, trouble = [], []

    def opened(address: str = "", width: int = 1280, name: str = "explorer") -> Page:
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("requestfailed", lambda request: trouble.append(request.url))
        pages.append(page)
        page.goto((site.html / f"{name}.html").as_uri() + address)
        return page

    yield opened
    for page in pages:
        page.close()
    assert trouble == []


@pytest.fixture(scope="module")
def mnist(site: Site) -> Sweep:
    return main_sweeps(sweeps(site.tree.root / "results"))["mnist"]


def record_at(sweep: Sweep, blocks: int, seed: int = 0) -> Record:
    return next(record for record in sweep.finished if (record.blocks, record.seed) == (blocks, seed))


def address_of(page: Page) -> dict[str, str]:
    return dict(part.split("=") for part in unquote(urlsplit(page.url).fragment).split("&"))


def said(value: float, digits: int = DIGITS) -> str:
    """A number as the page prints it."""
    return f"{float(f'{value:.{digits}g}'):.10f}".rstrip("0").rstrip(".").replace("-", "−")


book = pytest.mark.book
in_browser = pytest.mark.browser


@book
@in_browser
def test_the_slider_obeys_keys_and_the_address_follows(open_page: Opener, mnist: Sweep) -> None:
    page = open_page("#dataset=mnist&block=preactivation&seed=0&blocks=300")
    slider, facts = page.get_by_role("slider"), page.locator(".explorer-facts")
    slider.focus()
    for key, depth in (("Home", mnist.depths[0]), ("ArrowRight", mnist.depths[1]), ("End", mnist.depths[-1])):
        page.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuetext", f"{depth} blocks")
        assert address_of(page)["blocks"] == str(depth)
        expect(facts).to_contain_text(said(record_at(mnist, depth).run["averages"]["end"]["scaled"], 3))
    expect(page.get_by_role("status")).to_contain_text(f"{mnist.depths[-1]} blocks")
    page.get_by_label("Seed").select_option("1")
    assert address_of(page)["seed"] == "1"
    page.get_by_label("cosine", exact=True).check()
    expect(page.locator("#explorer-a-profile svg")).to_have_attribute("aria-label", re.compile("cosine"))
    page.go_back()
    assert address_of(page)["measure"] == "scaled"
    expect(page.get_by_label("scaled", exact=True)).to_be_checked()


@book
@in_browser
def test_an_address_restores_the_view(open_page: Opener, mnist: Sweep) -> None:
    address = "#dataset=mnist&block=preactivation&seed=1&blocks=24&measure=absolute&compare=digits,postactivation,0,6"
    page = open_page(address)
    first, second = page.get_by_role("region", name="Run A"), page.get_by_role("region", name="Run B")
    expect(first.get_by_label("Data set")).to_have_value("mnist")
    expect(first.get_by_label("Seed")).to_have_value("1")
    expect(first.locator(".explorer-depth strong")).to_have_text("24 blocks")
    expect(first.locator("code")).to_have_text(re.compile("-p dataset mnist -p blocks 24 -p seed 1"))
    expect(second.get_by_label("Data set")).to_have_value("digits")
    expect(second.get_by_label("post-activation")).to_be_checked()
    expect(page.get_by_label("absolute", exact=True)).to_be_checked()
    expect(first.locator(".explorer-facts")).to_contain_text(
        said(record_at(mnist, 24, 1).run["averages"]["end"]["absolute"], 3)
    )
    assert page.url.endswith(address)


@book
@in_browser
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("#dataset=nonsense&block=7&seed=x&blocks=-3&measure=%22&compare=,,,", {"measure": "scaled"}),
        ("#dataset=mnist&blocks=1e9&seed=99", {"dataset": "mnist", "blocks": "deepest"}),
        ("#dataset=mnist&blocks=1", {"dataset": "mnist", "blocks": "6"}),
        ("#%%%=&&==", {"measure": "scaled"}),
    ],
)
def test_nonsense_in_the_address_falls_back(
    open_page: Opener, mnist: Sweep, address: str, expected: dict[str, str]
) -> None:
    page = open_page(address)
    expect(page.locator("#explorer-a-profile svg")).to_be_visible()
    found = address_of(page)
    for name, value in expected.items():
        assert found[name] == (str(mnist.depths[-1]) if value == "deepest" else value)


@book
@in_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_two_runs_are_compared(open_page: Opener, width: int) -> None:
    page = open_page("#dataset=mnist&blocks=48", width)
    assert page.locator(".explorer-run").count() == 1
    page.get_by_label("Compare two runs").check()
    boxes = [run.bounding_box() for run in page.locator(".explorer-run").all()]
    assert len(boxes) == 2
    (a, b) = boxes
    assert a is not None
    assert b is not None
    if width > 700:
        assert b["x"] >= a["x"] + a["width"]
    else:
        assert b["y"] >= a["y"] + a["height"]
    second = page.get_by_role("region", name="Run B")
    before = page.get_by_role("region", name="Run A").locator(".explorer-facts").inner_text()
    second.get_by_label("Data set").select_option("cifar10")
    assert address_of(page)["compare"].startswith("cifar10,")
    assert page.get_by_role("region", name="Run A").locator(".explorer-facts").inner_text() == before
    expect(page.locator(".explorer-against")).to_contain_text("times the blocks")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_label("Compare two runs").uncheck()
    assert "compare" not in address_of(page)


@book
@in_browser
def test_charts_give_the_values_of_the_record(open_page: Opener, mnist: Sweep) -> None:
    page = open_page("#dataset=mnist&block=preactivation&seed=0&blocks=12")
    table = record_at(mnist, 12).blocks_at("end").set_index("block")["scaled"]
    chart, readout = page.locator("#explorer-a-profile"), page.locator("#explorer-a-profile-readout")
    page.get_by_role("button", name="Copy link").focus()
    while page.evaluate("document.activeElement.id") != "explorer-a-profile":
        page.keyboard.press("Tab")
    for key, block in (("Home", 1), ("ArrowRight", 2), ("End", 12), ("ArrowLeft", 11)):
        page.keyboard.press(key)
        expect(readout).to_contain_text(re.compile(rf"^Block {block} of 12.*: {re.escape(said(table[block]))} after"))
    assert readout.get_attribute("aria-live") == "polite"
    assert chart.locator(".explorer-cursor circle").count() == 2
    box = page.locator("#explorer-a-profile svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 40)
    expect(readout).to_contain_text(f"{said(table[12])} after training")

    scaling = page.locator("#explorer-a-scaling")
    scaling.focus()
    page.keyboard.press("Home")
    average = record_at(mnist, mnist.depths[0]).run["averages"]["end"]["scaled"]
    expect(page.locator("#explorer-a-scaling-readout")).to_contain_text(f"average {said(average)} after training")
    page.keyboard.press("Enter")
    assert address_of(page)["blocks"] == str(mnist.depths[0])
    box = page.locator("#explorer-a-accuracy svg").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 40)
    assert address_of(page)["blocks"] == str(mnist.depths[-1])


@book
@in_browser
def test_every_control_has_a_name_and_is_large_enough(open_page: Opener) -> None:
    page = open_page("#dataset=mnist&compare=cifar10", 390)
    controls = page.locator("#explorer :is(input, select, button)")
    bare = controls.evaluate_all("all => all.filter(e => !e.labels?.length && !e.textContent).map(e => e.id)")
    small = controls.evaluate_all(
        """all => all.filter(e => !e.closest('[hidden]'))
          .map(e => e.type === 'radio' || e.type === 'checkbox' ? e.closest('label') : e)
          .filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"""
    )
    assert controls.count() > 12
    assert (bare, small) == ([], [])


@book
@in_browser
def test_the_link_is_copied(open_page: Opener) -> None:
    page = open_page("#dataset=mnist&blocks=48")
    page.evaluate(
        "navigator.clipboard && (navigator.clipboard.writeText = async (words) => { window.copied = words; })"
    )
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("window.copied") == page.url


@book
@in_browser
def test_without_scripts_there_are_figures_and_a_table(site: Site, browser: Browser, mnist: Sweep) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site.html / "explorer.html").as_uri())
    expect(page.locator("#explorer")).to_be_hidden()
    still = page.locator("#explorer-still")
    assert still.locator("figure img").count() >= 2
    for image in still.locator("figure img").all():
        expect(image).to_be_visible()
    assert still.locator("table tr").count() > len(mnist.records)
    context.close()


@book
@in_browser
def test_with_scripts_they_are_folded_away(open_page: Opener) -> None:
    page = open_page()
    expect(page.locator("#explorer-still figure").first).to_be_hidden()
    page.locator("#explorer-still > summary").click()
    expect(page.locator("#explorer-still figure").first).to_be_visible()


@book
@in_browser
def test_what_the_page_loads_is_light_and_no_other_page_loads_it(site: Site, browser: Browser) -> None:
    page = browser.new_page()
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url))
    page.goto((site.html / "explorer.html").as_uri(), wait_until="networkidle")
    page.close()
    files = {Path(unquote(urlsplit(address).path)) for address in asked}
    assert any(file.name == explorer.SCRIPT for file in files)
    assert sum(file.stat().st_size for file in files if file.is_file()) < HEAVIEST["page"]
    for other in site.pages:
        if other.name != "explorer.html":
            assert not re.search(r"_static/(vendor/(d3|plot)-|explorer)", other.read_text(encoding="utf-8")), other.name
