"""Time under weight decay: the average over depth as a function of T and of the number of steps, from runs of networks.

T = sum over steps of learning rate * weight decay / (1 - momentum). Runs reach the same T with few steps and much decay
or with many and little; if T were all that counts, they would end alike.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.slope_tests import Slope, fit_runs
from resperturb.errors import RecordError, ScalingError
from resperturb.experiment.experiment import Experiment
from resperturb.records.record import Record, load_records
from resperturb.records.sweeps import FEWEST_DEPTHS

LABELS = {"clock": "digits", "clock-postactivation": "digits, post-activation", "clock-mnist": "MNIST"}
FOLDERS = tuple(LABELS)
LEARNED = 0.05  # accuracy a run may fall short of the best of its depth by; chosen after the runs were seen
DECAYING = 2.0  # T from which on decay has had an effect


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
        Columns epochs, steps, clock (T), weight_decay, learning_rate, batch_size, blocks, seed, accuracy, start and
        scaled (the average at initialisation and at the end), product (blocks times the latter), learned (among those
        that :func:`trained_well`).
    """
    well = {record.folder for record in trained_well(records)}
    rows = [
        {
            "epochs": record.experiment.epochs,
            "steps": record.run["training"]["steps"],
            "clock": round(record.run["training"]["clock"], 3),
            "weight_decay": record.run["training"]["weight_decay"],
            "learning_rate": record.experiment.learning_rate,
            "batch_size": record.experiment.batch_size,
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
    for record in trained_well(usual_steps(records)):
        key = (int(record.experiment.epochs or 0), round(record.run["training"]["clock"], 3))
        groups.setdefault(key, []).append(record)
    rows = []
    for (epochs, clock), runs in sorted(groups.items()):
        depths = {run.blocks for run in runs}
        if len(depths) < FEWEST_DEPTHS:
            continue
        facts = {"epochs": epochs, "clock": clock, "depths": len(depths), "runs": len(runs)}
        accuracy = float(np.mean([run.run["accuracy"] for run in runs]))
        rows.append({**facts, **fit_runs(runs).columns, "accuracy": accuracy})
    return pd.DataFrame(rows)


def usual_steps(records: Sequence[Record]) -> list[Record]:
    """The runs at the default learning rate and batch size, in which T alone and the epochs vary."""
    usual = (Experiment.learning_rate, Experiment.batch_size)
    return [r for r in records if (r.experiment.learning_rate, r.experiment.batch_size) == usual]


def steps_effect(table: pd.DataFrame) -> tuple[float, float, float]:
    """d log(average) / d log(steps) at one T and one depth, with its 95 % interval: 0 if T is the clock.

    Least squares over the runs of T from DECAYING on, with a level of its own for each T and depth.

    Raises:
        ScalingError: no T and depth was reached with different numbers of steps.
    """
    late = table[table["clock"] >= DECAYING]
    y, x = np.log(late["scaled"]), np.log(late["steps"])
    cells = [late["clock"], late["blocks"]]
    y, x = y - y.groupby(cells).transform("mean"), x - x.groupby(cells).transform("mean")
    freedom = len(late) - len(late.groupby(["clock", "blocks"])) - 1
    if freedom < 1 or not (x**2).sum():
        raise ScalingError("no T and depth was reached with different numbers of steps.")
    slope = float((x * y).sum() / (x**2).sum())
    error = float(np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x**2).sum()))
    line = Slope(slope, error, freedom)
    return slope, line.low, line.high
