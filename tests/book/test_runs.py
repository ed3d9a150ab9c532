"""Every record says how to make it again; the index of all runs has them all, sorts and filters."""

from __future__ import annotations

import ast
import dataclasses
import shlex
from typing import Any

import pytest
import yaml
from bs4 import BeautifulSoup
from conftest import ROOT, Site
from playwright.sync_api import Browser

from report.run_facts import command_of, differing, load_folders, parameters_of, title_of
from report.runs import index_data, index_table
from resperturb.experiment import Experiment
from resperturb.records.record import Record, load_records
from resperturb.studies.plan import study_class

RESULTS = ROOT / "results"


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


def test_every_command_makes_its_own_record_again() -> None:
    checked = 0
    for records in load_folders(RESULTS).values():
        for record in records:
            kind = Experiment if record.kind == "run" else study_class(record.kind)
            assert kind.from_mapping(given_by(command_of(record))).name == record.name, command_of(record)
            checked += 1
    assert checked == len(list(RESULTS.glob("*/[!.]*/run.json")))


@pytest.mark.parametrize("notebook", ["sweep", "initialization", "lesion", "published", "text"])
def test_defaults_are_those_of_the_class(notebook: str) -> None:
    kind: Any = Experiment if notebook == "sweep" else study_class(notebook)
    plain = dataclasses.asdict(kind())
    run = {"study": notebook, "parameters": plain} if notebook != "sweep" else {"experiment": plain}
    record = Record(RESULTS / "none" / "none", run)
    found = {parameter.name: parameter for parameter in parameters_of(record)}
    assert set(found) == set(plain)
    assert [name for name, parameter in found.items() if parameter.differs and name != "threads"] == []
    assert all(parameter.meaning for parameter in found.values())


def test_a_title_says_what_differs_from_the_defaults() -> None:
    record = load_records(RESULTS / "mnist-postactivation")[0]
    words = ["post-activation blocks", "6 epochs", "batches of 128 images", "60000 training images"]
    words.append("training in bfloat16")
    assert differing(record) == words
    assert title_of(record) == f"MNIST, 6 blocks, seed 0, {', '.join(words)}"
    diverged = Record(record.folder, {**record.run, "diverged": True})
    assert title_of(diverged).endswith(", diverged")


def test_the_index_has_a_row_for_every_record() -> None:
    data = index_data(RESULTS)
    assert len(data) == len(list(RESULTS.glob("*/[!.]*/run.json")))
    table = BeautifulSoup(index_table(data), "html.parser")
    assert len(table.select("tbody tr")) == len(data)
    links = table.select("tbody a")
    assert len(links) == len(data)
    assert all((ROOT / str(link["href"])).is_file() for link in links)
    assert data["state"].isin(["fresh", "stale", "diverged"]).all()
    assert (data["T"] > 0).any()


@pytest.mark.book
@pytest.mark.browser
def test_the_index_sorts_by_mouse_and_by_keyboard_and_filters(site: Site, browser: Browser) -> None:
    column = "cells => cells.map(cell => parseFloat(cell.textContent)).filter(value => !isNaN(value))"
    page = browser.new_page()
    page.goto(f"{(site.html / 'runs.html').as_uri()}#folder=lesion")
    shown = page.locator("#run-index tbody tr:visible")
    folders = shown.locator("td:first-child").all_inner_texts()
    assert set(folders) == {"lesion"}
    page.get_by_label("folder").select_option("")
    assert shown.count() > len(folders)
    head = page.locator("#run-index thead th", has_text="blocks")
    cells = page.locator("#run-index tbody tr td:nth-child(3)")
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
