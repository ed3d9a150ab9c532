"""The benchmarks of measuring: they run, and their records can be shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from conftest import ROOT

from report import benchmarks


def test_the_benchmark_runs_and_the_book_can_show_it(benchmark: Callable[[str], ModuleType], tmp_path: Path) -> None:
    output = tmp_path / "measurement.json"
    assert benchmark("measurement").main(["--quick", "--output", str(output)]) == 0
    record = json.loads(output.read_text())
    assert record["quick"]
    assert {"machine", "versions", "started", "time", "memory"} <= set(record)
    cost = benchmarks.cost_of_measuring(record)
    assert set(cost["way"]) == {"plain", "measure"}
    assert (cost["× plain"] > 0).all()


def test_hooks_that_keep_tensors_are_wrong_where_memory_is_used_again(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """Of the tools that need no further package; torchvision's block writes over f."""
    output = tmp_path / "other_tools.json"
    assert benchmark("other_tools").main(["--quick", "--output", str(output)]) == 0
    right = {case["tool"]: case["right"] for case in json.loads(output.read_text())["cases"]}
    assert not right.pop("hooks that keep")
    assert {"measure", "hooks that reduce at once"} <= set(right)
    assert all(right.values())


def test_the_recorded_benchmarks_are_complete() -> None:
    cost, other = (benchmarks.recorded(name, ROOT / "benchmarks/results") for name in ("measurement", "other_tools"))
    assert {case["network"] for case in cost["time"]} == {"ours", "resnet50", "GPT-2"}
    assert {(case["blocks"], case["batches"]) for case in cost["memory"]} >= {(30, 1), (300, 1), (30, 8)}
    tools = benchmarks.tool_table(other).set_index("by")
    assert tools.loc["measure", "right in"] == "10 of 10"
    assert {"torchlens", "nnsight", "TransformerLens"} <= set(tools.index)
