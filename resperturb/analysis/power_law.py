"""Power laws of the average scaled perturbation over depth, with intervals, and the stopping rule.

The claim under test (Hauser 2019, abstract): the average scaled perturbation is "roughly inversely proportional" to
the number of blocks, average = a L^(-p) with p = 1, and a network is deep enough where it is "less than a given
epsilon". At initialisation theory gives p = 1/2 for batch-normalised networks (De & Smith 2020, arXiv 2002.10444).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resperturb.analysis.bootstrap import CONFIDENCE, REPLICATES, Averages, Run, averages_by_depth, tails
from resperturb.errors import ScalingError


@dataclass(frozen=True)
class PowerLaw:
    """average = prefactor * L ** exponent, fitted on logarithms by least squares.

    `low` and `high` bound the exponent at the level of the fit: the outer ends of two intervals, since neither holds
    what the other does. `sampling` is the bootstrap over seeds and images with the depths as they are. `scatter` is
    Student's interval of the regression from the distances of the averages to the line, and stands for the choice of
    depths; it takes those distances for chance, so where the averages bend it is a lower bound (None for two depths).
    `residual` is the standard deviation of the logarithms about the line.
    """

    exponent: float
    low: float
    high: float
    prefactor: float
    residual: float
    averages: Averages
    sampling: tuple[float, float]
    scatter: tuple[float, float] | None

    def __call__(self, blocks: Any) -> Any:
        """The fitted average at `blocks` (a number or an array)."""
        return self.prefactor * np.asarray(blocks, dtype=float) ** self.exponent

    @property
    def columns(self) -> dict[str, float]:
        """The exponent and its interval, as columns of a table."""
        return {"exponent": self.exponent, "low": self.low, "high": self.high}

    def band(self, blocks: Any) -> tuple[Any, Any]:
        """Student's prediction interval for the average of one more depth; (0, infinity) with two depths."""
        x, count = np.log(self.averages.depths), len(self.averages.depths)
        if count < 3:
            return np.zeros_like(self(blocks)), np.full_like(self(blocks), np.inf)
        distance = (np.log(np.asarray(blocks, dtype=float)) - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
        reach = student(count - 2) * self.residual * np.sqrt(1 + 1 / count + distance)
        return self(blocks) * np.exp(-reach), self(blocks) * np.exp(reach)


@dataclass(frozen=True)
class StoppingDepth:
    """The depth at which the average scaled perturbation is below epsilon.

    Attributes:
        epsilon: the threshold.
        depth: number of blocks: the smallest measured depth below epsilon, or where the power law goes below it.
        low, high: bounds of `crossing`: from the bootstrap, and, extrapolated, also from where the law's band meets
            epsilon. `high` is infinite where that may never happen.
        measured: True where the sweep has a depth below epsilon and one above; False where the law was extrapolated.
        above: the largest measured depth that is not yet below epsilon, or None.
        crossing: where the line through the two measured depths on either side meets epsilon (not a whole number),
            or, extrapolated, where the law does.
    """

    epsilon: float
    depth: int
    low: float
    high: float
    measured: bool
    above: int | None
    crossing: float


def student(freedom: int, level: float = CONFIDENCE) -> float:
    """The factor on a standard error in Student's two-sided interval."""
    from scipy.special import stdtrit  # here, since importing it takes longer than a fit

    return float(stdtrit(freedom, tails(level)[1]))


def power_law(
    depths: Sequence[float] | np.ndarray, averages: np.ndarray, runs: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of log(average) on log(depth): exponents and prefactors (...,) from averages (..., D).

    A depth counts as often as it has `runs` (D,), or once.
    """
    x = np.log(np.asarray(depths, dtype=float))
    y = np.log(np.asarray(averages, dtype=float))
    share = np.ones(len(x)) / len(x) if runs is None else runs / runs.sum()
    centred = share * (x - share @ x)
    exponent = y @ centred / (x @ centred)
    return exponent, np.exp(y @ share - exponent * (share @ x))


def fit_power_law(runs: Iterable[Run], *, moment: str = "end", replicates: int = REPLICATES) -> PowerLaw:
    """Fit average = a L^p over the depths of a sweep, with an interval over seeds, images and choice of depths.

    The runs are records of one experiment at several depths; the moment is "end" or "initialization".

    Raises:
        ScalingError: fewer than two depths, or an average that is zero (a branch that starts at f = 0 has no
            logarithm).
    """
    averages = averages_by_depth(runs, moment=moment, replicates=replicates)
    if len(averages.depths) < 2:
        raise ScalingError(
            f"a power law needs at least two depths, but the runs have {len(averages.depths)}: "
            f"{', '.join(map(str, averages.depths))}."
        )
    if not (averages.replicates > 0).all():
        raise ScalingError(f"an average of the scaled perturbation at {moment} is zero: a power law cannot be fitted.")
    exponent, prefactor = power_law(averages.depths, averages.means, averages.runs)
    low, high = map(float, np.quantile(power_law(averages.depths, averages.replicates, averages.runs)[0], tails()))
    x = np.log(averages.depths)
    distances = np.log(averages.means) - np.log(prefactor) - exponent * x
    freedom = len(x) - 2
    residual = math.sqrt(float((distances**2).sum()) / max(freedom, 1))
    sampling, scatter = (low, high), None
    if freedom:
        reach = student(freedom) * residual / math.sqrt(float(((x - x.mean()) ** 2).sum()))
        scatter = (float(exponent) - reach, float(exponent) + reach)
        low, high = min(low, scatter[0]), max(high, scatter[1])
    return PowerLaw(float(exponent), low, high, float(prefactor), residual, averages, sampling, scatter)


def crossing(depths: np.ndarray, averages: np.ndarray, epsilon: float) -> tuple[int | None, float]:
    """Find the depth at which averages over increasing depths first go below epsilon.

    Returns:
        The position of the first depth below epsilon, and where a straight line on logarithms from the depth before
        it meets epsilon. (None, inf) where none is below; (0, the first depth) where the first one is.
    """
    below = np.flatnonzero(averages < epsilon)
    if not len(below):
        return None, math.inf
    first = int(below[0])
    if first == 0:
        return 0, float(depths[0])
    (x0, x1), (y0, y1) = np.log(depths[first - 1 : first + 1]), np.log(averages[first - 1 : first + 1])
    return first, float(np.exp(x0 + (math.log(epsilon) - y0) * (x1 - x0) / (y1 - y0)))


def band_crossing(law: PowerLaw, epsilon: float, side: int) -> float:
    """The first depth at which one end of the law's band (0: lower, 1: upper) is below epsilon; infinite beyond a
    million blocks."""
    depths = np.geomspace(1, 1e6, 20_001)
    below = np.flatnonzero(law.band(depths)[side] < epsilon)
    return float(depths[below[0]]) if len(below) else math.inf


def law_crossing(exponents: np.ndarray, prefactors: np.ndarray, epsilon: float) -> np.ndarray:
    """The depth at which each law is epsilon; infinite where it does not fall."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.where(exponents < 0, (epsilon / prefactors) ** (1 / np.minimum(exponents, -1e-9)), np.inf)


def replicate_crossings(averages: Averages, epsilon: float) -> list[float]:
    """The depth at which each replicate goes below epsilon: between its depths, or, if at none, by its own law."""
    laws = law_crossing(*power_law(averages.depths, averages.replicates), epsilon)
    ends = (crossing(averages.depths, row, epsilon)[1] for row in averages.replicates)
    return [
        end if math.isfinite(end) else max(float(law), averages.depths[-1]) for end, law in zip(ends, laws, strict=True)
    ]


def stopping_depth(epsilon: float, runs: Iterable[Run], *, replicates: int = REPLICATES) -> StoppingDepth:
    """Find the smallest depth whose average scaled perturbation is below epsilon (Hauser 2019, abstract).

    Measured where the sweep brackets epsilon; else taken from the fitted power law and marked as extrapolated.

    Raises:
        ScalingError: epsilon is not positive, there are fewer than two depths, or the fitted average does not fall
            with depth, so that no extrapolated depth exists.
    """
    if not (isinstance(epsilon, int | float) and math.isfinite(epsilon) and epsilon > 0):
        raise ScalingError(f"epsilon must be a finite number above 0, but got {epsilon!r}; a usual value is 0.05.")
    law = fit_power_law(runs, replicates=replicates)
    depths, averages = law.averages.depths, law.averages
    first, where = crossing(depths, averages.means, epsilon)
    if first:  # neither none nor the shallowest: the sweep has a depth on either side
        ends = replicate_crossings(averages, epsilon)
        low, high = np.quantile(ends, tails(), method="nearest")
        return StoppingDepth(epsilon, int(depths[first]), float(low), float(high), True, int(depths[first - 1]), where)
    if law.exponent >= 0:
        raise ScalingError(
            f"the average does not fall with depth in these runs (exponent {law.exponent:.2f}), "
            f"so no depth outside the sweep can be given for epsilon {epsilon:g}."
        )
    reached = law_crossing(*power_law(depths, averages.replicates), epsilon)
    ends = [*np.quantile(reached, tails(), method="nearest"), *(band_crossing(law, epsilon, side) for side in (0, 1))]
    low, high = max(min(ends), 1.0), max(max(ends), 1.0)
    where = float((epsilon / law.prefactor) ** (1 / law.exponent))
    depth = max(1, math.floor(where) + 1)  # the law is below epsilon, not at it
    above = None if first == 0 else int(depths[-1])
    return StoppingDepth(epsilon, depth, float(low), float(high), False, above, where)
