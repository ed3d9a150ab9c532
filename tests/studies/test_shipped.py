"""The shipped records of studies: those of their presets, in the ledger, and tables made of them."""

from __future__ import annotations

import pytest
from conftest import ROOT

from report.claims import CLAIMS, LedgerRow
from report.decay import FULL_SIZE
from resperturb.records.record import Record, load_records, records_in
from resperturb.records.sweeps import FEWEST_DEPTHS
from resperturb.studies.plan import load_plan, study_class, study_names

RESULTS = ROOT / "results"
AXES = {"decay-digits", "decay-mnist", "decay-cifar10", "without-blocks"}
# Runs that claims are about; of those, what was run.
WANTED = {*AXES, *FULL_SIZE, "clock-steps", "mechanism-mnist", "mechanism-second", "mechanism-cifar10", "text-long"}
PLANNED = {name for name in WANTED if list((RESULTS / name).glob("*/run.json"))}
SHIPPED = [name for name in study_names() if load_plan(name).notebook != "sweep" and (RESULTS / name).is_dir()]


def shipped(name: str) -> list[Record]:
    return load_records(RESULTS / name, kind=None)


@pytest.mark.parametrize("name", [*SHIPPED, *sorted(PLANNED)])
def test_shipped_records_are_those_of_their_preset(name: str) -> None:
    records = shipped(name)
    names, planned = {record.name for record in records}, {run.name for run in load_plan(name).runs}
    assert names <= planned
    assert name in PLANNED or names == planned
    for record in records:
        if record.kind != "run":
            assert study_class(record.kind).from_mapping(record.parameters).name == record.name


def test_every_study_has_rows_in_the_ledger_and_a_chapter(rows: dict[str, LedgerRow]) -> None:
    folders = {folder for claim in CLAIMS for folder in claim.about} - {"sweep", "kind", "sensitivity", "first-round"}
    folders = (folders - {"full-size"}) | {*FULL_SIZE}
    assert folders >= WANTED
    begun = {name for name in FULL_SIZE if len({r.blocks for r in records_in(RESULTS / name)}) < FEWEST_DEPTHS}
    folders -= (WANTED - PLANNED) | begun  # not run yet, or too few depths
    there = {row.id.split("/")[0] for row in rows.values()} & {*study_names()}
    assert folders == there == {*SHIPPED, *PLANNED} - begun
    pages = {path.stem for path in (ROOT / "book").glob("*.md")}
    assert {row.chapter.split("#")[0] for row in rows.values()} <= pages
