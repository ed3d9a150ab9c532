"""Fixtures of the tests on a real SLURM.

pytest -n0 -m cluster tests/cluster    # half an hour; skipped unless asked for
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cluster.slurm import Slurm, obstacle, wait_for
from cluster.trial import Logs, Trial, grid
from conftest import TINY, Tree, copy_tree

from resperturb.records.record import Record, load_records


def skip_unless_asked_for(config: pytest.Config) -> None:
    if "cluster" not in config.getoption("-m"):
        pytest.skip("a real SLURM is started for -m cluster only")


@pytest.fixture(scope="module")
def slurm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Without accounting, or with it, as a test's parameter says."""
    skip_unless_asked_for(request.config)
    if reason := obstacle(request.param):
        pytest.skip(reason)
    with Slurm(tmp_path_factory.mktemp("slurm"), request.param) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A copy of the project in which runs of seconds leave a checkpoint too."""
    skip_unless_asked_for(request.config)
    tree = Tree(copy_tree(tmp_path_factory.mktemp("cluster") / "project"))
    loop = tree.root / "resperturb" / "training" / "loop.py"
    text, often = re.subn(r"(?m)^(SECONDS_BETWEEN_CHECKPOINTS) = .*$", r"\1 = 1.0", loop.read_text(encoding="utf-8"))
    assert often == 1
    loop.write_text(text, encoding="utf-8")
    return tree


@pytest.fixture(scope="session")
def long(project: Tree) -> dict[str, Any]:
    """Parameters of runs that train for about half a minute on this machine, as busy as it is now."""
    parameters = {**TINY, "epochs": 20}
    done = project.snakemake("sweep", preset=grid(project.root.parent / "speed.yaml", parameters, {"blocks": [3, 4]}))
    assert done.returncode == 0, done.stdout
    records = load_records(project.root / "results" / "speed")
    return {**parameters, "epochs": round(30 * 20 / max(record.run["training"]["seconds"] for record in records))}


@pytest.fixture(scope="session")
def undisturbed(project: Tree, long: dict[str, Any]) -> dict[str, Record]:
    """The long runs, on this machine without a cluster."""
    done = project.snakemake("sweep", preset=grid(project.root.parent / "undisturbed.yaml", long, {"blocks": [3, 4]}))
    assert done.returncode == 0, done.stdout
    return {record.name: record for record in load_records(project.root / "results" / "undisturbed")}


@pytest.fixture
def trial(slurm: Slurm, project: Tree) -> Iterator[Callable[[Path], Trial]]:
    """Begin a trial of a preset."""
    with ExitStack() as stack:

        def begin(preset: Path) -> Trial:
            logs = stack.enter_context(Logs(project.root / "results" / preset.stem / "notebooks"))
            begun = Trial(slurm, project, preset, logs, slurm.submitted())
            stack.callback(lambda: [call.kill() for call in begun.calls])
            return begun

        yield begin
    slurm.call("scancel", "--user", "root", check=False)
    wait_for(lambda: not slurm.jobs(), "the end of all jobs")
