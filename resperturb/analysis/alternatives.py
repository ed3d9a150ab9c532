"""Other readings of the claim that the average falls as 1/L: what counts as a block, which law, and which scatter.

The abstract of Hauser (2019) leaves open whether an addition that changes the shape of the state counts as a block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from resperturb.analysis.curves import harmonic
from resperturb.analysis.slope_tests import Slope, fit_slope, points, stats
from resperturb.records.record import Record


def with_blocks(records: Iterable[Record]) -> list[Record]:
    """Select the runs that an exponent is fitted to: those with blocks that did not diverge."""
    return [record for record in records if record.blocks and not record.diverged]


def over_additions(records: Iterable[Record]) -> Slope:
    """Fit the exponent of the average over all additions, transitions among them, over their number."""
    tables = [record.at("end") for record in with_blocks(records)]
    return fit_slope([len(table) for table in tables], [table["scaled"].mean() for table in tables])


def over_harmonic(records: Iterable[Record]) -> Slope:
    """Fit the exponent of the average over L/H_L; it is -1 where the state grows by the same amount in every block."""
    kept = with_blocks(records)
    blocks = np.array([record.blocks for record in kept])
    return fit_slope(blocks / harmonic(blocks), [record.average() for record in kept])


ALTERNATIVES: Mapping[str, Callable[[Iterable[Record]], Slope]] = {
    "additions": over_additions,
    "harmonic": over_harmonic,
}


def log_points(records: Iterable[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Return log(blocks) minus its mean and log(average) after training, both of shape (runs,)."""
    kept = with_blocks(records)
    x, y = points([record.blocks for record in kept], [record.average() for record in kept])
    return x - x.mean(), y


def pooled_scatter(groups: Iterable[Iterable[Record]]) -> tuple[float, int]:
    """Return the standard deviation of log(average) around the lines of several sweeps, as if all had the same, and its
    degrees of freedom."""
    rests = [y - np.polyval(np.polyfit(x, y, 1), x) for x, y in map(log_points, groups)]
    freedom = sum(len(rest) - 2 for rest in rests)
    return math.sqrt(sum(float(rest @ rest) for rest in rests) / freedom), freedom


def slope_with_scatter(records: Iterable[Record], scatter: tuple[float, int]) -> tuple[Slope, float]:
    """Fit the exponent with the error that a scatter of :func:`pooled_scatter` gives it.

    Returns:
        The exponent, and the p-value of the t-test that the line does not bend.
    """
    x, y = log_points(records)
    deviation, freedom = scatter
    (line, of_line), (curve, of_curve) = (np.polyfit(x, y, degree, cov="unscaled") for degree in (1, 2))
    bend = abs(curve[0]) / (deviation * math.sqrt(of_curve[0, 0]))
    return Slope(float(line[0]), deviation * math.sqrt(of_line[0, 0]), freedom), float(2 * stats().t.sf(bend, freedom))
