"""Records of several machines in one sweep: copied whole, two different results of one run refused."""

from __future__ import annotations

import csv
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from resperturb.errors import RecordError
from resperturb.records.record import CHECKSUMS, Record, check_record, check_writable, load_records

COSTS = re.compile(r"seconds|images_per_second|peak_memory|provenance|sources|resumed|threads|device|checkpointing")
"""Names of facts that are no results: what a run took, and where and how it was computed."""


def merge(sources: Iterable[Path | str], target: Path | str) -> list[Record]:
    """Copy the records of other folders into one, each whole. A record that is there already stays.

    Returns:
        The records that were copied.

    Raises:
        RecordError: a folder has no records or a damaged one, kinds of records differ, or two records of one run have
            other results. Nothing is copied then.
    """
    target = Path(target)
    there = load_records(target, kind=None) if any(target.glob("[!.]*/run.json")) else []
    found, new = {record.name: record for record in there}, []
    for record in (record for source in sources for record in load_records(source, kind=None)):
        check_whole(record)
        first = found.setdefault(record.name, record)
        some = next(iter(found.values()))
        if record.kind != some.kind:
            raise RecordError(f"{record.folder} is a {record.kind}, but {some.folder} a {some.kind}; merge one kind.")
        if first is record:
            new.append(record)
        elif differing := first_difference(first.folder, record.folder):
            raise RecordError(
                f"{first.folder} and {record.folder} are of one run but differ in {differing}; remove one of them."
            )
    check_writable(target)
    for record in new:
        with tempfile.TemporaryDirectory(prefix=f".{record.name}-", dir=target) as staging:
            whole = Path(staging, "whole")
            shutil.copytree(record.folder, whole)
            whole.rename(target / record.name)
    return new


def check_whole(record: Record) -> None:
    """Refuse a record of another name, one without tables or with a part of one, and links and files of others.

    Raises:
        RecordError: it is such a record.
    """
    if record.run.get("name") != record.name or (record.kind == "run" and record.experiment.name != record.name):
        raise RecordError(f"{record.folder} is the record of another run; restore its name, or run it again.")
    files = sorted(record.folder.iterdir())
    for path in files:
        named = path.name in ("run.json", CHECKSUMS) or path.suffix == ".csv"
        if path.is_symlink() or not path.is_file() or not named:
            raise RecordError(f"{path} is no file of a record, which are run.json and tables (.csv); remove it.")
    if len(files) < 2 or not all(path.read_bytes().endswith(b"\n") for path in files):
        raise RecordError(f"{record.folder} has no tables, or a part of one; copy it again.")
    check_record(record)


def first_difference(one: Path, other: Path) -> str:
    """Name the first result in which two records differ; "" where they agree."""
    ours, theirs = results_in(one), results_in(other)
    return next((name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)), "")


def results_in(folder: Path) -> dict[str, Any]:
    """All results that a record holds, as text: numbers of run.json and columns of tables, by name."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    facts: dict[str, Any] = {str(name): repr(value) for name, value in pd.json_normalize(run).iloc[0].items()}
    for table in folder.glob("*.csv"):
        with table.open(encoding="utf-8", newline="") as lines:
            facts |= {f"{table.name} {name}": values for name, *values in zip(*csv.reader(lines), strict=True)}
    return {name: fact for name, fact in facts.items() if not COSTS.search(name)}
