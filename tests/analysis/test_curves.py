"""Curves compared, ranges of depths and depths left out, on averages whose law is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import FakeRun

from resperturb.analysis.curves import aicc, compare_curves, harmonic, leave_one_out
from resperturb.errors import ScalingError

DEPTHS = np.array([6, 12, 24, 48, 96, 150, 300])


def noisy(averages: np.ndarray, spread: float = 0.01) -> np.ndarray:
    return averages * np.exp(spread * np.random.default_rng(3).standard_normal(len(averages)))


@pytest.mark.parametrize(
    ("averages", "name"),
    [
        (2.0 / DEPTHS, "1/L"),
        (2.0 / np.sqrt(DEPTHS), "1/√L"),
        (2.0 * harmonic(DEPTHS) / DEPTHS, "H_L/L"),
        (2.0 / (DEPTHS + 9.0), "c/(L+b)"),
        (2.0 * DEPTHS**-0.8, "power of L"),
        (2.0 * np.exp(-0.5 * np.log(DEPTHS) - 0.08 * np.log(DEPTHS) ** 2), "power of L, bending"),
    ],
)
def test_the_curve_that_made_the_averages_is_found(averages: np.ndarray, name: str) -> None:
    table = compare_curves(DEPTHS, noisy(averages))
    assert table["curve"].iloc[0] == name
    assert table["difference"].iloc[0] == 0
    assert table["weight"].sum() == pytest.approx(1)
    assert table["aicc"].is_monotonic_increasing


def test_the_shift_is_found_and_lack_of_fit_tells_curves_apart() -> None:
    depths = np.repeat(DEPTHS, 3)
    table = compare_curves(depths, noisy(2.0 / (depths + 9.0))).set_index("curve")
    assert table.loc["c/(L+b)", "shift"] == pytest.approx(9.0, abs=0.3)
    assert table.loc["c/(L+b)", "parameters"] == 2
    assert table.loc["c/(L+b)", "p_fit"] > 0.05
    assert (table.drop("c/(L+b)")["p_fit"] < 1e-3).all()
    assert compare_curves(DEPTHS, 2.0 / DEPTHS)["p_fit"].isna().all()  # no seeds to compare_curves with


def test_the_criterion_is_the_textbooks() -> None:
    assert aicc(4.0, 8, 2) == pytest.approx(8 * math.log(0.5) + 4 + 12 / 5)
    assert aicc(4.0, 4, 3) == math.inf  # too few points to judge so many parameters


def test_a_state_that_grows_evenly_passes_for_a_power_between_the_two() -> None:
    assert harmonic(np.array([1, 2, 4])) == pytest.approx([1, 1.5, 25 / 12])
    slope = np.polyfit(np.log(DEPTHS), np.log(harmonic(DEPTHS) / DEPTHS), 1)[0]
    assert -1 < slope < -0.5


def test_the_fitted_power_is_that_of_least_squares() -> None:
    averages = noisy(DEPTHS**-0.7, 0.1)
    table = compare_curves(DEPTHS, averages).set_index("curve")
    assert table.loc["power of L", "exponent"] == pytest.approx(np.polyfit(np.log(DEPTHS), np.log(averages), 1)[0])
    assert table.loc["power of L", "parameters"] == 2
    assert math.isnan(table.loc["1/L", "exponent"])


def runs_of(averages: np.ndarray) -> list[FakeRun]:
    return [FakeRun(int(depth), float(value)) for depth, value in zip(DEPTHS, averages, strict=True)]


def test_a_depth_left_out_of_a_power_law_is_found_and_not_used() -> None:
    averages = 2.0 / DEPTHS
    table = leave_one_out(runs_of(averages))
    assert table["ratio"].tolist() == pytest.approx([1.0] * len(DEPTHS))
    assert table["how"].tolist() == ["beyond", *["between"] * (len(DEPTHS) - 2), "beyond"]
    averages[3] *= 1.3
    row = leave_one_out(runs_of(averages)).set_index("blocks").loc[48]
    assert row["ratio"] == pytest.approx(1 / 1.3)  # where the others reach 1.3 times their value at 48


def test_too_few_depths_are_refused() -> None:
    with pytest.raises(ScalingError, match="at least 4 depths"):
        compare_curves(DEPTHS[:3], 1 / DEPTHS[:3])
    with pytest.raises(ScalingError, match="left out of at least 4"):
        leave_one_out(runs_of(2.0 / DEPTHS)[:3])
