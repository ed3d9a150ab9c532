"""Exponents condition by condition: the runs of one folder, grouped by what they differ in beside depth and seed.

The rules are those of the plan (the book's chapter "The plan"): which runs count, when a block is alive, and how the
question "is the exponent -1?" is answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from resperturb.analysis.profiles import participation_ratio
from resperturb.analysis.slope_tests import LEVEL, answer, curvature, fit_slope, holm, lack_of_fit
from resperturb.errors import ScalingError
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep

ALIVE = 0.02  # least coefficient of variation over images of a live block's ‖f(x)‖
# Networks count as trained as usual with at least this accuracy at each depth (images of half the size), and if no
# deeper one is less accurate than a shallower one by more than that.
BARS = {"digits": 0.97, "mnist": 0.992, "cifar10": 0.83}
FALLING = {"digits": 0.02, "mnist": 0.01, "cifar10": 0.01}


def alive(record: Record, moment: str = "end") -> np.ndarray:
    """Which blocks add something that depends on the image; bool, shape (blocks,)."""
    blocks = record.blocks_at(moment)
    return (blocks["perturbation_norm_std"] >= ALIVE * blocks["perturbation_norm"]).to_numpy()


def participation(record: Record, moment: str = "end") -> float:
    """The :func:`resperturb.analysis.profiles.participation_ratio` of a run's blocks."""
    return participation_ratio(record.blocks_at(moment)["scaled"].to_numpy())


def accuracy_by_depth(records: Iterable[Record]) -> pd.Series:
    """The accuracy of runs that did not diverge, by number of blocks, mean over seeds."""
    kept = [record for record in records if not record.diverged]
    accuracies = pd.Series([r.run["accuracy"] for r in kept], index=[r.blocks for r in kept], dtype=float)
    return accuracies.groupby(level=0).mean()


def largest_loss(accuracy: pd.Series) -> float:
    """The most that a deeper network is less accurate than a shallower one; negative if accuracy always rises."""
    return max((accuracy[a] - accuracy[b] for a, b in itertools.combinations(accuracy.index, 2)), default=0.0)


def bar_met(records: Sequence[Record]) -> bool:
    """Whether networks count as trained as usual: accurate at every depth, no deeper one much less so, no depth lost
    to runs that diverged."""
    accuracy, dataset = accuracy_by_depth(records), records[0].experiment.dataset
    none_lost = {record.blocks for record in records} == set(accuracy.index)
    return bool(none_lost and accuracy.min() >= BARS[dataset] and largest_loss(accuracy) <= FALLING[dataset])


def run_table(records: Iterable[Record], by: Sequence[str] = ()) -> pd.DataFrame:
    """One row a run that has blocks: the fields named by `by`, blocks, seed, diverged, accuracy, train_loss, clock (T),
    the average scaled perturbation before and after training, its largest and median block, the share of live blocks,
    participation, and the mean cosine of successive perturbations. NaN where a run diverged."""
    rows = []
    for record in records:
        if record.blocks == 0:
            continue
        row: dict[str, Any] = {name: parameter(record, name) for name in by}
        row |= {"blocks": record.blocks, "seed": record.seed, "diverged": record.diverged}
        if not record.diverged:
            ended = record.blocks_at("end")
            row |= {
                "accuracy": record.run["accuracy"],
                "train_loss": record.run["training"]["train_loss"],
                "clock": record.run["training"]["clock"],
                "before": record.run["averages"]["initialization"]["scaled"],
                "after": record.run["averages"]["end"]["scaled"],
                "largest": ended["scaled"].max(),
                "median": ended["scaled"].median(),
                "alive": alive(record).mean(),
                "participation": participation(record),
                "successive": ended["successive_cosine"].mean(),
            }
        rows.append(row)
    return pd.DataFrame(rows).sort_values([*by, "blocks", "seed"], ignore_index=True)


def parameter(record: Record, name: str) -> Any:
    """A field of the run's experiment; the weight decay as it was, also where it follows from T."""
    return record.run["training"]["weight_decay"] if name == "weight_decay" else record.run["experiment"][name]


def condition_table(
    runs: pd.DataFrame, by: Sequence[str], *, deepest: int | None = None, primary: str = ""
) -> pd.DataFrame:
    """One row a condition: how its networks are trained, and what the tests say of its exponent after training.

    Args:
        runs: from :func:`run_table`.
        by: the fields that make a condition.
        deepest: larger depths are left out of the tests.
        primary: a pandas query; conditions that satisfy it are corrected together by Holm's method. Empty: all.

    Returns:
        Columns of `by`; runs, diverged, depths; accuracy_low and accuracy_high (of depths, means over seeds), falls
        (the most that a deeper network loses); alive (least share); clock (mean T); before, exponent, low, high; bent
        (whether the exponent is a mean slope); p_claimed (test of -1, corrected), p_equivalent, p_curvature, p_fit;
        answer (yes, roughly, no, open).
    """
    rows = list(conditions(runs, by, deepest))
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    tested = table.query(primary).index if primary else table.index
    table.loc[tested, "p_claimed"] = holm(table.loc[tested, "p_claimed"].tolist())
    rejected, equivalent = table["p_claimed"] < LEVEL, table["p_equivalent"] < LEVEL
    table["answer"] = [answer(*map(bool, row)) for row in zip(rejected, equivalent, table["bent"], strict=True)]
    return table


def on_shared_depths(runs: pd.DataFrame, alike: Sequence[str], by: Sequence[str]) -> pd.DataFrame:
    """The rows of :func:`run_table` at depths that every condition of one kind has.

    Args:
        runs: from :func:`run_table`; those that diverged are left out.
        alike: the fields that make a kind, such as data set and block.
        by: the fields that make a condition.
    """
    kept = runs[~runs["diverged"].astype(bool)]
    parts = []
    for _, kind in kept.groupby(list(alike)):
        shared = set.intersection(*(set(part["blocks"]) for _, part in kind.groupby(list(by))))
        parts.append(kind[kind["blocks"].isin(shared)])
    return pd.concat(parts)


def sweep_conditions(sweeps: Mapping[str, Sweep]) -> pd.DataFrame:
    """:func:`condition_table` of whole sweeps, a row each, corrected together; the column sweep names them, and trained
    says whether they reach their bar."""
    runs = pd.concat([run_table(s.records).assign(sweep=name) for name, s in sweeps.items()])
    table = condition_table(runs, ("sweep",))
    return table.assign(trained=[bar_met(sweeps[name].records) for name in table["sweep"]])


def conditions(runs: pd.DataFrame, by: Sequence[str], deepest: int | None) -> Iterator[dict[str, Any]]:
    """The rows of :func:`condition_table` that have runs enough, before correction."""
    for values, group in runs.groupby(list(by)):
        kept = group[~group["diverged"]]
        if deepest is not None:
            kept = kept[kept["blocks"] <= deepest]
        try:
            line = fit_slope(kept["blocks"].to_numpy(), kept["after"].to_numpy())
            before = fit_slope(kept["blocks"].to_numpy(), kept["before"].to_numpy())
        except ScalingError:
            continue
        accuracy = kept.groupby("blocks")["accuracy"].mean()
        yield {
            **dict(zip(by, values, strict=True)),
            "runs": len(group),
            "diverged": int(group["diverged"].sum()),
            "depths": ", ".join(map(str, accuracy.index)),
            "accuracy_low": accuracy.min(),
            "accuracy_high": accuracy.max(),
            "falls": largest_loss(accuracy),
            "alive": kept["alive"].min(),
            "clock": kept["clock"].mean(),
            "before": before.exponent,
            "before_low": before.low,
            "before_high": before.high,
            **line.columns,
            "p_claimed": line.p_value(),
            "p_equivalent": line.equivalence(),
            "p_curvature": curvature(kept["blocks"].to_numpy(), kept["after"].to_numpy())[1],
            "p_fit": lack_of_fit(kept["blocks"].to_numpy(), kept["after"].to_numpy()),
        }
