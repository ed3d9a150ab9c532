"""The notebooks that read records, through the real papermill, and what they ask for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from builders import copy_sweep
from conftest import ROOT

from resperturb.errors import ExperimentError, RecordError
from resperturb.records.sweeps import Selection, read_selection, select_record, select_sweep

RESULTS = ROOT / "results"
NOTEBOOKS = {"scaling": 2, "profile": 4, "stopping_rule": 2}  # figures of each at least


@pytest.mark.book
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_draws_what_the_records_hold(name: str, tmp_path: Path) -> None:
    done = papermill(name, tmp_path, results=RESULTS, dataset="digits")
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    drawn = [o for c in cells if c.cell_type == "code" for o in c.outputs if "image/svg+xml" in o.get("data", {})]
    assert len(drawn) >= NOTEBOOKS[name]
    printed = "".join(o.get("text", "") for c in cells if c.cell_type == "code" for o in c.outputs)
    assert "digits" in printed  # the records that it rests on


@pytest.mark.book
@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("scaling", {"datset": "mnist"}, "unknown parameter datset; did you mean dataset?"),
        ("scaling", {"epsilon": 0.1}, "unknown parameter epsilon"),
        ("profile", {"blocks": 7}, "has no finished run of 7 blocks"),
        ("stopping_rule", {"epsilon": -1}, "epsilon must be a finite number above 0"),
    ],
)
def test_what_cannot_be_answered_stops_a_notebook(
    name: str, parameters: dict[str, object], words: str, tmp_path: Path
) -> None:
    done = papermill(name, tmp_path, results=RESULTS, **parameters)
    assert done.returncode != 0
    assert words in done.stderr


def papermill(name: str, folder: Path, **parameters: object) -> subprocess.CompletedProcess[str]:
    words = [word for key, value in parameters.items() for word in ("-p", key, str(value))]
    notebook = str(ROOT / "notebooks" / f"{name}.ipynb")
    command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", *words, "--no-progress-bar"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_hold_no_outputs_and_begin_with_typed_parameters(name: str) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert code[0].metadata["tags"] == ["parameters"]
    assert all(": " in line and "  # " in line for line in code[0].source.splitlines())
    namespace: dict[str, object] = {}
    exec(code[0].source, namespace)
    given = {key: value for key, value in namespace.items() if not key.startswith("_")}
    defaults = Selection()
    assert all(getattr(defaults, key) == value for key, value in given.items())
    for cell in code:
        figure = cell.metadata.get("mystnb")
        if figure:
            assert figure["figure"]["caption"]
            assert figure["image"]["alt"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("dataset", "mnits", "did you mean mnist?"),
        ("block", 6, "use blocks=6"),
        ("block", "pre", "block must be one of"),
        ("blocks", 0, "blocks must be a whole number"),
        ("seed", 0.5, "seed must be a whole number"),
        ("epsilon", 0, "epsilon must be"),
        ("results", "", "results must be the name of a folder"),
    ],
)
def test_a_bad_value_is_quoted(name: str, value: object, words: str) -> None:
    with pytest.raises(ExperimentError, match=words.replace("?", r"\?")):
        read_selection({name: value}, name)


def test_a_kernels_own_names_are_no_parameters() -> None:
    namespace = {"In": [""], "_": 1, "exit": 1, "dataset": "mnist", "print": print}
    assert read_selection(namespace, "dataset") == Selection(dataset="mnist")


def test_the_records_that_are_asked_for_are_selected(tmp_path: Path) -> None:
    copy_sweep(tmp_path / "shipped-digits")
    copy_sweep(tmp_path / "digits-postactivation", block="postactivation")
    every = select_sweep(Selection(results=str(tmp_path)))
    assert every.name == "digits"
    assert select_sweep(Selection(block="postactivation", results=str(tmp_path))).name == "digits-postactivation"
    one = select_sweep(Selection(seed=0, shallowest=every.depths[1], results=str(tmp_path)))
    assert {record.seed for record in one.records} == {0}
    assert one.depths == every.depths[1:]
    assert select_record(Selection(results=str(tmp_path))).blocks == every.depths[-1]
    chosen = select_record(Selection(results=str(tmp_path), blocks=every.depths[0], seed=1))
    assert (chosen.blocks, chosen.seed) == (every.depths[0], 1)
    with pytest.raises(RecordError, match=r"no sweep of mnist .*; there is digits with block preactivation"):
        select_sweep(Selection(dataset="mnist", results=str(tmp_path)))
    with pytest.raises(RecordError, match="its seeds are 0, 1"):
        select_sweep(Selection(seed=99, results=str(tmp_path)))
