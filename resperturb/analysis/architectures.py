"""What the architecture does to the exponent: one choice varied at a time, from the sweeps that vary it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from resperturb.analysis.power_law import fit_power_law
from resperturb.analysis.summaries import depth_table
from resperturb.errors import ScalingError
from resperturb.records.sweeps import Sweep, differences

FIELDS = ("block", "sections", "width", "normalization", "branch_scale", "initialization")
FURTHEST = -2.0  # exponents below this are written at the figure's edge
SHOWN = {"block": "block kind", "normalization": "normalisation", "branch_scale": "factor on the branch"}


def architecture_sweeps(found: dict[str, Sweep], dataset: str = "digits") -> dict[str, tuple[Sweep, dict[str, Any]]]:
    """Sweeps of a data set that differ from its first in the architecture alone or with what that needs: by name, with
    the fields that differ."""
    base = found[dataset]
    chosen: dict[str, tuple[Sweep, dict[str, Any]]] = {dataset: (base, {})}
    for name, sweep in found.items():
        if sweep.dataset != dataset or name == dataset:
            continue
        fields = {field: given for field, (given, _) in differences(sweep, base).items()}
        if fields and any(field in FIELDS for field in fields):
            chosen[name] = (sweep, fields)
    return chosen


def architecture_table(found: dict[str, Sweep], dataset: str = "digits") -> pd.DataFrame:
    """A row per architecture: what is varied, the exponent before and after training on the depths that all have, with
    intervals, depth times average in the deepest of them, and accuracies."""
    chosen = architecture_sweeps(found, dataset)
    shared = set.intersection(*(set(sweep.depths) for sweep, _ in chosen.values()))
    rows = []
    for name, (sweep, fields) in chosen.items():
        records = [record for record in sweep.finished if record.blocks in shared]
        row: dict[str, Any] = {"sweep": name, "varied": varied_words(fields), "runs": len(records)}
        for moment in ("initialization", "end"):
            try:
                law = fit_power_law(records, moment=moment, replicates=500)
                row |= {moment: law.exponent, f"{moment} low": law.low, f"{moment} high": law.high}
            except ScalingError:  # branches that start at zero
                row |= {moment: np.nan, f"{moment} low": np.nan, f"{moment} high": np.nan}
        table = depth_table(records)
        row |= {"product": table["product_end"].iloc[-1], "least accurate": table["accuracy"].min()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("end", ignore_index=True)


def varied_words(fields: dict[str, Any]) -> str:
    """What differs, to read."""
    if not fields:
        return "as in the other chapters"
    return ", ".join(f"{SHOWN.get(name, name.replace('_', ' '))} {value}" for name, value in fields.items())
