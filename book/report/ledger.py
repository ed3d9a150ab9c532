"""The ledger: every claim of the paper and every sentence of the book that a number could refute, in one table.

`make ledger` writes results/ledger.csv from the shipped records. A test recomputes every row and fails
where one has changed, so that no sentence outlives its data.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from report.claims import HOLDS, NOT, OPEN, OURS, ROUGH, STATEMENTS, Row
from report.study_claims import carried_rows, clock_rows, study_rows
from resperturb.analysis.conventions import on_shared_depths
from resperturb.analysis.summaries import ROUGHLY, interval, signed
from resperturb.records.sweeps import KINDS, Sweep, base_of, main_sweeps, sensitivity_sweeps, sweeps

FILE = Path("results/ledger.csv")
COLUMNS = [field.name for field in dataclasses.fields(Row)]
MARKS = {HOLDS: "✓", ROUGH: "≈", NOT: "✗", OPEN: "?"}


def compared(sweep: Sweep, base: Sweep, name: str, sentence: str, chapter: str) -> Row | None:
    """Whether another way to train or to build leaves the exponent after training where it was."""
    laws = on_shared_depths(sweep, base)
    if laws is None:
        return None
    here, there = laws
    moved = here.exponent - there.exponent
    reach = max(here.high - here.exponent, here.exponent - here.low)
    word = HOLDS if abs(moved) <= ROUGHLY else NOT if abs(moved) > ROUGHLY + reach else OPEN
    value = f"{signed(here.exponent)} against {signed(there.exponent)}"
    records = f"{sweep.folder} ({len(sweep.records)} runs), {base.folder}"
    return Row(f"{sweep.name}/{name}", OURS, sentence, value, interval(here), word, chapter, records)


def across(found: dict[str, Sweep]) -> list[Row]:
    """Rows that compare two sweeps: kinds of block, and what was varied beside."""
    rows: list[Row | None] = []
    for sweep in main_sweeps(found).values():
        base = base_of(sweep, found)
        if base is not None:
            sentence = (
                f"{KINDS[sweep.block].capitalize()} blocks have the exponent of {KINDS[base.block]} blocks after "
                f"training, within {ROUGHLY}."
            )
            rows.append(compared(sweep, base, "kind", sentence, "scaling#all-exponents"))
    for sweep, base, fields in sensitivity_sweeps(found).values():
        what = " and ".join(f"{field} {given} in place of {usual}" for field, (given, usual) in fields.items())
        sentence = f"With {what}, the exponent after training is the same, within {ROUGHLY}."
        rows.append(compared(sweep, base, "sensitivity", sentence, "choices#what-a-change-does"))
    return [row for row in rows if row is not None]


def ledger(found: dict[str, Sweep]) -> list[Row]:
    """All rows: statement by statement, each for every main sweep that can say something of it; then comparisons,
    and what the studies say."""
    rows = [statement.row(sweep, found) for statement in STATEMENTS for sweep in main_sweeps(found).values()]
    results = results_of(found)
    rows += [
        *across(found),
        *study_rows(results, found["digits"].records),
        *clock_rows(results),
        *carried_rows(results),
    ]
    return [row for row in rows if row is not None]


def results_of(found: dict[str, Sweep]) -> Path:
    """The folder of all records, read off those of the default sweep."""
    return found["digits"].records[0].folder.parent.parent


def ledger_table(rows: Iterable[Row]) -> pd.DataFrame:
    """A row each, in the order and under the names of :class:`report.claims.Row`."""
    return pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=COLUMNS)


def write_ledger(root: Path) -> Path:
    """Write the ledger of the shipped records, and return where."""
    file = root / FILE
    ledger_table(ledger(sweeps(root / "results", own=False))).to_csv(file, index=False, lineterminator="\n")
    return file


def read_ledger(root: Path) -> pd.DataFrame:
    """The ledger as it was last written; an empty interval is an empty word."""
    return pd.read_csv(root / FILE, dtype=str, keep_default_na=False)


def main() -> int:
    print(write_ledger(Path(__file__).parents[2]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
