"""Figures of the method: intervals get the word of the rule, and shifts stand where they belong."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import ROOT

from resperturb import figures
from resperturb.analysis.slope_tests import CLAIMED, LEVEL, SMALLEST, Slope, answer
from resperturb.figures.method import FAR, NARROWER, VERDICTS
from resperturb.records.record import load_records
from resperturb.records.sweeps import Sweep

WORDS = {"holds": "yes", "holds roughly": "roughly", "does not hold": "no", "cannot be told": "open"}


@pytest.mark.parametrize(("interval", "word"), VERDICTS, ids=[word for _, word in VERDICTS])
def test_the_drawn_intervals_get_their_words_by_the_rule(interval: tuple[float, float], word: str) -> None:
    low, high = interval
    one = Slope(0, 1, 200)
    slope = Slope((low + high) / 2, (high - low) / (one.high - one.low), 200)
    assert answer(slope.p_value(CLAIMED) < LEVEL, slope.equivalence(CLAIMED, SMALLEST) < LEVEL, False) == WORDS[word]
    ninety = slope.interval(0.9)
    assert (ninety[1] - ninety[0]) / (high - low) == pytest.approx(NARROWER, abs=0.01)


def test_a_shift_that_is_too_far_is_written_at_the_edge() -> None:
    sweep = Sweep("digits", load_records(ROOT / "results/shipped-digits"))
    rows = [("ours", 0.0), ("ratio of sums", 0.05), ("per channel", FAR + 1)]
    table = pd.DataFrame([{"sweep": "digits", "convention": name, "moved by": moved} for name, moved in rows])
    (axes,) = figures.shifts_by_convention(table, {"digits": sweep}, SMALLEST).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ratio of sums", "per channel"]
    assert [text.get_text() for text in axes.texts] == [f"+{FAR + 1:.2f} ▸"]
    assert [0.05] in [list(line.get_xdata()) for line in axes.lines]


def test_a_choice_stands_beside_its_main_sweep() -> None:
    row = {"base": "digits", "varied": "8 channels", "trained": True, "exponent": -0.5, "low": -0.6, "high": -0.4}
    table = pd.DataFrame([{**row, "usual": -0.57}, {**row, "trained": False, "exponent": -5.0, "usual": -0.6}])
    (axes,) = figures.exponents_by_choice(table).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["digits: 8 channels"] * 2
    assert [-0.57, -0.6] in [list(line.get_xdata()) for line in axes.lines]
    assert [text.get_text() for text in axes.texts] == ["◂ −5.0"]
