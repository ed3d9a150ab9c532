"""Other readings of the claim: known laws, and the same numbers by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from resperturb.analysis.alternatives import over_additions, over_harmonic, pooled_scatter, slope_with_scatter
from resperturb.analysis.conventions import WITH_TRANSITIONS, convention_table
from resperturb.analysis.curves import harmonic
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
    assert over_harmonic(found).exponent == pytest.approx(-1)
    assert over_harmonic(runs(1 / DEPTHS)).exponent < -1.1


def test_transitions_count_in_the_average_and_in_the_depth() -> None:
    averages = DEPTHS**-0.7
    by_hand = fit_slope(DEPTHS + 2, (averages * DEPTHS + 2) / (DEPTHS + 2))
    assert over_additions(runs(averages)).exponent == pytest.approx(by_hand.exponent)


def test_the_convention_with_transitions_is_the_same_exponent(sweeps: dict[str, Sweep]) -> None:
    table = convention_table(sweeps["mnist"]).set_index("convention")
    assert table.loc[WITH_TRANSITIONS, "exponent"] == pytest.approx(over_additions(sweeps["mnist"].records).exponent)


def test_diverged_runs_and_runs_without_blocks_are_left_out() -> None:
    more: list[Any] = [Run(6, 5.0, diverged=True), Run(0, 1.0)]
    for fit in (over_additions, over_harmonic):
        assert fit([*noisy(0), *more]) == fit(noisy(0))
    assert pooled_scatter([[*noisy(0), *more]]) == pooled_scatter([noisy(0)])


def test_its_own_scatter_gives_a_sweep_its_own_error_and_many_sweeps_share_theirs() -> None:
    averages = np.array([run.average() for run in noisy(1)])
    own, alone = fit_slope(DEPTHS, averages), pooled_scatter([noisy(1)])
    slope, _ = slope_with_scatter(noisy(1), alone)
    assert (slope.exponent, slope.error, slope.freedom) == pytest.approx((own.exponent, own.error, own.freedom))
    deviation, freedom = pooled_scatter(noisy(seed) for seed in range(200))
    assert freedom == 200 * 6
    assert deviation == pytest.approx(0.03, rel=0.05)


def test_a_bend_is_judged_by_the_scatter_that_is_given() -> None:
    bent = DEPTHS**-0.7 * np.exp(0.05 * (np.log(DEPTHS) - np.log(DEPTHS).mean()) ** 2)
    assert slope_with_scatter(runs(bent), (0.01, 100))[1] < 0.001
    assert slope_with_scatter(runs(bent), (0.2, 100))[1] > 0.5
    assert fit_slope(DEPTHS, bent).p_curvature < 1e-6  # by its own scatter, which is none
