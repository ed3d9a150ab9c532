"""Averages over the blocks of measured networks, and networks beside each other."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from resperturb.analysis.conditions import alive
from resperturb.analysis.profiles import participation_ratio
from resperturb.errors import MeasurementError
from resperturb.records.record import blocks_of


def block_averages(table: pd.DataFrame) -> dict[str, float]:
    """Average a table of :func:`~resperturb.measurement.measure.measure` over its blocks; transitions are left out.

    Returns:
        Values without unit; NaN without blocks.

        - scaled: average of ‖f‖ / ‖x‖ over blocks.
        - scaled_sum: its sum over blocks, blocks times average.
        - alive: share of blocks whose ‖f‖ varies over samples by at least 2 % of its mean; NaN with one sample.
        - participation: (sum of s)² / sum of s² of scaled perturbations s, from 1 to the number of blocks.
    """
    blocks = blocks_of(table)
    scaled = blocks["scaled"]
    return {
        "scaled": float(scaled.mean()),
        "scaled_sum": float(scaled.sum()),
        "alive": float(pd.Series(alive(blocks)).mean()) if table["samples"].iloc[0] > 1 else float("nan"),
        "participation": participation_ratio(scaled.to_numpy()),
    }


def compare(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tabulate measured networks, or moments of one network, beside each other.

    Args:
        tables: from :func:`~resperturb.measurement.measure.measure`, by name.

    Returns:
        One row per table, with network (its name), blocks, transitions, the values of :func:`block_averages`, cosine
        (average over blocks), samples, and reconstruction_error (the largest).

    Raises:
        MeasurementError: tables without names.

    Example:
        >>> import torch, resperturb
        >>> _ = torch.manual_seed(0)
        >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
        >>> before = resperturb.measure(layer, [torch.randn(4, 16, 8)])
        >>> _ = layer.linear2.weight.data.zero_(), layer.linear2.bias.data.zero_()
        >>> after = resperturb.measure(layer, [torch.randn(4, 16, 8)])
        >>> resperturb.compare({"before": before, "MLP off": after})[["network", "blocks", "alive"]]
           network  blocks  alive
        0   before       2    1.0
        1  MLP off       2    0.5
    """
    if not isinstance(tables, Mapping):
        raise MeasurementError(f"tables must be a dict of tables by name, but got a {type(tables).__name__}.")
    rows = []
    for name, table in tables.items():
        blocks = blocks_of(table)
        row = {"network": name, "blocks": len(blocks), "transitions": len(table) - len(blocks), **block_averages(table)}
        row |= {"cosine": blocks["cosine"].mean(), "samples": table["samples"].iloc[0]}
        rows.append(row | {"reconstruction_error": table["reconstruction_error"].max()})
    return pd.DataFrame(rows)
