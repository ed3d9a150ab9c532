"""Fixtures of the tests on a real SLURM, and the account of what they measured.

pytest -n0 -m cluster tests/cluster                    # half an hour; skipped unless asked for
CLUSTER_RESULTS=benchmarks/results/cluster.json CLUSTER_RUNS=100 pytest -n0 -m cluster tests/cluster
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cluster.slurm import ENVIRONMENT, Slurm, obstacle, wait_for
from cluster.trial import RESULTS, Logs, Trial, grid
from conftest import ROOT, TINY, Tree, copy_tree

from resperturb.records.record import Record, load_records

STARTED = pytest.StashKey[dict[str, Any]]()


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
def trial(slurm: Slurm, project: Tree) -> Iterator[Callable[[str, Path], Trial]]:
    """Begin a trial: what is tried, and the preset."""
    with ExitStack() as stack:

        def begin(name: str, preset: Path) -> Trial:
            logs = stack.enter_context(Logs(project.root / "results" / preset.stem / "notebooks"))
            begun = Trial(name, slurm, project, preset, logs, slurm.submitted())
            stack.callback(lambda: [call.kill() for call in begun.calls])
            return begun

        yield begin
    slurm.call("scancel", "--user", "root", check=False)
    wait_for(lambda: not slurm.jobs(), "the end of all jobs")


def pytest_sessionstart(session: pytest.Session) -> None:
    """What the results say of the machine is from before they were measured."""
    if "CLUSTER_RESULTS" in os.environ:
        session.config.stash[STARTED] = common().provenance(quick=False)


def common() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        return importlib.import_module("common")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was tried and went as expected; trials of an earlier session stay, where they were not tried again."""
    if STARTED not in session.config.stash or not RESULTS["trials"]:
        return
    output = Path(os.environ["CLUSTER_RESULTS"])
    earlier = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    by_name = {
        (trial["trial"], trial["accounting"]): trial for trial in (*earlier.get("trials", ()), *RESULTS["trials"])
    }
    said = subprocess.run(["slurmd", "-V"], env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout
    tools = {name: version(name) for name in ("snakemake", "snakemake-executor-plugin-slurm")}
    result = {**session.config.stash[STARTED], "tools": {"slurm": said.split()[-1], **tools}}
    result |= {"trials": [*by_name.values()], "many": RESULTS["many"] or earlier.get("many", [])}
    common().write_result(result, output)
