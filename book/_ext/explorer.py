"""A Sphinx extension: the data of the book's explorer, the runs of the main sweeps, in one script for a browser.

Beside the pages lie all records, which the explorer and the index of runs link to.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from report.run_facts import command_of, declared, origin_of, parameters_of, written
from resperturb.analysis.profiles import fit_measure
from resperturb.errors import ScalingError
from resperturb.records.record import Record
from resperturb.records.sweeps import KINDS, TITLES, Sweep, load_sweeps, main_sweeps

SCRIPT = "explorer-data.js"  # in _static/ of the built book
GLOBAL = "resperturbExplorer"  # what the script assigns
MOMENTS = ("initialization", "end")
DIGITS = 4  # significant

EXPLORER_COLUMNS = {"scaled": "scaled", "absolute": "perturbation_norm", "cosine": "cosine"}
"""What the explorer can show, with the column of the records that holds it."""
LAWFUL = ("scaled", "absolute")  # measures with one sign, whose average can follow a power law
BANDS = {"low": "q05", "high": "q95"}  # over images, where the records have them


def explorer_data(chosen: Mapping[str, Sweep]) -> dict[str, Any]:
    """Everything the explorer shows, ready for JSON: no NaN, numbers of four significant digits.

    Args:
        chosen: sweeps by name; those of one data set differ in their kind of block or in their name.
    """
    found: list[dict[str, Any]] = []
    for sweep in chosen.values():
        taken = {(other["dataset"], other["kind"]) for other in found}
        again = (sweep.dataset, sweep.block) in taken
        kind = sweep.name.removeprefix(f"{sweep.dataset}-") if again else sweep.block
        title = KINDS[sweep.block] + (f" ({kind})" if again else "")
        found.append(sweep_data(sweep) | {"kind": kind, "title": title})
    meanings = {name: meaning for name, (_, meaning) in declared("sweep").items()}
    return {"measures": list(EXPLORER_COLUMNS), "meanings": meanings, "sweeps": found}


def sweep_data(sweep: Sweep) -> dict[str, Any]:
    """One sweep: its power laws by measure and moment, and its runs, shallow ones first."""
    return {
        "name": sweep.name,
        "dataset": sweep.dataset,
        "data": TITLES[sweep.dataset],
        "folder": Path(sweep.folder).name,
        "laws": {measure: law_data(sweep.records, measure) for measure in LAWFUL},
        "runs": [run_data(record) for record in sweep.records if record.run["averages"]],  # all but lost ones
    }


def law_data(records: Sequence[Record], measure: str) -> dict[str, dict[str, float | None]]:
    """The power laws of a measure by moment, one point a run; without those that cannot be fitted."""
    laws = {}
    for moment in MOMENTS:
        with contextlib.suppress(ScalingError):  # branches that start at zero have no logarithm
            law = fit_measure(records, EXPLORER_COLUMNS[measure], moment)
            numbers = {**law.columns, "prefactor": law.prefactor}
            laws[moment] = {name: significant(number) for name, number in numbers.items()}
    return laws


def run_data(record: Record) -> dict[str, Any]:
    """One run: how well it does, its averages, every block at both moments, its sections, where it comes from."""
    run = record.run
    first = record.blocks_at("initialization").groupby("section")["block"].min()
    return {
        "name": record.name,
        "blocks": record.blocks,
        "seed": record.seed,
        "diverged": record.diverged,
        "stale": not record.fresh,
        "accuracy": None if record.diverged else significant(run["accuracy"]),
        "clock": significant(run["training"]["clock"]),
        "averages": {
            moment: {measure: significant(averages[measure]) for measure in EXPLORER_COLUMNS if measure in averages}
            for moment, averages in run["averages"].items()
            if moment in MOMENTS
        },
        "sections": [int(block) for block in first],
        "profile": {moment: profile(record.blocks_at(moment)) for moment in MOMENTS},
        "command": command_of(record),
        "parameters": [[p.name, written(p.value), written(p.default)] for p in parameters_of(record)],
        "origin": origin_of(record),
        "files": sorted((path.name for path in record.folder.iterdir()), key=lambda name: (name != "run.json", name)),
    }


def profile(blocks: pd.DataFrame) -> dict[str, list[float | None]]:
    """Each measure block by block, and where the records have it the band over images; empty without blocks."""
    columns = {}
    for measure, column in EXPLORER_COLUMNS.items():
        columns[measure] = column
        columns |= {f"{measure}_{end}": f"{column}_{quantile}" for end, quantile in BANDS.items()}
    ordered = blocks.sort_values("block")
    return {
        name: [significant(v) for v in ordered[column]]
        for name, column in columns.items()
        if column in ordered and len(ordered)
    }


def significant(value: float | None) -> float | None:
    """To four significant digits; None where there is no number, which JSON has no word for."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def script(data: Mapping[str, Any]) -> str:
    """A classic script, which a browser also loads from a disk, where it fetches no JSON."""
    return f"window.{GLOBAL} = {json.dumps(data, separators=(',', ':'), allow_nan=False)};\n"


def write_data(app: Any, error: Exception | None) -> None:
    """Write the script and the records beside the built pages."""
    if error is not None or app.builder.format != "html":
        return
    results, html = Path(app.srcdir).parent / "results", Path(app.outdir)
    sweeps = main_sweeps(load_sweeps(results))
    (html / "_static" / SCRIPT).write_text(script(explorer_data(sweeps)), encoding="utf-8")
    tables = [path for sweep in sweeps.values() for record in sweep.records for path in record.folder.glob("*.csv")]
    for path in (*results.glob("*/[!.]*/run.json"), *tables):  # tables of all runs would be two thirds of the site
        target = html / "results" / path.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def setup(app: Any) -> dict[str, bool]:
    """Connect to the events of a build; Sphinx calls it."""
    app.connect("build-finished", write_data)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
