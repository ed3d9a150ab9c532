"""Changed sources that give the same numbers leave records fresh; those that do not leave them stale."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from resperturb import Experiment, load_records, run
from resperturb.records.freshness import EQUIVALENT, source_hash
from resperturb.records.record import Record, read_record
from resperturb.studies import equivalence

TINY = {"blocks": 3, "width": 4, "epochs": 1, "train_size": 128, "test_size": 64, "measured_images": 32, "threads": 1}
OLD = "0123456789abcdef"


@pytest.fixture
def stale(tmp_path: Path) -> Record:
    """A record of sources that are no more."""
    folder = tmp_path / "sweep"
    for blocks in (3, 4):
        record = run(Experiment(**TINY | {"blocks": blocks}), folder, report=lambda line: None)
        facts = json.loads((record.folder / "run.json").read_text())
        facts["provenance"]["source_hash"] = OLD
        (record.folder / "run.json").write_text(json.dumps(facts))
    assert not any(record.fresh for record in load_records(folder))
    return load_records(folder)[0]


def test_the_same_numbers_make_records_fresh(stale: Record, capsys: pytest.CaptureFixture[str]) -> None:
    assert equivalence.main([str(stale.folder.parent)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"sweep/{stale.name}: the same numbers"]  # the shallowest alone
    assert all(record.fresh for record in load_records(stale.folder.parent))
    shown = json.loads((stale.folder.parent.parent / EQUIVALENT).read_text())
    assert shown[source_hash()][OLD]["shown by"] == [f"sweep/{stale.name}"]


@pytest.mark.parametrize("table", ["perturbations", "samples", "conventions"])
def test_one_other_number_leaves_them_stale(stale: Record, table: str) -> None:
    path = stale.folder / f"{table}.csv"
    numbers = pd.read_csv(path)
    column = "scaled" if "scaled" in numbers else numbers.columns[0]
    numbers.loc[numbers[column].idxmax(), column] *= 1.001
    numbers.to_csv(path, index=False)
    assert equivalence.main([str(stale.folder.parent)]) == 1
    assert not read_record(stale.folder).fresh


def test_what_was_shown_of_other_sources_is_kept(stale: Record) -> None:
    register = stale.folder.parent.parent / EQUIVALENT
    other = {"fedcba9876543210": {OLD: {"shown by": ["another study"]}}}
    register.write_text(json.dumps(other))
    assert equivalence.main([str(stale.folder.parent)]) == 0
    assert json.loads(register.read_text()).items() > other.items()


def test_nothing_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(Experiment(**TINY), tmp_path / "sweep", report=lambda line: None)
    assert equivalence.main([str(tmp_path / "sweep")]) == 0
    assert capsys.readouterr().out == "no record is stale\n"
    assert not (tmp_path / EQUIVALENT).exists()


def test_no_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert equivalence.main([str(tmp_path)]) == 2
    assert "holds no records" in capsys.readouterr().err
