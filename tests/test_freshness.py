"""The build says which records are stale, and the chapters' tables can be read as text."""

from __future__ import annotations

import json
from pathlib import Path

from bs4 import BeautifulSoup
from variants import copy_sweep

from resperturb import chapter
from resperturb.freshness import stale_lines
from resperturb.ledger import ledger
from resperturb.records import source_hash
from resperturb.sweeps import sweeps

ROOT = Path(__file__).parent.parent


def stamp(folder: Path, value: str) -> None:
    run = json.loads((folder / "run.json").read_text())
    run["provenance"]["source_hash"] = value
    (folder / "run.json").write_text(json.dumps(run))


def test_a_line_for_every_sweep_with_stale_records(tmp_path: Path) -> None:
    records = copy_sweep(tmp_path / "mnist")
    (tmp_path / "empty").mkdir()
    for record in records:
        stamp(record.folder, source_hash())
    assert stale_lines(tmp_path) == []
    stamp(records[1].folder, "another")
    (line,) = stale_lines(tmp_path)
    assert line.startswith(f"stale records: 1 of {len(records)} in results/mnist ")
    assert records[1].name in line


def test_a_ledger_table_has_a_statement_above_its_sweeps() -> None:
    found = sweeps(ROOT / "results", own=False)
    table = BeautifulSoup(chapter.verdicts(found, "method", records=True).data, "html.parser")
    rows = ledger(found, "method")
    heads = table.find_all("th", scope="rowgroup")
    assert len(heads) == len({row.statement for row in rows})
    assert rows[0].statement in heads[0].get_text()
    cells = [cell.get_text() for cell in table.find_all("td")]
    assert len(cells) == 5 * len(rows)
    assert rows[0].value in cells
    assert rows[0].records in cells


def test_links_lead_to_pages_and_anchors() -> None:
    assert chapter.link("stopping_rule#a-depth-left-out") == (
        '<a href="stopping_rule.html#a-depth-left-out">stopping rule</a>'
    )


def test_stacked_tables_say_which_sweep_a_row_is_of() -> None:
    found = sweeps(ROOT / "results", own=False)
    tables = {name: found[name].records[0].history for name in ("digits", "mnist")}
    stacked = chapter.stacked(tables)
    assert stacked.columns[0] == "sweep"
    assert stacked["sweep"].unique().tolist() == ["digits", "mnist"]
