"""Power laws of the average scaled perturbation over depth, and the stopping rule.

The claim under test (Hauser 2019, arXiv 1902.04106, abstract): the average scaled perturbation is "roughly inversely
proportional" to the number of blocks L, so average = a L^p with p = -1. A network is deep enough if the average is
"less than a given epsilon". At initialisation theory gives p = -1/2 with batch normalisation (De & Smith 2020, arXiv
2002.10444).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from resperturb.analysis.bootstrap import REPLICATES, TAILS, Averages, Run, averages_by_depth
from resperturb.errors import ScalingError, shown

DEEPEST = 1e9  # blocks that a stopping depth may have


@dataclass(frozen=True)
class PowerLaw:
    """The law average = prefactor * L ** exponent, fitted by least squares on logarithms.

    Attributes:
        exponent: p.
        prefactor: a.
        residual: standard deviation of log(average) about the line.
        averages: the averages by depth.
    """

    exponent: float
    prefactor: float
    residual: float
    averages: Averages

    def __call__(self, blocks: Any) -> Any:
        """Return the fitted average at `blocks`, a number or an array."""
        return self.prefactor * np.asarray(blocks, dtype=float) ** self.exponent

    def band(self, blocks: Any) -> tuple[Any, Any]:
        """Return the 95 % prediction interval for the average at another depth; (0, infinity) with two depths."""
        x, count = np.log(self.averages.depths), len(self.averages.depths)
        if count < 3:
            return np.zeros_like(self(blocks)), np.full_like(self(blocks), np.inf)
        distance = (np.log(np.asarray(blocks, dtype=float)) - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum()
        reach = student(count - 2) * self.residual * np.sqrt(1 + 1 / count + distance)
        return self(blocks) * np.exp(-reach), self(blocks) * np.exp(reach)


@dataclass(frozen=True)
class StoppingDepth:
    """The smallest depth whose average scaled perturbation is below epsilon.

    Attributes:
        epsilon: the threshold.
        depth: number of blocks, measured or extrapolated.
        low, high: 95 % interval of `crossing`, from the bootstrap; extrapolated, also from the prediction interval of
            the law. `high` is infinite if the average may never reach epsilon.
        measured: whether the sweep has depths on both sides of epsilon; if not, the power law is extrapolated.
        above: the largest measured depth before the average falls below epsilon, or None.
        crossing: where the average equals epsilon, by interpolation or by the power law; not a whole number.
    """

    epsilon: float
    depth: int
    low: float
    high: float
    measured: bool
    above: int | None
    crossing: float


def student(freedom: int) -> float:
    """Return the factor on a standard error in Student's two-sided 95 % interval."""
    from scipy.special import stdtrit  # the import takes longer than a fit

    return float(stdtrit(freedom, TAILS[1]))


def power_law(
    depths: Sequence[float] | np.ndarray, averages: np.ndarray, runs: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Fit log(average) on log(depth) by least squares.

    Args:
        depths: shape (D,).
        averages: shape (..., D).
        runs: weight of each depth, shape (D,); None: equal weights.

    Returns:
        Exponents and prefactors, each of shape (...,).
    """
    x = np.log(np.asarray(depths, dtype=float))
    y = np.log(np.asarray(averages, dtype=float))
    share = np.ones(len(x)) / len(x) if runs is None else runs / runs.sum()
    centred = share * (x - share @ x)
    exponent = y @ centred / (x @ centred)
    return exponent, np.exp(y @ share - exponent * (share @ x))


def fit_power_law(runs: Iterable[Run], *, moment: str = "end", replicates: int = REPLICATES) -> PowerLaw:
    """Fit average = a L^p over the depths L of a sweep.

    Args:
        runs: records of one experiment at two depths or more; diverged runs are left out.
        moment: "end" or "initialization".
        replicates: number of bootstrap replicates of the averages.

    Returns:
        The law and the averages; :func:`~resperturb.analysis.slope_tests.fit_runs` has the interval of the exponent.

    Raises:
        ScalingError: fewer than two depths, or an average of zero, which has no logarithm.
    """
    averages = averages_by_depth(runs, moment=moment, replicates=replicates)
    if len(averages.depths) < 2:
        raise ScalingError(
            f"a power law needs at least two depths, but all runs have {averages.depths[0]} blocks; add runs of "
            "another depth."
        )
    if not (averages.replicates > 0).all():
        raise ScalingError(
            f"an average at {moment} is zero and has no logarithm; fit only runs whose averages are not."
        )
    exponent, prefactor = power_law(averages.depths, averages.means, averages.runs)
    x = np.log(averages.depths)
    distances = np.log(averages.means) - np.log(prefactor) - exponent * x
    residual = math.sqrt(float((distances**2).sum()) / max(len(x) - 2, 1))
    return PowerLaw(float(exponent), float(prefactor), residual, averages)


def crossing(depths: np.ndarray, averages: np.ndarray, epsilon: float) -> tuple[int | None, float]:
    """Find where averages over increasing depths first fall below epsilon.

    Returns:
        The position of the first depth below epsilon, and the depth of crossing, interpolated linearly in logarithms.
        (None, inf) if no depth is below; (0, first depth) if the first is.
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
    """Find the first depth at which one end of the law's band (0: lower, 1: upper) is below epsilon; infinite beyond
    a million blocks."""
    depths = np.geomspace(1, 1e6, 20_001)
    below = np.flatnonzero(law.band(depths)[side] < epsilon)
    return float(depths[below[0]]) if len(below) else math.inf


def law_crossing(exponents: np.ndarray, prefactors: np.ndarray, epsilon: float) -> np.ndarray:
    """Return the depth at which each law equals epsilon; infinite if the law does not fall."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.where(exponents < 0, (epsilon / prefactors) ** (1 / np.minimum(exponents, -1e-9)), np.inf)


def replicate_crossings(averages: Averages, epsilon: float) -> list[float]:
    """Return the crossing of each replicate, by interpolation, or by the replicate's power law if no depth is below."""
    laws = law_crossing(*power_law(averages.depths, averages.replicates), epsilon)
    ends = (crossing(averages.depths, row, epsilon)[1] for row in averages.replicates)
    return [
        end if math.isfinite(end) else max(float(law), averages.depths[-1]) for end, law in zip(ends, laws, strict=True)
    ]


def stopping_depth(epsilon: float, runs: Iterable[Run], *, replicates: int = REPLICATES) -> StoppingDepth:
    """Find the smallest depth whose average scaled perturbation is below epsilon (Hauser 2019, abstract).

    The answer is measured if the sweep has depths on both sides of epsilon, else extrapolated by the fitted power law.

    Args:
        epsilon: threshold of the average, above 0.
        runs: records of one experiment at two depths or more.
        replicates: number of bootstrap replicates for the interval.

    Raises:
        ScalingError: epsilon is not a positive number, a power law cannot be fitted, or the average does not fall with
            depth and would have to be extrapolated.
    """
    if not (isinstance(epsilon, int | float) and math.isfinite(epsilon) and epsilon > 0):
        raise ScalingError(f"epsilon must be a finite number above 0, but got {shown(epsilon)}; a usual value is 0.05.")
    law = fit_power_law(runs, replicates=replicates)
    depths, averages = law.averages.depths, law.averages
    first, where = crossing(depths, averages.means, epsilon)
    if first:  # the sweep has a depth on either side
        ends = replicate_crossings(averages, epsilon)
        low, high = np.quantile(ends, TAILS, method="nearest")
        return StoppingDepth(epsilon, int(depths[first]), float(low), float(high), True, int(depths[first - 1]), where)
    if law.exponent >= 0:
        raise ScalingError(
            f"the average does not fall with depth in these runs (exponent {law.exponent:.2f}), so it cannot be "
            f"extrapolated to epsilon {epsilon:g}; choose an epsilon between the measured averages."
        )
    if math.log(epsilon / law.prefactor) / law.exponent > math.log(DEEPEST):
        raise ScalingError(
            f"epsilon must be one that the power law reaches within {DEEPEST:.0e} blocks, but got {epsilon:g}; "
            "choose a larger one."
        )
    reached = law_crossing(*power_law(depths, averages.replicates), epsilon)
    ends = [*np.quantile(reached, TAILS, method="nearest"), *(band_crossing(law, epsilon, side) for side in (0, 1))]
    low, high = max(min(ends), 1.0), max(max(ends), 1.0)
    where = max(float((epsilon / law.prefactor) ** (1 / law.exponent)), 1.0)
    depth = math.floor(where) + 1 if where > 1 else 1  # the law is below epsilon, not at it
    above = None if first == 0 else int(depths[-1])
    return StoppingDepth(epsilon, depth, float(low), float(high), False, above, where)
