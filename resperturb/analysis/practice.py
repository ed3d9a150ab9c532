"""What follows for practice: blocks that can be removed, the depth that accuracy asks for, and what to log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import TABLE_REPLICATES
from resperturb.analysis.conditions import ALIVE, accuracy_by_depth
from resperturb.analysis.power_law import stopping_depth
from resperturb.errors import RecordError, ScalingError
from resperturb.records.record import Record

HALF = 0.5  # of the live blocks
CLOSE = 1e-6  # accuracies that differ by less are equal; records keep five digits


def rank_correlation(x: pd.Series, y: pd.Series) -> float:
    """Spearman's; NaN where either is constant."""
    if min(x.nunique(), y.nunique()) < 2:
        return math.nan
    return float(x.rank().corr(y.rank()))


def removable_share(lost: pd.Series, margin: float) -> float:
    """The largest share of blocks that can go for at most `margin` of accuracy, if no smaller share costs more.

    `lost`: accuracy lost, by share removed. 0 where the smallest share costs too much.
    """
    curve = lost.sort_index()
    return float(max(curve.index[(curve <= margin + CLOSE).cummin()], default=0.0))


def lesion_runs(records: Iterable[Record], margin: float) -> pd.DataFrame:
    """One row a network of the study of lesions, by depth and seed. A removal may cost `margin` of accuracy.

    Returns:
        Columns blocks, seed; accuracy (of the whole network, on the images of the removals); alive (share of blocks);
        alone (share of live blocks whose absence alone costs at most `margin`); rank (Spearman's correlation over live
        blocks of the scaled perturbation with the loss that their absence adds); place (the same of the block's number,
        counted from the end); together (see :func:`removable_share`: live blocks, smallest scaled perturbation first);
        half and half_random (accuracy lost without half of the live blocks, those of smallest scaled perturbation and
        random ones); dead (accuracy lost without all dead blocks; NaN without any); first (share of sections whose
        first block adds more loss by its absence than the median of the section's live blocks).
    """
    rows = []
    for record in records:
        blocks, pruned = record.table("blocks"), record.table("pruning")
        live = blocks[blocks["alive"]]
        whole = float(pruned.loc[pruned["way"] == "whole", "accuracy"].iloc[0])
        lost = {way: whole - part.groupby("share")["accuracy"].mean() for way, part in pruned.groupby("way")}
        half = np.abs(lost["scaled"].index.to_numpy() - HALF).argmin()
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
    """:func:`lesion_runs`, means over seeds, by blocks."""
    return lesion_runs(records, margin).drop(columns="seed").groupby("blocks").mean()


def validated_depth(records: Sequence[Record], margin: float | None = None) -> int:
    """The depth that a validation curve chooses: the smallest whose accuracy is within `margin` of the best depth's.

    Accuracies are means over seeds. Without a margin it is one standard error of the best depth's accuracy, a share of
    its test images (the rule of Breiman et al. 1984, Classification and Regression Trees, section 3.4.3).
    """
    accuracy = accuracy_by_depth(records)
    best = float(accuracy.max())
    if margin is None:
        tested = [r.run["experiment"]["test_size"] for r in records if r.blocks == accuracy.idxmax() and not r.diverged]
        margin = math.sqrt(best * (1 - best) / sum(tested))
    return int(accuracy.index[accuracy >= best - margin - CLOSE].min())


def depth_choices(records: Sequence[Record], epsilons: Iterable[float], margin: float) -> dict[str, object]:
    """What the stopping rule and a validation curve choose for the same runs.

    Returns:
        "rule <epsilon>" (the depth, NaN where the average does not fall) and "measured <epsilon>" (False where it was
        extrapolated), for each epsilon; depths best, one_error and margin of :func:`validated_depth`; and accuracy, of
        the best depth.
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
"""The five quantities that are worth logging, by column of :func:`logged`."""


def logged(record: Record) -> pd.DataFrame:
    """What is worth logging during training, one row a snapshot of a run.

    Returns:
        Columns share (of the epochs); average (mean of the blocks' scaled perturbations s); alive (share of blocks);
        sharing (how many blocks would share the work evenly, over all: (sum of s)² / (L · sum of s²)); cosine (mean of
        that of successive perturbations); memory (mean over blocks of W · W_0 / ‖W_0‖² of both convolutions, drawn as
        W_0; NaN where the record has none, or where all W_0 are zero).
    """
    every = record.perturbations
    try:
        weights = record.table("weights")
        memory = weights[["memory1", "memory2"]].mean(axis=1).groupby(weights["snapshot"]).mean()
    except (RecordError, KeyError):  # a record older than that table, or its column
        memory = pd.Series(math.nan, index=every["snapshot"].unique())
    rows = []
    for snapshot, blocks in every[every["kind"] == "identity"].groupby("snapshot"):
        scaled = blocks["scaled"]
        rows.append(
            {
                "share": blocks["epoch"].iloc[0] / record.run["experiment"]["epochs"],
                "average": scaled.mean(),
                "alive": (blocks["perturbation_norm_std"] >= ALIVE * blocks["perturbation_norm"]).mean(),
                "sharing": scaled.sum() ** 2 / ((scaled**2).sum() or math.nan) / len(blocks),
                "cosine": blocks["successive_cosine"].mean(),
                "memory": memory[snapshot],
            }
        )
    return pd.DataFrame(rows)
