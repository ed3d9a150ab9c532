"""The sweep by the project's SLURM profile, on a real SLURM of two nodes: what may befall it costs no run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster.slurm import NODES, Slurm, wait_for
from cluster.trial import Trial, assert_same_numbers, grid
from conftest import TINY

from resperturb.records.record import Record

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

Begin = Callable[[Path], Trial]
both = pytest.mark.parametrize("slurm", [False, True], indirect=True, ids=["plain", "accounting"])
plain = pytest.mark.parametrize("slurm", [False], indirect=True, ids=["plain"])
UNDISTURBED = {"runs": 2, "jobs": 2, "trainings": 2, "resumed": 0, "repeated_epochs": 0}


@pytest.fixture
def long_runs(long: dict[str, Any], tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: grid(tmp_path / f"{name}.yaml", long, {"blocks": [3, 4]})


@both
def test_sweep_of_a_preset(
    slurm: Slurm, trial: Begin, undisturbed: dict[str, Record], long_runs: Callable[[str], Path]
) -> None:
    sweep = trial(long_runs(f"preset-{slurm.accounting}"))
    assert sweep.end(sweep.start()) == 0
    assert_same_numbers(sweep, undisturbed)
    sweep.account(**UNDISTURBED)


@plain
def test_sweep_of_a_study(trial: Begin, tmp_path: Path) -> None:
    preset = grid(
        tmp_path / "study.yaml", {"depths": [2, 4]}, {"variant": ["batch-norm", "root"]}, notebook="initialization"
    )
    sweep = trial(preset)
    assert sweep.end(sweep.start()) == 0
    sweep.account(runs=2, jobs=2)


@both
def test_lost_node(
    slurm: Slurm, trial: Begin, undisturbed: dict[str, Record], long_runs: Callable[[str], Path]
) -> None:
    """SLURM starts its jobs again elsewhere, under their numbers, and they go on from their checkpoints."""
    sweep = trial(long_runs(f"lost-{slurm.accounting}"))
    snakemake = sweep.start()
    sweep.under_way(snakemake)
    node = sweep.node_of(next(iter(undisturbed)))
    slurm.kill_node(node)
    try:
        assert sweep.end(snakemake) == 0
    finally:
        slurm.start_node(node)
    wait_for(lambda: slurm.states() == dict.fromkeys(NODES, "idle"), "the node to come back")
    assert_same_numbers(sweep, undisturbed)
    assert sweep.account(runs=2, jobs=2, trainings=2)["resumed"] >= 1


@plain
def test_lost_daemon(
    slurm: Slurm, trial: Begin, undisturbed: dict[str, Record], long_runs: Callable[[str], Path]
) -> None:
    """SLURM gives the node up and starts its jobs again, though their processes go on; these end alone."""
    sweep = trial(long_runs("daemon"))
    snakemake = sweep.start()
    sweep.under_way(snakemake)
    node = sweep.node_of(next(iter(undisturbed)))
    slurm.stop(node, signal.SIGKILL)
    try:
        assert sweep.end(snakemake) == 0
    finally:
        slurm.start_node(node)
    wait_for(lambda: slurm.states() == dict.fromkeys(NODES, "idle"), "the node to come back")
    assert_same_numbers(sweep, undisturbed)
    sweep.account(**UNDISTURBED)


@both
def test_cancelled_job(
    slurm: Slurm, trial: Begin, undisturbed: dict[str, Record], long_runs: Callable[[str], Path]
) -> None:
    """Snakemake notices, and submits the run once more."""
    sweep = trial(long_runs(f"cancelled-{slurm.accounting}"))
    snakemake = sweep.start()
    sweep.under_way(snakemake)
    slurm.call("scancel", slurm.jobs("RUNNING")[0]["id"])
    assert sweep.end(snakemake) == 0
    assert_same_numbers(sweep, undisturbed)
    sweep.account(runs=2, jobs=3, trainings=2, resumed=1)


@plain
def test_preempted_jobs(
    slurm: Slurm, trial: Begin, undisturbed: dict[str, Record], long_runs: Callable[[str], Path]
) -> None:
    """A job of a partition of higher priority takes both nodes; the runs wait for it and go on."""
    sweep = trial(long_runs("preempted"))
    snakemake = sweep.start()
    sweep.under_way(snakemake)
    slurm.call("srun", "-p", "urgent", "-N", "2", "--exclusive", "sleep", "5")
    assert sweep.end(snakemake) == 0
    assert_same_numbers(sweep, undisturbed)
    sweep.account(other_jobs=1, runs=2, jobs=2, trainings=2, resumed=2)


@plain
def test_time_limit(slurm: Slurm, trial: Begin, long: dict[str, Any], tmp_path: Path) -> None:
    """The run leaves a checkpoint, and a second job finishes it. It is halted, to reach its limit on any machine."""
    preset = grid(tmp_path / "limit.yaml", long, {"blocks": [3]})
    sweep = trial(preset)
    snakemake = sweep.start()
    sweep.under_way(snakemake, runs=1)
    (job,) = slurm.jobs("RUNNING")
    slurm.call("scancel", "--signal=STOP", job["id"])
    slurm.call("scontrol", "update", f"JobId={job['id']}", "TimeLimit=1")
    assert sweep.end(snakemake) == 0
    assert [job["state"] for job in slurm.jobs("all")][-2:] == ["TIMEOUT", "COMPLETED"]
    sweep.account(runs=1, jobs=2, trainings=1, resumed=1)


@plain
def test_controller_restarted(
    slurm: Slurm, trial: Begin, undisturbed: dict[str, Record], long_runs: Callable[[str], Path]
) -> None:
    """The runs do not notice; Snakemake, which asked in vain, waits for ever, and is called again.

    Where the controller does not answer, the plugin (2.8) asks sacct, and without accounting forgets all its jobs.
    """
    sweep = trial(long_runs("controller"))
    snakemake = sweep.start()
    sweep.under_way(snakemake)
    slurm.stop("slurmctld", signal.SIGKILL)
    wait_for(lambda: "Falling back to 'sacct'" in sweep.output.read_text(), "a look at the jobs")
    slurm.start_controller()
    wait_for(lambda: not slurm.jobs(), "the end of the runs", 900)
    snakemake.kill()
    assert sweep.end(sweep.start()) == 0
    assert_same_numbers(sweep, undisturbed)
    sweep.account(**UNDISTURBED)


@plain
def test_snakemake_killed_and_called_again(
    trial: Begin, undisturbed: dict[str, Record], long_runs: Callable[[str], Path]
) -> None:
    """The jobs of the second sweep wait for those of the first, which nobody watches any more, and find the records."""
    sweep = trial(long_runs("again"))
    snakemake = sweep.start()
    sweep.under_way(snakemake)
    os.killpg(snakemake.pid, signal.SIGKILL)
    snakemake.wait()
    assert sweep.end(sweep.start()) == 0
    assert_same_numbers(sweep, undisturbed)
    sweep.account(**{**UNDISTURBED, "jobs": 4})


@plain
def test_failing_run(trial: Begin, tmp_path: Path) -> None:
    """It is tried twice and named with its reason; the others are made."""
    preset = grid(tmp_path / "failing.yaml", {**TINY, "blocks": 3}, {"seed": [0]}, {"seed": [1], "device": ["nowhere"]})
    sweep = trial(preset)
    assert sweep.end(sweep.start()) == 1
    sweep.account(runs=1, jobs=3, trainings=1)
    assert "Error in rule run" in sweep.output.read_text()


@plain
def test_many_short_runs_in_few_jobs(trial: Begin, tmp_path: Path) -> None:
    preset = grid(tmp_path / "many.yaml", {**TINY, "blocks": 3}, {"seed": [*range(6)]})
    sweep = trial(preset)
    short = ("--groups", "run=runs", "--group-components", "runs=3", "--set-resources", "run:runtime=2")
    assert sweep.end(sweep.start(*short), 7200) == 0
    sweep.account(runs=6, jobs=2, trainings=6)
