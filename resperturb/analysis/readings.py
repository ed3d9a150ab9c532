"""Readings of the claim that the average falls as 1/L: what counts as a block, and which law stands for 1/L.

The abstract of Hauser (2019) leaves open whether an addition that changes the shape of the state counts as a block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from resperturb.analysis.curves import harmonic
from resperturb.analysis.slope_tests import Slope, fit_slope, points, with_blocks
from resperturb.records.record import Record

Points = tuple[np.ndarray, np.ndarray]  # depth and average after training, both of shape (runs,)


def over_blocks(records: Iterable[Record]) -> Points:
    """Return the number of blocks and the average over them."""
    kept = with_blocks(records)
    return np.array([record.blocks for record in kept]), np.array([record.average() for record in kept])


def over_additions(records: Iterable[Record]) -> Points:
    """Return the number of all additions, transitions among them, and the average over them."""
    tables = [record.at("end") for record in with_blocks(records)]
    return np.array([len(table) for table in tables]), np.array([table["scaled"].mean() for table in tables])


def over_harmonic(records: Iterable[Record]) -> Points:
    """Return L/H_L and the average; its exponent is -1 where the state grows by the same amount in every block."""
    blocks, averages = over_blocks(records)
    return blocks / harmonic(blocks), averages


READINGS: Mapping[str, Callable[[Iterable[Record]], Points]] = {
    "blocks": over_blocks,
    "additions": over_additions,
    "harmonic": over_harmonic,
}


def slope_over(records: Iterable[Record], reading: str) -> Slope:
    """Fit the exponent in one of the READINGS."""
    return fit_slope(*READINGS[reading](records))


def pooled_slopes(groups: Mapping[str, Iterable[Record]], reading: str) -> dict[str, Slope]:
    """Fit the exponents of several sweeps as if their runs scattered alike around their lines.

    One standard deviation of log(average) is pooled over all sweeps, with the degrees of freedom of all.
    """
    logs = {name: points(*READINGS[reading](records)) for name, records in groups.items()}
    lines = {name: np.polyfit(x, y, 1) for name, (x, y) in logs.items()}
    rests = [y - np.polyval(lines[name], x) for name, (x, y) in logs.items()]
    freedom = sum(len(rest) - 2 for rest in rests)
    scatter = math.sqrt(sum(float(rest @ rest) for rest in rests) / freedom)
    errors = {name: scatter / math.sqrt(len(x) * float(np.var(x))) for name, (x, _) in logs.items()}
    return {name: Slope(float(line[0]), errors[name], freedom) for name, line in lines.items()}
