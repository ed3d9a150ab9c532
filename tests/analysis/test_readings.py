"""Readings of the claim: known laws, and the same numbers by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from resperturb.analysis.conventions import WITH_TRANSITIONS, convention_table
from resperturb.analysis.curves import harmonic
from resperturb.analysis.readings import READINGS, pooled_slopes, slope_over
from resperturb.analysis.slope_tests import fit_slope
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep

DEPTHS = np.repeat([6, 12, 24, 48], 2)


@dataclass
class Run:
    """A run of some blocks and two transitions, which add as much as 1."""

    blocks: int
    scaled: float
    diverged: bool = False

    def average(self) -> float:
        return self.scaled

    def at(self, moment: str) -> pd.DataFrame:
        return pd.DataFrame({"scaled": [*[self.scaled] * self.blocks, 1.0, 1.0]})


def runs(averages: np.ndarray) -> list[Record]:
    return cast(list[Record], [Run(int(n), float(value)) for n, value in zip(DEPTHS, averages, strict=True)])


def noisy(seed: int, noise: float = 0.03) -> list[Record]:
    return runs(DEPTHS**-0.7 * np.exp(np.random.default_rng(seed).normal(0, noise, len(DEPTHS))))


def test_a_state_that_grows_by_the_same_amount_in_every_block_has_minus_one_over_its_law() -> None:
    found = runs(3 * harmonic(DEPTHS) / DEPTHS)
    assert slope_over(found, "harmonic").exponent == pytest.approx(-1)
    assert slope_over(runs(1 / DEPTHS), "harmonic").exponent < -1.1


def test_transitions_count_in_the_average_and_in_the_depth() -> None:
    averages = DEPTHS**-0.7
    by_hand = fit_slope(DEPTHS + 2, (averages * DEPTHS + 2) / (DEPTHS + 2))
    assert slope_over(runs(averages), "additions").exponent == pytest.approx(by_hand.exponent)


def test_the_convention_with_transitions_is_the_same_exponent(sweeps: dict[str, Sweep]) -> None:
    table = convention_table(sweeps["mnist"]).set_index("convention")
    assert table.loc[WITH_TRANSITIONS, "exponent"] == pytest.approx(
        slope_over(sweeps["mnist"].records, "additions").exponent
    )


def test_diverged_runs_and_runs_without_blocks_are_left_out() -> None:
    more: list[Any] = [Run(6, 5.0, diverged=True), Run(0, 1.0)]
    for reading in READINGS:
        assert slope_over([*noisy(0), *more], reading) == slope_over(noisy(0), reading)


def test_its_own_scatter_gives_a_sweep_its_own_error_and_many_sweeps_share_theirs() -> None:
    own = fit_slope(DEPTHS, np.array([run.average() for run in noisy(1)]))
    alone = pooled_slopes({"one": noisy(1)}, "blocks")["one"]
    assert (alone.exponent, alone.error, alone.freedom) == pytest.approx((own.exponent, own.error, own.freedom))
    many = pooled_slopes({str(seed): noisy(seed) for seed in range(200)}, "blocks")
    expected = 0.03 / np.sqrt(len(DEPTHS) * np.log(DEPTHS).var())
    assert {slope.freedom for slope in many.values()} == {200 * 6}
    assert [slope.error for slope in many.values()] == pytest.approx([expected] * 200, rel=0.05)
