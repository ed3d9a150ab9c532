"""Sections, transitions, carriers and the two measures, against the records' own tables."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from builders import DIGITS

from resperturb.analysis import profiles
from resperturb.analysis.slope_tests import fit_runs
from resperturb.models.residual import ResidualNetwork
from resperturb.records.record import Record, load_records
from resperturb.studies.rescaling import rescaling_table


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return load_records(DIGITS)


def test_carriers_are_the_fewest_blocks_that_make_up_the_share() -> None:
    assert profiles.blocks_for_share(np.array([1.0, 1.0, 1.0, 1.0]), 0.5) == 2
    assert profiles.blocks_for_share(np.array([0.1, 8.0, 0.1, 1.8]), 0.5) == 1
    assert profiles.blocks_for_share(np.array([0.1, 8.0, 0.1, 1.8]), 0.9) == 2
    assert profiles.blocks_for_share(np.array([3.0]), 0.9) == 1


def test_equal_blocks_share_the_work_and_a_busy_one_does_it_alone(records: list[Record]) -> None:
    assert profiles.participation_ratio(np.array([0.2, 0.2, 0.2, 0.2])) == pytest.approx(4)
    assert profiles.participation_ratio(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    table = profiles.concentration_table(records, "initialization")
    assert table["shared"].between(0, 1).all()
    assert table["rooted"].is_monotonic_decreasing  # a longer tail of ever smaller steps


def test_shares_of_the_sections_sum_to_one_and_the_path_leaves_room_for_transitions(records: list[Record]) -> None:
    table = profiles.section_summary(records)
    assert table.groupby("blocks")["share"].sum().to_numpy() == pytest.approx(1)
    assert (table.groupby("blocks")["path"].sum() < 1).all()
    assert (table.groupby("blocks")["count"].sum() == sorted({r.blocks for r in records})).all()


def test_transitions_are_between_the_blocks_beside_them(records: list[Record]) -> None:
    record = records[0]
    end = record.at("end")
    place = int(np.flatnonzero(end["kind"] == "transition")[0])
    row = profiles.transition_table([record]).iloc[0]
    before, here, after = end["state_norm"].iloc[place - 1 : place + 2]
    assert row["into"] == 2
    assert row["projected"] == pytest.approx(here / before)
    assert row["after"] == pytest.approx(after / before)
    assert row["scaled"] == pytest.approx(end["scaled"].iloc[place])
    single = dataclasses.replace(record)
    single.__dict__["perturbations"] = record.perturbations.query("kind == 'identity'")  # as of one section
    assert profiles.transition_table([single]).empty


def test_the_law_of_a_measure_is_that_of_its_mean_over_blocks(records: list[Record]) -> None:
    average = profiles.block_average(records[0], "perturbation_norm")
    assert average == pytest.approx(records[0].run["averages"]["end"]["absolute"], rel=1e-4)
    assert profiles.fit_measure(records).exponent == pytest.approx(fit_runs(records).exponent, abs=1e-4)


def test_exponents_over_training_begin_and_end_as_the_sweep_does(records: list[Record]) -> None:
    table = profiles.exponents_over_training(records)
    assert table["share"].tolist() == [0.0, 0.2, 0.5, 0.8, 1.0]
    assert table["clock"].is_monotonic_increasing
    ends = [fit_runs(records, moment).exponent for moment in ("initialization", "end")]
    assert table["exponent"].iloc[[0, -1]].tolist() == pytest.approx(ends, abs=1e-3)


def test_the_measure_table_has_both_measures_at_both_ends(records: list[Record]) -> None:
    table = profiles.measure_table(records)
    assert table.groupby("moment")["measure"].apply(list).tolist() == [list(profiles.MEASURE_NAMES.values())] * 2
    end = table[table["moment"] == "end"].set_index("measure")["exponent"]
    assert end["scaled"] == pytest.approx(fit_runs(records).exponent, abs=1e-4)
    assert end["absolute"] > end["scaled"]  # the state grows with depth


def test_rescaled_networks_compute_the_same_and_only_the_absolute_measure_sees_it() -> None:
    torch.manual_seed(0)
    network = ResidualNetwork(6, width=8).double()
    images = torch.randn(16, 1, 8, 8, dtype=torch.float64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    table = rescaling_table(network, images, 8.0).set_index("network")
    assert (table["output"] < 1e-3).all()
    whole = table.loc["all that is written to the stream × 8"]
    assert whole["absolute"] == pytest.approx(8 * table["absolute"].iloc[0], rel=1e-3)
    assert whole["scaled"] == pytest.approx(table["scaled"].iloc[0], rel=1e-3)
    inside = table.loc["weights before a normalisation × 8"]
    assert inside[["absolute", "scaled"]].tolist() == pytest.approx(
        table[["absolute", "scaled"]].iloc[0].tolist(), rel=1e-3
    )
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
