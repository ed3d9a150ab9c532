"""The notebook through the real papermill, at tiny size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from resperturb.experiment import Experiment
from resperturb.experiment.parameters import read_parameters
from resperturb.records.record import load_records

NOTEBOOK = ROOT / "notebooks" / "sweep.ipynb"
TINY = {"train_size": 128, "test_size": 64, "measured_images": 32, "width": 4, "epochs": 2, "threads": 1}


def papermill(folder: Path, **parameters: object) -> subprocess.CompletedProcess[str]:
    words = [word for name, value in parameters.items() for word in ("-p", name, str(value))]
    command = [sys.executable, "-m", "papermill", str(NOTEBOOK), "out.ipynb", *words, "--no-progress-bar"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.book
def test_a_depth_of_the_readers_own_from_any_folder(tmp_path: Path) -> None:
    done = papermill(tmp_path, blocks=4, **TINY)
    assert done.returncode == 0, done.stderr
    (record,) = load_records(tmp_path / "results" / "runs")
    assert record.blocks == 4
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    drawn = [o for c in cells if c.cell_type == "code" for o in c.outputs if "image/svg+xml" in o.get("data", {})]
    assert len(drawn) == 3  # the training curve, and both measures per block
    text = "".join(str(c.get("outputs", "")) for c in cells)
    for word in ("average scaled perturbation", "peak memory", "test accuracy", "wall time"):
        assert word in text


@pytest.mark.book
@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"block_count": 6}, "unknown parameter block_count; did you mean blocks?"),
        ({"block": 100}, "use blocks=100"),
        ({"blocks": 2.5}, "blocks must be a whole number of at least 0, but got 2.5"),
    ],
)
def test_a_mistyped_parameter_stops_the_notebook(parameters: dict[str, object], words: str, tmp_path: Path) -> None:
    done = papermill(tmp_path, **parameters)
    assert done.returncode != 0
    assert words in done.stderr
    assert not (tmp_path / "results").exists()


def parameters_cell() -> str:
    (cell,) = [c for c in nbformat.read(NOTEBOOK, 4).cells if "parameters" in c.metadata.get("tags", [])]
    return str(cell.source)


def test_the_parameters_are_the_fields_typed_and_explained_with_their_defaults() -> None:
    namespace: dict[str, object] = {}
    exec(parameters_cell(), namespace)
    experiment, results, again = read_parameters(Experiment, namespace)
    assert experiment.identity == Experiment().identity
    assert (str(results), again) == ("results/runs", False)
    names = [line.split(":")[0] for line in parameters_cell().splitlines()]
    assert names == [*Experiment.field_names(), "results", "again"]
    assert all(": " in line and "  # " in line for line in parameters_cell().splitlines())


def test_papermill_can_list_every_parameter() -> None:
    command = [sys.executable, "-m", "papermill", "--help-notebook", str(NOTEBOOK)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Unable to parse" not in done.stderr
    for name in Experiment.field_names():
        assert f"  {name}: " in done.stdout
    assert "Unknown type" not in done.stdout
