"""Every record has a page that says what it was given and how to make it again; the index of all runs sorts."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import re
import shlex
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, Site
from playwright.sync_api import Browser

from resperturb.experiment import Experiment
from resperturb.plans import study_class
from resperturb.records import Record, load_records, read_record
from resperturb.run_pages import BODY, TITLE, index_url, page_url, write_all
from resperturb.runs.charts import Curve, Scale, chart
from resperturb.runs.facts import command_of, differing, load_folders, notebook_of, parameters_of, title_of
from resperturb.runs.page import Surroundings, body_of, figures
from resperturb.studies.kept import StudyRecord, load_studies

RESULTS = ROOT / "results"
SHELL = f"<title>{TITLE}</title><article>{BODY}</article>"


def given_by(command: str) -> dict[str, Any]:
    """What papermill hands to the notebook: -p as numbers or words, -y as YAML."""
    words, given = shlex.split(command), {}
    for place, word in enumerate(words):
        if word == "-p":
            name, text = words[place + 1 : place + 3]
            try:
                given[name] = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                given[name] = text
        elif word == "-y":
            given |= yaml.safe_load(words[place + 1])
    return given


def soup(text: str) -> BeautifulSoup:
    return BeautifulSoup(text, "html.parser")


def diverged(record: Record, folder: Path) -> Record:
    """The record as it would be had training diverged at its first step."""
    shutil.copytree(record.folder, folder / record.name)
    table = record.perturbations
    table[table["moment"] == "initialization"].to_csv(folder / record.name / "perturbations.csv", index=False)
    record.history[:0].to_csv(folder / record.name / "history.csv", index=False)
    averages = {"initialization": record.run["averages"]["initialization"]}
    return Record(
        folder / record.name, {**record.run, "diverged": True, "accuracy": None, "loss": None, "averages": averages}
    )


def test_every_command_makes_its_own_record_again() -> None:
    checked = 0
    for records in load_folders(RESULTS).values():
        for record in records:
            kind = study_class(notebook_of(record)) if isinstance(record, StudyRecord) else Experiment
            assert kind.from_mapping(given_by(command_of(record))).name == record.name, command_of(record)
            checked += 1
    assert checked == len(list(RESULTS.glob("*/[!.]*/run.json")))


@pytest.mark.parametrize("notebook", ["sweep", "carriers", "growth", "initialization", "lesion", "path", "text"])
def test_defaults_are_those_of_the_class(notebook: str) -> None:
    kind: Any = Experiment if notebook == "sweep" else study_class(notebook)
    plain = dataclasses.asdict(kind())
    run = {"study": notebook, "parameters": plain} if notebook != "sweep" else {"experiment": plain}
    record = (StudyRecord if notebook != "sweep" else Record)(RESULTS / "none" / "none", run)  # type: ignore[operator]
    found = {parameter.name: parameter for parameter in parameters_of(record)}
    assert set(found) == set(plain)
    assert [name for name, parameter in found.items() if parameter.differs and name != "threads"] == []
    assert all(parameter.meaning for parameter in found.values())


def test_a_page_marks_what_differs_not_by_colour_alone() -> None:
    record = load_records(RESULTS / "mnist")[0]
    page = soup(body_of(record, Surroundings()))
    marked = {row.code.get_text() for row in page.select(".run-card tr.differs")}  # type: ignore[union-attr]
    assert marked == {p.name for p in parameters_of(record) if p.differs} >= {"dataset", "precision"}
    assert all("differs" in row.get_text() for row in page.select(".run-card tr.differs"))
    assert "bfloat16" in differing(record)
    assert command_of(record) in page.select_one("#command pre").get_text()  # type: ignore[union-attr]
    levels = [int(heading.name[1]) for heading in page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_a_diverged_run_has_a_page(tmp_path: Path) -> None:
    record = diverged(load_records(RESULTS / "mnist")[0], tmp_path)
    page = soup(body_of(record, Surroundings()))
    assert title_of(record).endswith("diverged")
    assert "diverged" in page.select_one("#outcome").get_text()  # type: ignore[union-attr]
    charts = [chart["aria-label"] for chart in page.find_all("svg")]
    assert "at initialisation" in charts[0]
    assert "after training" not in charts[0]


def test_a_study_shows_short_tables_whole_and_links_the_rest() -> None:
    record = max(load_studies(RESULTS / "lesion"), key=lambda r: r.parameters["blocks"])
    page = soup(body_of(record, Surroundings()))
    assert len(page.select("#tables table")) == len(list(record.folder.glob("*.csv")))
    shown = page.select_one('[aria-label="Table Correlations"] tbody')
    assert len(shown.find_all("tr")) == len(record.table("correlations"))  # type: ignore[union-attr]
    assert f"of {len(record.table('pruning'))} rows" in page.select_one("#tables").get_text()  # type: ignore[union-attr]


def test_pages_are_written_again_only_where_something_changed(tmp_path: Path) -> None:
    results, target = tmp_path / "results", tmp_path / "html"
    for folder in ("shipped-digits", "lesion"):
        shutil.copytree(RESULTS / folder, results / folder)
    first = write_all(results, target, SHELL, documents={"lesion": "Lesion"})
    times = {address: (target / address).stat().st_mtime_ns for address in first}
    records = load_studies(results / "lesion")
    stale = next(iter(records)).folder / "run.json"
    stale.write_text(re.sub(r'"source_hash": "\w+"', '"source_hash": "0"', stale.read_text()))
    shutil.rmtree(records[-1].folder)
    second = write_all(results, target, SHELL, documents={"lesion": "Lesion"}, stamps=first)
    written = {address for address in second if (target / address).stat().st_mtime_ns != times[address]}
    assert written == {page_url(records[0]), page_url(records[-2])}  # changed, and lost its neighbour
    assert set(first) - set(second) == {page_url(records[-1])}
    assert not (target / page_url(records[-1])).exists()
    assert "stale" in (target / page_url(records[0])).read_text()
    assert "../../lesion.html" in (target / page_url(records[0])).read_text()


def test_charts_leave_out_what_no_axis_can_show() -> None:
    curve = Curve("first", "a & b", [[(1, 0.1), (2, float("nan")), (3, 0.0), (4, 10.0)]])
    drawn = soup(chart([curve], x="x", y="y", alt='so "said"'))
    assert len(drawn.find("polyline")["points"].split()) == 2  # type: ignore[index, union-attr]
    assert drawn.find("svg")["aria-label"] == 'so "said"'  # type: ignore[index]
    assert "a & b" in drawn.get_text()
    assert "no finite numbers" in chart([], x="x", y="y", alt="none")
    assert Scale(0.01, 100, 0, 1, logarithmic=True)(1) == pytest.approx(0.5)
    assert Scale(1, 300, 0, 1).ticks() == [100, 200, 300]


@pytest.mark.book
def test_every_record_has_its_page_and_its_links_lead_somewhere(site: Site) -> None:
    check_site(site.tree.root / "results", site.html)


def check_site(results: Path, built: Path) -> None:
    """Every record's page is there, names its record, is marked stale exactly if it is, and links to what exists."""
    listed = {a["href"] for a in soup((built / "runs.html").read_text()).select(".run-index a")}
    broken = []
    for records in load_folders(results).values():
        for record in records:
            assert page_url(record) in listed
            page = soup((built / page_url(record)).read_text(encoding="utf-8"))
            assert bool(page.select(".run-badge.stale")) is not record.fresh
            assert page.title is not None
            assert title_of(record) in page.title.get_text()
            for link in page.select("[href], [src]"):
                where = str(link.get("href") or link.get("src"))
                if not re.match(r"[a-z]+:|#", where):
                    place = urldefrag(urljoin(f"/{page_url(record)}", where))[0].split("?")[0]
                    if not (built / place.lstrip("/")).is_file():
                        broken.append(f"{page_url(record)}: {where}")
    assert broken[:5] == []


@pytest.mark.book
@pytest.mark.browser
def test_the_index_sorts_by_mouse_and_by_keyboard_and_filters(site: Site, browser: Browser) -> None:
    column = "cells => cells.map(cell => Number(cell.dataset.value)).filter(value => !isNaN(value))"
    page = browser.new_page()
    page.goto(f"{(site.html / 'runs.html').as_uri()}{index_url('lesion').removeprefix('runs.html')}")
    shown = page.locator("#run-index tbody tr:visible")
    folders = shown.locator("td:first-child").all_inner_texts()
    assert set(folders) == {"lesion"}
    page.get_by_label("folder").select_option("")
    assert shown.count() > len(folders)
    head = page.locator("#run-index thead th", has_text="blocks")
    cells = page.locator("#run-index tbody tr td:nth-child(4)")
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    values = cells.evaluate_all(column)
    assert values == sorted(values)
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    values = cells.evaluate_all(column)
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1]
    page.get_by_label("words").fill("mnist seed-1")
    assert 0 < shown.count() < len(values)
    assert all("seed-1" in text for text in shown.all_inner_texts())
    page.close()


def test_a_run_that_ended_before_it_was_measured_has_a_page_without_figures(tmp_path: Path) -> None:
    record = read_record(next((ROOT / "results" / "shipped-digits").glob("blocks-006-*")))
    folder = Path(shutil.copytree(record.folder, tmp_path / "results" / "sweep" / record.name))
    for name in ("perturbations", "samples", "history", "conventions"):
        (folder / f"{name}.csv").write_text("\n", encoding="utf-8")
    assert "nothing to draw" in figures(read_record(folder))
