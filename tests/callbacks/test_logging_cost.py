"""The benchmark of logging: it runs, and the default interval keeps logging below 1 % of training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from conftest import ROOT

from resperturb.callbacks.logger import EVERY


def test_the_benchmark_runs(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    output = tmp_path / "logging_cost.json"
    assert benchmark("logging_cost").main(["--quick", "--output", str(output)]) == 0
    record = json.loads(output.read_text())
    assert record["quick"]
    assert [case["network"] for case in record["cases"]] == ["ours", "transformer"]
    for case in record["cases"]:
        measured, step, ratio = case["measurement_seconds"], case["step_seconds"], case["ratio"]
        assert 0 < measured["low"] / step["high"] <= ratio["low"] <= ratio["high"] <= measured["high"] / step["low"]


def test_by_default_logging_takes_less_than_one_percent_of_training() -> None:
    record = json.loads((ROOT / "benchmarks" / "results" / "logging_cost.json").read_text())
    assert (record["quick"], record["every"]) == (False, EVERY)
    assert {case["network"] for case in record["cases"]} == {"ours", "resnet50", "transformer"}
    assert all(case["ratio"]["high"] / EVERY < 0.01 for case in record["cases"])
