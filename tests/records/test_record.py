"""Records: written whole or not at all, read back as written, stale when the deciding code has changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resperturb.errors import RecordError
from resperturb.experiment import Experiment
from resperturb.records import record
from resperturb.records.freshness import source_hash
from resperturb.records.record import Record, check_record, load_records, read_record, summary, write_record


def facts(blocks: int = 6, seed: int = 0, **changes: Any) -> dict[str, Any]:
    experiment = Experiment(blocks=blocks, seed=seed)
    return {
        "format": record.FORMAT,
        "name": experiment.name,
        "experiment": experiment.to_dict(),
        "diverged": False,
        "accuracy": 0.9,
        "loss": 0.3,
        "averages": {"initialization": {"scaled": 0.5, "absolute": 2.0}, "end": {"scaled": 0.1, "absolute": 1.0}},
        "training": {"clock": 5.0, "images_per_second": 100.0},
        "wall_seconds": 1.0,
        "peak_memory_bytes": 10,
        "provenance": {"source_hash": source_hash()},
        **changes,
    }


def tables() -> dict[str, pd.DataFrame]:
    perturbations = {"snapshot": [0, 1], "moment": ["initialization", "end"], "block": [1, 1], "scaled": [0.5, 0.1]}
    columns: dict[str, dict[str, list[Any]]] = {
        "perturbations": perturbations,
        "samples": {"snapshot_0": [0.4, 0.6], "snapshot_1": [0.1, 0.3], "snapshot_2": [0.05, 0.15]},
        "conventions": {"convention": ["per channel"], "block": [1], "scaled": [0.1]},
        "history": {"epoch": [1]},
        "weights": {"snapshot": [0], "block": [1], "gain1": [1.0]},
    }
    return {name: pd.DataFrame(table) for name, table in columns.items()}


def store(results: Path, run: dict[str, Any]) -> Record:
    return write_record(results / run["name"], run, tables())


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    written = store(tmp_path, facts())
    record = read_record(written.folder)
    assert record.experiment == Experiment(blocks=6)
    assert (record.blocks, record.seed, record.diverged, record.fresh) == (6, 0, False, True)
    np.testing.assert_allclose(record.scaled_per_sample("initialization"), [0.4, 0.6])
    np.testing.assert_allclose(record.scaled_per_sample(), [0.05, 0.15])
    assert record.at("end")["scaled"].tolist() == [0.1]
    assert record.conventions["convention"].tolist() == ["per channel"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [record.name]


def test_a_record_replaces_one_of_its_name_and_a_failure_while_writing_leaves_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    store(tmp_path, facts(accuracy=0.1))
    store(tmp_path, facts(accuracy=0.2))
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RecordError, match=r"cannot be written \(No space left on device\)"):
        store(tmp_path, facts(accuracy=0.3))
    monkeypatch.undo()
    with pytest.raises(ValueError, match="JSON"):
        store(tmp_path, facts(accuracy=float("nan")))
    assert [record.accuracy for record in load_records(tmp_path)] == [0.2]
    assert len(list(tmp_path.iterdir())) == 1


def test_records_come_in_order_and_temporary_folders_are_no_records(tmp_path: Path) -> None:
    for blocks, seed in ((100, 0), (6, 1), (6, 0)):
        store(tmp_path, facts(blocks, seed))
    half = tmp_path / ".blocks-006-seed-9-abcdef"
    half.mkdir()
    (half / "run.json").write_text("{")
    assert [(r.blocks, r.seed) for r in load_records(tmp_path)] == [(6, 0), (6, 1), (100, 0)]


def test_missing_and_damaged_records_are_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no records"):
        load_records(tmp_path / "nothing")
    record = store(tmp_path, facts())
    (record.folder / "SHA256SUMS").unlink()  # as records from before there were checksums
    (record.folder / "run.json").write_text("{")
    with pytest.raises(RecordError, match="no readable record"):
        load_records(tmp_path)
    (record.folder / "run.json").write_text(json.dumps(facts(format=99)))
    with pytest.raises(RecordError, match="record format 99"):
        load_records(tmp_path)
    lost = store(tmp_path / "lost", facts())
    (lost.folder / "run.json").unlink()
    with pytest.raises(RecordError, match=r"has no run.json, so its record is damaged"):
        load_records(tmp_path / "lost")


def test_what_is_not_as_it_was_written_is_refused(tmp_path: Path) -> None:
    record = store(tmp_path, facts())
    done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=record.folder)
    assert done.returncode == 0
    path = record.folder / "history.csv"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1", b"9"))  # another number, and a table all the same
    with pytest.raises(RecordError, match=r"history\.csv is damaged"):
        read_record(record.folder).table("history")
    path.write_bytes(content)
    samples = record.folder / "samples.csv"
    away = samples.rename(tmp_path / samples.name)
    with pytest.raises(RecordError, match=r"samples\.csv cannot be read"):
        check_record(read_record(record.folder))
    away.rename(samples)
    sums = record.folder / "SHA256SUMS"
    sums.write_text("".join(sums.read_text().splitlines(keepends=True)[:-1]))  # cut short, at the end of a line
    with pytest.raises(RecordError, match="is damaged"):
        check_record(read_record(record.folder))


def test_records_without_checksums_are_read_as_they_are(tmp_path: Path) -> None:
    record = store(tmp_path, facts())
    (record.folder / "SHA256SUMS").unlink()
    check_record(read_record(record.folder))
    assert read_record(record.folder).history["epoch"].tolist() == [1]


@pytest.mark.parametrize("where", ["/proc/results", "file/results"])
def test_an_unwritable_folder_is_refused(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"results folder .* cannot be written"):
        record.check_writable(tmp_path / where)  # an absolute path stays itself


def test_the_summary_has_a_row_per_run(tmp_path: Path) -> None:
    store(tmp_path, facts(6))
    averages = {"initialization": {"scaled": 0.5, "absolute": 2.0}}
    store(tmp_path, facts(15, diverged=True, accuracy=None, loss=None, averages=averages))
    table = summary(load_records(tmp_path))
    assert table["blocks"].tolist() == [6, 15]
    assert table["diverged"].tolist() == [False, True]
    assert table["scaled_end"].isna().tolist() == [False, True]
