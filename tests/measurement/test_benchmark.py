"""The benchmark of measuring: it runs, and its records can be shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT

from report import benchmarks


def test_the_benchmark_runs_and_the_book_can_show_it(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    output = tmp_path / "measurement.json"
    assert benchmark("measurement").main(["--quick", "--output", str(output)]) == 0
    record = json.loads(output.read_text())
    assert record["quick"]
    assert {"machine", "versions", "started", "time", "memory"} <= set(record)
    cost = benchmarks.cost_of_measuring(record)
    assert {"plain", "measure", "hooks that store"} <= set(cost["way"])
    assert (cost["× plain"] > 0).all()
    assert len(benchmarks.memory_of_measuring(record)) == 1


def test_the_recorded_benchmarks_are_complete() -> None:
    cost, other = (benchmarks.recorded(name, ROOT / "benchmarks/results") for name in ("measurement", "other_tools"))
    assert {case["network"] for case in cost["time"]} == {"ours", "resnet50"}
    assert {(case["blocks"], case["batches"]) for case in cost["memory"]} >= {(30, 1), (300, 1), (30, 8)}
    assert other["torchlens"]["tool"] == pytest.approx(other["torchlens"]["measure"], rel=1e-5)
    assert other["transformer_lens"]["largest_relative_difference"] < 1e-5
