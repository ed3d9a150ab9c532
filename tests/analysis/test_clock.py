"""Time under weight decay: effects that were put in are found."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from resperturb.analysis.clock import forgetting_table, left_out_errors, steps_effect
from resperturb.errors import ScalingError
from resperturb.records.record import load_records


@pytest.fixture
def table() -> pd.DataFrame:
    """A crossed design in which the average is a power of depth and of nothing else yet."""
    rows = [
        {"epochs": epochs, "steps": 93 * epochs, "clock": clock, "weight_decay": 2 * clock / epochs, "blocks": blocks}
        for epochs, clock, blocks in itertools.product((4, 12, 40), (0.0, 1.0, 2.4), (6, 12, 24))
    ]
    return pd.DataFrame(rows).assign(scaled=lambda t: t["blocks"] ** -0.7)


def test_the_effect_of_steps_is_found_at_one_clock_and_one_depth(table: pd.DataFrame) -> None:
    assert steps_effect(table).exponent == pytest.approx(0, abs=1e-9)
    moved = table.assign(scaled=table["scaled"] * table["steps"] ** 0.2 * (1 + table["clock"]) ** -1.0)
    assert steps_effect(moved).exponent == pytest.approx(0.2)
    with pytest.raises(ScalingError, match="different numbers of steps"):
        steps_effect(table[table["epochs"] == 12])


@pytest.mark.parametrize(("cause", "other"), [("clock", "weight_decay"), ("weight_decay", "clock")])
def test_what_decides_predicts_the_trainings_left_out(table: pd.DataFrame, cause: str, other: str) -> None:
    with np.errstate(divide="ignore"):
        effect = np.where(table["clock"] > 0, table[cause].clip(lower=1e-9) ** -0.4, 1.0)
    errors = left_out_errors(table.assign(scaled=table["scaled"] * effect))
    assert errors[cause] == pytest.approx(0, abs=1e-9)
    assert errors[other] > 0.1


def test_what_is_left_of_the_initial_weights_goes_with_the_clock() -> None:
    table = forgetting_table(load_records(ROOT / "results" / "clock-steps"))
    assert table["clock"].is_monotonic_increasing
    assert table.loc[table["clock"] == 0, "memory"].item() == pytest.approx(1, abs=0.05)
    np.testing.assert_allclose(table["memory"], np.exp(-table["clock"]), atol=0.05)
    assert ((table["low"] < table["exponent"]) & (table["exponent"] < table["high"])).all()
