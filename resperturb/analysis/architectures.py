"""Architectures: the exponent of sweeps that vary one choice at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import TABLE_REPLICATES
from resperturb.analysis.power_law import fit_power_law
from resperturb.analysis.summaries import CLAIMED_EXPONENTS, depth_table, laws_by_moment
from resperturb.records.sweeps import Sweep, differences

FIELDS = ("block", "sections", "width", "normalization", "branch_scale", "initialization")
COLUMN_ENDS = {"exponent": "", "low": " low", "high": " high"}
FIELD_NAMES = {"block": "block kind", "normalization": "normalisation", "branch_scale": "factor on the branch"}


def architecture_sweeps(sweeps: dict[str, Sweep], dataset: str = "digits") -> dict[str, tuple[Sweep, dict[str, Any]]]:
    """The main sweep of a data set and those of another architecture, by name, with the fields that differ."""
    base = sweeps[dataset]
    chosen: dict[str, tuple[Sweep, dict[str, Any]]] = {dataset: (base, {})}
    for name, sweep in sweeps.items():
        if sweep.dataset != dataset or name == dataset:
            continue
        fields = {field: given for field, (given, _) in differences(sweep, base).items()}
        if fields and any(field in FIELDS for field in fields):
            chosen[name] = (sweep, fields)
    return chosen


def architecture_table(sweeps: dict[str, Sweep], dataset: str = "digits") -> pd.DataFrame:
    """One row an architecture, on the depths that all have.

    Returns:
        Columns sweep; varied (in words); runs; initialization and end (exponents, each with low and high); product
        (depth times average in the deepest network); least accurate (the lowest accuracy over depths).
    """
    chosen = architecture_sweeps(sweeps, dataset)
    shared = set.intersection(*(set(sweep.depths) for sweep, _ in chosen.values()))
    rows = []
    for name, (sweep, fields) in chosen.items():
        records = [record for record in sweep.finished if record.blocks in shared]
        row: dict[str, Any] = {"sweep": name, "varied": varied_words(fields), "runs": len(records)}
        laws = laws_by_moment(records, partial(fit_power_law, replicates=TABLE_REPLICATES))
        for moment in CLAIMED_EXPONENTS:
            columns = laws[moment].columns if moment in laws else {}  # branches that start at zero have no law
            row |= {f"{moment}{end}": columns.get(name, np.nan) for name, end in COLUMN_ENDS.items()}
        table = depth_table(records)
        row |= {"product": table["product_end"].iloc[-1], "least accurate": table["accuracy"].min()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("end", ignore_index=True)


def varied_words(fields: dict[str, Any]) -> str:
    """The fields that differ, in words."""
    if not fields:
        return "as in the other chapters"
    return ", ".join(f"{FIELD_NAMES.get(name, name.replace('_', ' '))} {value}" for name, value in fields.items())
