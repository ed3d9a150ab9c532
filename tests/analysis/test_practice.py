"""What follows for practice: shares that can go, depths that validation chooses, and what is logged."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT

from resperturb.analysis.conditions import alive
from resperturb.analysis.practice import (
    depth_choices,
    lesion_depths,
    lesion_runs,
    logged,
    rank_correlation,
    removable_share,
    validated_depth,
)
from resperturb.analysis.profiles import participation_ratio
from resperturb.records.record import load_records

RESULTS = ROOT / "results"


def lesioned(seed: int = 0, **changes: Any) -> Any:
    """A record of a lesion study: two sections of two live blocks, and a dead one."""
    blocks = pd.DataFrame(
        {
            "block": [1, 2, 3, 4, 5],
            "section": [1, 1, 2, 2, 2],
            "scaled": [0.4, 0.2, 0.3, 0.1, 0.01],
            "alive": [True, True, True, True, False],
            "added_loss": [2.0, 0.5, 0.2, 0.4, 0.0],
            "accuracy": [0.5, 0.89, 0.895, 0.9, 0.9],
        }
    )
    lost = {"scaled": [0.0, 0.01, 0.3], "random": [0.1, 0.2, 0.6]}
    rows = [("whole", 0.0, 0.9), ("dead", 1.0, 0.88)]
    rows += [(way, share, 0.9 - loss) for way in lost for share, loss in zip((0.25, 0.5, 0.75), lost[way], strict=True)]
    tables = {"blocks": blocks.assign(**changes), "pruning": pd.DataFrame(rows, columns=["way", "share", "accuracy"])}
    return SimpleNamespace(parameters={"blocks": 5}, seed=seed, table=tables.__getitem__)


def trained(blocks: int, accuracy: float, images: int = 400, *, diverged: bool = False) -> Any:
    """A run of which the test accuracy is all that is known."""
    run = {"experiment": {"test_size": images}}
    return SimpleNamespace(blocks=blocks, run=run, accuracy=accuracy, diverged=diverged)


def test_live_and_dead_blocks_are_kept_apart() -> None:
    row = lesion_runs([lesioned()], 0.01).iloc[0]
    assert row["alive"] == 0.8
    assert row["alone"] == 0.75  # of the live ones
    assert row["dead"] == pytest.approx(0.02)
    assert row["together"] == 0.5
    assert (row["half"], row["half_random"]) == pytest.approx((0.01, 0.2))
    assert row["first"] == 0.5  # the first section's first block costs most, the second's does not
    assert row["rank"] == pytest.approx(rank_correlation(pd.Series([4, 2, 3, 1]), pd.Series([4, 3, 1, 2])))
    assert row["place"] == pytest.approx(rank_correlation(pd.Series([4, 3, 2, 1]), pd.Series([4, 3, 1, 2])))
    assert math.isnan(lesion_runs([lesioned(added_loss=1.0)], 0.01)["rank"].item())


def test_a_depth_is_the_mean_over_seeds() -> None:
    other = lesioned(1, accuracy=0.9)  # every block can go alone
    assert lesion_depths([lesioned(), other], 0.01).loc[5, "alone"] == pytest.approx((0.75 + 1) / 2)


@pytest.mark.parametrize(("lost", "share"), [([0, 0.005, 0.02, 0], 0.2), ([0.02, 0, 0, 0], 0.0), ([0, 0, 0, 0], 0.4)])
def test_no_smaller_share_may_cost_more(lost: list[float], share: float) -> None:
    assert removable_share(pd.Series(lost, index=[0.1, 0.2, 0.3, 0.4]), 0.01) == share


def test_validation_takes_the_shallowest_of_those_near_the_best() -> None:
    runs = [trained(6, 0.88), trained(12, 0.891), trained(24, 0.89), trained(24, 0.91), trained(48, 0.0, diverged=True)]
    assert validated_depth(runs, 0.0) == 24
    assert validated_depth(runs, 0.01) == 12
    assert validated_depth(runs) == 12  # a standard error is sqrt(0.9 * 0.1 / 800) = 0.0106
    assert validated_depth([*runs[:2], trained(24, 0.9, images=90000)]) == 24


def test_the_rule_and_validation_are_asked_of_the_same_runs() -> None:
    row = depth_choices(load_records(RESULTS / "cifar10"), [0.1, 1e9], 0.005)
    assert row["rule 0.1"] > row["best"] == 54  # type: ignore[operator]
    assert row["measured 0.1"] is False
    assert row["margin"] <= row["best"]  # type: ignore[operator]


def test_what_is_logged_is_what_the_record_says_elsewhere() -> None:
    record = load_records(RESULTS / "shipped-digits")[-1]
    log = logged(record)
    assert (log["share"].iloc[0], log["share"].iloc[-1]) == (0, 1)
    for row, moment in ((log.iloc[0], "initialization"), (log.iloc[-1], "end")):
        assert row["average"] == pytest.approx(record.average(moment), rel=1e-3)
        assert row["alive"] == alive(record.blocks_at(moment)).mean()
        assert row["sharing"] == pytest.approx(
            participation_ratio(record.blocks_at(moment)["scaled"].to_numpy()) / record.blocks
        )
    assert log["memory"].isna().all()  # older than that column


def test_without_decay_nothing_of_the_first_weights_is_lost_and_with_it_all_is() -> None:
    runs = load_records(RESULTS / "mechanism-mnist")
    deep = [r for r in runs if r.blocks == 24 and r.seed == 0]
    usual = [r for r in deep if (r.experiment.initialization, r.experiment.decayed) == ("he", "all")]
    plain = next(r for r in usual if r.experiment.clock == 0 and r.experiment.block == "preactivation")
    decayed = next(r for r in usual if r.experiment.clock == 5 and r.experiment.block == "preactivation")
    assert logged(plain)["memory"].iloc[0] == logged(decayed)["memory"].iloc[0] == 1
    assert logged(plain)["memory"].iloc[-1] > 0.9
    assert logged(decayed)["memory"].iloc[-1] < 0.05
