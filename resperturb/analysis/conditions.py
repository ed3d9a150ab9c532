"""Exponents by condition, a group of runs that differ only in depth and seed.

The rules are those of the book's chapter "The plan": which runs count, when a block is alive, and when the exponent
is -1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.profiles import participation_ratio
from resperturb.analysis.slope_tests import LEVEL, Slope, answer, fit_slope, holm
from resperturb.errors import ScalingError
from resperturb.experiment.experiment import Experiment
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep

ALIVE = 0.02  # a live block's ‖f(x)‖ has at least this coefficient of variation over images
BARS = {"digits": 0.97, "mnist": 0.992, "cifar10": 0.83}  # accuracy that every depth must reach
FULL_SIZE_BARS = {9: 0.88, 27: 0.90}  # on CIFAR-10 at full size, from so many blocks on
FALLING = {"digits": 0.02, "mnist": 0.01, "cifar10": 0.01}  # accuracy that deeper networks may lose
RUN_COLUMNS = ["blocks", "seed", "diverged", "accuracy", "train_loss", "clock", "before", "after"]
RUN_COLUMNS += ["largest", "median", "alive", "participation", "successive"]  # of the blocks after training


def alive(blocks: pd.DataFrame) -> np.ndarray:
    """Tell which blocks add something that depends on the image; a block that adds zero does not.

    Args:
        blocks: rows of :func:`resperturb.measure`.

    Returns:
        bool, shape (blocks,).
    """
    norm = blocks["perturbation_norm"]
    return ((norm > 0) & (blocks["perturbation_norm_std"] >= ALIVE * norm)).to_numpy()


def accuracy_by_depth(records: Iterable[Record]) -> pd.Series:
    """Return the accuracy by number of blocks, mean over seeds; diverged runs are left out."""
    kept = finished(records)
    accuracies = pd.Series([r.accuracy for r in kept], index=[r.blocks for r in kept], dtype=float)
    return accuracies.groupby(level=0).mean()


def largest_loss(accuracy: pd.Series) -> float:
    """Return the largest loss of accuracy from a shallower to a deeper network; negative if accuracy always rises."""
    return max((accuracy[a] - accuracy[b] for a, b in itertools.combinations(accuracy.index, 2)), default=0.0)


def full_size(experiment: Experiment) -> bool:
    """Whether networks see the images of MNIST or CIFAR-10 at full size, as few runs of the plan do."""
    return experiment.dataset != "digits" and experiment.stem_stride == 1


def bars_of(experiment: Experiment) -> Mapping[int, float]:
    """Return the plan's bars of accuracy for a recipe, by the number of blocks from which they hold."""
    own = experiment.dataset == "cifar10" and full_size(experiment)
    return FULL_SIZE_BARS if own else {0: BARS[experiment.dataset]}


def bar_met(records: Sequence[Record]) -> bool:
    """Whether the plan counts networks of one recipe as trained: every depth is accurate, no depth loses much accuracy
    compared with a shallower one, and no depth has only diverged runs."""
    accuracy, experiment = accuracy_by_depth(records), records[0].experiment
    none_lost = {record.blocks for record in records} == set(accuracy.index)
    bars = bars_of(experiment).items()
    reached = all((accuracy[accuracy.index >= blocks] >= bar).all() for blocks, bar in bars)
    return bool(none_lost and reached and largest_loss(accuracy) <= FALLING[experiment.dataset])


def run_table(records: Iterable[Record], by: Sequence[str] = ()) -> pd.DataFrame:
    """Tabulate runs that have blocks, one per row; NaN where a run diverged.

    Returns:
        Columns `by` (fields of the experiment), blocks, seed, diverged, accuracy, train_loss, clock (T), before and
        after (average scaled perturbation), largest and median (block after training), alive (share of blocks),
        participation (ratio) and successive (mean cosine of successive perturbations).
    """
    rows = []
    for record in records:
        if record.blocks == 0:
            continue
        row: dict[str, Any] = {name: parameter(record, name) for name in by}
        row |= {"blocks": record.blocks, "seed": record.seed, "diverged": record.diverged}
        if not record.diverged:
            ended = record.blocks_at("end")
            row |= {
                "accuracy": record.accuracy,
                "train_loss": record.run["training"]["train_loss"],
                "clock": record.clock,
                "before": record.average("initialization"),
                "after": record.average(),
                "largest": ended["scaled"].max(),
                "median": ended["scaled"].median(),
                "alive": alive(ended).mean(),
                "participation": participation_ratio(ended["scaled"].to_numpy()),
                "successive": ended["successive_cosine"].mean(),
            }
        rows.append(row)
    return pd.DataFrame(rows, columns=[*by, *RUN_COLUMNS]).sort_values([*by, "blocks", "seed"], ignore_index=True)


def parameter(record: Record, name: str) -> Any:
    """Return a field of the experiment; the weight decay is the one used, also where T sets it."""
    return record.weight_decay if name == "weight_decay" else record.run["experiment"][name]


def condition_table(runs: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Tabulate conditions, one per row: how networks were trained, and the tests of their exponent.

    Args:
        runs: from :func:`run_table`; conditions with too few runs for a fit are left out.
        by: the fields that define a condition.

    Returns:
        Columns `by`; runs, diverged, depths; accuracy_low and accuracy_high (over depths, means over seeds); falls
        (see :func:`largest_loss`); alive (smallest share); clock (mean T); before, before_low, before_high (exponent
        before training); exponent, low, high, bent; p_claimed (test of -1, corrected by Holm's method over the table);
        p_equivalent, p_curvature, p_fit; answer (yes, roughly, no or open).
    """
    rows = []
    for values, group in runs.groupby(list(by)):
        kept = group[~group["diverged"].astype(bool)]
        blocks = kept["blocks"].to_numpy()
        try:
            after = fit_slope(blocks, kept["after"].to_numpy())
        except ScalingError:
            continue
        try:
            before = fit_slope(blocks, kept["before"].to_numpy())
        except ScalingError:  # branches that start at zero have no exponent there
            before = Slope(math.nan, math.nan, 1)
        accuracy = kept.groupby("blocks")["accuracy"].mean()
        rows.append(
            {
                **dict(zip(by, values, strict=True)),
                "runs": len(group),
                "diverged": len(group) - len(kept),
                "depths": ", ".join(map(str, accuracy.index)),
                "accuracy_low": accuracy.min(),
                "accuracy_high": accuracy.max(),
                "falls": largest_loss(accuracy),
                "alive": kept["alive"].min(),
                "clock": kept["clock"].mean(),
                "before": before.exponent,
                "before_low": before.low,
                "before_high": before.high,
                **after.columns,
                "p_claimed": after.p_value(),
                "p_equivalent": after.equivalence(),
                "p_curvature": after.p_curvature,
                "p_fit": after.p_fit,
            }
        )
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    table["p_claimed"] = holm(table["p_claimed"].tolist())
    rejected, equivalent = table["p_claimed"] < LEVEL, table["p_equivalent"] < LEVEL
    table["answer"] = [answer(*map(bool, row)) for row in zip(rejected, equivalent, table["bent"], strict=True)]
    return table


def runs_at(records: Iterable[Record], decay: float, block: str = "preactivation") -> list[Record]:
    """Select the runs of one weight decay and one kind of block."""
    return [r for r in records if r.weight_decay == decay and r.experiment.block == block]


def strongest(records: Iterable[Record]) -> float:
    """Return the largest weight decay."""
    return max(record.weight_decay for record in records)


def at_depths_of(others: Iterable[Record], records: Iterable[Record]) -> list[Record]:
    """Select the records at the depths of others."""
    depths = {other.blocks for other in others}
    return [record for record in records if record.blocks in depths]


def on_shared_depths(runs: pd.DataFrame, alike: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """Select the runs at the depths that all conditions of a kind share.

    Args:
        runs: from :func:`run_table`; diverged ones are left out.
        alike: the fields that define a kind, such as data set and block.
        by: the fields that define a condition.
    """
    kept = runs[~runs["diverged"].astype(bool)]
    parts = []
    for _, kind in kept.groupby(list(alike)):
        shared = set.intersection(*(set(part["blocks"]) for _, part in kind.groupby(list(by))))
        parts.append(kind[kind["blocks"].isin(shared)])
    return pd.concat(parts)


def sweep_conditions(sweeps: Mapping[str, Sweep]) -> pd.DataFrame:
    """Compute :func:`condition_table` with a row for each sweep; columns sweep (name) and trained (:func:`bar_met`).

    Raises:
        ScalingError: no sweep has enough runs.
    """
    runs = pd.concat([run_table(s.records).assign(sweep=name) for name, s in sweeps.items()])
    table = condition_table(runs, ("sweep",))
    if table.empty:
        raise ScalingError(f"{', '.join(sweeps)}: an exponent is tested on at least 3 runs of 2 depths; add runs.")
    return table.assign(trained=[bar_met(sweeps[name].records) for name in table["sweep"]])
