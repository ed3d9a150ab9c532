"""What carries the fall of the perturbation with depth: gains, weights, or the norm of the state."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from resperturb.analysis.study_tables import fit_column
from resperturb.records.record import StudyRecord, concat_tables

SIZES = ("scaled", "absolute", "state", "gain2", "weight2", "both")
SIZE_NAMES = {
    "scaled": "scaled perturbation",
    "absolute": "absolute perturbation",
    "state": "norm of the state",
    "gain2": "gains of the second normalisation",
    "weight2": "second weights",
    "both": "gains × weights",
}


def carrier_averages(records: Sequence[StudyRecord]) -> pd.DataFrame:
    """A row per depth, seed and moment: every size averaged over blocks; `both` is the mean of gain times weights."""
    table = concat_tables(records, "blocks", "blocks")
    table["both"] = table["gain2"] * table["weight2"]
    return table.groupby(["blocks", "seed", "moment"], as_index=False)[list(SIZES)].mean()


def carrier_exponents(means: pd.DataFrame) -> pd.DataFrame:
    """A row per size: its exponent over depth before training, and after with the interval."""
    rows = []
    for column in SIZES:
        before, after = (fit_column(means[means["moment"] == m], "blocks", column) for m in ("initialization", "end"))
        rows.append(
            {
                "size": SIZE_NAMES[column],
                "before": before.exponent,
                "after": after.exponent,
                "low": after.low,
                "high": after.high,
            }
        )
    return pd.DataFrame(rows)
