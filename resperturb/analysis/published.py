"""Tables and exponents of published networks, with different ways to count their blocks."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from resperturb.analysis.conditions import alive
from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.records.record import Record, blocks_of

# Ways to count: the columns of published_table for L and for the average.
OVER_BLOCKS, OVER_ADDITIONS = "blocks, averaged over blocks", "additions, averaged over all additions"
COUNTS = {
    OVER_BLOCKS: ("blocks", "scaled"),
    "additions, averaged over blocks": ("additions", "scaled"),
    OVER_ADDITIONS: ("additions", "scaled_all"),
}


def published_table(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate published networks, one per row.

    Returns:
        Columns network; blocks (identity additions); additions (transitions too); accuracy; scaled (mean over blocks);
        scaled_all (mean over additions); largest and median (block); alive (share of blocks); apart (largest relative
        difference from the explicit forward pass).
    """
    rows = []
    for record in records:
        table = record.table("blocks")
        blocks = blocks_of(table)
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
                "alive": alive(blocks).mean(),
                "apart": (table["scaled"] / table["explicit"] - 1).abs().max(),
            }
        )
    return pd.DataFrame(rows).sort_values("blocks", ignore_index=True)


def published_slopes(table: pd.DataFrame) -> dict[str, Slope]:
    """Fit the exponent for each way to count in :data:`COUNTS`."""
    return {
        name: fit_slope(table[depth].to_numpy(), table[average].to_numpy()) for name, (depth, average) in COUNTS.items()
    }


def response_table(records: Iterable[Record]) -> pd.DataFrame:
    """Compute the response of every addition, after figure 7 of He et al. (2015).

    Args:
        records: published networks, or runs on CIFAR-10 at full size. A state has 16 channels of 32 x 32 values in the
            first section, and half as many in each next one.

    Returns:
        Columns network, blocks (identity additions), addition (from 1), response (root mean square of f over values and
        images).
    """
    tables = []
    for record in records:
        table = record.at("end") if record.kind == "run" else record.table("blocks")
        values = 16 * 32 * 32 / 2.0 ** (table["section"] - 1)
        squares = table["perturbation_norm"] ** 2 + table["perturbation_norm_std"] ** 2
        tables.append(
            pd.DataFrame(
                {
                    "network": record.parameters.get("network", f"{len(blocks_of(table))} blocks"),
                    "blocks": len(blocks_of(table)),
                    "addition": range(1, len(table) + 1),
                    "response": (squares / values) ** 0.5,
                }
            )
        )
    return pd.concat(tables).sort_values(["blocks", "addition"], ignore_index=True)
