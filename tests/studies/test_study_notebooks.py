"""The notebooks of the studies at tiny size, through the real papermill; and their shipped records."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT

from report.claims import CLAIMS
from report.ledger import ledger
from resperturb.analysis import study_tables
from resperturb.analysis.clock import FOLDERS
from resperturb.experiment.parameters import read_parameters
from resperturb.models.published import FOLDER
from resperturb.records.record import Record, load_records, read_record
from resperturb.records.sweeps import load_sweeps
from resperturb.studies.plan import STUDIES, load_plan, study_class, study_names
from resperturb.training.data import data_folder

RESULTS = ROOT / "results"
NETWORK = {"blocks": 3, "epochs": 1, "train_size": 64, "test_size": 32, "measured_images": 16}
TINY: dict[str, dict[str, object]] = {
    "carriers": NETWORK,
    "growth": {**NETWORK, "epsilon": 1e-6, "deepest": 6},
    "initialization": {"width": 4, "measured_images": 4},
    "lesion": NETWORK,
    "path": NETWORK,
    "published": {"measured_images": 8},
    "text": {"layers": 1, "width": 16, "steps": 3, "measured_sequences": 4},
}
FIGURES = {"path": 3, "lesion": 2}  # of each at least; the others have one
WITHOUT_CLAIMS = {"published"}  # records that no chapter tells of yet
SHIPPED = [name for name in study_names() if load_plan(name).notebook != "sweep" and (RESULTS / name).is_dir()]


@pytest.mark.book
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_as_a_notebook_and_leaves_its_record(name: str, tmp_path: Path) -> None:
    if name == "published" and not (data_folder() / FOLDER).is_dir():
        pytest.skip("the published weights are not in the data folder")
    more = ["-y", "depths: [2, 3]"] if name == "initialization" else []
    done = papermill(name, tmp_path, *more, results="kept", **TINY[name])
    assert done.returncode == 0, done.stderr
    (record,) = load_records(tmp_path / "kept", kind=None)
    assert record.run["study"] == name
    assert record.fresh
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    drawn = [o for c in cells if c.cell_type == "code" for o in c.outputs if "image/svg+xml" in o.get("data", {})]
    assert len(drawn) >= FIGURES.get(name, 1)


@pytest.mark.book
def test_an_unknown_parameter_stops_a_study(tmp_path: Path) -> None:
    done = papermill("lesion", tmp_path, block_count=3)
    assert done.returncode != 0
    assert "unknown parameter block_count; did you mean blocks?" in done.stderr


def papermill(name: str, folder: Path, *words: str, **parameters: object) -> subprocess.CompletedProcess[str]:
    given = [word for key, value in parameters.items() for word in ("-p", key, str(value))]
    notebook = str(ROOT / "notebooks" / f"{name}.ipynb")
    command = [sys.executable, "-m", "papermill", notebook, "out.ipynb", *given, *words, "--no-progress-bar"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", STUDIES)
def test_parameters_are_typed_explained_and_those_of_the_study(name: str) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].metadata["tags"] == ["parameters"]
    assert all(": " in line and "  # " in line for line in code[0].source.splitlines())
    namespace: dict[str, object] = {}
    exec(code[0].source, namespace)
    study, results, again = read_parameters(study_class(name), namespace)
    assert study == study_class(name)()  # the notebook's defaults are the study's
    assert (str(results), again) == (f"results/{name}", False)
    for cell in code:
        figure = cell.metadata.get("mystnb")
        if figure:
            assert figure["figure"]["caption"]
            assert figure["image"]["alt"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_studies_are_those_of_their_preset(name: str) -> None:
    records = load_records(RESULTS / name, kind=None)
    assert {record.name for record in records} == {run.name for run in load_plan(name).runs}
    for record in records:
        assert study_class(record.run["study"]).from_mapping(record.parameters).name == record.name


@pytest.mark.parametrize("name", [name for name in FOLDERS if (RESULTS / name).is_dir()])
def test_shipped_maps_are_of_their_preset(name: str) -> None:
    records = load_records(RESULTS / name)
    assert {record.name for record in records} <= {run.name for run in load_plan(name).runs}


def shipped(name: str) -> list[Record]:
    return load_records(RESULTS / name, kind=None)


@pytest.fixture(scope="module")
def digits() -> list[Record]:
    return load_sweeps(RESULTS, own=False)["digits"].records


def test_every_study_has_rows_in_the_ledger_and_a_chapter() -> None:
    rows = ledger(load_sweeps(RESULTS, own=False))
    folders = {folder for claim in CLAIMS for folder in claim.about} - {"sweep", "kind", "sensitivity"}
    assert folders == {*SHIPPED, *FOLDERS} - WITHOUT_CLAIMS == {row.id.split("/")[0] for row in rows} & {*study_names()}
    pages = {path.stem for path in (ROOT / "book").glob("*.md")}
    assert {row.chapter.split("#")[0] for row in rows} <= pages
    assert len({row.id for row in rows}) == len(rows)


def test_a_rank_correlation_is_averaged_over_seeds() -> None:
    records = shipped("lesion")
    table = study_tables.lesion_table(records).set_index(["blocks", "score"])
    depth = records[0].parameters["blocks"]
    by_hand = [r.table("correlations").set_index("score") for r in records if r.parameters["blocks"] == depth]
    z = [math.atanh(part.loc["scaled", "added_loss"]) for part in by_hand]
    row = table.loc[(depth, "scaled")]
    assert row["with added loss"] == pytest.approx(math.tanh(sum(z) / len(z)))
    assert -1 < row["low"] < row["with added loss"] < row["high"] < 1


def test_the_work_of_growth_is_counted_in_images_and_blocks(digits: list[Record]) -> None:
    record = read_record(next((RESULTS / "growth").glob("*epsilon-0.1-seed-0-*")))
    phases = record.table("phases")
    images = record.parameters["train_size"] // 64 * 64 * record.parameters["epochs"]
    assert phases["block_images"].iloc[-1] == pytest.approx((phases["blocks"] * images).sum())
    table = study_tables.growth_table(shipped("growth"), digits)
    assert (table["sweep's block_images"] > 0).all()
