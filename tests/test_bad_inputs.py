"""Bad values at every door: one sentence that names the value and what is allowed, a non-zero status, nothing left."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from builders import silent
from conftest import ROOT

from resperturb import ResidualNetwork, compare, fit_runs, load_records, plot, run, stopping_depth
from resperturb.cli import main
from resperturb.errors import ResperturbError
from resperturb.experiment import Experiment
from resperturb.experiment.parameters import read_parameters
from resperturb.models.external import read_weights
from resperturb.studies import equivalence
from resperturb.studies.conduct import conduct
from resperturb.studies.initialization import Initialization
from resperturb.studies.lesion import Lesion
from resperturb.studies.plan import load_plan
from resperturb.studies.text import TextStudy

SHIPPED = ROOT / "results" / "shipped-digits"
HUGE = "9" * 400
WHOLE = "must be a whole number of at least"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder to be in."""
    monkeypatch.chdir(tmp_path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What `resperturb` says on standard error when it ends with status 2."""
    try:
        status = main(arguments)
    except SystemExit as usage:  # argparse
        status = int(str(usage.code))
    out, err = capsys.readouterr()
    assert status == 2, out
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


# ------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("run --blocks -1", f"blocks {WHOLE} 0, but got -1"),
        (
            "run --blocks 1e9",
            r"blocks 1000000000, .* need about .* GiB of memory, but there are .*; choose smaller ones",
        ),
        ("run --width 100000", "width 100000, .* need about"),
        ("run --sections 1000 --blocks 1000", "sections 1000, .* need about"),
        ("run --epochs 1e18", r"about .* years .*, but 24 hours are allowed; add --yes"),
        ("run --snapshots 1e12", "snapshots must be at most 10, .* but got 1000000000000"),
        ("run --threads 1e6", "threads must be at most 1024, but got 1000000"),
        ("run --seed 99999999999999999999999", f"seed {WHOLE} 0 and at most .*, but got 9{{23}}"),
        ("run --learning-rate fast", "learning_rate must be a finite number above 0, but got 'fast'"),
        (f"run --learning-rate {HUGE}", "learning_rate must be a finite number above 0, but got 999"),
        ("run --momentum none", "momentum must be a finite number of at least 0, but got None"),
        ("run --momentum 1.5", "momentum must be below 1, but got 1.5; a usual value is 0.9"),
        ("run --clock none", "clock must be a finite number of at least 0, but got None"),
        ("run --clock 7", "give weight_decay=None with a clock"),
        ("run --branch-scale 1/L", "branch_scale must be a finite number, but got '1/L'"),
        ("run --decayed all+nothing", "decayed must be one of all, .*, but got 'nothing'"),
        ("run --dataset ../etc", "dataset must be one of digits, mnist, cifar10, but got '../etc'"),
        ("run --optimizer adam", "but got 'adam'; did you mean adamw"),
        ("run --batch-size 1e12", r"batch_size must be at most train_size \(1437\), but got 1000000000000"),
        ("run --train-size 99999", "train_size must be at most 1437, the images that digits has, but got 99999"),
        ("run --device gpu", "device must be auto or one of cpu.*, but got 'gpu'"),
        ("run --device meta", "device must be auto or one of cpu.*, but got 'meta'"),
        ("run --results ''", "results must be the name of a folder, but got ''"),
        ("run --results README.md", "the results folder README.md cannot be written .*; name another one"),
        ("run --results 'a\0b'", r"results must be the name of a folder, but got 'a\\x00b'"),
        ("run --preset ''", "preset must be one of .*, but got ''"),
        ("run --preset digit", "did you mean digits"),
        ("run --preset ../digits", "but got '../digits'; did you mean digits"),
        ("run --preset none.yaml", "none.yaml cannot be read .*; name a YAML file"),
        ("run --bloks 3", "unrecognized arguments: --bloks 3"),
        ("run --blocks", "argument --blocks: expected one argument"),
        ("nothing", "invalid choice: 'nothing'"),
        ("depth nowhere --epsilon 0.1", "nowhere holds no records; make some with"),
        (f"depth {SHIPPED} --epsilon 0", "epsilon must be a finite number above 0, but got 0.0; a usual value is 0.05"),
        (f"depth {SHIPPED} --epsilon 1e-300", r"within 1e\+09 blocks, but got 1e-300; choose a larger one"),
        (f"depth {SHIPPED} --epsilon x", "invalid float value: 'x'"),
        (f"depth {ROOT}/results/text --epsilon 1", "is the record of a text and of no run; name another folder"),
        ("report README.md", "README.md holds no records"),
        ("merge nowhere --results new", "nowhere holds no records"),
        ("merge nowhere --results ''", "results must be the name of a folder, but got ''"),
        (f"verify no-commit --results {ROOT}/results", "no-commit is no commit to compare with; name one"),
        (f"verify --results {ROOT}/results -- --output=x", "--output=x is no commit to compare with"),
        ("verify HEAD --results nowhere", "results must be the folder of all sweeps, but 'nowhere' is no folder"),
        ("measure ends.py:network", r"building ends.py:network failed: SystemExit: 5 \(line 1 of ends.py\)"),
        ("measure torchvision:resnet18 --data ''", "data must be digits, .* or a folder of images"),
        ("measure torchvision:resnet18 --csv ''", "'' cannot be written; name a file in a folder"),
        ("measure torchvision:resnet18 --size 1000000", "size must let a batch fit into .* GiB .* size 1000000 do not"),
        ("measure torchvision:resnet18 --device nope", "device must be auto or one of cpu.*, but got 'nope'"),
    ],
)
def test_the_command_line(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("README.md").touch()
    Path("ends.py").write_text("raise SystemExit(5)\n")
    there = sorted(Path.cwd().rglob("*"))
    found = refusal(capsys, *shlex.split(command))
    assert re.search(words, found), found
    assert [
        path for path in Path.cwd().rglob("*") if path.is_file() and path not in there and path.suffix != ".pyc"
    ] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "resperturb.cli", "run", "--blocks", "1e9"], "need about"),
        (["-m", "resperturb.cli", "report", "nowhere"], "holds no records"),
        (["-m", "_ext.run_pages", "nowhere/notebooks/x.ipynb"], "is no readable record"),
    ],
)
def test_programs_end_with_status_2(arguments: list[str], words: str) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'book'}"}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=300, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


# ------------------------------------------------------------------------------------------------- YAML files

BOMB = "about: [&a [x, x, x, x, x, x, x, x, x], &b [*a, *a, *a, *a, *a, *a, *a, *a, *a], " + ", ".join(
    f"&{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("bcdefgh", "cdefghi", strict=True)
)
"""Lists of lists, a few hundred bytes that would be gigabytes if they were written out."""
SWEEP = "depths: [3]\nseeds: [0]\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "must have the keys about, depths, seeds, shallow, experiment"),
        ("a: [1", "cannot be read .*; name a YAML file as in config/"),
        ("[" * 5_000, "cannot be read"),
        ("depths: !!python/object/apply:os.mkdir [run]", "could not determine a constructor"),
        (f"{SWEEP}experiment: {{}}\ndepth: 3", "unknown parameter depth; did you mean depths"),
        (f"{SWEEP}experiment: {{}}\n1: 2", "unknown parameter 1; the parameters are"),
        (f"{SWEEP}experiment: {{1: 2}}", "unknown parameter 1; the parameters are"),
        (f"{SWEEP}experiment: {{epoch: 1}}", "unknown parameter epoch; did you mean epochs"),
        (f"{SWEEP}experiment: {{results: /etc}}", "unknown parameter results"),
        (f"{SWEEP}experiment: {{blocks: 4}}", "must not have blocks; depths and seeds stand beside it"),
        (f"{SWEEP}experiment: [1]", r"must be a mapping, but got \[1\]"),
        (f"{SWEEP}experiment: {{epochs: 2020-01-01}}", f"epochs {WHOLE} 1, but got datetime.date"),
        ("depths: 3\nseeds: [0]\nexperiment: {}", "must be a list of whole numbers, but got 3"),
        ("depths: [-1]\nseeds: [0]\nexperiment: {}", "but got -1"),
        (f"{BOMB}]\ndepths: *i\nseeds: [0]\nexperiment: {{}}", f"{WHOLE} 1, but got .{{,300}}$"),
        (f"{BOMB}]\n{SWEEP}experiment: {{decayed: *i}}", "decayed must be one of all, .{,400}$"),
        ("notebook: lesoin", "did you mean lesion"),
        ("notebook: lesion\nvary: {blocks: [0]}", f"blocks {WHOLE} 1"),
        ("nothing: 1", "must have the keys"),
        ("notebook: nothing", "notebook must be one of sweep, initialization, .*, but got 'nothing'"),
        ("notebook: ../text", "but got '../text'; did you mean text"),
        ("notebook: text\nresults: /etc", "unknown parameter results"),
        ("notebook: text\nparameters: {results: /etc}", "unknown parameter results"),
        ("notebook: text\nparameters: [1]", r"must be mappings, but got \[1\] and"),
        ("notebook: text\nvary: {layers: 3}", "layers under vary .* must be a list of values, but got 3"),
        ("notebook: text\nvary: {layer: [3]}", "unknown parameter layer; did you mean layers"),
        (
            f"notebook: text\nvary: {{seed: {[*range(200)]}, layers: {[*range(200)]}}}",
            "at most 10000 runs, but gives 40000",
        ),
        ("notebook: initialization\nparameters: {depths: [[1]]}", r"depths must be .*, but got \[1\]"),
    ],
)
def test_presets_and_studies(content: str, words: str) -> None:
    Path("own.yaml").write_text(content)
    with pytest.raises(ResperturbError, match=words) as caught:
        load_plan("own.yaml")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
    assert [path.name for path in Path.cwd().iterdir()] == ["own.yaml"]


@pytest.mark.parametrize("name", ["...yaml", "-x.yaml", "a b.yaml", "a;b.yml", "$(x).yaml", "a\nb.yaml"])
def test_names_of_presets_are_names_of_folders(name: str) -> None:
    Path(name).write_text(f"{SWEEP}experiment: {{}}")
    with pytest.raises(ResperturbError, match="must have a name of letters, digits"):
        load_plan(name)


@pytest.mark.parametrize("name", ["/", "..", "../../etc/passwd", "studies/text", "sensitivity/digits-zero"])
def test_names_of_presets_are_no_paths(name: str) -> None:
    with pytest.raises(ResperturbError, match="preset must be one of"):
        load_plan(name)


# ------------------------------------------------------------------------------------------------- notebooks and Python


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"blocks": {}}, "but got {}"),
        ({"blcoks": 3}, "unknown parameter blcoks; did you mean blocks"),
        ({"dataset": ["digits"]}, r"dataset must be one of .*, but got \['digits'\]"),
        ({"dataset": "x" * 10_000}, "but got 'x{,40}...x{,40}'"),
        ({"decayed": None}, "decayed must be one of all, .*, but got None"),
        ({"again": "True"}, "again must be True or False, but got 'True'"),
        ({"results": 3}, "results must be the name of a folder, but got 3"),
        ({"results": ""}, "results must be the name of a folder, but got ''"),
    ],
)
def test_parameters_of_papermill(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ResperturbError, match=words):
        read_parameters(Experiment, {"results": "r", **given})


SMALL = {"blocks": 3, "epochs": 1, "train_size": 64}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: run(Experiment(**SMALL), ""), "results must be the name of a folder, but got ''"),
        (lambda: run(Experiment(**SMALL), None), "results must be the name of a folder, but got None"),
        (lambda: run(Experiment(), longest=1), "hours are allowed"),
        (lambda: conduct(Lesion(blocks=10**9), "r", report=silent), "blocks 1000000000, .* need about"),
        (lambda: conduct(Lesion(draws=10**12), "r", report=silent), "draws 1000000000000 need about"),
        (
            lambda: conduct(Initialization(depths=(10**9,)), "r", report=silent),
            r"depths \(1000000000,\), .* need about",
        ),
        (lambda: conduct(Initialization(width=10**6), "r", report=silent), "width 1000000 need about"),
        (lambda: conduct(TextStudy(layers=10**9), "r", report=silent), "layers 1000000000, .* need about"),
        (lambda: conduct(TextStudy(context=10**6), "r", report=silent), "context 1000000, .* need about"),
        (lambda: conduct(TextStudy(batch_size=10**12), "r", report=silent), "batch_size 1000000000000, .* need about"),
        (
            lambda: fit_runs(load_records(SHIPPED), "start"),
            "moment must be one of initialization, end, but got",
        ),
        (lambda: stopping_depth(["x" * 999], []), r"but got \['x+\.\.\.x+'\]; a usual"),
        (lambda: compare(pd.DataFrame()), "tables must be a dict of tables by name, but got a DataFrame"),
        (lambda: plot({}), "tables must be one table, or a dict of some by name"),
        (lambda: TextStudy(heads=3), r"heads must divide width \(64\), but got 3"),
        (lambda: ResidualNetwork(3, kind="x"), "kind must be one of preactivation, postactivation, but got 'x'"),
        (lambda: ResidualNetwork(3, norm="layer"), "norm must be one of batch, none, but got 'layer'"),
        (lambda: ResidualNetwork(3, width=0), f"width {WHOLE} 1, but got 0"),
        (lambda: ResidualNetwork("3"), f"blocks {WHOLE} 0, but got '3'"),
    ],
)
def test_calls_from_python(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ResperturbError, match=words):
        call()
    assert not list(Path.cwd().rglob("*.json"))


# ------------------------------------------------------------------------------------------------- files and folders


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("~nobody-here/x", "RESPERTURB_DATA must be a folder, but got '~nobody-here/x'"),
        ("file", "mnist is not in file"),
    ],
)
def test_the_data_folder(
    folder: str, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").touch()
    monkeypatch.setenv("RESPERTURB_DATA", folder)
    assert words in refusal(capsys, "run", "--dataset", "mnist")


class Attack:
    """A pickle that makes a folder when it is read."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("hacked",)


@pytest.mark.parametrize("content", [Attack(), {"state_dict": Attack()}, {1: torch.zeros(1)}, {"model": {2: 3}}])
def test_weights_run_no_code_and_have_names(content: object) -> None:
    torch.save(content, "weights.pt")
    with pytest.raises(ResperturbError, match=r"weights.pt (cannot be read as tensors|must hold tensors by the names)"):
        read_weights(Path("weights.pt"))
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[]", "has record format None, this version reads 1"),
        (b"\xff", "is no readable record"),
        (b"[" * 5_000, "is no readable record"),
        (b'{"format": 1}', "must have experiment, by name, but got None; run it again"),
        (b'{"format": 1, "study": "../x"}', "study in .* must be one of run, .*, but got '../x'"),
        (
            b'{"format": 1, "experiment": {"blocks": "x"}, "averages": {}, "training": {}, "provenance": {}}',
            "but got 'x'",
        ),
    ],
)
def test_files_that_are_no_records(content: bytes, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("sweep", "run", "run.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    found = refusal(capsys, "report", "sweep")
    assert re.search(words, found), found
    assert str(path) in found


def test_a_folder_without_git(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivalence, "PACKAGE", Path.cwd())
    monkeypatch.setattr(equivalence, "parameters_in", lambda results: iter(()))
    assert "HEAD is no commit to compare with" in refusal(capsys, "verify", "HEAD")
