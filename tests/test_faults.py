"""A few faults of every kind that `make faults` tries by hundreds: kills, storage, damage and memory."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.mark.book  # half a minute
def test_a_few_faults_lose_nothing(tmp_path: Path) -> None:
    output = tmp_path / "faults.json"
    command = [sys.executable, "-m", "faults", "--quick", "--output", str(output)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "book")])
    done = subprocess.run(
        command, cwd=ROOT / "benchmarks", env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = json.loads(output.read_text())
    assert {row["fault"] for row in written["faults"]} >= {"SIGKILL", "two at once", "file cut short", "bit flipped"}
    assert [row["way"] for row in written["same"]["here"] if not row["same"]] == []


def test_the_campaign_on_file_lost_only_what_has_no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    unguarded = importlib.import_module("faults.__main__").UNGUARDED
    rows = json.loads((ROOT / "benchmarks/results/faults.json").read_text())["faults"]
    assert {(row["fault"], row["call"]) for row in rows if row["lost"]} <= set(unguarded)
    assert sum(row["tried"] for row in rows if row["fault"].startswith("SIGKILL")) >= 200
