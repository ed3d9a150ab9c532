"""Conditions: live blocks, and the plan's answer on records with known numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resperturb import load_records
from resperturb.analysis.conditions import (
    accuracy_by_depth,
    alive,
    bar_met,
    condition_table,
    largest_loss,
    on_shared_depths,
    run_table,
)

RESULTS = Path(__file__).parents[2] / "results"
BY = ("block", "weight_decay")


def drawn(exponent: float, decay: float, noise: float = 0.02, kind: str = "preactivation") -> pd.DataFrame:
    blocks = np.repeat([6, 12, 24, 48], 3)
    error = np.random.default_rng(0).normal(0, noise, len(blocks))
    return pd.DataFrame(
        {
            "block": kind,
            "weight_decay": decay,
            "blocks": blocks,
            "seed": np.tile([0, 1, 2], 4),
            "diverged": False,
            "accuracy": np.where(blocks == 48, 0.88, 0.9),
            "before": np.exp(-0.5 * np.log(blocks) + error),
            "after": np.exp(exponent * np.log(blocks) + error),
            "alive": 1.0,
            "clock": 2.0,
        }
    )


def test_each_condition_gets_the_answer_that_was_drawn() -> None:
    runs = pd.concat([drawn(-1.0, 5e-4), drawn(-0.7, 0.0), drawn(-1.0, 1e-3, noise=0.9)], ignore_index=True)
    table = condition_table(runs, BY).set_index("weight_decay")
    assert table["answer"].to_dict() == {0.0: "no", 5e-4: "yes", 1e-3: "open"}
    assert table["exponent"][0.0] == pytest.approx(-0.7, abs=0.03)
    assert table["before"][5e-4] == pytest.approx(-0.5, abs=0.03)
    assert table["falls"].tolist() == pytest.approx([0.02] * 3)


def test_diverged_runs_are_counted_and_left_out() -> None:
    runs = drawn(-0.7, 0.0)
    lost = runs["seed"] == 2
    runs.loc[lost, "diverged"] = True
    runs.loc[lost, ["after", "accuracy"]] = np.nan
    row = condition_table(runs, BY).iloc[0]
    assert (row["runs"], row["diverged"]) == (12, 4)
    assert row["exponent"] == pytest.approx(-0.7, abs=0.03)
    assert condition_table(runs.assign(diverged=True), BY).empty


def test_branches_that_start_at_zero_have_an_exponent_after_training_alone() -> None:
    row = condition_table(drawn(-0.7, 0.0).assign(before=0.0), BY).iloc[0]
    assert row["exponent"] == pytest.approx(-0.7, abs=0.03)
    assert np.isnan(row[["before", "before_low", "before_high"]].astype(float)).all()


def test_conditions_are_compared_on_the_depths_that_all_of_one_kind_have() -> None:
    deeper = drawn(-1.0, 1e-2).assign(blocks=lambda t: 2 * t["blocks"])  # 12 to 96
    other = drawn(-0.7, 0.0, kind="postactivation")
    lost = drawn(-0.7, 0.0)
    lost.loc[lost["blocks"] == 24, "diverged"] = True
    table = on_shared_depths(pd.concat([lost, deeper, other], ignore_index=True), ["block"], BY)
    shared = table.groupby("block")["blocks"].unique().map(sorted).to_dict()
    assert shared == {"postactivation": [6, 12, 24, 48], "preactivation": [12, 48]}


def test_the_exponent_of_a_bent_law_is_marked() -> None:
    bent = drawn(-0.7, 0.0).assign(after=lambda t: t["after"] * np.exp(-0.2 * np.log(t["blocks"] / 17) ** 2))
    table = condition_table(pd.concat([bent, drawn(-0.7, 5e-4)], ignore_index=True), BY)
    assert table.set_index("weight_decay")["bent"].to_dict() == {0.0: True, 5e-4: False}
    assert table["clock"].tolist() == [2.0, 2.0]


def test_the_deepest_network_on_the_digits_is_mostly_dead_and_those_on_cifar10_alive() -> None:
    digits = [r for r in load_records(RESULTS / "decay-digits") if r.experiment.weight_decay is None]
    deepest = max(digits, key=lambda record: record.blocks)
    assert alive(deepest.blocks_at("end")).mean() < 0.3
    assert alive(deepest.blocks_at("initialization")).all()
    assert all(alive(record.blocks_at("end")).all() for record in load_records(RESULTS / "decay-cifar10")[:3])


def test_the_bar_asks_for_accuracy_at_every_depth_and_for_none_lost() -> None:
    usual, strong = load_records(RESULTS / "shipped-digits"), load_records(RESULTS / "decay-cifar10")
    assert bar_met(usual)
    assert not bar_met(strong)
    assert bar_met(load_records(RESULTS / "cifar10-postactivation"))
    assert not bar_met(load_records(RESULTS / "digits-postactivation"))  # the deepest all diverged
    accuracy = accuracy_by_depth(usual)
    assert accuracy.loc[6] == pytest.approx(np.mean([r.accuracy for r in usual if r.blocks == 6]))
    assert largest_loss(pd.Series([0.9, 0.95, 0.93], index=[6, 12, 24])) == pytest.approx(0.02)
    assert largest_loss(pd.Series([0.9, 0.95], index=[6, 12])) == pytest.approx(-0.05)


def test_networks_without_blocks_have_no_row() -> None:
    records = [*load_records(RESULTS / "without-blocks"), *load_records(RESULTS / "shipped-digits")]
    table = run_table(records, ("dataset",))
    assert table["blocks"].min() == 6
    assert {"alive", "participation", "successive", "after"} <= set(table.columns)
