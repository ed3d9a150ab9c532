"""Starting: what importing the package and asking for help may load, and how long they may take."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from conftest import NOTEBOOK_PACKAGES, ROOT

IMPORT_AIM = 0.2  # seconds of `import resperturb` beyond torch
HELP_AIM = 0.5  # seconds of `resperturb --help`
HEAVY = ("torch", "torchvision", "pandas", "numpy", "scipy", "sklearn", "matplotlib", *NOTEBOOK_PACKAGES)


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
        # a chapter does not wait for torch
        (
            f"sys.path.insert(0, {str(ROOT / 'book')!r}); import report.chapter",
            {"numpy", "pandas", "matplotlib", "IPython"},
        ),
    ],
)
def test_nothing_is_imported_before_it_is_needed(statement: str, allowed: set[str]) -> None:
    assert loaded_by(statement) <= allowed


def test_the_import_adds_little_to_torchs_own_and_help_answers_at_once(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    output = tmp_path / "startup.json"
    assert benchmark("startup").main(["--rounds", "3", "--output", str(output)]) == 0
    record = json.loads(output.read_text())
    assert 0 < record["imports"][0]["seconds_beyond_torch"]["low"] < IMPORT_AIM  # other work on the machine delays some
    assert 0 < record["commands"][0]["seconds"]["low"] < HELP_AIM
