"""The index of all runs, which book/_static/runs.js sorts and filters, and the missing runs of presets."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from report.run_facts import command_of, commit_of, data_of, differing, load_folders, outcome_of
from resperturb.records.record import Record, records_in
from resperturb.studies.plan import load_plan

INDEX_FORMATS = {
    "test accuracy": "{:.1%}",
    "scaled, at initialisation": "{:.4f}",
    "scaled, after training": "{:.4f}",
    "T": "{:.2f}",
    "seconds": "{:.0f}",
    "blocks": "{:.0f}",
}


def run_row(record: Record) -> dict[str, object]:
    values, outcome = record.parameters, outcome_of(record)
    return {
        "folder": record.folder.parent.name,
        "data set": data_of(record),
        "blocks": values.get("blocks", 2 * values["layers"] if "layers" in values else None),
        "seed": values["seed"],
        "differs from the defaults": ", ".join(differing(record)),
        "test accuracy": outcome.get("accuracy"),
        "scaled, at initialisation": outcome.get("initialization"),
        "scaled, after training": outcome.get("end"),
        "T": outcome.get("clock"),
        "seconds": record.run["wall_seconds"],
        "state": "diverged" if record.diverged else "fresh" if record.fresh else "stale",
        "run": record.name,
        "commit": commit_of(record),
        "command": command_of(record),
    }


def index_data(results: Path | str) -> pd.DataFrame:
    """Tabulate every record of every folder."""
    folders = load_folders(Path(results))
    return pd.DataFrame([run_row(record) for records in folders.values() for record in records])


def index_table(data: pd.DataFrame) -> str:
    """Format the index in HTML, with links to the records beside the pages."""
    shown = data.map(lambda value: html.escape(value) if isinstance(value, str) else value)
    shown["run"] = '<a href="results/' + shown["folder"] + "/" + shown["run"] + '/run.json">' + shown["run"] + "</a>"
    shown["command"] = "<code>" + shown["command"] + "</code>"
    forms = {name: form.format for name, form in INDEX_FORMATS.items()}
    with pd.option_context("display.max_colwidth", None):
        table = shown.to_html(index=False, escape=False, formatters=forms, na_rep="–", border=0)
    return f'<div class="run-index" id="run-index" tabindex="0" role="region" aria-label="All runs">{table}</div>'


def missing_runs(results: Path, presets: Iterable[str]) -> pd.DataFrame:
    """Tabulate the presets that lack records: runs, runs on file, and missing runs by blocks."""
    rows = []
    for name in presets:
        planned = load_plan(name).runs
        there = {record.name for record in records_in(results / ("shipped-digits" if name == "digits" else name))}
        missing = Counter(run.blocks for run in planned if run.name not in there)
        if missing:
            words = ", ".join(f"{blocks} ({count})" for blocks, count in sorted(missing.items()))
            on_file = len(planned) - missing.total()
            rows.append({"preset": name, "runs": len(planned), "on file": on_file, "missing, by blocks": words})
    return pd.DataFrame(rows)
