"""Results are cached; a chapter's tables can be read as text, and its commands exist."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.synchronize
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

from _ext.build import end_readers
from report import cache, chapter
from report.claims import LedgerRow
from report.run_facts import declared
from resperturb.experiment.presets import sweep_names
from resperturb.records.sweeps import Sweep
from resperturb.studies.plan import study_names


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be read from as chapters are: the cache is beside it."""
    (tmp_path / "book").mkdir()
    monkeypatch.chdir(tmp_path / "book")
    return tmp_path / "book"


@pytest.fixture
def ledger_rows(rows: dict[str, LedgerRow], monkeypatch: pytest.MonkeyPatch) -> list[LedgerRow]:
    """The ledger, which chapters have from their cache."""
    monkeypatch.setattr(chapter, "ledger_rows", lambda sweeps: list(rows.values()))
    return list(rows.values())


def test_a_result_is_cached_until_a_file_behind_it_changes(book: Path) -> None:
    calls = []

    def count(sweeps: dict[str, Sweep]) -> int:
        calls.append(len(sweeps))
        return len(calls)

    assert [cache.cached(count, {}), cache.cached(count, {})] == [1, 1]
    config = book.parent / "config" / "new.yaml"
    config.parent.mkdir()
    config.write_text("blocks: [6]\n", encoding="utf-8")
    assert [cache.cached(count, {}), cache.cached(count, {})] == [2, 2]


def test_chapters_that_run_side_by_side_compute_once(book: Path) -> None:
    calls = []

    def count(sweeps: dict[str, Sweep]) -> int:
        calls.append(len(sweeps))
        time.sleep(0.2)
        return len(calls)

    with ThreadPoolExecutor(3) as chapters:
        assert list(chapters.map(lambda _: cache.cached(count, {}), range(3))) == [1, 1, 1]


def deaf(ready: multiprocessing.synchronize.Event) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    ready.set()
    time.sleep(60)


def test_a_failed_build_ends_readers_that_ignore_sigterm() -> None:
    processes = multiprocessing.get_context("fork")
    ready = processes.Event()
    reader = processes.Process(target=deaf, args=(ready,))
    reader.start()
    assert ready.wait(10)
    end_readers(None, None)  # a build that succeeded ends nobody
    reader.terminate()
    reader.join(0.2)
    assert reader.is_alive()
    end_readers(None, RuntimeError("a chapter failed"))
    reader.join(10)
    assert not reader.is_alive()


def test_a_statement_is_a_line_that_opens_to_its_rows(sweeps: dict[str, Sweep], ledger_rows: list[LedgerRow]) -> None:
    found = BeautifulSoup(chapter.verdicts(sweeps, "method", records=True).data, "html.parser")
    rows = [row for row in ledger_rows if row.page == "method"]
    lines = found.select("details.verdict")
    assert len(lines) == len({row.statement for row in rows})
    assert found.select_one("details.verdicts > summary").get_text().startswith(f"{len(lines)} statements: ")
    assert rows[0].statement in lines[0].find("summary").get_text()
    first = [row for row in rows if row.statement == rows[0].statement]
    marks = [mark.get_text() for mark in lines[0].find("summary").select(".found")]
    assert len(marks) == len(first)
    assert first[0].verdict in marks[0]  # for a screen reader, which is not read the sign
    assert len(found.select("td")) == 6 * len(rows)
    cells = [cell.get_text() for cell in lines[0].find_all("td")]
    assert rows[0].value in cells
    assert lines[0].find("a", href=f"runs.html#folder={ROOT.joinpath(sweeps['digits'].folder).name}")


def test_stacked_tables_say_which_sweep_a_row_is_of(sweeps: dict[str, Sweep]) -> None:
    tables = {name: sweeps[name].records[0].history for name in ("digits", "mnist")}
    stacked = chapter.stacked(tables)
    assert stacked.columns[0] == "sweep"
    assert stacked["sweep"].unique().tolist() == ["digits", "mnist"]


def commands(pattern: str) -> set[str]:
    """What the chapters and the README tell a reader to run."""
    pages = [ROOT / "README.md", *(ROOT / "book").glob("*.md")]
    return {words for page in pages for words in re.findall(pattern, page.read_text(encoding="utf-8"))}


def test_commands_name_notebooks_parameters_and_presets_that_exist() -> None:
    runs = commands(r"papermill notebooks/([\w]+\.ipynb [^`#\n]*)")
    assert len(runs) > 3
    for run in runs:
        notebook, *words = run.split()
        names = {name for flag, name in itertools.pairwise(words) if flag == "-p"}
        assert names <= set(declared(notebook.removesuffix(".ipynb"))), run
    assert commands(r"make sweep PRESET=([\w-]+)") <= {*sweep_names(), *study_names()}
