"""One run from end to end, in process, on the command line, and what it says to bad input."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
import torch
from builders import silent
from conftest import NOTEBOOK_PACKAGES

from resperturb import Experiment, figures, load_records, run
from resperturb.cli import main
from resperturb.errors import ActivationError
from resperturb.measurement.measure import Measurement, measurement
from resperturb.models.residual import Block, network_of
from resperturb.records.record import Record
from resperturb.training.data import load_images

TINY = {
    "train_size": 128,
    "test_size": 64,
    "measured_images": 32,
    "width": 4,
    "batch_size": 32,
    "epochs": 2,
    "snapshots": 1,
    "threads": 1,
}
WHOLE = Experiment(blocks=4, **{**TINY, "threads": None})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    before = torch.get_num_threads()
    record = run(WHOLE, tmp_path_factory.mktemp("whole"), report=silent)
    assert torch.get_num_threads() == before
    return record


def test_a_run_leaves_a_whole_record(whole: Record) -> None:
    facts = whole.run
    assert 0 <= facts["accuracy"] <= 1
    assert facts["training"]["weight_decay"] == 5e-4
    assert 0 < facts["training"]["clock"] < 0.01
    assert facts["training"]["images_per_second"] > 0
    assert facts["wall_seconds"] > facts["training"]["seconds"] > 0
    assert facts["peak_memory_bytes"] > 2**20
    assert facts["provenance"]["versions"]["torch"] == torch.__version__
    assert facts["provenance"]["processor"]
    assert facts["provenance"]["threads"] == 1  # digits gain nothing from more
    assert whole.fresh
    table = whole.perturbations
    assert table["moment"].unique().tolist() == ["initialization", "training", "end"]
    assert table[table["kind"] == "identity"].groupby("snapshot").size().tolist() == [4, 4, 4]
    assert table[table["kind"] == "transition"].groupby("snapshot").size().tolist() == [2, 2, 2]
    assert table["reconstruction_error"].max() < 1e-5
    scaled = whole.blocks_at("end")["scaled"].mean()
    assert facts["averages"]["end"]["scaled"] == pytest.approx(scaled, rel=1e-4)
    assert whole.scaled_per_sample().mean() == pytest.approx(scaled, rel=1e-4)
    assert len(whole.scaled_per_sample()) == 32
    assert len(whole.history) == 2
    assert [path.name for path in whole.folder.parent.iterdir()] == [whole.name]  # no checkpoint, no temporary folder


def test_a_network_that_starts_as_the_identity_leaves_a_record_without_a_cosine_there(tmp_path: Path) -> None:
    record = run(Experiment(blocks=3, initialization="zero", **TINY), tmp_path, report=silent)
    start, end = record.run["averages"]["initialization"], record.run["averages"]["end"]
    assert (start["scaled"], start["absolute"], start["cosine"]) == (0, 0, None)
    assert end["scaled"] > 0
    assert -1 < end["cosine"] < 1
    shown = figures.averages_table(record)
    assert math.isnan(shown.loc["average cosine of f(x) and x", "at initialisation"])


def test_the_initial_row_agrees_with_a_plain_float64_computation(whole: Record) -> None:
    network = network_of(WHOLE, channels=1).double().train()  # batch statistics, as for an untrained network
    x = network.stem(load_images(WHOLE).test_images[:32].double())
    ratios = []
    with torch.no_grad():
        for index, section in enumerate(network.sections):
            x = network.transitions[index - 1](x) if index else x
            for block in section:
                assert isinstance(block, Block)
                f = block.branch(x)
                ratios.append((f.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)).mean().item())
                x = x + f
    measured = whole.blocks_at("initialization")["scaled"]
    np.testing.assert_allclose(measured, ratios, rtol=6e-5)  # a record keeps five digits


def test_a_fresh_record_is_kept_and_made_again_it_holds_the_same_numbers(tmp_path: Path) -> None:
    experiment = Experiment(blocks=3, **TINY)
    lines: list[str] = []
    first = run(experiment, tmp_path, report=silent)
    kept = run(experiment, tmp_path, report=lines.append)
    assert kept.run == first.run
    assert "recorded already" in lines[0]
    anew = run(experiment, tmp_path, again=True, report=silent)
    assert anew.run["wall_seconds"] != first.run["wall_seconds"]
    assert anew.run["averages"] == first.run["averages"]
    other = run(dataclasses.replace(experiment, seed=1), tmp_path, report=silent)
    assert other.run["averages"] != first.run["averages"]


@pytest.mark.parametrize(
    ("settings", "moments"),
    [
        ({"blocks": 3, "learning_rate": 1e6, "weight_decay": 0.0}, ["initialization"]),
        ({"blocks": 300, "sections": 1}, []),  # activations overflow at the start
    ],
)
def test_a_diverged_run_is_recorded_as_diverged(settings: dict[str, float], moments: list[str], tmp_path: Path) -> None:
    lines: list[str] = []
    record = run(Experiment(normalization="none", **settings, **TINY), tmp_path, report=lines.append)
    assert record.accuracy is None
    assert list(record.run["averages"]) == moments
    assert load_records(tmp_path)[0].diverged
    assert any("finite" in line for line in lines)


def test_a_run_whose_activations_overflow_on_the_way_keeps_its_tables(tmp_path: Path) -> None:
    calls = []

    def overflows(*given: object, **named: object) -> Measurement:
        calls.append(1)
        if len(calls) == 3:
            raise ActivationError("The state is not finite.")
        return measurement(*given, **named)

    with patch("resperturb.studies.run.measurement", overflows):
        lost = run(Experiment(**{**TINY, "epochs": 4, "snapshots": 3}), tmp_path, report=silent)
    assert lost.diverged
    assert lost.perturbations["moment"].unique().tolist() == ["initialization", "training"]
    assert len(lost.table("history")) == 2


def test_postactivation_a_single_block_and_none_run_too(tmp_path: Path) -> None:
    for settings in ({"blocks": 1, "sections": 1}, {"blocks": 2, "sections": 2, "block": "postactivation"}):
        record = run(Experiment(**settings, **TINY), tmp_path, report=silent)
        assert math.isfinite(record.average())
    without = run(Experiment(blocks=0, **TINY), tmp_path, report=silent)
    assert without.average() is None
    assert set(without.at("end")["kind"]) == {"transition"}
    assert without.accuracy > 0


ARGUMENTS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


def test_the_command_line_runs_from_a_preset_reports_and_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for blocks in ("0", "3", "6", "12"):
        given = ["--preset", "digits", "--blocks", blocks, "--seed", "3", "--results", str(tmp_path)]
        assert main(["run", *given, *ARGUMENTS, "--epochs=1"]) == 0
    assert "average scaled perturbation" in capsys.readouterr().out
    records = load_records(tmp_path)
    assert [(r.blocks, r.seed, r.experiment.epochs) for r in records] == [(n, 3, 1) for n in (0, 3, 6, 12)]
    assert main(["report", str(tmp_path)]) == 0
    assert "end: average ~ L^" in capsys.readouterr().out
    *_, shallow, deep = (record.average() for record in records)
    assert deep < shallow
    assert main(["depth", str(tmp_path), "--epsilon", str((shallow * deep) ** 0.5), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["depth"], answer["above"], answer["measured"]) == (12, 6, True)
    assert 6 < answer["crossing"] < 12
    assert main(["depth", str(tmp_path), "--epsilon", "-1"]) == 2
    other = ["--blocks", "6", "--seed", "3", "--decayed", "weights", "--results", str(tmp_path)]
    assert main(["run", "--preset", "digits", *other, *ARGUMENTS, "--epochs=1"]) == 0
    assert main(["report", str(tmp_path)]) == 0
    assert "no exponent: the runs differ in decayed (" in capsys.readouterr().out
    assert main(["depth", str(tmp_path), "--epsilon", "0.1"]) == 2


def test_a_run_needs_no_notebook_workflow_or_plotting_package(tmp_path: Path) -> None:
    absent = {*NOTEBOOK_PACKAGES, "matplotlib"}
    replaced = {"resperturb", *absent}
    with patch.dict(sys.modules):
        for name in list(sys.modules):
            if name.split(".")[0] in replaced:
                del sys.modules[name]  # so that ours are imported anew
        sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]  # None: an import of it fails
        anew = importlib.import_module("resperturb.cli")
        arguments = [f"--results={tmp_path}", "--blocks=1", "--sections=1", *ARGUMENTS, "--epochs=1"]
        assert anew.main(["run", *arguments]) == 0
        others = {name: module for name, module in sys.modules.items() if name.split(".")[0] not in replaced}
    sys.modules.update(others)  # torch loads parts of itself late, and none of them twice


def test_the_sizes_of_weights_are_kept_at_both_ends(whole: Record) -> None:
    table = pd.read_csv(whole.folder / "weights.csv")
    first, last = (table[table["moment"] == moment] for moment in ("initialization", "end"))
    assert (first[["gain1", "gain2", "variance1", "variance2"]] == 1).all().all()
    assert list(last["block"]) == [1, 2, 3, 4]
    assert (last["variance1"] != 1).all()
    memories = ["memory1", "memory2"]
    assert np.allclose(first[memories], 1)
    assert ((last[memories] > 0.5) & (last[memories] < 1.5)).all().all()  # a short training at a low decay keeps them


def test_fields_that_came_later_leave_the_names_of_earlier_runs_alone() -> None:
    assert Experiment(blocks=6, weight_decay=None).name == "blocks-006-seed-0-87c1ca"  # of results/decay-digits
    assert Experiment(blocks=6, norm_epsilon=1e-4).name != Experiment(blocks=6).name
    assert Experiment(blocks=6, decayed="weights").name != Experiment(blocks=6).name
