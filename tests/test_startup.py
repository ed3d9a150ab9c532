"""Starting: what importing the package and asking for help may load, and how long they may take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT

from report.benchmarks import HELP_AIM, IMPORT_AIM

HEAVY = ("torch", "torchvision", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "seaborn")


def loaded_by(statement: str) -> set[str]:
    """Which of the heavy packages a fresh process holds after a statement."""
    code = f"import sys\n{statement}\nprint(*({{*{HEAVY!r}}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("from resperturb import Experiment, cli; cli.parser().format_help()", set()),
        (
            "from resperturb import load_records, fit_power_law, stopping_depth; import resperturb.analysis.summaries",
            {"numpy", "pandas"},
        ),
        ("from resperturb import measure, run", {"numpy", "pandas", "torch"}),
        # a chapter does not wait for torch, nor for seaborn, which one figure uses
        (f"sys.path.insert(0, {str(ROOT / 'book')!r}); import report.chapter", {"numpy", "pandas", "matplotlib"}),
    ],
)
def test_nothing_is_imported_before_it_is_needed(statement: str, allowed: set[str]) -> None:
    assert loaded_by(statement) <= allowed


def test_the_import_adds_little_to_torchs_own() -> None:
    code = "import torch, time; t = time.perf_counter(); import resperturb; print(time.perf_counter() - t)"
    taken = [float(subprocess.check_output([sys.executable, "-c", code], text=True)) for _ in range(2)]
    assert min(taken) < IMPORT_AIM


def test_help_answers_at_once() -> None:
    taken = []
    for _ in range(4):  # other work on the machine delays one now and then, not all
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "resperturb.cli", "--help"], capture_output=True, text=True)
        taken.append(time.perf_counter() - begun)
        assert done.returncode == 0
        assert "usage: resperturb" in done.stdout
    assert min(taken) < HELP_AIM


@pytest.mark.book
def test_the_benchmark_of_starting_runs(tmp_path: Path) -> None:
    output = tmp_path / "startup.json"
    command = [sys.executable, "benchmarks/startup.py", "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    record = json.loads(output.read_text())
    brought = {row["statement"]: row["brought"] for row in record["imports"]}
    assert brought["import resperturb"] == []
    assert "matplotlib" in brought["from resperturb import figures"]
    assert all(row["seconds"]["median"] > 0 for row in record["commands"])
