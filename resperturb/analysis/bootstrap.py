"""Hierarchical bootstrap: the average scaled perturbation by depth, resampled over the seeds and images of a sweep."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from resperturb.errors import ScalingError

CONFIDENCE = 0.95  # of every interval
REPLICATES = 2000  # of every bootstrap
TABLE_REPLICATES = 500  # of the bootstraps of tables with many fits


class Run(Protocol):
    """The part of a run that a fit reads; :class:`resperturb.records.record.Record` has it."""

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


RunType = TypeVar("RunType", bound=Run)


def finished(runs: Iterable[RunType]) -> list[RunType]:
    """The runs that did not diverge."""
    return [run for run in runs if not run.diverged]


def tails(level: float = CONFIDENCE) -> tuple[float, float]:
    """The two quantiles that bound an interval of this level."""
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
    for run in finished(runs):
        by_depth.setdefault(run.blocks, []).append(np.asarray(run.scaled_per_sample(moment), dtype=float))
    if not by_depth:
        raise ScalingError("there is no run to average: give at least one that has not diverged.")
    depths = tuple(sorted(by_depth))
    groups = tuple(tuple(values.tobytes() for values in by_depth[depth]) for depth in depths)
    return bootstrapped(depths, groups, replicates)


@functools.lru_cache(maxsize=1024)
def bootstrapped(depths: tuple[int, ...], groups: tuple[tuple[bytes, ...], ...], replicates: int) -> Averages:
    """:func:`averages_by_depth`, cached: tables and figures ask for the same averages many times.

    Args:
        depths: distinct numbers of blocks, increasing.
        groups: for each depth its runs, each the bytes of float64 values over images, which hash quickly.
        replicates: of the bootstrap.
    """
    values = [[np.frombuffer(run) for run in group] for group in groups]
    counts = np.array([len(group) for group in values])
    deviations = []
    for group in values:
        if len(group) > 1:
            with np.errstate(divide="ignore", invalid="ignore"):  # of f = 0, which no law can be fitted to
                logs = np.log([run.mean() for run in group])
                deviations.append((logs - logs.mean()) * math.sqrt(len(group) / (len(group) - 1)))
    pooled = np.concatenate(deviations) if deviations else np.zeros(1)

    weights, state = image_weights(tuple(sorted({len(run) for group in values for run in group})), replicates)
    generator = np.random.default_rng()
    generator.bit_generator.state = state
    resampled = np.empty((replicates, len(depths)))
    for column, group in enumerate(values):
        over_images = np.mean([weights[len(run)] @ run for run in group], axis=0)
        noise = generator.choice(pooled, size=(replicates, len(group))).mean(axis=1)
        resampled[:, column] = over_images * np.exp(noise)
    means = np.array([np.mean([run.mean() for run in group]) for group in values])
    found = Averages(np.array(depths), means, resampled, counts, bool(deviations))
    for array in (found.depths, found.means, found.replicates, found.runs):
        array.flags.writeable = False  # shared
    return found


@functools.lru_cache(maxsize=16)
def image_weights(sizes: tuple[int, ...], replicates: int) -> tuple[dict[int, np.ndarray], dict[str, Any]]:
    """Share of the draws that falls on each image, by number of images, each of shape (replicates, size), and the state
    of the generator (seed 0) after the draws. Shares make a replicate a matrix product instead of many gathers."""
    generator = np.random.default_rng(0)
    weights = {size: generator.multinomial(size, np.full(size, 1 / size), size=replicates) / size for size in sizes}
    return weights, dict(generator.bit_generator.state)
