"""Comparison of curves: which law the averages follow, and depths left out.

The candidates are the laws that the literature names: 1/L (Hauser 2019, arXiv 1902.04106, after training), 1/sqrt(L)
(De & Smith 2020, arXiv 2002.10444, at initialisation), H_L / L, which is what a state that grows by the same amount in
every block gives, a power of L, a power law that may bend, to tell whether one exponent is enough, and c / (L + b),
which becomes 1/L where networks are deep.
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

FEWEST = 4  # depths that curves are compared on, and that one can be left out of


@dataclass(frozen=True)
class Curve:
    """log(average) = log(a) + shape(L) + combination of columns(L); `a` and the combination are fitted, and where it is
    `shifted` b of shape(L + b), too."""

    name: str
    shape: Callable[[np.ndarray], np.ndarray]
    columns: Callable[[np.ndarray], list[np.ndarray]]
    shifted: bool = False


def harmonic(depths: np.ndarray) -> np.ndarray:
    """H_L = 1 + 1/2 + ... + 1/L for each depth."""
    return np.array([(1 / np.arange(1, int(depth) + 1)).sum() for depth in depths])


CURVES = (
    Curve("1/L", lambda depths: -np.log(depths), lambda depths: []),
    Curve("1/√L", lambda depths: -np.log(depths) / 2, lambda depths: []),
    Curve("H_L/L", lambda depths: np.log(harmonic(depths) / depths), lambda depths: []),
    Curve("c/(L+b)", lambda depths: -np.log(depths), lambda depths: [], shifted=True),
    Curve("power of L", np.zeros_like, lambda depths: [np.log(depths)]),
    Curve("power of L, bending", np.zeros_like, lambda depths: [np.log(depths), np.log(depths) ** 2]),
)


def aicc(squares: float, points: int, parameters: int) -> float:
    """Akaike's information criterion, corrected for few points (Hurvich & Tsai 1989); infinite with too few.

    `squares` is the sum of squared distances of the logarithms; the variance is one of the parameters.
    """
    spare = points - parameters - 1
    if spare <= 0:
        return math.inf
    squares = max(squares, np.finfo(float).tiny)
    return points * math.log(squares / points) + 2 * parameters + 2 * parameters * (parameters + 1) / spare


def shifts(depths: np.ndarray) -> np.ndarray:
    """Shifts of L to try, so dense that one between two neighbours fits no better."""
    return np.geomspace(depths.min() / 20, 100 * depths.max(), 2000) - depths.min()


def compare(depths: Sequence[int] | np.ndarray, averages: Sequence[float] | np.ndarray) -> pd.DataFrame:
    """Compare the candidate curves on the runs of a sweep, the best first.

    Args:
        depths: of each run, shape (N,); at least four different ones.
        averages: of each run, positive, shape (N,).

    Returns:
        Columns curve; parameters (fitted, without the variance); exponent (of the plain power, else NaN); shift (b of
        c/(L+b), else 0); residual (standard deviation of the logarithms about the curve); p_fit (test of lack of fit
        against the scatter of seeds, NaN without seeds); aicc; difference (from the best); weight (Akaike's).

    Raises:
        ScalingError: fewer than four depths.
    """
    x, y = np.asarray(depths, dtype=float), np.log(np.asarray(averages, dtype=float))
    if len(set(x)) < FEWEST:
        raise ScalingError(
            f"curves can be compared on at least {FEWEST} depths, but there are {len(set(x))}: run more."
        )
    rows = []
    for curve in CURVES:
        columns = np.stack([np.ones_like(x), *curve.columns(x)], axis=1)
        tried = shifts(x) if curve.shifted else np.zeros(1)
        targets = np.stack([y - curve.shape(x + shift) for shift in tried], axis=1)
        solutions = np.linalg.lstsq(columns, targets, rcond=None)[0]
        left = ((targets - columns @ solutions) ** 2).sum(axis=0)
        best = int(left.argmin())
        squares, count = float(left[best]), columns.shape[1] + curve.shifted
        rows.append(
            {
                "curve": curve.name,
                "parameters": count,
                "exponent": float(solutions[1, best]) if columns.shape[1] == 2 else math.nan,
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


def leave_one_out(runs: Iterable[Run], *, replicates: int = 200) -> pd.DataFrame:
    """Predict each depth from the others, as the stopping rule would: leave-one-out validation of the rule.

    A depth's own average is taken as epsilon, and the rule asked for the depth at which it is reached, from the other
    depths alone: between two of them along the straight line on logarithms, outside them along the power law.

    Returns:
        Columns blocks, average (measured), how ("between" or "beyond" the others), predicted (average by the power law
        of the others), low and high (its band), inside, depth (predicted for epsilon = average), ratio (depth/blocks).

    Raises:
        ScalingError: fewer than four depths.
    """
    kept = finished(runs)
    depths = sorted({run.blocks for run in kept})
    if len(depths) < FEWEST:
        raise ScalingError(f"a depth can be left out of at least {FEWEST}, but there are {len(depths)}: run more.")
    averages = dict(zip(depths, fit_power_law(kept, replicates=2).averages.means, strict=True))
    rows = []
    for depth in depths:
        law = fit_power_law([run for run in kept if run.blocks != depth], replicates=replicates)
        between = depths[0] < depth < depths[-1]
        epsilon = float(averages[depth])
        position, where = crossing(law.averages.depths, law.averages.means, epsilon)
        if not position:  # none of the others is below, or the shallowest is
            where = (epsilon / law.prefactor) ** (1 / law.exponent)
        low, high = law.band(depth)
        rows.append(
            {
                "blocks": depth,
                "average": epsilon,
                "how": "between" if between else "beyond",
                "predicted": float(law(depth)),
                "low": float(low),
                "high": float(high),
                "inside": bool(low <= epsilon <= high),
                "depth": float(where),
                "ratio": float(where) / depth,
            }
        )
    return pd.DataFrame(rows)
