"""How the average scaled perturbation falls with depth: power-law fits with honest intervals, and the stopping rule.

The claim under test (Hauser 2019, abstract): the average scaled perturbation is "roughly inversely proportional" to
the number of blocks, average = a L^(-p) with p = 1, and a network is deep enough where it is "less than a given
epsilon". At initialisation theory gives p = 1/2 for batch-normalised networks (De & Smith 2020, arXiv 2002.10444).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from resperturb.errors import ResperturbError

LEVEL = 0.95  # of every interval
REPLICATES = 2000  # of every bootstrap


class ScalingError(ResperturbError):
    """Too little to fit; the message says what is missing."""


class Run(Protocol):
    """What a fit needs of a run; :class:`resperturb.records.Record` has it."""

    @property
    def blocks(self) -> int: ...

    @property
    def diverged(self) -> bool: ...

    def scaled_per_sample(self, moment: str = "end") -> np.ndarray:
        """Scaled perturbation averaged over the blocks, for each measured image; shape (images,)."""
        ...


@dataclass(frozen=True)
class Averages:
    """The average scaled perturbation by depth, with bootstrap replicates of it.

    Attributes:
        depths: distinct numbers of blocks, increasing; shape (D,).
        means: average over images and seeds; shape (D,).
        replicates: the same, resampled; shape (REPLICATES, D).
        runs: runs behind each depth; shape (D,).
        seeds_resampled: whether some depth was run more than once, so that the replicates vary over seeds.
    """

    depths: np.ndarray
    means: np.ndarray
    replicates: np.ndarray
    runs: np.ndarray
    seeds_resampled: bool

    def interval(self) -> np.ndarray:
        """Lower and upper ends for each depth; shape (2, D)."""
        return np.quantile(self.replicates, tails(), axis=0)


@dataclass(frozen=True)
class PowerLaw:
    """average = prefactor * L ** exponent, fitted on logarithms by least squares.

    `low` and `high` bound the exponent at the level of the fit; `residual` is the standard deviation of the
    logarithms about the line, which tells how well a power law describes them at all.
    """

    exponent: float
    low: float
    high: float
    prefactor: float
    residual: float
    averages: Averages

    def __call__(self, blocks: Any) -> Any:
        """The fitted average at `blocks` (a number or an array)."""
        return self.prefactor * np.asarray(blocks, dtype=float) ** self.exponent


@dataclass(frozen=True)
class StoppingDepth:
    """The depth at which the average scaled perturbation is below epsilon.

    Attributes:
        epsilon: the threshold.
        depth: number of blocks: the smallest measured depth below epsilon, or where the power law goes below it.
        low, high: bounds of `depth` from the bootstrap. `high` is infinite where the law may never get there.
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


def tails(level: float = LEVEL) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def averages_by_depth(runs: Iterable[Run], *, moment: str = "end", replicates: int = REPLICATES) -> Averages:
    """Average over images and seeds for each depth, bootstrapped over both. Diverged runs are left out.

    Images are drawn once per replicate for all runs, since all runs are measured on the same ones. What differs
    between seeds is drawn from the deviations of all runs from their depth's mean (of the logarithm), pooled over
    depths: a sweep has few seeds a depth, and a depth's own two or three say little. Each deviation is widened by
    sqrt(n / (n - 1)) for the n runs its mean was taken from.

    Raises:
        ScalingError: no run is left.
    """
    by_depth: dict[int, list[np.ndarray]] = {}
    for run in runs:
        if not run.diverged:
            by_depth.setdefault(run.blocks, []).append(np.asarray(run.scaled_per_sample(moment), dtype=float))
    if not by_depth:
        raise ScalingError("there is no run to average: give at least one that has not diverged.")
    depths = np.array(sorted(by_depth))
    groups = [by_depth[depth] for depth in depths]
    counts = np.array([len(group) for group in groups])
    deviations = []
    for group in groups:
        if len(group) > 1:
            logs = np.log([values.mean() for values in group])
            deviations.append((logs - logs.mean()) * math.sqrt(len(group) / (len(group) - 1)))
    pooled = np.concatenate(deviations) if deviations else np.zeros(1)

    generator = np.random.default_rng(0)
    sizes = {len(values) for group in groups for values in group}
    weights = {  # how often each image is drawn, as a share: one matrix product instead of many gathers
        size: generator.multinomial(size, np.full(size, 1 / size), size=replicates) / size for size in sorted(sizes)
    }
    resampled = np.empty((replicates, len(depths)))
    for column, group in enumerate(groups):
        over_images = np.mean([weights[len(values)] @ values for values in group], axis=0)
        noise = generator.choice(pooled, size=(replicates, len(group))).mean(axis=1)
        resampled[:, column] = over_images * np.exp(noise)
    means = np.array([np.mean([values.mean() for values in group]) for group in groups])
    return Averages(depths, means, resampled, counts, bool(deviations))


def power_law(depths: Sequence[float] | np.ndarray, averages: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least squares of log(average) on log(depth).

    Args:
        depths: shape (D,), at least two distinct values.
        averages: shape (..., D), positive.

    Returns:
        Exponents and prefactors, each of shape (...,).
    """
    x = np.log(np.asarray(depths, dtype=float))
    y = np.log(np.asarray(averages, dtype=float))
    centred = x - x.mean()
    exponent = y @ centred / (centred @ centred)
    return exponent, np.exp(y.mean(axis=-1) - exponent * x.mean())


def fit_power_law(runs: Iterable[Run], *, moment: str = "end", replicates: int = REPLICATES) -> PowerLaw:
    """Fit average = a L^p over the depths of a sweep, with a bootstrap interval over seeds and images.

    Args:
        runs: records of one experiment at several depths, as :func:`resperturb.load_records` gives them.
        moment: "end" or "initialization".
        replicates: of the bootstrap.

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
    exponent, prefactor = power_law(averages.depths, averages.means)
    low, high = np.quantile(power_law(averages.depths, averages.replicates)[0], tails())
    line = np.log(prefactor) + exponent * np.log(averages.depths)
    freedom = max(len(averages.depths) - 2, 1)
    residual = math.sqrt(float(((np.log(averages.means) - line) ** 2).sum()) / freedom)
    return PowerLaw(float(exponent), float(low), float(high), float(prefactor), residual, averages)


def crossing(depths: np.ndarray, averages: np.ndarray, epsilon: float) -> tuple[int | None, float]:
    """Where averages over increasing depths first go below epsilon.

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


def stopping_depth(epsilon: float, runs: Iterable[Run], *, replicates: int = REPLICATES) -> StoppingDepth:
    """The smallest depth whose average scaled perturbation is below epsilon (Hauser 2019, abstract).

    Measured where the sweep brackets epsilon; else taken from the fitted power law and marked as extrapolated.

    Args:
        epsilon: a positive number.
        runs: records of one experiment at several depths.
        replicates: of the bootstrap.

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
        ends = [crossing(depths, row, epsilon)[1] for row in averages.replicates]
        low, high = np.quantile(ends, tails(), method="nearest")
        return StoppingDepth(epsilon, int(depths[first]), float(low), float(high), True, int(depths[first - 1]), where)
    if law.exponent >= 0:
        raise ScalingError(
            f"the average does not fall with depth in these runs (exponent {law.exponent:.2f}), "
            f"so no depth outside the sweep can be given for epsilon {epsilon:g}."
        )
    exponents, prefactors = power_law(depths, averages.replicates)
    with np.errstate(over="ignore", divide="ignore"):
        reached = np.where(exponents < 0, (epsilon / prefactors) ** (1 / np.minimum(exponents, -1e-9)), np.inf)
    low, high = np.maximum(np.quantile(reached, tails(), method="nearest"), 1.0)
    where = float((epsilon / law.prefactor) ** (1 / law.exponent))
    depth = max(1, math.floor(where) + 1)  # the law is below epsilon, not at it
    above = None if first == 0 else int(depths[-1])
    return StoppingDepth(epsilon, depth, float(low), float(high), False, above, where)
