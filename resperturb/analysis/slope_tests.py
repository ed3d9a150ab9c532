"""Tests of an exponent: is it -1, is it equivalent to -1, does one power fit, and do two exponents differ?

Every run is one point, x = log(number of blocks), y = log(average scaled perturbation), with y = log(a) + p x + noise
fitted by least squares. The rules of the verdicts were fixed before the runs (chapter "The plan" of the book).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from resperturb.errors import ScalingError
from resperturb.records.record import Record

LEVEL = 0.05  # of every test
CLAIMED = -1.0  # exponent (Hauser 2019)
SMALLEST = 0.1  # smallest difference of exponents that matters: a factor of 1.26 in the average over tenfold depth


def stats() -> Any:
    """Import scipy.stats at the first test; the import takes longer than all tests of a chapter."""
    from scipy import stats

    return stats


@dataclass(frozen=True)
class Slope:
    """An exponent with its standard error: least squares of log(average) on log(blocks), one point per run.

    Attributes:
        exponent: p of average = a L^p.
        error: standard error of p.
        freedom: degrees of freedom, runs - 2.
        prefactor: a.
        p_curvature, p_fit: p-values of the tests that a single power fits; NaN with too few runs.
        ends: exponents between the two shallowest and between the two deepest depths.
    """

    exponent: float
    error: float
    freedom: int
    prefactor: float = 1.0
    p_curvature: float = math.nan
    p_fit: float = math.nan
    ends: tuple[float, float] = (math.nan, math.nan)

    @property
    def bent(self) -> bool:
        """Whether curvature or lack of fit rejects a single power; then p is a mean slope."""
        return self.p_curvature < LEVEL or self.p_fit < LEVEL  # NaN is not

    def interval(self, level: float = 1 - LEVEL) -> tuple[float, float]:
        """Return Student's interval of the exponent."""
        reach = float(stats().t.ppf((1 + level) / 2, self.freedom)) * self.error
        return self.exponent - reach, self.exponent + reach

    @property
    def low(self) -> float:
        return self.interval()[0]

    @property
    def high(self) -> float:
        return self.interval()[1]

    @property
    def columns(self) -> dict[str, float]:
        """The columns exponent, low, high (95 % interval) and bent of a table."""
        return {"exponent": self.exponent, "low": self.low, "high": self.high, "bent": self.bent}

    def p_value(self, claimed: float = CLAIMED) -> float:
        """Return the p-value of the two-sided t-test that the exponent equals `claimed`."""
        return float(2 * stats().t.sf(abs(self.exponent - claimed) / self.error, self.freedom))

    def equivalence(self, claimed: float = CLAIMED, margin: float = SMALLEST) -> float:
        """Return the p-value of two one-sided t-tests (Schuirmann 1987); small if the exponent is within `margin` of
        `claimed`."""
        above = stats().t.sf((self.exponent - claimed + margin) / self.error, self.freedom)
        below = stats().t.sf((claimed + margin - self.exponent) / self.error, self.freedom)
        return float(max(above, below))


def points(blocks: ArrayLike, averages: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of depth and average of each run, both of shape (runs,).

    Raises:
        ScalingError: fewer than three runs or two depths, or an average that is not above 0.
    """
    x, y = np.asarray(blocks, dtype=float), np.asarray(averages, dtype=float)
    if len(x) < 3 or len(set(x)) < 2:
        raise ScalingError(
            f"an exponent is tested on at least 3 runs of 2 depths, but there are {len(x)} of {len(set(x))}; add runs."
        )
    if not (y > 0).all():
        raise ScalingError(f"averages must be above 0, but the smallest is {y.min():g}; leave that run out.")
    return np.log(x), np.log(y)


def fit_slope(blocks: ArrayLike, averages: ArrayLike) -> Slope:
    """Fit the exponent over runs; raises the errors of :func:`points`."""
    x, y = points(blocks, averages)
    line = stats().linregress(x, y)
    local = local_exponents(blocks, averages)["exponent"].to_numpy()
    return Slope(
        exponent=float(line.slope),
        error=float(line.stderr),
        freedom=len(x) - 2,
        prefactor=math.exp(line.intercept),
        p_curvature=curvature(x, y)[1],
        p_fit=misfit(x, y, float(((y - line.intercept - line.slope * x) ** 2).sum()), 2),
        ends=(float(local[0]), float(local[-1])),
    )


def with_blocks(records: Iterable[Record]) -> list[Record]:
    """Select the runs that an exponent is fitted to: those with blocks that did not diverge."""
    return [record for record in records if record.blocks and not record.diverged]


def fit_runs(records: Iterable[Record], moment: str = "end") -> Slope:
    """Fit the exponent of the average scaled perturbation over depth, one point per run that did not diverge."""
    kept = with_blocks(records)
    return fit_slope([r.blocks for r in kept], [r.average(moment) for r in kept])


def curvature(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the coefficient of x² and the p-value of the t-test that it is zero; NaN with fewer than four runs or
    three depths. x and y are :func:`points`."""
    if len(x) < 4 or len(set(x)) < 3:
        return math.nan, math.nan
    solution, covariance = np.polyfit(x - x.mean(), y, 2, cov=True)
    return float(solution[0]), float(2 * stats().t.sf(abs(solution[0]) / math.sqrt(covariance[0, 0]), len(x) - 3))


def misfit(x: np.ndarray, y: np.ndarray, squares: float, parameters: int) -> float:
    """Return the p-value of the F-test of a curve against the scatter of y at equal x, from the curve's residual sum of
    squares and number of parameters; NaN without scatter or with as many parameters as distinct x."""
    groups = [y[x == place] for place in np.unique(x)]
    pure = float(sum(((group - group.mean()) ** 2).sum() for group in groups))
    lack, noise = len(groups) - parameters, len(y) - len(groups)
    if lack < 1 or noise < 1 or not pure:
        return math.nan
    return float(stats().f.sf(((squares - pure) / lack) / (pure / noise), lack, noise))


def local_exponents(blocks: ArrayLike, averages: ArrayLike) -> pd.DataFrame:
    """Return the exponents between neighbouring depths, from means of logarithms over seeds: columns from, to,
    exponent."""
    x, y = points(blocks, averages)
    depths = np.unique(x)
    means = np.array([y[x == depth].mean() for depth in depths])
    whole = np.rint(np.exp(depths)).astype(int)
    return pd.DataFrame({"from": whole[:-1], "to": whole[1:], "exponent": np.diff(means) / np.diff(depths)})


def difference(first: Slope, second: Slope) -> tuple[float, float, float]:
    """Return first - second of two exponents, with the ends of Welch's 95 % interval."""
    moved = first.exponent - second.exponent
    variances = first.error**2, second.error**2
    if not sum(variances):
        return moved, moved, moved
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / first.freedom + variances[1] ** 2 / second.freedom)
    reach = float(stats().t.ppf(1 - LEVEL / 2, freedom)) * math.sqrt(sum(variances))
    return moved, moved - reach, moved + reach


def mean_difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """Return mean(first) - mean(second), with the ends of Welch's 95 % interval; NaN ends with a single value."""
    moved = float(np.mean(first) - np.mean(second))
    if min(len(first), len(second)) < 2:
        return moved, math.nan, math.nan
    one, other = (Slope(float(np.mean(v)), float(stats().sem(v)), len(v) - 1) for v in (first, second))
    return difference(one, other)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple tests (Holm 1979); the order stays."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()


def answer(rejected: bool, equivalent: bool, bent: bool) -> str:
    """Answer by the plan's rule whether an exponent is the claimed one: "yes", "roughly", "no" or "open".

    `rejected` is the t-test, `equivalent` the equivalence test; `bent` if tests reject a single power.
    """
    if equivalent:
        return "roughly" if rejected or bent else "yes"
    return "no" if rejected else "open"
