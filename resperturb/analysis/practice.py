"""Results for practice: removable blocks, the depth chosen by validation, and quantities worth logging."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import TABLE_REPLICATES
from resperturb.analysis.conditions import accuracy_by_depth, alive
from resperturb.analysis.power_law import stopping_depth
from resperturb.analysis.profiles import participation_ratio
from resperturb.errors import RecordError, ScalingError
from resperturb.records.record import Record, blocks_of

CLOSE = 1e-6  # tolerance for equal accuracies; records keep five digits


def rank_correlation(x: pd.Series, y: pd.Series) -> float:
    """Spearman's rank correlation; NaN if x or y is constant."""
    if min(x.nunique(), y.nunique()) < 2:
        return math.nan
    return float(x.rank().corr(y.rank()))


def removable_share(lost: pd.Series, margin: float) -> float:
    """Return the largest share of blocks that costs at most `margin` of accuracy, as all smaller shares do; 0 if none.

    `lost` is the accuracy lost, by share removed.
    """
    curve = lost.sort_index()
    return float(max(curve.index[(curve <= margin + CLOSE).cummin()], default=0.0))


def lesion_runs(records: Iterable[Record], margin: float) -> pd.DataFrame:
    """Tabulate the networks of the lesion study, one per row.

    Args:
        records: records of the study.
        margin: accuracy that a removal may cost, as a fraction.

    Returns:
        Columns, where the added loss of a block is that of the network without it:

        - blocks, seed; accuracy (whole network, on the images of the removals); alive (share of blocks);
        - alone: share of live blocks that cost at most `margin` alone;
        - rank: rank correlation of scaled perturbation and added loss over live blocks;
        - place: rank correlation of place, counted from the output, and added loss;
        - together: :func:`removable_share` of live blocks, smallest scaled perturbation first;
        - half, half_random: accuracy lost without half of the live blocks, smallest first or at random;
        - dead: accuracy lost without all dead blocks, NaN without any;
        - first: share of sections whose first block has more added loss than the median live block.
    """
    rows = []
    for record in records:
        blocks, pruned = record.table("blocks"), record.table("pruning")
        live = blocks[blocks["alive"]]
        whole = float(pruned.loc[pruned["way"] == "whole", "accuracy"].iloc[0])
        lost = {way: whole - part.groupby("share")["accuracy"].mean() for way, part in pruned.groupby("way")}
        half = np.abs(lost["scaled"].index.to_numpy() - 0.5).argmin()
        medians = live.groupby("section")["added_loss"].median()
        firsts = blocks.groupby("section")["added_loss"].first()[medians.index]
        rows.append(
            {
                "blocks": int(record.parameters["blocks"]),
                "seed": record.seed,
                "accuracy": whole,
                "alive": len(live) / len(blocks),
                "alone": (whole - live["accuracy"] <= margin + CLOSE).mean(),
                "rank": rank_correlation(live["scaled"], live["added_loss"]),
                "place": rank_correlation(-live["block"], live["added_loss"]),
                "together": removable_share(lost["scaled"], margin),
                "half": lost["scaled"].iloc[half],
                "half_random": lost["random"].iloc[half],
                "dead": lost["dead"].iloc[0] if "dead" in lost else math.nan,
                "first": (firsts > medians).mean(),
            }
        )
    return pd.DataFrame(rows).sort_values(["blocks", "seed"], ignore_index=True)


def lesion_depths(records: Iterable[Record], margin: float) -> pd.DataFrame:
    """Average :func:`lesion_runs` over seeds, by blocks."""
    return lesion_runs(records, margin).drop(columns="seed").groupby("blocks").mean()


def validated_depth(records: Sequence[Record], margin: float | None = None) -> int:
    """Return the smallest depth whose accuracy, mean over seeds, is within `margin` of the best depth.

    Args:
        records: runs of one sweep.
        margin: accuracy, as a fraction; None: one binomial standard error of the best accuracy (Breiman et al. 1984,
            Classification and Regression Trees, section 3.4.3).
    """
    accuracy = accuracy_by_depth(records)
    best = float(accuracy.max())
    if margin is None:
        tested = [r.run["experiment"]["test_size"] for r in records if r.blocks == accuracy.idxmax() and not r.diverged]
        margin = math.sqrt(best * (1 - best) / sum(tested))
    return int(accuracy.index[accuracy >= best - margin - CLOSE].min())


def depth_choices(records: Sequence[Record], epsilons: Iterable[float], margin: float) -> dict[str, object]:
    """Compare the depths that the stopping rule and validation choose for the same runs.

    Returns:
        For each epsilon "rule <epsilon>" (depth, NaN if the average does not fall) and "measured <epsilon>" (False if
        extrapolated); "best", "one_error" and "margin" (:func:`validated_depth` with margin 0, None and `margin`); and
        "accuracy" (of the best depth).
    """
    row: dict[str, object] = {}
    for epsilon in epsilons:
        try:
            found = stopping_depth(epsilon, records, replicates=TABLE_REPLICATES)
            row |= {f"rule {epsilon:g}": found.depth, f"measured {epsilon:g}": found.measured}
        except ScalingError:
            row |= {f"rule {epsilon:g}": math.nan, f"measured {epsilon:g}": False}
    return {
        **row,
        "best": validated_depth(records, 0.0),
        "one_error": validated_depth(records),
        "margin": validated_depth(records, margin),
        "accuracy": float(accuracy_by_depth(records).max()),
    }


LOGGED = {
    "average": "average scaled perturbation",
    "alive": "share of live blocks",
    "sharing": "sharing",
    "cosine": "cosine of successive steps",
    "memory": "initial weights left",
}
"""Labels of the quantities worth logging, by column of :func:`logged`."""


def logged(record: Record) -> pd.DataFrame:
    """Tabulate the quantities worth logging during training, one snapshot per row.

    Returns:
        Columns share (of the epochs); average (scaled perturbation s, mean over blocks); alive (share of blocks);
        sharing (participation ratio over blocks, (sum of s)² / (L * sum of s²)); cosine (of successive perturbations,
        mean); memory (W · W_0 / ‖W_0‖² for weights W drawn as W_0, mean over blocks and convolutions; NaN if the
        record has no weights, or W_0 = 0).
    """
    every = record.perturbations
    try:
        weights = record.table("weights")
        memory = weights[["memory1", "memory2"]].mean(axis=1).groupby(weights["snapshot"]).mean()
    except (RecordError, KeyError):  # a record older than that table, or its column
        memory = pd.Series(math.nan, index=every["snapshot"].unique())
    rows = []
    for snapshot, blocks in blocks_of(every).groupby("snapshot"):
        rows.append(
            {
                "share": blocks["epoch"].iloc[0] / record.run["experiment"]["epochs"],
                "average": blocks["scaled"].mean(),
                "alive": alive(blocks).mean(),
                "sharing": participation_ratio(blocks["scaled"].to_numpy()) / len(blocks),
                "cosine": blocks["successive_cosine"].mean(),
                "memory": memory[snapshot],
            }
        )
    return pd.DataFrame(rows)
