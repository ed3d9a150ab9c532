"""Time under weight decay: the average over depth as a function of T and of the number of steps, from runs of networks.

T = sum over steps of learning rate * weight decay / (1 - momentum). Runs reach the same T with few steps and much decay
or with many and little; if T is the clock, they end alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from resperturb.analysis.power_law import fit_power_law
from resperturb.errors import RecordError, ScalingError
from resperturb.records.record import Record, load_records

LABELS = {"clock": "digits", "clock-postactivation": "digits, post-activation", "clock-mnist": "MNIST"}
FOLDERS = tuple(LABELS)
ALIKE = 1.25  # averages within this factor of each other are alike
FEWEST = 3  # depths an exponent is fitted to
LEARNED = 0.05  # accuracy a run may fall short of the best of its depth by; below, it is a network that learned little
SATURATED = 5.0  # T from which on the effect is said to have saturated


def clock_records(results: Path | str) -> dict[str, list[Record]]:
    """The runs of each map that is there, by folder, diverged ones left out."""
    found = {}
    for folder in FOLDERS:
        try:
            records = load_records(Path(results) / folder)
        except RecordError:
            continue
        found[folder] = [record for record in records if not record.diverged]
    return found


def clock_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per run: what it was given, and where it ended.

    Columns: epochs, clock (T), weight_decay, blocks, seed, accuracy, start and scaled (the average at initialisation
    and at the end), product (blocks times the latter), learned (accuracy within LEARNED of the best of its depth).
    """
    rows = []
    for record in records:
        run = record.run
        rows.append(
            {
                "epochs": record.experiment.epochs,
                "clock": round(run["training"]["clock"], 3),
                "weight_decay": run["training"]["weight_decay"],
                "blocks": record.blocks,
                "seed": record.seed,
                "accuracy": run["accuracy"],
                "start": run["averages"]["initialization"]["scaled"],
                "scaled": run["averages"]["end"]["scaled"],
                "product": record.blocks * run["averages"]["end"]["scaled"],
            }
        )
    table = pd.DataFrame(rows).sort_values(["epochs", "clock", "blocks", "seed"], ignore_index=True)
    best = table.groupby("blocks")["accuracy"].transform("max")
    return table.assign(learned=table["accuracy"] >= best - LEARNED)


def trained_well(records: Sequence[Record]) -> list[Record]:
    """Those whose accuracy is within LEARNED of the best of their depth: much decay in few steps destroys a network."""
    best: dict[int, float] = {}
    for record in records:
        best[record.blocks] = max(best.get(record.blocks, 0.0), record.run["accuracy"])
    return [record for record in records if record.run["accuracy"] >= best[record.blocks] - LEARNED]


def clock_exponents(records: Sequence[Record]) -> pd.DataFrame:
    """A row per number of epochs and T at which networks of at least three depths learned: the exponent over those
    depths at the end, with its interval, and mean accuracy."""
    groups: dict[tuple[int, float], list[Record]] = {}
    for record in trained_well(records):
        key = (int(record.experiment.epochs or 0), round(record.run["training"]["clock"], 3))
        groups.setdefault(key, []).append(record)
    rows = []
    for (epochs, clock), runs in sorted(groups.items()):
        try:
            law = fit_power_law(runs, replicates=500)
        except ScalingError:
            continue
        if len(law.averages.depths) < FEWEST:
            continue
        rows.append(
            {
                "epochs": epochs,
                "clock": clock,
                "depths": len(law.averages.depths),
                "runs": len(runs),
                "exponent": law.exponent,
                "low": law.low,
                "high": law.high,
                "accuracy": float(np.mean([run.run["accuracy"] for run in runs])),
            }
        )
    return pd.DataFrame(rows)


def collapse(table: pd.DataFrame) -> pd.DataFrame:
    """A row per T and depth: how far the averages of runs with different numbers of epochs lie apart, if they learned.

    `ratio` is the largest over the smallest of their means over seeds; `steps` how many times the shortest's steps the
    longest has.
    """
    rows = []
    for (clock, blocks), part in table[table["learned"]].groupby(["clock", "blocks"]):
        means = part.groupby("epochs")["scaled"].mean()
        if len(means) > 1:
            steps = means.index.max() / means.index.min()
            rows.append({"clock": clock, "blocks": blocks, "ratio": means.max() / means.min(), "steps": steps})
    return pd.DataFrame(rows, columns=["clock", "blocks", "ratio", "steps"])
