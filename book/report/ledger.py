"""The ledger: all claims of the paper and the book that records can refute, in one table.

`make ledger` writes results/ledger.csv from the shipped records. A test recomputes every row and fails if one has
changed.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

import report.comparison_claims
import report.decay_claims
import report.full_size_claims
import report.mechanism_claims
import report.practice_claims
import report.published_claims
import report.reading_claims
import report.study_claims
import report.sweep_claims  # noqa: F401 (importing a module registers its claims)
from report.claims import CLAIMS, LedgerRow, Subject, rows_about
from report.decay import full_size_sweeps, primary_tests
from report.mechanism_claims import FIRST, FIRST_PRESETS
from resperturb.analysis.bootstrap import finished
from resperturb.records.record import Record, records_in
from resperturb.records.sweeps import KINDS, Sweep, base_of, load_sweeps, main_sweeps, sensitivity_sweeps
from resperturb.records.words import change_words

FILE = Path("results/ledger.csv")
LEDGER_COLUMNS = [field.name for field in dataclasses.fields(LedgerRow)]


def ledger(sweeps: dict[str, Sweep]) -> list[LedgerRow]:
    """Compute all rows: claims about main sweeps, comparisons of sweeps, then studies."""
    results = sweeps["digits"].records[0].folder.parent.parent
    tests = primary_tests(sweeps, results)
    about_sweeps = {
        "sweep": [
            Subject(
                name,
                accuracy_words(sweep.records),
                runs_in(sweep.folder, sweep.records),
                {"sweep": sweep, "base": None, "tests": tests},
            )
            for name, sweep in main_sweeps(sweeps).items()
        ],
        "kind": kind_subjects(sweeps),
        "sensitivity": choice_subjects(sweeps, tests),
        "full-size": full_size_subjects(results, sweeps, tests),
    }
    rows = [row for about, subjects in about_sweeps.items() for row in rows_about(about, subjects)]
    for folder in dict.fromkeys(folder for claim in CLAIMS for folder in claim.about):
        folders = FIRST_PRESETS if folder == FIRST else (folder,)
        if folder not in about_sweeps:
            rows += rows_about(folder, study_subjects(results, folder, folders, sweeps, tests))
    return rows


def runs_in(folder: str, records: Sized) -> str:
    return f"{folder} ({len(records)} runs)"


def comparison(sweep: Sweep, base: Sweep, more: Mapping[str, Any] = MappingProxyType({}), **words: str) -> Subject:
    data, records = {"sweep": sweep, "base": base, **more}, f"{runs_in(sweep.folder, sweep.records)}, {base.folder}"
    return Subject(sweep.name, accuracy_words(sweep.records), records, data, words)


def kind_subjects(sweeps: dict[str, Sweep]) -> Iterator[Subject]:
    """Yield the main sweeps with another kind of block than that of their data set."""
    for sweep in main_sweeps(sweeps).values():
        base = base_of(sweep, sweeps)
        if base is not None:
            yield comparison(sweep, base, kind=KINDS[sweep.block].capitalize(), usual=KINDS[base.block])


def choice_subjects(sweeps: dict[str, Sweep], tests: pd.DataFrame) -> Iterator[Subject]:
    """Yield the sweeps that vary another choice."""
    for sweep, base, fields in sensitivity_sweeps(sweeps).values():
        changes = [change_words(field, *values) for field, values in fields.items()]
        yield comparison(sweep, base, {"sweeps": sweeps, "tests": tests}, changes=" and ".join(changes))


def full_size_subjects(results: Path, sweeps: dict[str, Sweep], tests: pd.DataFrame) -> Iterator[Subject]:
    """Yield the sweeps at full size, those without decay last."""
    full = full_size_sweeps(results)
    for name, sweep in (full | full_size_sweeps(results, weight_decay=0.0)).items():
        data = {"sweep": sweep, "base": None, "full": full, "sweeps": sweeps, "tests": tests}
        yield Subject(name, accuracy_words(sweep.records), runs_in(sweep.folder, sweep.records), data)


def study_subjects(
    results: Path, name: str, folders: Sequence[str], sweeps: dict[str, Sweep], tests: pd.DataFrame
) -> list[Subject]:
    """Return the subject of the studies in some folders, if they have records."""
    found = {folder: records_in(results / folder) for folder in folders}
    records = [record for there in found.values() for record in there]
    if not records:
        return []
    data = {"records": records, "runs": finished(records), "results": results, "sweeps": sweeps, "tests": tests}
    runs = ", ".join(runs_in(f"results/{folder}", there) for folder, there in found.items())
    return [Subject(name, accuracy_words(records), runs, data)]


def accuracy_words(records: Iterable[Record]) -> str:
    """Format the range of test accuracies; empty without any."""
    found = []
    for record in records:
        if "accuracy" in record.run:
            found.append(record.accuracy)
        elif (record.folder / "network.csv").is_file() and "accuracy" in record.table("network"):
            found.append(record.table("network")["accuracy"].item())
    found = [value for value in found if value is not None and value == value]
    return f"{min(found):.1%} to {max(found):.1%}" if found else ""


def ledger_table(rows: Iterable[LedgerRow]) -> pd.DataFrame:
    """Tabulate rows with the fields of :class:`report.claims.LedgerRow`."""
    return pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=LEDGER_COLUMNS)


def write_ledger(root: Path) -> Path:
    """Write the ledger of the shipped records and return its file."""
    file = root / FILE
    ledger_table(ledger(load_sweeps(root / "results", own=False))).to_csv(file, index=False, lineterminator="\n")
    return file


def read_ledger(root: Path) -> pd.DataFrame:
    """Read the written ledger; an empty interval is an empty string."""
    return pd.read_csv(root / FILE, dtype=str, keep_default_na=False)


def main() -> int:
    print(write_ledger(Path(__file__).parents[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
