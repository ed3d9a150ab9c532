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
from resperturb.records.sweeps import find_record, find_sweep

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
        ("seed", 0.5, "seed must be a whole number"),
        ("shallowest", 0, "shallowest must be a whole number"),
        ("results", "", "results must be the name of a folder"),
    ],
)
def test_a_bad_value_is_quoted(name: str, value: object, words: str) -> None:
    with pytest.raises(ExperimentError, match=words.replace("?", r"\?")):
        find_sweep(**{name: value})  # type: ignore[arg-type]


def test_the_records_that_are_asked_for_are_found(tmp_path: Path) -> None:
    copy_sweep(tmp_path / "shipped-digits")
    copy_sweep(tmp_path / "digits-postactivation", block="postactivation")
    every = find_sweep(tmp_path)
    assert every.name == "digits"
    assert find_sweep(tmp_path, block="postactivation").name == "digits-postactivation"
    one = find_sweep(tmp_path, seed=0, shallowest=every.depths[1])
    assert {record.seed for record in one.records} == {0}
    assert one.depths == every.depths[1:]
    assert find_record(every).blocks == every.depths[-1]
    chosen = find_record(find_sweep(tmp_path, seed=1), every.depths[0])
    assert (chosen.blocks, chosen.seed) == (every.depths[0], 1)
    with pytest.raises(RecordError, match="has no finished run of 7 blocks"):
        find_record(every, 7)
    with pytest.raises(RecordError, match=r"no sweep of mnist .*; there is digits with block preactivation"):
        find_sweep(tmp_path, "mnist")
    with pytest.raises(RecordError, match="its seeds are 0, 1"):
        find_sweep(tmp_path, seed=99)
