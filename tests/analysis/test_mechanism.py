"""Predictions and what exponents are made of, against the records of the mechanism."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT

from report.mechanism_claims import PREDICTIONS
from resperturb.analysis.mechanism import (
    ACCOUNT,
    PREDICTION_BARS,
    RIVALS,
    Prediction,
    factor_slopes,
    is_straight,
    load_predictions,
    paths_of_steps,
    prediction_table,
    runs_of,
    scores,
    section_factors,
)
from resperturb.analysis.slope_tests import fit_slope
from resperturb.records.record import Record, load_records
from resperturb.studies.plan import load_plan


@pytest.fixture(scope="module")
def runs() -> list[Record]:
    return load_records(ROOT / "results" / "mechanism-mnist")


@pytest.fixture(scope="module")
def predictions() -> list[Prediction]:
    return load_predictions(PREDICTIONS)


def test_no_path_is_straighter_than_a_line(runs: list[Record]) -> None:
    for record in runs[:6]:
        assert (section_factors(record)["straightness"] <= 1 + 1e-6).all()


def test_the_slope_of_a_section_is_that_of_its_steps(predictions: list[Prediction], runs: list[Record]) -> None:
    chosen = runs_of(next(p for p in predictions if p.name == "no decay"), predictions, runs)
    slopes = factor_slopes(chosen)
    last = [(record.blocks, record.blocks_at("end").groupby("section")["scaled"].mean()[3]) for record in chosen]
    assert slopes["section_3"] == pytest.approx(fit_slope(*zip(*last, strict=True)).exponent, abs=1e-3)


def test_every_run_of_a_preset_belongs_to_one_condition(predictions: list[Prediction]) -> None:
    """The shallowest runs of a rate of 1/L are those of the usual rate, and belong to both."""
    for preset in PREDICTION_BARS:
        own = [p for p in predictions if p.preset == preset]
        planned = [Planned(run.parameters) for run in load_plan(preset).runs]
        for run in planned:
            found = [p.name for p in own if runs_of(p, own, [run])]
            assert 1 <= len(found) <= 1 + (run.blocks == 6), (run.parameters, found)
        assert all(len({run.blocks for run in runs_of(p, own, planned)}) == 4 for p in own)


class Planned(Record):
    """A record as its plan has it, before it is made."""

    def __init__(self, parameters: dict[str, object]) -> None:
        super().__init__(ROOT, {"experiment": parameters})


def test_drawn_paths_lead_to_one_point_by_steps_of_one_length() -> None:
    for (kind, steps), path in paths_of_steps().groupby(["kind", "steps"]):
        lengths = np.hypot(path["x"].diff(), path["y"].diff()).dropna()
        assert len(lengths) == steps
        np.testing.assert_allclose(lengths, lengths.iloc[0], rtol=1e-6)
        assert lengths.iloc[0] == pytest.approx(1 / steps if kind == "aligned" else steps**-0.5, rel=0.01)
        assert (path["x"].iloc[-1], path["y"].iloc[-1]) == pytest.approx((1, 0), abs=1e-9)


@pytest.mark.parametrize(
    ("fields", "straight"),
    [
        ({}, True),
        ({"clock": 0.0}, False),
        ({"clock": 0.0, "initialization": "zero"}, True),
        ({"decayed": "weights"}, True),
        ({"decayed": "first-convolutions"}, False),
        ({"decayed": "normalization"}, False),
    ],
)
def test_paths_are_expected_straight_where_the_last_weights_lost_their_start(fields: dict, straight: bool) -> None:
    assert is_straight("mechanism-mnist", fields) is straight


def test_only_predictions_that_were_not_known_are_scored(predictions: list[Prediction], runs: list[Record]) -> None:
    table = prediction_table(predictions, {"mechanism-mnist": runs})
    assert not (table["known"] & table["counts"]).any()
    counted = table[table["counts"]]
    assert (counted["hit"] == ((counted[ACCOUNT] - counted["measured"]).abs() <= 0.1)).all()
    perfect = table.assign(**dict.fromkeys((ACCOUNT, *RIVALS), table["measured"]))
    assert set(scores(perfect).values()) == {0.0}
