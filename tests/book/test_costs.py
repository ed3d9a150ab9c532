"""What runs cost: tables from records and from benchmark files, and the benchmarks that write those."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT

from report import benchmarks, costs
from report.claims import HOLDS, LedgerRow
from resperturb.experiment import Experiment
from resperturb.records.record import Record, load_records
from resperturb.records.sweeps import Sweep

KEPT = ROOT / "benchmarks" / "results"


def record(blocks: int, seed: int, seconds: float, memory: int = 100, diverged: bool = False) -> Record:
    run = {
        "experiment": Experiment(blocks=blocks, seed=seed).to_dict(),
        "diverged": diverged,
        "wall_seconds": seconds,
        "measurement_seconds": seconds / 10,
        "peak_memory_bytes": memory * 2**20,
        "training": {"seconds": seconds / 2, "images_per_second": 1000 / seconds},
        "provenance": {"threads": 1, "gpu": None, "processor": "a processor"},
    }
    return Record(Path(f"results/digits/{blocks}-{seed}"), run)


@pytest.fixture
def sweeps() -> dict[str, Sweep]:
    runs = [record(6, 0, 2), record(6, 1, 4), record(6, 2, 9, memory=120), record(60, 0, 30), record(60, 1, 1, 1, True)]
    return {"digits": Sweep("digits", runs)}


# ------------------------------------------------------------------------------------------------- from records


def test_a_depth_has_medians_of_time_and_peaks_of_memory(sweeps: dict[str, Sweep]) -> None:
    shallow, deep = costs.cost_by_depth(sweeps).to_dict("records")
    assert (shallow["blocks"], shallow["runs"], shallow["seconds"]) == (6, 3, 4)
    assert (shallow["lowest"], shallow["highest"], shallow["peak memory (MiB)"]) == (2, 9, 120)
    assert (shallow["training"], shallow["measuring"], shallow["images per second"]) == (2, 0.4, 250)
    assert (deep["blocks"], deep["runs"], deep["seconds"]) == (60, 1, 30)  # the diverged run is no cost of a depth


def test_the_figure_has_a_line_for_each_sweep_in_each_panel(sweeps: dict[str, Sweep]) -> None:
    figure = costs.cost_figure(costs.cost_by_depth(sweeps), sweeps)
    upper, lower = figure.axes
    assert [line.get_ydata().tolist() for line in upper.lines] == [[4, 30]]
    assert [line.get_ydata().tolist() for line in lower.lines] == [[120, 100]]


def test_presets_stand_beside_the_chapters_whose_claims_rest_on_them() -> None:
    places = {"shipped-digits": ("scaling#a", "method#b"), "lesion": ("practice#c",), "lesion-mnist": ("practice#d",)}
    rows = [
        LedgerRow("x/y", "us", "It is.", "1", "", HOLDS, place, "90%", f"results/{folder} (7 runs)", "no")
        for folder, shown in places.items()
        for place in (*shown, shown[0])
    ]
    first, second = costs.presets(rows, ROOT / "results").to_dict("records")
    assert (first["chapters"], first["presets"]) == ("scaling, method", "digits")
    assert (second["chapters"], second["presets"]) == ("practice", "lesion, lesion-mnist")
    records = [r for name in ("lesion", "lesion-mnist") for r in load_records(ROOT / "results" / name, kind=None)]
    assert second["runs"] == len(records)
    assert second["core hours"] * 3600 == pytest.approx(sum(r.run["wall_seconds"] for r in records))


# ------------------------------------------------------------------------------------------------- a sweep's use


def timed(blocks: int, seed: int, start: float, end: float) -> dict[str, Any]:
    return {"blocks": blocks, "seed": seed, "start": start, "end": end}


@pytest.fixture
def measured(benchmark: Callable[[str], ModuleType]) -> dict[str, Any]:
    """Two depths, two seeds; alone 10 and 4 s, side by side 11 and 4.4 s."""
    alone = {"cores": 1, "wall_seconds": 15.0, "runs": [timed(9, 0, 0.5, 10.5), timed(3, 0, 10.5, 14.5)]}
    runs = [timed(9, 0, 1, 12), timed(9, 1, 1, 12), timed(3, 0, 12, 16.4), timed(3, 1, 12, 16.4)]
    sweep = {"cores": 2, "wall_seconds": 17.0, "runs": runs}
    return {
        "machine": {"processor": "a processor", "cores": 2, "gpu": None},
        "versions": {"torch": "2"},
        "load": 0.1,
        "preset": "digits",
        "alone": alone,
        "sweep": sweep,
        "use": benchmark("sweep").use_of(alone, sweep),
    }


def test_use_is_wall_time_over_work_shared_out(measured: dict[str, Any]) -> None:
    use = measured["use"]["notebook"]
    assert use["work_seconds"] == 28
    assert use["wall_over_work_per_core"] == pytest.approx(17 / 14)


def test_a_benchmark_has_its_origin(measured: dict[str, Any]) -> None:
    (origin,) = benchmarks.origin_table({"sweep": measured, "gpu": None}).to_dict("records")
    assert (origin["processor"], origin["cores"], origin["load average before"]) == ("a processor", 2, 0.1)


@pytest.mark.book
def test_the_benchmark_of_a_sweep_runs(tmp_path: Path) -> None:
    output = tmp_path / "sweep.json"
    command = [sys.executable, "benchmarks/sweep.py", "--quick", "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    written = json.loads(output.read_text())
    assert [run["blocks"] for run in written["sweep"]["runs"]] == [3, 3]
    assert written["use"]["notebook"]["work_seconds"] > 0


# ------------------------------------------------------------------------------------------------- kept benchmarks


def test_kept_benchmarks_were_measured_in_full() -> None:
    kept = {file.stem: json.loads(file.read_text()) for file in KEPT.glob("*.json")}
    assert not any(record["quick"] for name, record in kept.items() if name != "other_tools")
