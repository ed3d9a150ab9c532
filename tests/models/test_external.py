"""`resperturb measure`: networks, weights and images by name, and one sentence for whatever cannot be had."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from PIL import Image
from torch import nn

from resperturb import compare, measure
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

class Shifted(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 4, 3), Block())
    def forward(self, x):
        x = self[0](x)
        return self[1](x + x.roll(1, -1))
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


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of networks, beside the module that it imports and a file that is no Python."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "neighbour.py").write_text(NEIGHBOUR)
    (tmp_path / "broken.py").write_text("x = (")
    path = tmp_path / "network.py"
    path.write_text(NETWORK)
    yield path
    sys.modules.pop("neighbour", None)


# ------------------------------------------------------------------------------------------------- the command


def test_the_table_the_summary_and_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv, figure = tmp_path / "table.csv", tmp_path / "blocks.svg"
    target = ["--csv", str(csv), "--figure", str(figure)]
    assert main(["measure", "torchvision:resnet18", *SMALL, "--batch-size", "4", *target]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("torchvision:resnet18, random weights (seed 0); 6 images of digits, 3×32×32")
    assert lines[1].split() == ["block", "name", "state_norm", "perturbation_norm", "scaled", "cosine", "influence"]
    assert lines[2].split()[:2] == ["1", "layer1.0"]
    assert [line.split()[0] for line in lines if "transition" in line] == ["layer2.0", "layer3.0", "layer4.0"]
    assert "2" in err  # of two batches

    table = pd.read_csv(csv)
    assert len(table) == 8
    assert {"scaled_q05", "reconstruction_error", "section"} <= set(table)
    assert set(table["samples"]) == {6}
    scaled = table["scaled"].where(table["kind"] == "identity")
    widths = [sum("▏▎▍▌▋▊▉█".index(c) + 1 for c in line if c in "▏▎▍▌▋▊▉█") for line in lines[2:-1]]  # in eighths
    assert widths == pytest.approx((8 * 16 * scaled / scaled.max()).fillna(0), abs=0.5001)
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
    assert external.load_model("torchvision:vit_b_16", size=32).image_size == 32


def test_a_function_a_class_or_a_module_of_a_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, blocks in (("network", 2), ("ready", 1)):
        assert main(["measure", f"{file}:{name}", "--samples", "6", "--device", "cpu"]) == 0
        assert f"\n{blocks} block" in capsys.readouterr().out
    assert external.load_model(f"{file}:Plain").layer.out_channels == 2
    assert not external.load_model(f"{file}:network").training


def test_several_networks_are_compared(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv, figure = tmp_path / "table.csv", tmp_path / "blocks.svg"
    specs = [f"{file}:network", f"{file}:ready"]
    assert main(["measure", *specs, "--samples", "6", "--csv", str(csv), "--figure", str(figure)]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = pd.read_csv(csv)
    assert table.groupby("network", sort=False).size().index.tolist() == specs
    compared = compare(dict(iter(table.groupby("network", sort=False))))
    assert lines[-3].split() == [*compared]
    assert [line.split()[:2] for line in lines[-2:]] == [[specs[0], "2"], [specs[1], "1"]]
    assert float(lines[-2].split()[3]) == pytest.approx(compared["scaled"][0], rel=1e-3)
    assert "relative position" in figure.read_text()
    assert main(["measure", *specs, "--samples", "6", "--json"]) == 0
    printed = [json.loads(line)["network"] for line in capsys.readouterr().out.splitlines()]
    assert printed == specs


def test_says_what_is_left_out(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = "the perturbation passes no convolution, matmul or attention"
    assert main(["measure", f"{file}:Shifted", "--samples", "6"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"1 addition to a state is left out, in Shifted: {reason}."
    assert main(["measure", f"{file}:Shifted", "--samples", "6", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == [["Shifted", reason]]


def test_the_same_weights_every_time_and_the_random_state_is_left(file: Path) -> None:
    state = torch.get_rng_state()
    one, other = (external.load_model(f"{file}:network").state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_works_without_tqdm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert main(["measure", "torchvision:resnet18", *SMALL, "--batch-size", "4"]) == 0
    assert capsys.readouterr().err == ""


# ------------------------------------------------------------------------------------------------- transformers

GPT = ["--set", "n_layer=2", "--set", "hidden_size=32", "--set", "n_head=2", "--samples", "3", "--size", "8"]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is looked up and nothing is connected to."""
    pytest.importorskip("transformers")

    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.usefixtures("offline")
def test_language_models_by_type_print_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Residual networks add. " * 40)
    for name in ("gpt2", "GPT2Config"):
        assert main(["measure", f"hf:{name}", *GPT, "--text", str(text), "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert printed["inputs"] == f"3 sequences of {text}, 8 bytes"
        model = external.load_model("hf:gpt2", settings={"n_layer": 2, "hidden_size": 32, "n_head": 2})
        batches, _ = external_data.load_text(text.read_text(), model, samples=3, size=8)
        table = measure(model, batches, sequences="token")
        assert [row["scaled"] for row in printed["rows"]] == pytest.approx(table["scaled"].tolist(), rel=1e-9)
        assert len(table) == 4
    t5 = ["num_layers=1", "num_decoder_layers=1", "d_model=16", "num_heads=2", "d_kv=8", "d_ff=16"]
    assert main(["measure", "hf:t5", *[word for field in t5 for word in ("--set", field)], "--samples", "2"]) == 0
    assert "2 sequences of the help of Python, 64 bytes; norms per token" in (out := capsys.readouterr().out)
    assert "\n5 blocks" in out  # two of the encoder and three of the decoder


@pytest.mark.usefixtures("offline")
def test_a_folder_with_weights_and_a_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    config = transformers.GPT2Config(vocab_size=4, n_positions=6, n_embd=8, n_layer=2, n_head=2)
    saved = transformers.GPT2LMHeadModel(config)
    saved.half().save_pretrained(tmp_path)
    words = Tokenizer(models.WordLevel({"one": 0, "two": 1, "three": 2, "?": 3}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?").save_pretrained(tmp_path)

    model = external.load_model(f"hf:{tmp_path}")
    assert isinstance(model, transformers.GPT2LMHeadModel)
    assert all(torch.equal(value.float(), model.state_dict()[key]) for key, value in saved.state_dict().items())
    batches, form = external_data.load_text("one two three four five six " * 3, model, batch_size=2)
    assert form == "6 tokens"  # no more than it has positions
    assert torch.cat(batches).tolist() == [[0, 1, 2, 3, 3, 3]] * 3
    assert [len(batch) for batch in batches] == [2, 1]
    assert main(["measure", f"hf:{tmp_path}", "--samples", "2"]) == 0
    assert "its own weights; 2 sequences of the help of Python, 6 tokens" in capsys.readouterr().out

    saved.transformer.h[1].mlp.c_fc.weight = None  # one weight is missing
    saved.save_pretrained(tmp_path)
    assert "do not fit GPT2LMHeadModel: missing are transformer.h.1.mlp.c_fc" in refusal(capsys, f"hf:{tmp_path}")
    (tmp_path / "model.safetensors").unlink()
    assert isinstance(external.load_model(f"hf:{tmp_path}"), transformers.GPT2Model)  # at random weights

    code = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": code}))
    assert "needs code of its own, which is not run; load it in a FILE.py" in refusal(capsys, f"hf:{tmp_path}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("offline")
def test_a_vision_model_of_transformers_reads_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vit = ["num_hidden_layers=2", "hidden_size=16", "num_attention_heads=2", "intermediate_size=24"]
    fields = [word for field in vit for word in ("--set", field)]
    assert main(["measure", "hf:vit", *SMALL, *fields]) == 0
    assert "6 images of digits, 3×32×32; norms per sample" in (out := capsys.readouterr().out)
    assert "\n4 blocks" in out
    model = nn.Conv2d(3, 2, 3)
    model.config = SimpleNamespace(name_or_path=str(tmp_path), image_size=20)
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}')
    Image.new("RGB", (30, 30), (255, 0, 255)).save(tmp_path / "image.png")
    (batch,) = external_data.load_pictures(str(tmp_path), model)
    assert batch.shape == (1, 3, 20, 20)
    assert batch[0, :, 0, 0].tolist() == [1, -1, 1]


def test_bytes_are_tokens_of_any_network_with_an_embedding() -> None:
    model = nn.Sequential(nn.Embedding(100, 4), nn.Linear(4, 4))
    batches, form = external_data.load_text("abcdefghi", model, size=2, samples=2)
    assert form == "2 bytes"
    assert torch.cat(batches).tolist() == [[97, 98], [1, 2]]  # "ab" and "ef": evenly spread


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hf:gpt3"], "transformers has no model type 'gpt3'; did you mean gptj?"),
        (["hf:openai-community/gpt2"], "there is no openai-community/gpt2/config.json; name a folder with one, or a"),
        (["hf:gpt2", "--set", "n_layr=2"], "the config of gpt2 has no field 'n_layr'; did you mean n_layer?"),
        (["hf:gpt2", "--set", "n_layer"], "--set takes FIELD=VALUE, such as num_hidden_layers=2, but got 'n_layer'"),
        (["hf:gpt2", "--set", "n_layer=[2"], "--set takes values of YAML, such as 2 or [2, 2], but got '[2'"),
        (["hf:gpt2", "--set", "n_embd=120000"], "must fit into"),
        (["hf:gpt2", *GPT[:-1], "0"], "size must be at least 1, but got 0"),
        (["hf:gpt2", *GPT[:-1], "10000000"], "size must be at most"),
        (["hf:gpt2", *GPT, "--text", "no.txt"], "there is no file of text no.txt"),
        (["hf:gpt2", *GPT, "--data", "digits"], "measuring hf:gpt2 on images of 1×8×8 on cpu failed"),
        (["torchvision:resnet18", "--text", str(ROOT / "README.md")], "ResNet has no embedding of tokens"),
        (["torchvision:resnet18", "--set", "layers=2"], "building torchvision:resnet18 failed: TypeError"),
    ],
)
def test_refuses_what_transformers_cannot_give(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in refusal(capsys, *arguments)


# ------------------------------------------------------------------------------------------------- architectures


def test_the_benchmark_of_architectures_runs_and_its_record_is_complete(
    benchmark: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    output, module = tmp_path / "architectures.json", benchmark("architectures")
    assert module.main(["--quick", "--output", str(output)]) == 0
    assert [case["found"] for case in json.loads(output.read_text())["cases"]] == [[5, 3], None, [6, 0]]
    recorded = json.loads((ROOT / "benchmarks/results/architectures.json").read_text())["cases"]
    assert [case["network"] for case in recorded] == [spec for _, spec, *_ in module.cases()]
    assert all(case["agrees"] == (case["found"] == case["expected"]) for case in recorded)
    assert [case["expected"] and tuple(case["expected"]) for case in recorded] == [row[-1] for row in module.cases()]
    differing = {case["network"].partition(":")[2] for case in recorded if not case["agrees"]}
    explained = "poolformer_s12 efficientformer_l1 cait_xxs24_224 hiera_tiny_224 cohere mamba xlnet"  # in the book
    assert differing == set(explained.split())
    warned = {case["network"]: case["left_out"] for case in recorded if case["left_out"]}
    assert warned == {"timm:poolformer_s12": 12, "timm:hiera_tiny_224": 3, "timm:efficientformer_l1": 14}
    assert max(case["reconstruction_error"] or 0 for case in recorded) < 1e-5


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
        (["torchvision:squeezenet1_1", *SMALL], "SqueezeNet ran no residual addition"),
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
        (["torchvision:resnet18", "--size", "32", "--samples", "1"], "needs more than one value per channel"),
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


def test_a_file_that_is_no_python(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "failed: SyntaxError" in refusal(capsys, f"{file.parent / 'broken.py'}:network")


def test_says_which_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert "pip install timm" in refusal(capsys, "timm:resnetv2_50")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = refusal(capsys, "torchvision:resnet18", "--figure", str(tmp_path / "blocks.png"))
    assert "pip install 'resperturb[plot]'" in found


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
        content = {
            "state_dict": weights,
            "checkpoint": {"epoch": 3, "state_dict": weights},
            "wrapped": {"model": {f"module._orig_mod.{key}": value for key, value in weights.items()}, "step": 1},
            "no counts": {key: value for key, value in weights.items() if "num_batches" not in key},
        }
        torch.save(content[form], path)
    fresh = external.load_model(f"{file}:network")
    external.load_weights(fresh, path)
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, weights[key]) or key.endswith("num_batches_tracked")
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
