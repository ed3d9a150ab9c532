"""The notebooks at tiny size: what they draw, what they refuse, and the parameters that they offer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from conftest import ROOT
from nbclient.exceptions import CellExecutionError
from papermill import inspect_notebook

from resperturb.experiment import Experiment
from resperturb.experiment.parameters import read_parameters
from resperturb.models.published import FOLDER, NETWORKS
from resperturb.records.record import load_records
from resperturb.studies.plan import STUDIES, study_class
from resperturb.training.data import data_folder

pytestmark = pytest.mark.book

RESULTS = ROOT / "results"
NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
TAKEN = {"train_size": 64, "test_size": 32, "measured_images": 16}
NETWORK = {"blocks": 3, "epochs": 1, **TAKEN}
TINY: dict[str, dict[str, object]] = {
    "initialization": {"width": 4, "measured_images": 4, "depths": [2, 3]},
    "lesion": NETWORK,
    "published": {"measured_images": 8},
    "text": {"layers": 1, "width": 16, "steps": 3, "measured_sequences": 4},
}
FIGURES = {"lesion": 2, "profile": 4}  # of each at least; others have one

Execute = Callable[..., Any]


def figures_in(notebook: Any) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/svg+xml" in output.get("data", {}) for output in outputs)


def test_a_depth_of_the_readers_own_from_any_folder(execute: Execute, tmp_path: Path) -> None:
    notebook = execute("sweep", blocks=4, width=4, epochs=2, threads=1, **TAKEN)
    (record,) = load_records(tmp_path / "results" / "runs")
    assert record.blocks == 4
    assert figures_in(notebook) == 3  # the training curve, and both measures per block
    text = "".join(str(cell.get("outputs", "")) for cell in notebook.cells)
    for word in ("average scaled perturbation", "peak memory", "test accuracy", "wall time"):
        assert word in text


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_leaves_its_record(name: str, execute: Execute, tmp_path: Path) -> None:
    if name == "published" and not (data_folder() / FOLDER / f"resnet20-{NETWORKS['resnet20'][1]}.th").is_file():
        pytest.skip("the published weights are not in the data folder")
    notebook = execute(name, results="kept", **TINY[name])
    (record,) = load_records(tmp_path / "kept", kind=name)
    assert record.fresh
    assert figures_in(notebook) >= FIGURES.get(name, 1)
    if name == "published":
        assert record.table("network")["accuracy"].item() == pytest.approx(0.9173, abs=5e-4)  # its authors' 91.73 %
        blocks = record.table("blocks")
        np.testing.assert_allclose(blocks["scaled"], blocks["explicit"], rtol=1e-5)


@pytest.mark.parametrize("name", ["scaling", "profile", "stopping_rule"])
def test_an_analysis_draws_what_the_records_hold(name: str, execute: Execute) -> None:
    notebook = execute(name, results=str(RESULTS), dataset="digits")
    assert figures_in(notebook) >= FIGURES.get(name, 1)
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "digits" in printed  # the records that it rests on


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("sweep", {"block_count": 6}, r"unknown parameter block_count; did you mean blocks\?"),
        ("scaling", {"datset": "mnist"}, r"unknown parameter datset; did you mean dataset\?"),
        ("scaling", {"shallowest": 300, "results": str(RESULTS)}, "at least two depths, but all runs have 300 blocks"),
        ("profile", {"blocks": 7, "results": str(RESULTS)}, "has no finished run of 7 blocks"),
        ("stopping_rule", {"epsilon": -1, "results": str(RESULTS)}, "epsilon must be a finite number above 0"),
    ],
)
def test_what_cannot_be_answered_stops_a_notebook(
    name: str, parameters: dict[str, object], words: str, execute: Execute, tmp_path: Path
) -> None:
    with pytest.raises(CellExecutionError, match=words):
        execute(name, **parameters)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_stored_without_outputs_with_typed_parameters_and_captions(name: str) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert code[0].metadata["tags"] == ["parameters"]
    assert all(": " in line and "  # " in line for line in code[0].source.splitlines())
    for cell in code:
        if figure := cell.metadata.get("mystnb"):
            assert figure["figure"]["caption"]
            assert figure["image"]["alt"]


@pytest.mark.parametrize("name", ["sweep", *STUDIES])
def test_the_parameters_are_the_fields_with_their_defaults_and_papermill_lists_them(name: str) -> None:
    kind: Any = Experiment if name == "sweep" else study_class(name)
    path = ROOT / "notebooks" / f"{name}.ipynb"
    cell = next(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    namespace: dict[str, object] = {}
    exec(cell, namespace)
    asked, results, again = read_parameters(kind, namespace)
    assert asked.identity == kind().identity
    assert (str(results), again) == ("results/runs" if name == "sweep" else f"results/{name}", False)
    listed = inspect_notebook(str(path))
    assert set(listed) == {*kind.field_names(), "results", "again"}
    assert len(listed) == len(cell.splitlines())
    assert all(parameter["inferred_type_name"] != "None" for parameter in listed.values())


def test_ten_minutes_with_ones_own_network(execute: Execute) -> None:
    notebook = execute("own_network", steps=4, every=2, samples=16)
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum(bool({"image/png", "image/svg+xml"} & set(data)) for data in outputs) == 2
    measured, logged, compared, lesions = (data["text/plain"] for data in outputs if "text/html" in data)
    assert measured.count("transition") == 3
    assert [line.split()[1] for line in logged.splitlines()[1:]] == ["0", "2", "4"]
    assert [line.split()[1:4] for line in compared.splitlines()[1:3]] == [["before", "5", "3"], ["after", "5", "3"]]
    assert lesions.split()[:5] == ["block", "name", "scaled", "influence", "loss_added"]
    assert len(lesions.splitlines()) == 6
