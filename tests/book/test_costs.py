"""What runs cost: tables from records and from benchmark files."""

from __future__ import annotations

import json
from pathlib import Path

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


# ------------------------------------------------------------------------------------------------- kept benchmarks


def test_a_benchmark_has_its_origin() -> None:
    machine = {"processor": "a processor", "cores": 2, "gpu": None}
    written = {"machine": machine, "versions": {"torch": "2"}, "load": 0.1}
    (origin,) = benchmarks.origin_table({"startup": written, "gpu": None}).to_dict("records")
    assert (origin["processor"], origin["cores"], origin["load average before"]) == ("a processor", 2, 0.1)


def test_kept_benchmarks_were_measured_in_full() -> None:
    kept = {file.stem: json.loads(file.read_text()) for file in KEPT.glob("*.json")}
    assert not any(record["quick"] for name, record in kept.items() if name != "other_tools")
