"""What a chapter needs around its figures: the records, numbers for its prose, data files for its readers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from resperturb import figures
from resperturb.claims import Sweep, quantities, sweeps

RESULTS = Path("../results")  # as seen from book/, where chapters run
DATA = Path("_data")  # tables behind the figures, written while the book is built and offered for download


def open_chapter() -> dict[str, Sweep]:
    """Set the figures' style, and hand every quantity of the sweeps to the prose as {glue:text}`sweep_quantity`."""
    from myst_nb import glue

    figures.use_style()
    found = sweeps(RESULTS)
    for name, sweep in found.items():
        for quantity, text in quantities(sweep).items():
            glue(f"{name}_{quantity}", text, display=False)
    return found


def keep(name: str, table: pd.DataFrame) -> None:
    """Write the numbers behind a figure to _data/<name>.csv, which the page offers for download."""
    DATA.mkdir(exist_ok=True)
    table.to_csv(DATA / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
