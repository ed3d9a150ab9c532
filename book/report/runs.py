"""Tables of runs: the index of all, which book/_static/runs.js makes sortable and filterable, and the explorer's."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from report.run_facts import AnyRecord, differing, load_folders, outcome_of, parameter_values
from resperturb.records.record import Record, summary
from resperturb.records.sweeps import TITLES, Sweep

INDEX_FORMATS = {
    "test accuracy": "{:.1%}",
    "scaled, at initialisation": "{:.4f}",
    "scaled, after training": "{:.4f}",
    "T": "{:.2f}",
    "seconds": "{:.0f}",
    "blocks": "{:.0f}",
    "seed": "{:.0f}",
}


def run_row(record: AnyRecord) -> dict[str, object]:
    values, outcome = parameter_values(record), outcome_of(record)
    return {
        "folder": record.folder.parent.name,
        "run": record.name,
        "data set": TITLES.get(values.get("dataset", ""), "text"),
        "blocks": values.get("blocks", 2 * values["layers"] if "layers" in values else None),
        "seed": values["seed"],
        "differs from the defaults": ", ".join(differing(record)),
        "test accuracy": outcome.get("accuracy"),
        "scaled, at initialisation": outcome.get("scaled_initialization"),
        "scaled, after training": outcome.get("scaled_end"),
        "T": outcome.get("clock"),
        "seconds": record.run["wall_seconds"],
        "state": "diverged" if isinstance(record, Record) and record.diverged else "fresh" if record.fresh else "stale",
    }


def index_data(results: Path | str) -> pd.DataFrame:
    """A row for every record of every folder."""
    folders = load_folders(Path(results))
    return pd.DataFrame([run_row(record) for records in folders.values() for record in records])


def index_table(data: pd.DataFrame) -> str:
    """The index in HTML. Cells carry the number they stand for, so that sorting needs to parse no text."""
    columns = [str(name) for name in data]
    heads = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    rows = []
    for values in data.to_dict("records"):
        row = {str(name): value for name, value in values.items()}
        cells = "".join(index_cell(name, row) for name in columns)
        rows.append(f'<tr data-folder="{html.escape(row["folder"])}">{cells}</tr>')
    return (
        '<div class="run-index" id="run-index">'
        '<div class="run-scroll" tabindex="0" role="region" aria-label="All runs">'
        f'<table class="dataframe"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></div>'
    )


def index_cell(name: str, row: dict[str, Any]) -> str:
    value = row[name]
    if name == "run":
        return f'<th scope="row">{html.escape(str(value))}</th>'
    if name in INDEX_FORMATS:
        if value is None or pd.isna(value):
            return "<td>–</td>"
        return f'<td data-value="{value:.6g}">{INDEX_FORMATS[name].format(value)}</td>'
    return f"<td>{html.escape(str(value))}</td>"


MOMENTS = ("initialization", "end")


def sweep_runs(sweeps: Mapping[str, Sweep]) -> pd.DataFrame:
    """All runs of some sweeps, one row each: the explorer's table for readers without scripts."""
    runs = pd.concat([summary(sweep.records).assign(sweep=sweep.label) for sweep in sweeps.values()], ignore_index=True)
    names = {"scaled_initialization": "at initialisation", "scaled_end": "after training"}
    return runs[["sweep", "blocks", "seed", "accuracy", *names]].rename(columns=names)
