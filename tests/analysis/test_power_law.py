"""Fits and the stopping rule, on synthetic runs whose law is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from builders import FakeRun

from resperturb.analysis.bootstrap import averages_by_depth
from resperturb.analysis.power_law import crossing, fit_power_law, power_law, stopping_depth
from resperturb.errors import ScalingError

DEPTHS = (6, 15, 30, 60, 100, 300)


def runs_of(
    exponent: float, *, prefactor: float = 2.0, noise: float = 0.0, spread: float = 0.1, seeds: int = 3, seed: int = 0
):  # type: ignore[no-untyped-def]
    """Runs that average prefactor * L ** exponent, up to `noise` between seeds and `spread` between images."""
    generator = np.random.default_rng(seed)
    images = np.exp(spread * generator.standard_normal(200))
    images /= images.mean()
    return [
        FakeRun(depth, prefactor * depth**exponent * np.exp(noise * generator.standard_normal()) * images)
        for depth in DEPTHS
        for _ in range(seeds)
    ]


@pytest.mark.parametrize("exponent", [-1.0, -0.5, -0.73, 0.2])
def test_an_exact_power_law_is_recovered(exponent: float) -> None:
    law = fit_power_law(runs_of(exponent))
    assert law.exponent == pytest.approx(exponent, abs=1e-9)
    assert law.prefactor == pytest.approx(2.0)
    assert law.residual == pytest.approx(0, abs=1e-9)
    assert law(50) == pytest.approx(2.0 * 50**exponent)


def test_the_fit_agrees_with_numpys_least_squares() -> None:
    averages = np.exp(np.random.default_rng(1).standard_normal(len(DEPTHS)))
    exponent, prefactor = power_law(np.array(DEPTHS), averages)
    slope, intercept = np.polyfit(np.log(DEPTHS), np.log(averages), 1)
    assert exponent == pytest.approx(slope)
    assert prefactor == pytest.approx(math.exp(intercept))


def test_a_diverged_run_and_one_without_blocks_are_never_averaged_in() -> None:
    runs = runs_of(-1.0)
    runs.append(FakeRun(300, np.full(200, np.nan), diverged=True))
    runs.append(FakeRun(0, np.full(200, np.nan)))
    assert fit_power_law(runs).exponent == pytest.approx(-1.0)
    with pytest.raises(ScalingError, match="not diverged"):
        averages_by_depth(runs[-2:])


def test_too_little_to_fit_is_refused() -> None:
    with pytest.raises(ScalingError, match="at least two depths"):
        fit_power_law(runs_of(-1.0)[:3])
    zero = [FakeRun(depth, np.zeros(5)) for depth in (3, 6)]
    with pytest.raises(ScalingError, match="is zero"):
        fit_power_law(zero)


@pytest.mark.parametrize(
    ("epsilon", "depth", "above", "measured"),
    [
        (0.05, 60, 30, True),  # 2 / L < 0.05 from L = 41 on, between two depths of the sweep
        (0.001, 2001, 300, False),  # beyond its deepest
        (0.9, 3, None, False),  # before its shallowest
    ],
)
def test_the_stopping_rule_measures_where_it_can_and_says_where_it_extrapolates(
    epsilon: float, depth: int, above: int | None, measured: bool
) -> None:
    answer = stopping_depth(epsilon, runs_of(-1.0))
    assert (answer.depth, answer.above, answer.measured) == (depth, above, measured)
    if measured:
        assert answer.crossing == pytest.approx(40.0)
        assert answer.low == pytest.approx(answer.high, rel=0.2)


def test_an_average_equal_to_epsilon_is_not_below_it() -> None:
    runs = [FakeRun(depth, np.full(4, value)) for depth, value in ((6, 0.5), (15, 0.1), (30, 0.05))]
    assert stopping_depth(0.1, runs).depth == 30


@pytest.mark.parametrize("epsilon", [0, -1, math.nan, math.inf, "small"])
def test_a_bad_epsilon_is_quoted_and_no_depth_invented(epsilon: object) -> None:
    with pytest.raises(ScalingError, match="epsilon must be"):
        stopping_depth(epsilon, runs_of(-1.0))  # type: ignore[arg-type]
    with pytest.raises(ScalingError, match="does not fall with depth"):
        stopping_depth(0.1, runs_of(0.1))


def test_crossing_is_interpolated_on_logarithms() -> None:
    depths = np.array([10, 1000])
    assert crossing(depths, np.array([1.0, 0.01]), 0.1) == (1, pytest.approx(100.0))
    assert crossing(depths, np.array([1.0, 0.5]), 0.1) == (None, math.inf)
    assert crossing(depths, np.array([0.05, 0.01]), 0.1) == (0, 10.0)


def scattered(exponent: float, scatter: float, seed: int) -> list[FakeRun]:
    """One run a depth, whose averages lie off the law by chance."""
    noise = np.random.default_rng(seed).standard_normal(len(DEPTHS))
    return [
        FakeRun(depth, depth**exponent * float(np.exp(scatter * z))) for depth, z in zip(DEPTHS, noise, strict=True)
    ]


def test_the_band_covers_as_often_as_it_says() -> None:
    inside = 0
    for trial in range(200):
        *runs, deepest = scattered(-0.8, 0.1, trial)
        law = fit_power_law(runs, replicates=2)
        low, high = law.band(deepest.blocks)
        inside += low <= deepest.values <= high
    assert 0.9 * 200 <= inside <= 199


def test_noise_widens_the_interval_of_an_extrapolated_depth() -> None:
    near, far = (stopping_depth(0.001, scattered(-1.0, scatter, 1)) for scatter in (0.01, 0.1))
    assert near.low < near.crossing < near.high
    assert math.log(far.high / far.low) > 5 * math.log(near.high / near.low)


def test_two_depths_have_no_band() -> None:
    law = fit_power_law([run for run in runs_of(-1.0) if run.blocks <= 15])
    low, high = law.band(30)
    assert (low, high) == (0, math.inf)


def test_a_crossing_near_the_deepest_network_has_an_end() -> None:
    """Replicates that are above epsilon at every depth go on along their own law."""
    answer = stopping_depth(2.0 / 299, runs_of(-1.0, noise=0.1))
    assert answer.measured
    assert 300 < answer.high < 1000
