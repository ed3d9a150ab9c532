"""Time under weight decay T: does the average depend on T alone, or on the number of steps as well?

T = sum over steps of learning rate * weight decay / (1 - momentum). Few steps with much decay and many steps with
little decay reach the same T. If only T matters, both give the same average.
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
    """Tabulate runs, one per row.

    Returns:
        Columns epochs, steps, clock (T), weight_decay, blocks, seed, accuracy, scaled (average after training) and
        product (blocks * scaled).
    """
    rows = [
        {
            "epochs": record.experiment.epochs,
            "steps": record.run["training"]["steps"],
            "clock": round(record.clock, 3),
            "weight_decay": record.weight_decay,
            "blocks": record.blocks,
            "seed": record.seed,
            "accuracy": record.accuracy,
            "scaled": record.average(),
            "product": record.blocks * record.average(),
        }
        for record in records
    ]
    return pd.DataFrame(rows).sort_values(["epochs", "clock", "blocks", "seed"], ignore_index=True)


def forgetting_table(records: Sequence[Record]) -> pd.DataFrame:
    """Tabulate the exponent by T, one row for each T with runs at three depths or more.

    Returns:
        Columns clock (T), runs, exponent, low and high (95 % interval), bent, accuracy (lowest of the runs), alive
        (smallest share of live blocks), memory (remaining part of the initial weights of the last convolutions, mean
        over blocks and runs) and formula (e^-T).
    """
    groups: dict[float, list[Record]] = {}
    for record in records:
        groups.setdefault(round(record.clock, 3), []).append(record)
    rows = []
    for clock, runs in sorted(groups.items()):
        if len({run.blocks for run in runs}) < 3:
            continue
        weights = [run.table("weights").query("moment == 'end'")["memory2"].mean() for run in runs]
        facts = {
            "accuracy": min(run.accuracy for run in runs),
            "alive": min(float(alive(run.blocks_at("end")).mean()) for run in runs),
        }
        left = {"memory": float(np.mean(weights)), "formula": float(np.exp(-clock))}
        rows.append({"clock": clock, "runs": len(runs), **fit_runs(runs).columns, **facts, **left})
    return pd.DataFrame(rows)


def steps_effect(table: pd.DataFrame) -> Slope:
    """Fit d log(average) / d log(steps) at fixed T > 0 and depth; 0 if only T matters.

    Least squares over runs with one intercept for each pair of T and depth.

    Raises:
        ScalingError: no T and depth was run with different numbers of steps.
    """
    decayed = table[table["clock"] > 0]
    y, x = np.log(decayed["scaled"]), np.log(decayed["steps"])
    cells = [decayed["clock"], decayed["blocks"]]
    y, x = y - y.groupby(cells).transform("mean"), x - x.groupby(cells).transform("mean")
    freedom = len(decayed) - len(decayed.groupby(["clock", "blocks"])) - 1
    if freedom < 1 or not (x**2).sum():
        raise ScalingError("no T and depth was run with different numbers of steps; add runs of another length.")
    slope = float((x * y).sum() / (x**2).sum())
    error = float(np.sqrt(((y - slope * x) ** 2).sum() / freedom / (x**2).sum()))
    return Slope(slope, error, freedom)


def left_out_errors(table: pd.DataFrame) -> dict[str, float]:
    """Cross-validate T and weight decay as predictors of the average, leaving out one number of epochs at a time.

    log(average) is fitted by an intercept for each depth and a parabola in log(predictor).

    Returns:
        Root mean square error of log(average) over all left-out runs, by predictor: "clock" and "weight_decay".
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
