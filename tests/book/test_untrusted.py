"""Records of others: whatever words stand in them, pages show them as text and nothing else of the disk."""

from __future__ import annotations

import dataclasses
import json
import shutil
import types
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from conftest import ROOT
from markdown_it import MarkdownIt

from _ext import explorer
from _ext.run_pages import page_of
from report.claims import LedgerRow
from report.ledger import ledger_table
from report.matrix import full_table, matrix, statements
from report.repository import experiments_table
from report.run_facts import load_folders
from report.runs import index_data, index_table
from resperturb import figures
from resperturb.records.record import Record, load_records

ATTACK = "<script>alert(1)</script><img src=x onerror='alert(1)'>\"&"
FOLDER = "lesion<script>alert(1)<img src=x>"


def attacked(value: Any) -> Any:
    """The same, with every word replaced."""
    if isinstance(value, dict):
        return {name: attacked(each) for name, each in value.items()}
    return (
        [attacked(each) for each in value] if isinstance(value, list) else ATTACK if isinstance(value, str) else value
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A record of a run and one of each study, with every word replaced that reading them lets through."""
    folder = tmp_path / "results"
    for source in ("shipped-digits", "lesion", "text", "initialization", "published"):
        record = load_records(ROOT / "results" / source, kind=None)[0]
        target = folder / FOLDER.replace("lesion", source) / record.name
        shutil.copytree(record.folder, target)
        kept = {name: record.run[name] for name in ("study", "experiment") if name in record.run}
        (target / "run.json").write_text(json.dumps({**attacked(record.run), **kept}))
        (target / "SHA256SUMS").unlink(missing_ok=True)
    return folder


def dangers(page: str) -> list[str]:
    """Elements and attributes that could run a script."""
    found = BeautifulSoup(page, "html.parser").find_all(True)
    return [str(tag) for tag in found if tag.name in ("script", "img") or any(name[:2] == "on" for name in tag.attrs)]


def every_record(results: Path) -> list[Record]:
    records = [record for records in load_folders(results).values() for record in records]
    assert len(records) == 5
    return records


def test_the_test_sees_an_attack() -> None:
    assert len(dangers(ATTACK)) == 2


def test_the_index_of_all_runs(results: Path) -> None:
    page = index_table(index_data(results))
    assert dangers(page) == []
    assert ATTACK in BeautifulSoup(page, "html.parser").get_text()


def test_tables_of_figures(results: Path) -> None:
    table = pd.DataFrame({"sweep": [ATTACK], "words": [ATTACK], "number": [1.0]})
    (run,) = (record for record in every_record(results) if record.kind == "run")
    for shown in (figures.format_table(table), figures.averages_table(run), figures.cost_table(run)):
        assert dangers(shown.to_html()) == []


def test_the_ledger_and_the_matrix() -> None:
    words = {field.name: ATTACK for field in dataclasses.fields(LedgerRow)}
    row = LedgerRow(**{**words, "id": "mnist/x", "verdict": "holds", "chapter": "scaling#x"})
    for page in (statements([row], records=True), full_table([row], records=True), matrix([row])):
        assert dangers(page) == []
    assert len(ledger_table([row])) == 1


def test_titles_of_pages_of_runs(results: Path) -> None:
    for record in every_record(results):
        executed = record.folder.parent / "notebooks" / f"{record.name}.ipynb"
        executed.parent.mkdir(exist_ok=True)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# One run\n\nWords.")])
        nbformat.write(notebook, executed)
        title = nbformat.reads(page_of(executed), as_version=4).cells[0].source.splitlines()[0]
        page = MarkdownIt("commonmark").render(title)
        assert dangers(page) == []
        assert page.startswith("<h1>")


def test_names_of_notebooks(tmp_path: Path) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {ATTACK}\n\n{ATTACK}")]),
        folder / "<img src=x onerror=alert(1)>.ipynb",
    )
    assert dangers(experiments_table(tmp_path, None)) == []


def test_the_explorer_is_a_script_of_data_and_copies_no_link(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [
        explorer.Series(ATTACK, "digits", ATTACK, "preactivation", 0.0, ATTACK, 1, (record,), main=True)
        for record in every_record(results)
        if record.kind in ("run", "published")
    ]
    text = explorer.script(explorer.explorer_data(chosen))
    assert json.loads(text.removeprefix(f"window.{explorer.EXPLORER_GLOBAL} = ").removesuffix(";\n"))["series"]
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    linked = results / "linked" / "run" / "run.json"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(secret)
    html = tmp_path / "html"
    (html / "_static").mkdir(parents=True)
    monkeypatch.setattr(explorer, "all_series", lambda folder: chosen)
    app = types.SimpleNamespace(srcdir=tmp_path / "book", outdir=html, builder=types.SimpleNamespace(format="html"))
    explorer.write_explorer(app, None)
    assert len(list(html.rglob("run.json"))) == 5
    assert not (html / "results" / "linked").exists()
