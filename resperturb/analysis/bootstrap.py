"""Hierarchical bootstrap of the average scaled perturbation by depth, over the seeds and images of a sweep."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from resperturb.errors import ScalingError

TAILS = (0.025, 0.975)  # the quantiles that bound a 95 % interval
REPLICATES = 2000  # default number of bootstrap replicates
TABLE_REPLICATES = 500  # fewer, for tables with many fits


class Run(Protocol):
    """The attributes of a run that a fit needs; :class:`resperturb.records.record.Record` has them."""

    @property
    def blocks(self) -> int: ...

    @property
    def diverged(self) -> bool: ...

    def scaled_per_sample(self, moment: str = "end") -> np.ndarray:
        """Return each image's scaled perturbation, averaged over the blocks; shape (images,)."""
        ...


@dataclass(frozen=True)
class Averages:
    """The average scaled perturbation by depth, with bootstrap replicates.

    Attributes:
        depths: distinct numbers of blocks, increasing; shape (D,).
        means: averages over images and seeds; shape (D,).
        replicates: resampled averages; shape (replicates, D).
        runs: number of runs at each depth; shape (D,).
    """

    depths: np.ndarray
    means: np.ndarray
    replicates: np.ndarray
    runs: np.ndarray

    def interval(self) -> np.ndarray:
        """Return the 95 % interval at each depth; shape (2, D)."""
        return np.quantile(self.replicates, TAILS, axis=0)


RunType = TypeVar("RunType", bound=Run)


def finished(runs: Iterable[RunType]) -> list[RunType]:
    """Return the runs that did not diverge."""
    return [run for run in runs if not run.diverged]


def averages_by_depth(runs: Iterable[Run], *, moment: str = "end", replicates: int = REPLICATES) -> Averages:
    """Average over images and seeds at each depth, with a bootstrap over both. Runs that diverged and those without
    blocks are left out.

    Images: all runs are measured on the same images, so a replicate draws one set for all runs. Seeds: a depth has two
    or three, too few to resample. So deviations of log(average) from the mean of their depth are pooled over depths,
    each multiplied by sqrt(n / (n - 1)) for the n runs of its depth.

    Raises:
        ScalingError: every run diverged or has no block, or there is none.
    """
    by_depth: dict[int, list[np.ndarray]] = {}
    for run in finished(runs):
        if not run.blocks:
            continue  # without blocks there is no average
        by_depth.setdefault(run.blocks, []).append(np.asarray(run.scaled_per_sample(moment), dtype=float))
    if not by_depth:
        raise ScalingError("there is no run to average; give at least one that has not diverged.")
    depths = sorted(by_depth)
    values = [by_depth[depth] for depth in depths]
    deviations = []
    for group in values:
        if len(group) > 1:
            with np.errstate(divide="ignore", invalid="ignore"):  # f = 0 has no logarithm; the fit refuses it
                logs = np.log([run.mean() for run in group])
                deviations.append((logs - logs.mean()) * math.sqrt(len(group) / (len(group) - 1)))
    pooled = np.concatenate(deviations) if deviations else np.zeros(1)

    generator = np.random.default_rng(0)
    sizes = sorted({len(run) for group in values for run in group})
    # Weights of images, (replicates, images), so that one matrix product averages all replicates.
    weights = {size: generator.multinomial(size, np.full(size, 1 / size), size=replicates) / size for size in sizes}
    resampled = np.empty((replicates, len(depths)))
    for column, group in enumerate(values):
        over_images = np.mean([weights[len(run)] @ run for run in group], axis=0)
        noise = generator.choice(pooled, size=(replicates, len(group))).mean(axis=1)
        resampled[:, column] = over_images * np.exp(noise)
    means = np.array([np.mean([run.mean() for run in group]) for group in values])
    return Averages(np.array(depths), means, resampled, np.array([len(group) for group in values]))
