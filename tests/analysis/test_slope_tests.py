"""Tests of an exponent: known answers, and error rates on drawn data."""

from __future__ import annotations

import numpy as np
import pytest

from resperturb.analysis.slope_tests import (
    answer,
    curvature,
    difference,
    fit_slope,
    holm,
    local_exponents,
    points,
)
from resperturb.errors import ScalingError

DEPTHS = np.repeat([6, 12, 24, 48, 96], 3)


def drawn(exponent: float, noise: float, seed: int, bend: float = 0.0) -> np.ndarray:
    x = np.log(DEPTHS)
    error = np.random.default_rng(seed).normal(0, noise, len(x))
    return np.exp(1 + exponent * x + bend * (x - x.mean()) ** 2 + error)


def test_the_interval_covers_what_was_drawn_and_the_test_errs_as_often_as_they_say() -> None:
    lines = [fit_slope(DEPTHS, drawn(-1.0, 0.1, seed)) for seed in range(400)]
    intervals = np.array([line.interval() for line in lines])
    assert 0.92 <= ((intervals[:, 0] <= -1) & (intervals[:, 1] >= -1)).mean() <= 0.98
    assert 0.02 <= np.mean([line.p_value() < 0.05 for line in lines]) <= 0.08
    assert fit_slope(DEPTHS, drawn(-0.7, 0.1, 0)).p_value() < 1e-4


def test_equivalence_is_shown_near_the_claim_and_nowhere_else() -> None:
    assert fit_slope(DEPTHS, drawn(-1.02, 0.03, 0)).equivalence() < 0.05
    assert fit_slope(DEPTHS, drawn(-0.8, 0.03, 0)).equivalence() > 0.5
    at_the_margin = [fit_slope(DEPTHS, drawn(-0.9, 0.05, seed)).equivalence() < 0.05 for seed in range(400)]
    assert 0.02 <= np.mean(at_the_margin) <= 0.08


def test_equivalence_is_the_interval_of_90_percent_within_the_margin() -> None:
    for seed in range(20):
        line = fit_slope(DEPTHS, drawn(-0.95, 0.08, seed))
        low, high = line.interval(0.9)
        assert (line.equivalence() < 0.05) == (low > -1.1 and high < -0.9)


def test_a_bend_is_seen_by_both_tests_and_a_line_is_not() -> None:
    bent = drawn(-0.8, 0.05, 1, bend=-0.1)
    assert curvature(*points(DEPTHS, bent))[0] == pytest.approx(-0.1, abs=0.05)
    slope = fit_slope(DEPTHS, bent)
    assert max(slope.p_curvature, slope.p_fit) < 1e-3
    assert slope.bent
    assert not fit_slope(DEPTHS, drawn(-0.8, 0.05, 1)).bent
    assert slope.ends == pytest.approx((-0.6, -1.0), abs=0.1)
    lines = [fit_slope(DEPTHS, drawn(-0.8, 0.1, seed)) for seed in range(400)]
    assert (np.mean([(line.p_curvature < 0.05, line.p_fit < 0.05) for line in lines], axis=0) < 0.08).all()


def test_local_exponents_are_those_between_neighbours() -> None:
    table = local_exponents([6, 12, 24], [1.0, 0.5, 0.125])
    assert table["from"].tolist() == [6, 12]
    assert table["exponent"].tolist() == pytest.approx([-1, -2])


def test_the_difference_of_two_exponents_has_a_wider_interval_than_either() -> None:
    first, second = fit_slope(DEPTHS, drawn(-0.9, 0.1, 1)), fit_slope(DEPTHS, drawn(-0.6, 0.1, 2))
    moved, low, high = difference(first, second)
    assert moved == pytest.approx(first.exponent - second.exponent)
    assert high - low > max(np.ptp(first.interval()), np.ptp(second.interval()))


def test_holm_multiplies_the_smallest_by_their_number() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.5]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("rejected", "equivalent", "bent", "word"),
    [
        (False, True, False, "yes"),
        (True, True, False, "roughly"),
        (False, True, True, "roughly"),
        (True, False, False, "no"),
        (True, False, True, "no"),
        (False, False, False, "open"),
    ],
)
def test_the_answer_is_that_of_the_plan(rejected: bool, equivalent: bool, bent: bool, word: str) -> None:
    assert answer(rejected, equivalent, bent) == word


@pytest.mark.parametrize(
    ("blocks", "averages", "words"),
    [([6, 12], [1.0, 0.5], "at least 3 runs"), ([6, 6, 6], [1, 1, 1], "of 2 depths"), ([6, 12, 24], [1, 0, 1], "0")],
)
def test_too_little_to_test_is_said(blocks: list[int], averages: list[float], words: str) -> None:
    with pytest.raises(ScalingError, match=words):
        fit_slope(blocks, averages)
