"""Time under weight decay: the average over depth as a function of T and of the number of steps, from runs of networks.

T = sum over steps of learning rate * weight decay / (1 - momentum). Runs reach the same T with few steps and much decay
or with many and little; if T is the clock, they end alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import TABLE_REPLICATES, finished
from resperturb.analysis.power_law import fit_power_law
from resperturb.errors import RecordError, ScalingError
from resperturb.records.record import Record, load_records
from resperturb.records.sweeps import FEWEST_DEPTHS

LABELS = {"clock": "digits", "clock-postactivation": "digits, post-activation", "clock-mnist": "MNIST"}
FOLDERS = tuple(LABELS)
ALIKE = 1.25  # averages within this factor of each other are alike
LEARNED = 0.05  # accuracy a run may fall short of the best of its depth by; below, it is a network that learned little
SATURATED = 5.0  # T from which on the effect is said to have saturated


def clock_records(results: Path | str) -> dict[str, list[Record]]:
    """The finished runs of each map that is there, by folder."""
    found = {}
    for folder in FOLDERS:
        with contextlib.suppress(RecordError):
            found[folder] = finished(load_records(Path(results) / folder))
    return found


def trained_well(records: Sequence[Record]) -> list[Record]:
    """The runs within LEARNED of the best accuracy of their depth: much decay in few steps destroys a network."""
    best: dict[int, float] = {}
    for record in records:
        best[record.blocks] = max(best.get(record.blocks, 0.0), record.run["accuracy"])
    return [record for record in records if record.run["accuracy"] >= best[record.blocks] - LEARNED]


def clock_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a run: how it was trained, and where it ended.

    Returns:
        Columns epochs, clock (T), weight_decay, blocks, seed, accuracy, start and scaled (the average at initialisation
        and at the end), product (blocks times the latter), learned (among those that :func:`trained_well`).
    """
    well = {record.folder for record in trained_well(records)}
    rows = [
        {
            "epochs": record.experiment.epochs,
            "clock": round(record.run["training"]["clock"], 3),
            "weight_decay": record.run["training"]["weight_decay"],
            "blocks": record.blocks,
            "seed": record.seed,
            "accuracy": record.run["accuracy"],
            "start": record.run["averages"]["initialization"]["scaled"],
            "scaled": record.run["averages"]["end"]["scaled"],
            "product": record.blocks * record.run["averages"]["end"]["scaled"],
            "learned": record.folder in well,
        }
        for record in records
    ]
    return pd.DataFrame(rows).sort_values(["epochs", "clock", "blocks", "seed"], ignore_index=True)


def clock_exponents(records: Sequence[Record]) -> pd.DataFrame:
    """One row a number of epochs and T, if networks of at least FEWEST_DEPTHS depths learned: the exponent over those
    depths after training, with its interval, and mean accuracy."""
    groups: dict[tuple[int, float], list[Record]] = {}
    for record in trained_well(records):
        key = (int(record.experiment.epochs or 0), round(record.run["training"]["clock"], 3))
        groups.setdefault(key, []).append(record)
    rows = []
    for (epochs, clock), runs in sorted(groups.items()):
        try:
            law = fit_power_law(runs, replicates=TABLE_REPLICATES)
        except ScalingError:
            continue
        if len(law.averages.depths) < FEWEST_DEPTHS:
            continue
        rows.append(
            {
                "epochs": epochs,
                "clock": clock,
                "depths": len(law.averages.depths),
                "runs": len(runs),
                **law.columns,
                "accuracy": float(np.mean([run.run["accuracy"] for run in runs])),
            }
        )
    return pd.DataFrame(rows)


def collapse(table: pd.DataFrame) -> pd.DataFrame:
    """One row a T and depth: the distance between the averages of runs that learned with different numbers of epochs.

    `ratio` is the largest over the smallest of their means over seeds; `steps` the longest run over the shortest.
    """
    rows = []
    for (clock, blocks), part in table[table["learned"]].groupby(["clock", "blocks"]):
        means = part.groupby("epochs")["scaled"].mean()
        if len(means) > 1:
            steps = means.index.max() / means.index.min()
            rows.append({"clock": clock, "blocks": blocks, "ratio": means.max() / means.min(), "steps": steps})
    return pd.DataFrame(rows, columns=["clock", "blocks", "ratio", "steps"])
