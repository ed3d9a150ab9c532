"""Time under weight decay: does the average depend on T alone, or on the number of steps as well?

T = sum over steps of learning rate * weight decay / (1 - momentum). Runs reach the same T with few steps and much decay
or with many and little; if T were all that counts, they would end alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from resperturb.analysis.conditions import alive
from resperturb.analysis.slope_tests import Slope, fit_runs
from resperturb.errors import ScalingError
from resperturb.records.record import Record


def clock_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a run: how it was trained, and where it ended.

    Returns:
        Columns epochs, steps, clock (T), weight_decay, blocks, seed, accuracy, scaled (the average at the end) and
        product (blocks times that).
    """
    rows = [
        {
            "epochs": record.experiment.epochs,
            "steps": record.run["training"]["steps"],
            "clock": round(record.run["training"]["clock"], 3),
            "weight_decay": record.run["training"]["weight_decay"],
            "blocks": record.blocks,
            "seed": record.seed,
            "accuracy": record.run["accuracy"],
            "scaled": record.run["averages"]["end"]["scaled"],
            "product": record.blocks * record.run["averages"]["end"]["scaled"],
        }
        for record in records
    ]
    return pd.DataFrame(rows).sort_values(["epochs", "clock", "blocks", "seed"], ignore_index=True)


def forgetting_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row a T that runs of three depths reached, with any number of epochs.

    Returns:
        Columns clock (T), runs, exponent, low and high (95 % interval, a point a run), accuracy (of the least accurate
        run), alive (the smallest share of live blocks), memory (what is left of the initial weights of the last
        convolutions, mean over blocks and runs) and formula, e^-T.
    """
    groups: dict[float, list[Record]] = {}
    for record in records:
        groups.setdefault(round(record.run["training"]["clock"], 3), []).append(record)
    rows = []
    for clock, runs in sorted(groups.items()):
        if len({run.blocks for run in runs}) < 3:
            continue
        weights = [run.table("weights").query("moment == 'end'")["memory2"].mean() for run in runs]
        facts = {
            "accuracy": min(run.run["accuracy"] for run in runs),
            "alive": min(float(alive(run).mean()) for run in runs),
        }
        left = {"memory": float(np.mean(weights)), "formula": float(np.exp(-clock))}
        rows.append({"clock": clock, "runs": len(runs), **fit_runs(runs).columns, **facts, **left})
    return pd.DataFrame(rows)


def steps_effect(table: pd.DataFrame) -> Slope:
    """d log(average) / d log(steps) at one T above 0 and one depth: 0 if T is the clock.

    Least squares over runs, with a level of its own for each T and depth.

    Raises:
        ScalingError: no T and depth was reached with different numbers of steps.
    """
    decayed = table[table["clock"] > 0]
    y, x = np.log(decayed["scaled"]), np.log(decayed["steps"])
    cells = [decayed["clock"], decayed["blocks"]]
    y, x = y - y.groupby(cells).transform("mean"), x - x.groupby(cells).transform("mean")
    freedom = len(decayed) - len(decayed.groupby(["clock", "blocks"])) - 1
    if freedom < 1 or not (x**2).sum():
        raise ScalingError("no T and depth was reached with different numbers of steps.")
    slope = float((x * y).sum() / (x**2).sum())
    error = float(np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x**2).sum()))
    return Slope(slope, error, freedom)


def left_out_errors(table: pd.DataFrame) -> dict[str, float]:
    """How well T, and how well the weight decay, predicts runs of a number of epochs that was left out.

    log(average) is fitted by a level for each depth and a parabola in log T, or in log(weight decay), on the runs of
    all other numbers of epochs.

    Returns:
        Root mean square error of log(average) over all runs left out, under "clock" and "weight_decay".
    """
    decayed = table[table["clock"] > 0]
    depths = sorted(set(decayed["blocks"]))
    y = np.log(decayed["scaled"].to_numpy())
    levels = np.stack([decayed["blocks"] == depth for depth in depths], axis=1).astype(float)
    errors = {}
    for name in ("clock", "weight_decay"):
        x = np.log(decayed[name].to_numpy())
        design = np.column_stack([levels, x, x**2])
        left: list[float] = []
        for epochs in sorted(set(decayed["epochs"])):
            out = (decayed["epochs"] == epochs).to_numpy()
            solution = np.linalg.lstsq(design[~out], y[~out], rcond=None)[0]
            left += list(y[out] - design[out] @ solution)
        errors[name] = float(np.sqrt(np.mean(np.square(left))))
    return errors
