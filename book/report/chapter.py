"""What a chapter needs around its figures: the records, numbers for its prose, data files for its readers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
from IPython.display import HTML

from report.cache import RESULTS, cached
from report.claims import LedgerRow
from report.ledger import ledger
from report.matrix import statements
from report.quantities import (
    SCHEDULES,
    machine_time,
    main_quantities,
    published_clock,
    records_of_all,
    records_of_runs,
)
from resperturb import figures
from resperturb.records.record import Record, load_records
from resperturb.records.sweeps import Sweep, load_sweeps, main_sweeps, records_of

DATA = Path("_data")  # tables behind the figures, written while the book is built and offered for download


def open_chapter() -> dict[str, Sweep]:
    """Set the figures' style, hand numbers to the prose, and load the sweeps.

    Prose names a row of the ledger by its id, {glue:text}`mnist/exponent-end`, with /interval behind it;
    a number that no claim is about by its sweep and name, {glue:text}`mnist/accuracy_low:.1%`; and the records of a
    main sweep, or of them all, by {glue:text}`mnist/records` and {glue:text}`records`. {glue:text}`T_he2015:.1f` is the
    time under weight decay of a published schedule.
    """
    figures.use_style()
    sweeps = load_sweeps(RESULTS)
    main = main_sweeps(sweeps)
    for row in ledger_rows(sweeps):
        glue_all(row.id, {"": row.value, **({"/interval": row.interval} if row.interval else {})})
    for name, numbers in cached(main_quantities, sweeps).items():
        glue_all(f"{name}/", numbers)
    glue_all("", {"records": records_of_all(main.values())})
    glue_all("T_", {name: published_clock(name) for name in SCHEDULES})
    glue_all("", {f"{name}/records": records_of(sweep) for name, sweep in main.items()})
    return sweeps


def glue_all(prefix: str, values: Mapping[str, object]) -> None:
    """Hand values to the prose, each under the prefix and its name."""
    from myst_nb import glue

    for name, value in values.items():
        glue(f"{prefix}{name}", value, display=False)


def ledger_rows(sweeps: dict[str, Sweep]) -> list[LedgerRow]:
    """The ledger of all sweeps."""
    return cached(ledger, sweeps)


def open_study(folder: str) -> tuple[dict[str, Sweep], list[Record]]:
    """Open a chapter on a study: the sweeps, and the records of the study.

    Prose names these by {glue:text}`study_records`, and their cost by {glue:text}`study_minutes:.1f` and the like.

    Raises:
        RecordError: the study has no records.
    """
    sweeps, records = open_chapter(), load_records(RESULTS / folder, kind=None)
    glue_all("study_", {"records": records_of_runs(records), **machine_time(records)})
    return sweeps, records


def save_table(name: str, table: pd.DataFrame) -> None:
    """Write the numbers behind a figure to _data/<name>.csv, which the page offers for download."""
    DATA.mkdir(exist_ok=True)
    table.to_csv(DATA / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")


def stacked(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of several sweeps as one, with the sweep in the first column."""
    return pd.concat([table.assign(sweep=name)[["sweep", *table.columns]] for name, table in tables.items()])


def verdicts(
    sweeps: dict[str, Sweep],
    page: str | None = None,
    names: Collection[str] = (),
    *,
    among: Collection[str] | None = None,
    records: bool = False,
) -> HTML:
    """Rows of the ledger as a chapter prints them: a line for each statement with a mark for each network.

    A line opens to the values, intervals and verdicts behind its marks.

    Args:
        sweeps: all sweeps.
        page: only rows that this page shows; all, with links to their pages, where it is None.
        names: only statements of these names.
        among: only rows of these sweeps.
        records: name the runs of each row, and the accuracy of its networks.
    """
    shown = [row for row in ledger_rows(sweeps) if row.shown(page, names)]
    chosen = [row for row in shown if among is None or row.subject in among]
    return HTML(statements(chosen, records=records, linked=page is None))
