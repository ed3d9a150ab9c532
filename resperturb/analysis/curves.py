"""Comparison of laws for the average over depth, and leave-one-out validation of the stopping rule.

The candidates: 1/L (Hauser 2019, arXiv 1902.04106, after training); 1/sqrt(L) (De & Smith 2020, arXiv 2002.10444, at
initialisation); H_L / L, for a state that grows by the same amount in every block; a power of L; a power of L that
bends, to test whether one exponent is enough; and c / (L + b), which approaches 1/L in deep networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import Run, finished
from resperturb.analysis.power_law import crossing, fit_power_law
from resperturb.analysis.slope_tests import misfit
from resperturb.errors import ScalingError

FEWEST = 4  # fewest depths for a comparison of curves, and for leaving one out


@dataclass(frozen=True)
class Curve:
    """log(average) = shape(L + b) + a_0 + a_1 log(L) + ... with `powers` fitted powers of log(L) beside a_0.

    b is fitted if the curve is `shifted`, else 0.
    """

    name: str
    shape: Callable[[np.ndarray], np.ndarray]
    powers: int = 0
    shifted: bool = False


def harmonic(depths: np.ndarray) -> np.ndarray:
    """Return H_L = 1 + 1/2 + ... + 1/L for each depth; shape (N,)."""
    return np.array([(1 / np.arange(1, int(depth) + 1)).sum() for depth in depths])


CURVES = (
    Curve("1/L", lambda depths: -np.log(depths)),
    Curve("1/√L", lambda depths: -np.log(depths) / 2),
    Curve("H_L/L", lambda depths: np.log(harmonic(depths) / depths)),
    Curve("c/(L+b)", lambda depths: -np.log(depths), shifted=True),
    Curve("power of L", np.zeros_like, powers=1),
    Curve("power of L, bending", np.zeros_like, powers=2),
)


def aicc(squares: float, points: int, parameters: int) -> float:
    """Akaike's information criterion, corrected for few points (Hurvich & Tsai 1989); infinite with too few.

    `squares` is the residual sum of squares of log(average); the variance counts as a parameter.
    """
    spare = points - parameters - 1
    if spare <= 0:
        return math.inf
    squares = max(squares, np.finfo(float).tiny)
    return points * math.log(squares / points) + 2 * parameters + 2 * parameters * (parameters + 1) / spare


def shifts(depths: np.ndarray) -> np.ndarray:
    """Return the grid of shifts b; it is fine enough that interpolation would not improve the fit."""
    return np.geomspace(depths.min() / 20, 100 * depths.max(), 2000) - depths.min()


def compare_curves(depths: Sequence[int] | np.ndarray, averages: Sequence[float] | np.ndarray) -> pd.DataFrame:
    """Compare the candidate curves on the runs of a sweep, best first.

    Args:
        depths: number of blocks of each run, shape (N,).
        averages: average scaled perturbation of each run, positive, shape (N,).

    Returns:
        Columns curve; parameters (fitted, without the variance); exponent (of "power of L", else NaN); shift (b, else
        0); residual (standard deviation of log(average) about the curve); p_fit (F-test of lack of fit against the
        scatter of seeds, NaN with one seed); aicc; difference (from the best); weight (Akaike weight).

    Raises:
        ScalingError: fewer than four depths.
    """
    x, y = np.asarray(depths, dtype=float), np.log(np.asarray(averages, dtype=float))
    if len(set(x)) < FEWEST:
        raise ScalingError(f"curves are compared on at least {FEWEST} depths, but there are {len(set(x))}; run more.")
    rows = []
    for curve in CURVES:
        columns = np.stack([np.log(x) ** power for power in range(curve.powers + 1)], axis=1)
        tried = shifts(x) if curve.shifted else np.zeros(1)
        targets = np.stack([y - curve.shape(x + shift) for shift in tried], axis=1)
        solutions = np.linalg.lstsq(columns, targets, rcond=None)[0]
        left = ((targets - columns @ solutions) ** 2).sum(axis=0)
        best = int(left.argmin())
        squares, count = float(left[best]), 1 + curve.powers + curve.shifted
        rows.append(
            {
                "curve": curve.name,
                "parameters": count,
                "exponent": float(solutions[1, best]) if curve.powers == 1 else math.nan,
                "shift": float(tried[best]),
                "residual": math.sqrt(squares / max(len(x) - count, 1)),
                "p_fit": misfit(x, y, squares, count),
                "aicc": aicc(squares, len(x), count + 1),
            }
        )
    table = pd.DataFrame(rows).sort_values("aicc", kind="stable", ignore_index=True)
    table["difference"] = table["aicc"] - table["aicc"].min()
    weights = np.exp(-table["difference"] / 2)
    table["weight"] = weights / weights.sum()
    return table


def leave_one_out(runs: Iterable[Run]) -> pd.DataFrame:
    """Validate the stopping rule: predict each depth from the other depths.

    Epsilon is the average measured at the left-out depth. Between two other depths the prediction interpolates
    linearly in logarithms; beyond them it follows their power law.

    Returns:
        Columns blocks; average (measured); how ("between" or "beyond"); depth (predicted); ratio (depth / blocks).

    Raises:
        ScalingError: fewer than four depths.
    """
    kept = finished(runs)
    depths = sorted({run.blocks for run in kept})
    if len(depths) < FEWEST:
        raise ScalingError(f"a depth is left out of at least {FEWEST}, but there are {len(depths)}; run more.")
    averages = dict(zip(depths, fit_power_law(kept, replicates=2).averages.means, strict=True))
    rows = []
    for depth in depths:
        law = fit_power_law([run for run in kept if run.blocks != depth], replicates=2)
        between = depths[0] < depth < depths[-1]
        epsilon = float(averages[depth])
        position, where = crossing(law.averages.depths, law.averages.means, epsilon)
        if not position:  # no other depth is below epsilon, or all are
            where = (epsilon / law.prefactor) ** (1 / law.exponent)
        rows.append(
            {
                "blocks": depth,
                "average": epsilon,
                "how": "between" if between else "beyond",
                "depth": float(where),
                "ratio": float(where) / depth,
            }
        )
    return pd.DataFrame(rows)
