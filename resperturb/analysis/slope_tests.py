"""Test one exponent against another: is it -1, is it near enough to -1, and is there one exponent at all?

Every run is one point: x = log(number of blocks), y = log(average scaled perturbation), y = a + p x + noise by least
squares. The rules by which the book answers with these tests were written down before the runs they judge (the chapter
"The plan").
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from resperturb.errors import ScalingError
from resperturb.records.record import Record

LEVEL = 0.05  # of every test, two-sided unless said otherwise
CLAIMED = -1.0
SMALLEST = 0.1  # the smallest difference of an exponent that matters: a factor 1.26 in the average over tenfold depth


def stats() -> Any:
    """scipy.stats, imported at the first test: that takes longer than all tests of a chapter."""
    from scipy import stats

    return stats


@dataclass(frozen=True)
class Slope:
    """The exponent of a sweep: least squares of log(average) on log(blocks), one point a run.

    Attributes:
        exponent: p.
        error: its standard error.
        freedom: degrees of freedom, runs less two.
        prefactor: a of average = a L^p.
        bent: whether curvature or lack of fit rejects that it is one power; then p is a mean slope.
        ends: the exponents between the two shallowest and between the two deepest depths.
    """

    exponent: float
    error: float
    freedom: int
    prefactor: float = 1.0
    bent: bool = False
    ends: tuple[float, float] = (math.nan, math.nan)

    def interval(self, level: float = 1 - LEVEL) -> tuple[float, float]:
        """Student's interval of the exponent."""
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
        """The exponent, its interval, and whether it is a mean slope, as columns of a table."""
        return {"exponent": self.exponent, "low": self.low, "high": self.high, "bent": self.bent}

    def p_value(self, claimed: float = CLAIMED) -> float:
        """Of the two-sided t-test that the exponent is `claimed`."""
        return float(2 * stats().t.sf(abs(self.exponent - claimed) / self.error, self.freedom))

    def equivalence(self, claimed: float = CLAIMED, margin: float = SMALLEST) -> float:
        """The p-value of two one-sided t-tests (Schuirmann 1987): small where the exponent is within `margin` of
        `claimed`."""
        above = stats().t.sf((self.exponent - claimed + margin) / self.error, self.freedom)
        below = stats().t.sf((claimed + margin - self.exponent) / self.error, self.freedom)
        return float(max(above, below))


def points(blocks: Sequence[int] | np.ndarray, averages: Sequence[float] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of depth and average, one of each a run.

    Raises:
        ScalingError: fewer than three runs or two depths, or an average that is not above zero.
    """
    x, y = np.asarray(blocks, dtype=float), np.asarray(averages, dtype=float)
    if len(x) < 3 or len(set(x)) < 2:
        raise ScalingError(f"an exponent is tested on at least 3 runs of 2 depths, but there are {len(x)} runs.")
    if not (y > 0).all():
        raise ScalingError(f"averages must be above 0 to have logarithms, but the smallest is {y.min():g}.")
    return np.log(x), np.log(y)


def fit_slope(blocks: Sequence[int] | np.ndarray, averages: Sequence[float] | np.ndarray) -> Slope:
    """The exponent over runs; errors are those of :func:`points`."""
    line = stats().linregress(*points(blocks, averages))
    bent = any(p < LEVEL for p in (curvature(blocks, averages)[1], lack_of_fit(blocks, averages)))  # NaN is not
    local = local_exponents(blocks, averages)["exponent"].to_numpy()
    ends = float(local[0]), float(local[-1])
    return Slope(float(line.slope), float(line.stderr), len(blocks) - 2, math.exp(line.intercept), bent, ends)


def fit_runs(records: Iterable[Record], moment: str = "end") -> Slope:
    """The exponent of the average scaled perturbation over the depth, one point a run that did not diverge."""
    kept = [record for record in records if not record.diverged and record.blocks]
    return fit_slope([r.blocks for r in kept], [r.run["averages"][moment]["scaled"] for r in kept])


def curvature(blocks: Sequence[int] | np.ndarray, averages: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The coefficient of (log L)^2 and the p-value of the t-test that it is zero; NaN with fewer than four runs or
    three depths."""
    x, y = points(blocks, averages)
    if len(x) < 4 or len(set(x)) < 3:
        return math.nan, math.nan
    x = x - x.mean()
    columns = np.stack([np.ones_like(x), x, x**2], axis=1)
    solution = np.linalg.lstsq(columns, y, rcond=None)[0]
    freedom = len(x) - 3
    variance = float(((y - columns @ solution) ** 2).sum()) / freedom
    error = math.sqrt(variance * float(np.linalg.inv(columns.T @ columns)[2, 2]))
    return float(solution[2]), float(2 * stats().t.sf(abs(solution[2]) / error, freedom))


def lack_of_fit(blocks: Sequence[int] | np.ndarray, averages: Sequence[float] | np.ndarray) -> float:
    """The p-value of the F-test of the line against the scatter of seeds at one depth; NaN without repeated depths or
    with two depths, which every line goes through."""
    x, y = points(blocks, averages)
    line = stats().linregress(x, y)
    return misfit(x, y, float(((y - line.intercept - line.slope * x) ** 2).sum()), 2)


def misfit(x: np.ndarray, y: np.ndarray, squares: float, parameters: int) -> float:
    """The p-value of the F-test of a curve of so many parameters against the scatter of y at one x, from the sum of
    squares that the curve leaves; NaN without scatter, or with as many parameters as different x."""
    groups = [y[x == place] for place in np.unique(x)]
    pure = float(sum(((group - group.mean()) ** 2).sum() for group in groups))
    lack, noise = len(groups) - parameters, len(y) - len(groups)
    if lack < 1 or noise < 1 or not pure:
        return math.nan
    return float(stats().f.sf(((squares - pure) / lack) / (pure / noise), lack, noise))


def local_exponents(blocks: Sequence[int] | np.ndarray, averages: Sequence[float] | np.ndarray) -> pd.DataFrame:
    """The exponent between neighbouring depths: columns from, to, exponent; means of logarithms over seeds."""
    x, y = points(blocks, averages)
    depths = np.unique(x)
    means = np.array([y[x == depth].mean() for depth in depths])
    whole = np.rint(np.exp(depths)).astype(int)
    return pd.DataFrame({"from": whole[:-1], "to": whole[1:], "exponent": np.diff(means) / np.diff(depths)})


def difference(first: Slope, second: Slope, level: float = 1 - LEVEL) -> tuple[float, float, float]:
    """first - second of two exponents, with the ends of Welch's interval."""
    moved = first.exponent - second.exponent
    variances = first.error**2, second.error**2
    if not sum(variances):
        return moved, moved, moved
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / first.freedom + variances[1] ** 2 / second.freedom)
    reach = float(stats().t.ppf((1 + level) / 2, freedom)) * math.sqrt(sum(variances))
    return moved, moved - reach, moved + reach


def mean_difference(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float]:
    """mean(first) - mean(second), with the ends of Welch's 95 % interval; NaN ends where one has a single value."""
    moved = float(np.mean(first) - np.mean(second))
    if min(len(first), len(second)) < 2:
        return moved, math.nan, math.nan
    one, other = (
        Slope(float(np.mean(v)), float(np.std(v, ddof=1)) / math.sqrt(len(v)), len(v) - 1) for v in (first, second)
    )
    return difference(one, other)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being one of several tests (Holm 1979), in the order given."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    stepped = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(stepped, 1)
    return corrected.tolist()


def answer(rejected: bool, equivalent: bool, bent: bool) -> str:
    """Whether a sweep's exponent is -1 by the plan's rule: yes, roughly, no or open.

    `rejected` is the corrected test of -1, `bent` that curvature or lack of fit rejects one power.
    """
    if equivalent:
        return "roughly" if rejected or bent else "yes"
    return "no" if rejected else "open"
