"""Networks that others trained: one row a network, and the exponent by each way to count their blocks."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from resperturb.analysis.conditions import ALIVE
from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.records.record import Record

# What L counts, and what is averaged: columns of published_table.
COUNTS = {
    "blocks, averaged over blocks": ("blocks", "scaled"),
    "additions, averaged over blocks": ("additions", "scaled"),
    "additions, averaged over all additions": ("additions", "scaled_all"),
}


def published_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a network: network; blocks (identity additions) and additions (transitions counted); accuracy; scaled
    (mean over blocks) and scaled_all (over additions); largest and median block; alive (share of blocks); apart (the
    largest relative difference from the explicit forward pass)."""
    rows = []
    for record in records:
        table = record.table("blocks")
        blocks = table[table["kind"] == "identity"]
        rows.append(
            {
                "network": record.parameters["network"],
                "blocks": len(blocks),
                "additions": len(table),
                "accuracy": record.table("network")["accuracy"].item(),
                "scaled": blocks["scaled"].mean(),
                "scaled_all": table["scaled"].mean(),
                "largest": blocks["scaled"].max(),
                "median": blocks["scaled"].median(),
                "alive": (blocks["perturbation_norm_std"] >= ALIVE * blocks["perturbation_norm"]).mean(),
                "apart": (table["scaled"] / table["explicit"] - 1).abs().max(),
            }
        )
    return pd.DataFrame(rows).sort_values("blocks", ignore_index=True)


def published_slopes(table: pd.DataFrame) -> dict[str, Slope]:
    """The exponent by each way to count of :data:`COUNTS`."""
    return {
        name: fit_slope(table[depth].to_numpy(), table[average].to_numpy()) for name, (depth, average) in COUNTS.items()
    }


def response_table(records: Iterable[Record]) -> pd.DataFrame:
    """He et al. (2015), figure 7, for what blocks add: one row a network and addition.

    Returns:
        Columns network, blocks (identity additions), addition (from 1), response: the root mean square of f over
        values and images, which is the standard deviation of the last layer of the branch about zero. A section of
        these networks holds half as many values as the one before, the first 16 channels of 32 x 32.
    """
    tables = []
    for record in records:
        table = record.table("blocks")
        values = 16 * 32 * 32 / 2.0 ** (table["section"] - 1)
        squares = table["perturbation_norm"] ** 2 + table["perturbation_norm_std"] ** 2
        tables.append(
            pd.DataFrame(
                {
                    "network": record.parameters["network"],
                    "blocks": int((table["kind"] == "identity").sum()),
                    "addition": range(1, len(table) + 1),
                    "response": (squares / values) ** 0.5,
                }
            )
        )
    return pd.concat(tables).sort_values(["blocks", "addition"], ignore_index=True)
