"""Merging: records of several machines come together whole; what would mix or lose results is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import DIGITS
from conftest import ROOT

from resperturb.cli import main
from resperturb.errors import RecordError
from resperturb.records.merge import check_whole, merge, results_in
from resperturb.records.record import load_records, records_in

RUNS = sorted(record.name for record in load_records(DIGITS))[:3]


def machine(folder: Path, *names: str) -> Path:
    """A folder of shipped records, as another machine would have it."""
    for name in names:
        shutil.copytree(DIGITS / name, folder / name)
    return folder


def edit_run(record: Path, **changes: object) -> None:
    path = record / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes) + "\n")


def test_records_of_two_machines_become_one_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = machine(tmp_path / "one", *RUNS[:2]), machine(tmp_path / "two", *RUNS[1:])
    edit_run(two / RUNS[1], wall_seconds=7.0)  # the same run, made again elsewhere
    target = tmp_path / "results" / "sweep"
    assert main(["merge", str(one), str(two), "--results", str(target)]) == 0
    assert capsys.readouterr().out.endswith("sweep: 3 records copied\n")
    assert sorted(path.name for path in target.iterdir()) == RUNS
    assert all(results_in(target / name) == results_in(DIGITS / name) for name in RUNS)
    assert merge([one, two], target) == []


def other_loss(record: Path) -> None:
    edit_run(record, loss=9.0)


def other_table(record: Path) -> None:
    path = record / "samples.csv"
    path.write_text(path.read_text().replace("1", "2"))


def cut_short(record: Path) -> None:
    path = record / "samples.csv"
    path.write_bytes(path.read_bytes()[:-7])


def without_tables(record: Path) -> None:
    for path in record.glob("*.csv"):
        path.unlink()


def renamed(record: Path) -> None:
    record.rename(record.with_name("blocks-999"))


def with_a_link(record: Path) -> None:
    (record / "samples.csv").unlink()
    (record / "samples.csv").symlink_to(ROOT / "README.md")


def with_a_script(record: Path) -> None:
    (record / "run.sh").write_text("\n")


def of_a_study(record: Path) -> None:
    study = next((ROOT / "results" / "lesion").glob("[!.]*/run.json")).parent
    shutil.copytree(study, record.with_name(study.name))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_loss, "are of one run but differ in loss; remove one of them"),
        (other_table, "are of one run but differ in samples.csv"),
        (cut_short, "no tables, or a part of one; copy it again"),
        (without_tables, "no tables, or a part of one"),
        (renamed, "record of another run"),
        (with_a_link, "samples.csv is no file of a record"),
        (with_a_script, "run.sh is no file of a record"),
        (of_a_study, "is a run, but .* a lesion; merge one kind|is a lesion, but .* a run; merge one kind"),
    ],
)
def test_what_cannot_be_merged_is_refused_before_anything_is_copied(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    one, two = machine(tmp_path / "one", *RUNS[:2]), machine(tmp_path / "two", *RUNS[1:])
    damage(two / RUNS[1])
    with pytest.raises(RecordError, match=message):
        merge([one, two], tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_every_shipped_record_is_whole() -> None:
    for folder in (ROOT / "results").iterdir():
        for record in records_in(folder):
            check_whole(record)
