"""Helpers of the chapters: records, numbers for the prose, and data files for readers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
from IPython.display import HTML

from report.cache import RESULTS, cached
from report.claims import LedgerRow
from report.ledger import ledger
from report.matrix import statements
from report.quantities import PUBLISHED_SCHEDULES, published_clock, quantities
from resperturb import figures
from resperturb.records.sweeps import Sweep, load_sweeps, main_sweeps

DATA = Path("_data")  # tables behind the figures, for download


def open_chapter() -> dict[str, Sweep]:
    """Set the style of figures, glue the numbers for the prose, and load the sweeps.

    The glued names are the ids of the ledger's rows ("mnist/exponent-end", "mnist/exponent-end/interval", and
    "mnist/exponent-end/short" without brackets), the quantities of main sweeps ("mnist/accuracy_low"), their folders
    ("records"), and the time under weight decay of published schedules ("T_he2015").
    """
    figures.use_style()
    sweeps = load_sweeps(RESULTS)
    main = main_sweeps(sweeps)
    for row in ledger_rows(sweeps):
        glue_all(row.id, {"": row.value, "/short": row.value.partition(" (")[0]})
        glue_all(row.id, {"/interval": row.interval} if row.interval else {})
    glue_all("", {"records": ", ".join(sweep.folder for sweep in main.values())})
    glue_all("T_", {name: published_clock(name) for name in PUBLISHED_SCHEDULES})
    for name, sweep in main.items():
        glue_all(f"{name}/", quantities(sweep))
    return sweeps


def glue_all(prefix: str, values: Mapping[str, object]) -> None:
    """Glue values under the prefix and their names."""
    from myst_nb import glue

    for name, value in values.items():
        glue(f"{prefix}{name}", value, display=False)


def ledger_rows(sweeps: dict[str, Sweep]) -> list[LedgerRow]:
    """Compute the ledger, cached."""
    return cached(ledger, sweeps)


def save_table(name: str, table: pd.DataFrame) -> None:
    """Write the numbers of a figure to _data/<name>.csv, for download."""
    DATA.mkdir(exist_ok=True)
    table.to_csv(DATA / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")


def stacked(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Join tables of several sweeps, with the name of the sweep in the first column."""
    return pd.concat([table.assign(sweep=name)[["sweep", *table.columns]] for name, table in tables.items()])


def verdicts(
    sweeps: dict[str, Sweep],
    page: str,
    names: Collection[str] = (),
    *,
    among: Collection[str] | None = None,
    records: bool = False,
) -> HTML:
    """Format rows of the ledger for a chapter: a line for each statement, with marks that open to values and verdicts.

    Args:
        sweeps: all sweeps.
        page: the page of the book that shows them.
        names: only claims of these names; empty: all.
        among: only rows of these sweeps; None: all.
        records: add the runs and the accuracy of their networks.
    """
    shown = [row for row in ledger_rows(sweeps) if row.page == page and (not names or row.name in names)]
    return HTML(statements([row for row in shown if among is None or row.subject in among], records=records))
