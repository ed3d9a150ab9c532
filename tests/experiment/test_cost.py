"""The estimate of a run's cost, against what the runs on file took, and against networks that are built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from resperturb.errors import ExperimentError
from resperturb.experiment import Experiment
from resperturb.experiment.cost import DAY, GIB, Cost, check_cost, estimate, machine_memory
from resperturb.models.residual import network_of
from resperturb.records.record import records_in


def test_the_estimate_is_near_what_runs_took() -> None:
    runs = [r for folder in (ROOT / "results").iterdir() for r in records_in(folder) if r.kind == "run"]
    runs = [record for record in runs if not record.diverged]
    assert len(runs) > 400
    costs = [estimate(record.experiment) for record in runs]
    seconds = np.array([cost.seconds / r.run["wall_seconds"] for cost, r in zip(costs, runs, strict=True)])
    assert 0.8 < np.median(seconds) < 1.25
    assert ((seconds > 1 / 3) & (seconds < 3)).mean() > 0.95
    memory = np.array([cost.memory / r.run["peak_memory_bytes"] for cost, r in zip(costs, runs, strict=True)])
    assert 0.75 < memory.min() <= memory.max() < 1.5


@pytest.mark.parametrize(
    "experiment", [Experiment(blocks=30), Experiment(blocks=4, sections=1, width=32), Experiment(blocks=8, sections=4)]
)
def test_parameters_are_those_of_the_network_but_for_gains_shifts_and_head(experiment: Experiment) -> None:
    counted = sum(p.numel() for p in network_of(experiment, channels=1).parameters() if p.dim() == 4)
    assert estimate(experiment).parameters == counted


def test_a_run_of_more_images_needs_more_time() -> None:
    plain = Experiment(dataset="cifar10", blocks=300)
    assert estimate(Experiment(dataset="cifar10", blocks=300, epochs=60)).seconds > 9 * estimate(plain).seconds


def test_what_is_too_much_is_refused_with_its_sizes() -> None:
    experiment = Experiment(blocks=300)
    cost = estimate(experiment)
    assert check_cost(experiment, 1.01 * cost.memory, 1.01 * cost.seconds) == cost
    with pytest.raises(ExperimentError, match=r"blocks 300, sections 3, width 16, batch_size 64 need about 1\.\d+ GiB"):
        check_cost(experiment, 0.99 * cost.memory, DAY)
    with pytest.raises(ExperimentError, match=r"takes about 4\.\d+ minutes on one processor core, but 0\.\d+ hours"):
        check_cost(experiment, 2 * cost.memory, 0.99 * cost.seconds)


def test_a_duration_is_told_in_its_unit() -> None:
    told = {5: "5 seconds", 300: "5 minutes", 3 * 3600: "3 hours", 4 * DAY: "4 days", 1e9: "31.7 years"}
    assert {seconds: Cost(0, 0, seconds).duration for seconds in told} == {
        s: f"about {words}" for s, words in told.items()
    }


def test_memory_is_that_of_the_container(tmp_path: Path) -> None:
    of_machine = machine_memory(tmp_path / "absent")
    assert of_machine > GIB
    for content, expected in {f"{GIB}\n": GIB, "max\n": of_machine, f"{2 * of_machine}\n": of_machine}.items():
        (tmp_path / "memory.max").write_text(content)
        assert machine_memory(tmp_path / "memory.max") == expected
