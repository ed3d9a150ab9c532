"""The explorer in a browser, driven by mouse, by keys and by address.

It is opened from the disk, as by a reader who has downloaded the book.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import Site
from playwright.sync_api import Browser, Page, expect

from _ext.explorer import DIGITS
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep, load_sweeps, main_sweeps

pytestmark = [pytest.mark.book, pytest.mark.browser]

Opener = Callable[..., Page]


@pytest.fixture
def explorer(site: Site, open_page: Opener) -> Opener:
    """Opens the explorer at a fragment and a width."""
    return lambda fragment="", width=1280: open_page((site.html / "explorer.html").as_uri() + fragment, width)


@pytest.fixture(scope="module")
def mnist(site: Site) -> Sweep:
    return main_sweeps(load_sweeps(site.tree.root / "results"))["mnist"]


@pytest.fixture(scope="module")
def digits(site: Site) -> Sweep:
    return main_sweeps(load_sweeps(site.tree.root / "results"))["digits"]


def record_at(sweep: Sweep, blocks: int, seed: int = 0) -> Record:
    return next(record for record in sweep.finished if (record.blocks, record.seed) == (blocks, seed))


def address_of(page: Page) -> dict[str, str]:
    return dict(part.split("=") for part in unquote(urlsplit(page.url).fragment).split("&"))


def said(value: float, digits: int = DIGITS) -> str:
    """A number as the page prints it."""
    return f"{float(f'{value:.{digits}g}'):.10f}".rstrip("0").rstrip(".").replace("-", "−")


def test_the_slider_obeys_keys_and_the_address_follows(explorer: Opener, digits: Sweep) -> None:
    page = explorer("#dataset=digits&block=preactivation&seed=0&blocks=300")
    slider, facts = page.get_by_role("slider"), page.locator(".explorer-facts")
    expect(page.get_by_label("Weight decay")).to_have_value("0.0005")  # an address that names none
    slider.focus()
    for key, depth in (("Home", digits.depths[0]), ("ArrowRight", digits.depths[1]), ("End", digits.depths[-1])):
        page.keyboard.press(key)
        expect(slider).to_have_attribute("aria-valuetext", f"{depth} blocks")
        assert address_of(page)["blocks"] == str(depth)
        expect(facts).to_contain_text(said(record_at(digits, depth).average(), 3))
    expect(page.get_by_role("status")).to_contain_text(f"{digits.depths[-1]} blocks")
    page.keyboard.press("Home")  # more seeds
    page.get_by_label("Seed").select_option("1")
    assert address_of(page)["seed"] == "1"
    page.get_by_label("cosine", exact=True).check()
    expect(page.locator("#explorer-a-profile svg")).to_have_attribute("aria-label", re.compile("cosine"))
    page.go_back()
    assert address_of(page)["measure"] == "scaled"
    expect(page.get_by_label("scaled", exact=True)).to_be_checked()


def test_an_address_restores_the_view_and_is_copied(explorer: Opener, digits: Sweep) -> None:
    address = (
        "#dataset=digits&block=preactivation&decay=0.0005&seed=1&blocks=30&measure=absolute"
        "&compare=mnist,postactivation,0,6,0.0268-4-epochs"
    )
    page = explorer(address)
    first, second = page.get_by_role("region", name="Run A"), page.get_by_role("region", name="Run B")
    expect(first.get_by_label("Data set")).to_have_value("digits")
    expect(first.get_by_label("Seed")).to_have_value("1")
    expect(first.locator(".explorer-depth strong")).to_have_text("30 blocks")
    expect(first.locator("code")).to_have_text(re.compile("-p blocks 30 -p seed 1"))
    expect(second.get_by_label("Data set")).to_have_value("mnist")
    expect(second.get_by_label("post-activation")).to_be_checked()
    expect(second.get_by_label("Weight decay")).to_have_value("0.0268-4-epochs")
    expect(page.get_by_label("absolute", exact=True)).to_be_checked()
    expect(first.locator(".explorer-facts")).to_contain_text(
        said(record_at(digits, 30, 1).run["averages"]["end"]["absolute"], 3)
    )
    assert page.url.endswith(address)
    page.evaluate("navigator.clipboard && (navigator.clipboard.writeText = async words => { window.copied = words; })")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("window.copied") == page.url


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("#dataset=nonsense&block=7&decay=x&seed=x&blocks=-3&measure=%22&compare=,,,", {"measure": "scaled"}),
        ("#decay=0.5", {"dataset": "cifar10", "decay": "0.0005"}),
        ("#dataset=mnist&decay=0", {"dataset": "mnist", "decay": "0-4-epochs"}),
        ("#dataset=mnist&blocks=1e9&seed=99", {"dataset": "mnist", "blocks": "deepest"}),
        ("#dataset=mnist&blocks=1", {"dataset": "mnist", "blocks": "6"}),
        ("#%%%=&&==", {"measure": "scaled"}),
    ],
)
def test_nonsense_in_the_address_falls_back(
    explorer: Opener, mnist: Sweep, address: str, expected: dict[str, str]
) -> None:
    page = explorer(address)
    expect(page.locator("#explorer-a-profile svg")).to_be_visible()
    found = address_of(page)
    for name, value in expected.items():
        assert found[name] == (str(mnist.depths[-1]) if value == "deepest" else value)


@pytest.mark.parametrize("width", [1280, 390])
def test_two_runs_are_compared(explorer: Opener, width: int) -> None:
    page = explorer("#dataset=mnist&blocks=48", width)
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


def test_it_opens_with_cifar10(explorer: Opener) -> None:
    page = explorer()
    expect(page.get_by_label("Data set")).to_have_value("cifar10")
    expect(page.locator("#explorer-a-profile svg")).to_be_visible()
    assert "#" not in page.url


def test_another_weight_decay_is_another_run(site: Site, explorer: Opener) -> None:
    decayed = load_sweeps(site.tree.root / "results")["cifar10-no-decay"]
    page = explorer("#dataset=cifar10&block=preactivation&seed=0&blocks=27")
    facts = page.locator(".explorer-facts")
    usual = facts.inner_text()
    page.get_by_label("Weight decay").select_option("0")
    assert address_of(page)["decay"] == "0"
    expect(facts).to_contain_text(said(record_at(decayed, 27).average(), 3))
    expect(page.get_by_role("status")).to_contain_text("no weight decay, 27 blocks")
    page.get_by_label("Weight decay").select_option("0.0005-6-epochs")
    expect(facts).to_contain_text("6 epochs")
    page.go_back()
    page.go_back()
    assert facts.inner_text() == usual
    page.get_by_label("post-activation").check()
    expect(page.get_by_label("Weight decay")).to_have_value("0.0005")


def test_published_networks_are_shown_without_their_start(explorer: Opener) -> None:
    page = explorer("#dataset=published&blocks=25")
    expect(page.locator(".explorer-depth strong")).to_have_text("25 blocks (resnet56)")
    expect(page.locator(".explorer-facts")).to_contain_text("not measured at initialisation")
    expect(page.get_by_label("Seed")).to_be_hidden()
    page.locator("#explorer-a-profile").focus()
    page.keyboard.press("End")
    expect(page.locator("#explorer-a-profile-readout")).to_have_text(re.compile(r"^Block 25 of 25.* after training"))


def test_each_question_sets_a_view_and_the_focus(explorer: Opener) -> None:
    page = explorer()
    questions = page.locator('article a[href^="#dataset="]')
    assert questions.count() == 3
    for question in questions.all():
        question.click()
        wanted = dict(part.split("=") for part in str(question.get_attribute("href"))[1:].split("&"))
        page.wait_for_function("document.activeElement.id === 'explorer'")
        assert wanted.items() <= address_of(page).items()
        expect(page.get_by_label("Compare two runs")).to_be_checked(checked="compare" in wanted)
    page.go_back()
    assert address_of(page)["dataset"] == "cifar10"


def test_charts_give_the_values_of_the_record(explorer: Opener, mnist: Sweep) -> None:
    page = explorer("#dataset=mnist&block=preactivation&seed=0&blocks=12")
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
    average = record_at(mnist, mnist.depths[0]).average()
    expect(page.locator("#explorer-a-scaling-readout")).to_contain_text(f"average {said(average)} after training")
    page.keyboard.press("Enter")
    assert address_of(page)["blocks"] == str(mnist.depths[0])
    box = page.locator("#explorer-a-accuracy svg").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 40)
    assert address_of(page)["blocks"] == str(mnist.depths[-1])


def test_every_control_is_large_enough(explorer: Opener) -> None:
    page = explorer("#dataset=mnist&compare=cifar10", 390)
    controls = page.locator("#explorer :is(input, select, button)")
    small = controls.evaluate_all(
        """all => all.filter(e => !e.closest('[hidden]'))
          .map(e => e.type === 'radio' || e.type === 'checkbox' ? e.closest('label') : e)
          .filter(e => e.getBoundingClientRect().height < 24).map(e => e.outerHTML)"""
    )
    assert controls.count() > 12
    assert small == []


@pytest.mark.parametrize("width", [1280, 390])
def test_a_run_says_where_it_comes_from(site: Site, explorer: Opener, mnist: Sweep, width: int) -> None:
    page, record = explorer("#dataset=mnist&block=preactivation&seed=0&blocks=12", width), record_at(mnist, 12)
    more = page.locator(".explorer-more")
    more.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(more.locator("dl")).to_contain_text(record.run["provenance"]["commit"][:10])
    for name, mark in (("precision", "≠ bfloat16"), ("width", "16")):
        row = more.locator("tr").filter(has=page.get_by_role("rowheader", name=name, exact=True))
        expect(row.locator("td").first).to_have_text(mark)
    links = [str(link.get_attribute("href")) for link in more.get_by_role("link").all()]
    assert f"results/mnist/{record.name}/perturbations.csv" in links
    assert [link for link in links if not (site.html / link.split("#")[0]).is_file()] == []
    page.evaluate(AXE_SCRIPT)
    assert (
        page.evaluate(
            "axe.run('.explorer-more', {preload: false}).then(found => found.violations.map(each => each.id))"
        )
        == []
    )
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_figures_stand_in_for_it_without_scripts_and_are_folded_away_with_them(
    site: Site, browser: Browser, explorer: Opener
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((site.html / "explorer.html").as_uri())
    expect(page.locator("#explorer")).to_be_hidden()
    still = page.locator("#explorer-still figure img")
    assert still.count() >= 2
    for image in still.all():
        expect(image).to_be_visible()
    context.close()
    page = explorer()
    expect(page.locator("#explorer-still figure").first).to_be_hidden()
    page.locator("#explorer-still > summary").click()
    expect(page.locator("#explorer-still figure").first).to_be_visible()
