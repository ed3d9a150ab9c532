"""`resperturb measure`: networks, weights and images by name, and one sentence for whatever cannot be had."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from PIL import Image
from torch import nn

from report import benchmarks
from resperturb import figures, measure
from resperturb.cli import main
from resperturb.errors import ExternalError
from resperturb.models import external
from resperturb.training import external_data

SMALL = ["--size", "32", "--samples", "6", "--device", "cpu"]

NETWORK = """
import torch
from torch import nn
from neighbour import Block

NUMBER = 3
ready = nn.Sequential(nn.Conv2d(1, 4, 3), Block())

def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Block(), Block())

def networks(count):
    return network()

def nothing():
    return 7

def fails():
    raise ValueError("too small. And more")

class Wrong(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
    def forward(self, x):
        return x.no_such_thing

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3)
    def forward(self, x):
        return self.layer(x)
"""
NEIGHBOUR = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Conv2d(4, 4, 3, padding=1)
    def forward(self, x):
        return x + self.branch(x)
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads, path = torch.get_num_threads(), list(sys.path)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    sys.path[:] = path
    sys.modules.pop("neighbour", None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "neighbour.py").write_text(NEIGHBOUR)
    path = tmp_path / "network.py"
    path.write_text(NETWORK)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of several sizes and modes, in subfolders."""
    for index, mode in enumerate(("RGB", "L", "RGBA", "P", "RGB")):
        place = tmp_path / "images" / str(index % 2)
        place.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 255, (40 + index, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(mode).save(place / f"{index}.png")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return tmp_path / "images"


# ------------------------------------------------------------------------------------------------- the command


def test_the_table_the_summary_and_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv, figure = tmp_path / "table.csv", tmp_path / "blocks.svg"
    target = ["--csv", str(csv), "--figure", str(figure)]
    assert main(["measure", "torchvision:resnet18", *SMALL, "--batch-size", "4", *target]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("torchvision:resnet18, random weights (seed 0); 6 images of digits, 3×32×32")
    assert lines[1].split()[:3] == ["block", "name", "kind"]
    assert lines[2].split()[:3] == ["1", "layer1.0", "identity"]
    assert [line.split()[0] for line in lines if "transition" in line] == ["layer2.0", "layer3.0", "layer4.0"]
    assert "2" in err  # of two batches

    table = pd.read_csv(csv)
    assert len(table) == 8
    assert {"scaled_q05", "reconstruction_error", "section"} <= set(table)
    assert set(table["samples"]) == {6}
    blocks = table[table["kind"] == "identity"]["scaled"]
    summary = f"5 blocks, average scaled perturbation {blocks.mean():.4g}, blocks x average {blocks.sum():.4g}; "
    assert lines[-1].startswith(summary)
    assert figure.read_text().startswith("<?xml")

    model = external.load_model("torchvision:resnet18")
    batches = external_data.load_pictures("digits", model, samples=6, batch_size=4, size=32)
    assert np.allclose(measure(model, batches)["scaled"], table["scaled"], rtol=1e-5)


def test_timm_and_transformers_of_torchvision_are_built_for_the_size() -> None:
    pytest.importorskip("timm")
    assert main(["measure", "timm:vit_tiny_patch16_224", *SMALL, "--sequences", "token"]) == 0
    assert main(["measure", "timm:resnetv2_50.a1h_in1k", *SMALL]) == 0  # what follows the point names weights
    assert main(["measure", "torchvision:vit_b_16", *SMALL]) == 0


def test_a_function_a_class_or_a_module_of_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, blocks in (("network", 2), ("ready", 1)):
        assert main(["measure", f"{file}:{name}", "--samples", "6", "--device", "cpu"]) == 0
        assert f"\n{blocks} block" in capsys.readouterr().out
    assert external.load_model(f"{file}:Plain").layer.out_channels == 2
    assert not external.load_model(f"{file}:network").training


def test_the_same_weights_every_time_and_the_random_state_is_left(file: Path) -> None:
    state = torch.get_rng_state()
    one, other = (external.load_model(f"{file}:network").state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_works_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["measure", "torchvision:resnet18", *SMALL, "--batch-size", "4"]) == 0
    assert capsys.readouterr().err == ""


def test_help_needs_no_torch() -> None:
    code = (
        "import sys\nfrom resperturb.cli import main\n"
        "try: main(['measure', '--help'])\n"
        "except SystemExit: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SPEC" in done.stdout


# ------------------------------------------------------------------------------------------------- refusals


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that `resperturb measure` ends with."""
    assert main(["measure", *arguments, "--device", "cpu"]) == 2
    last = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert last.startswith("resperturb measure: ")
    return last.removeprefix("resperturb measure: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18"], "'resnet18' names no network; write torchvision:NAME"),
        (["keras:resnet18"], "'keras:resnet18' names no network"),
        (["torchvision:resnet81"], "no classification network 'resnet81'; did you mean resnet18?"),
        (["torchvision:zzz"], "there are alexnet, convnext_base"),
        (["no/such.py:network"], "there is no file no/such.py"),
        (["torchvision:vit_b_16", "--size", "40"], "building torchvision:vit_b_16 failed: AssertionError"),
        (["torchvision:vgg11", *SMALL], "VGG ran no residual addition"),
        (["torchvision:resnet18", "--size", "0"], "size must be at least 1, but got 0"),
        (["torchvision:resnet18", "--samples", "-3"], "samples must be at least 1"),
        (["torchvision:resnet18", "--batch-size", "0"], "batch-size must be at least 1"),
        (["torchvision:resnet18", "--samples", "361"], "samples must be at most 360, the test images that digits has"),
        (["torchvision:resnet18", "--data", "digit"], "or a folder of images, but digit is neither"),
        (["torchvision:resnet18", "--data", str(ROOT / "config")], "there are no images in"),
        (["torchvision:resnet18", "--csv", "no/such/folder/table.csv"], "cannot be written; name a file in a folder"),
        (["torchvision:resnet18", "--figure", "blocks.jpg"], "--figure must end in .svg, .png, .pdf"),
        (["torchvision:resnet18", "--weights", "no.pt"], "there is no file of weights no.pt"),
        (["torchvision:resnet18", "--weights", str(ROOT / "README.md")], "README.md cannot be read as tensors"),
        (["torchvision:resnet18", "--size", "32", "--samples", "1"], "failed: ValueError: Expected more than 1 value"),
    ],
)
def test_refuses_in_one_sentence(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("netwrok", "has no function 'netwrok'; did you mean network?"),
        ("zzz", "has no function 'zzz'; there are Block, ready, network, networks, nothing, fails, Wrong, Plain"),
        ("NUMBER", "has no function 'NUMBER'"),
        ("networks", "TypeError: networks.. missing 1 required positional argument: 'count'"),
        ("nothing", "nothing of .* returned a int, but must return a torch.nn.Module"),
        ("fails", r"failed: ValueError: too small. And more \(line 19 of .*network.py\)\."),
        ("Wrong", r"failed: AttributeError: .* \(line 26 of .*network.py\)\."),
        ("Plain", "Plain ran no residual addition"),
    ],
)
def test_refuses_what_a_file_cannot_give(
    file: Path, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = refusal(capsys, f"{file}:{name}", "--samples", "2")
    assert re.search(message, found), found


def test_a_file_that_is_no_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("x = (")
    assert "failed: SyntaxError" in refusal(capsys, f"{tmp_path / 'broken.py'}:network")


@pytest.mark.parametrize("package", ["timm", "matplotlib"])
def test_says_which_package_is_missing(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if package == "timm":
        monkeypatch.setitem(sys.modules, "timm", None)
        assert "pip install timm" in refusal(capsys, "timm:resnetv2_50")
    else:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        found = refusal(capsys, "torchvision:resnet18", "--figure", str(tmp_path / "blocks.png"))
        assert "pip install 'resperturb[book]'" in found


# ------------------------------------------------------------------------------------------------- weights


def trained(file: Path) -> nn.Module:
    model = external.load_model(f"{file}:network")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
        model.train()(torch.randn(4, 3, 8, 8))
    return model.eval()


@pytest.mark.parametrize("form", ["state_dict", "checkpoint", "wrapped", "no counts", "safetensors"])
def test_weights_in_every_usual_form(file: Path, tmp_path: Path, form: str) -> None:
    model = trained(file)
    weights: Any = model.state_dict()
    path = tmp_path / "weights.pt"
    if form == "safetensors":
        path = tmp_path / "weights.safetensors"
        pytest.importorskip("safetensors.torch").save_file(weights, path)
    else:
        if form == "checkpoint":
            weights = {"epoch": 3, "state_dict": weights}
        if form == "wrapped":
            weights = {"model": {f"module._orig_mod.{key}": value for key, value in weights.items()}, "step": 1}
        if form == "no counts":
            weights = {key: value for key, value in weights.items() if "num_batches" not in key}
        torch.save(weights, path)
    fresh = external.load_model(f"{file}:network")
    external.load_weights(fresh, path)
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]) or key.endswith("num_batches_tracked")
    batches = [torch.randn(3, 3, 8, 8)]
    assert not measure(fresh, batches).attrs["batch_statistics"]
    assert measure(fresh, batches).equals(measure(model, batches))


class Whole(nn.Module):
    """What torch.save pickles by name."""


def test_weights_that_do_not_fit_name_the_keys(file: Path, tmp_path: Path) -> None:
    model = external.load_model(f"{file}:network")
    weights = model.state_dict()
    cases: list[tuple[Any, str]] = [
        ({k: v for k, v in weights.items() if k != "2.branch.bias"}, r'Missing key.* "2.branch.bias"'),
        (weights | {"0.weight": torch.zeros(4, 1, 3, 3)}, r"size mismatch for 0.weight: .*\[4, 1, 3, 3\]"),
        (weights | {"9.weight": torch.zeros(1)}, r'Unexpected key.* "9.weight"'),
        ({"epoch": 3}, "Missing key"),
        (torch.zeros(3), "dict-like"),
        (Whole(), "cannot be read as tensors"),
    ]
    for content, message in cases:
        torch.save(content, tmp_path / "weights.pt")
        with pytest.raises(ExternalError, match=message):
            external.load_weights(model, tmp_path / "weights.pt")
    whole = (tmp_path / "weights.pt").read_bytes()
    damaged = {"cut.pt": whole[:200], "cut.safetensors": whole[:200], "text.pt": b"any text", "empty.pt": b""}
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ExternalError, match="cannot be read"):
            external.load_weights(model, tmp_path / name)


# ------------------------------------------------------------------------------------------------- images


def test_images_fit_what_the_network_takes() -> None:
    grey, colour = nn.Conv2d(1, 2, 3), nn.Conv2d(3, 2, 3)
    digits = external_data.load_pictures("digits", nn.Linear(64, 2), samples=7, batch_size=3)
    assert [tuple(batch.shape) for batch in digits] == [(3, 1, 8, 8), (2, 1, 8, 8), (2, 1, 8, 8)]
    repeated = torch.cat(list(external_data.load_pictures("digits", colour, samples=7)))
    assert torch.equal(repeated, torch.cat(list(digits)).expand(7, 3, 8, 8))
    large = next(iter(external_data.load_pictures("digits", grey, samples=2, size=20)))
    assert large.shape == (2, 1, 20, 20)
    assert large.mean(dim=(2, 3)) == pytest.approx(next(iter(digits))[:2].mean(dim=(2, 3)), abs=0.05)
    assert sum(map(len, external_data.load_pictures("digits", grey))) == 256
    photographs = external_data.load_pictures("digits", external.load_model("torchvision:resnet18"))
    assert photographs.dataset[0].shape == (3, 224, 224)


def test_a_folder_of_images(folder: Path) -> None:
    found = external_data.load_pictures(str(folder), nn.Conv2d(3, 2, 3), batch_size=2, size=16)
    images = torch.cat(list(found))
    assert images.shape == (5, 3, 16, 16)
    assert torch.equal(images, torch.cat(list(found)))
    assert images.abs().max() < 3
    assert external_data.load_pictures(str(folder), nn.Conv2d(1, 2, 3), samples=3).dataset[0].shape == (1, 224, 224)
    grey = next(iter(external_data.load_pictures(str(folder), nn.Conv2d(1, 2, 3), size=16)))
    assert grey == pytest.approx(images.mean(dim=1, keepdim=True), abs=1e-6)
    (folder / "broken.jpg").write_text("no image")
    with pytest.raises(ExternalError, match=r"broken.jpg cannot be read"):
        list(external_data.load_pictures(str(folder), nn.Conv2d(3, 2, 3), size=16))
    with pytest.raises(ExternalError, match="samples must be at most 6, the images in"):
        external_data.load_pictures(str(folder), nn.Conv2d(3, 2, 3), samples=7)


def test_a_network_that_writes_over_its_input_gets_the_same_images_again() -> None:
    found = external_data.load_pictures("digits", nn.Conv2d(1, 2, 3), samples=4)
    before = next(iter(found)).clone()
    next(iter(found)).zero_()
    assert torch.equal(next(iter(found)), before)


# ------------------------------------------------------------------------------------------------- figures, benchmark


def test_one_and_several_networks_are_drawn() -> None:
    model = external.load_model("torchvision:resnet18")
    table = measure(model, external_data.load_pictures("digits", model, samples=4, size=32))
    for tables, label in (({"a": table}, "block $l$"), ({"a": table, "b": table}, "relative position of the block")):
        (axes,) = figures.side_by_side(tables).axes
        assert axes.get_xlabel() == label
        assert [text.get_text() for text in axes.get_legend().get_texts()] == list(tables)
    (axes,) = figures.side_by_side({"a": table}, measure="cosine").axes
    assert axes.get_yscale() == "linear"
    assert figures.overview({"a": table}).iloc[0]["transitions"] == 3


def test_the_benchmark_runs_and_the_book_can_show_it(tmp_path: Path) -> None:
    output = tmp_path / "measurement.json"
    command = [sys.executable, str(ROOT / "benchmarks/measurement.py"), "--quick"]
    done = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(output.read_text())
    assert record["quick"]
    assert {"machine", "versions", "started", "time", "memory"} <= set(record)
    cost = benchmarks.cost_of_measuring(record)
    assert {"plain", "measure", "hooks that store"} <= set(cost["way"])
    assert (cost["× plain"] > 0).all()
    assert len(benchmarks.memory_of_measuring(record)) == 1
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2  # never over what is kept


@pytest.mark.parametrize("name", ["measurement", "other_tools"])
def test_what_benchmarks_recorded_is_complete(name: str) -> None:
    record = benchmarks.recorded(name, ROOT / "benchmarks/results")
    assert record is not None
    assert not record.get("quick")
    if name == "measurement":
        assert {case["network"] for case in record["time"]} == {"ours", "resnet50"}
        assert {(case["blocks"], case["batches"]) for case in record["memory"]} >= {(30, 1), (300, 1), (30, 8)}
    else:
        assert record["torchlens"]["tool"] == pytest.approx(record["torchlens"]["measure"], rel=1e-5)
        assert record["transformer_lens"]["largest_relative_difference"] < 1e-5
