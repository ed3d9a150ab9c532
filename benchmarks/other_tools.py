"""What other tools say of a block, beside `measure` and an explicit computation: torchlens and TransformerLens.

    pip install torchlens transformer_lens
    python benchmarks/other_tools.py    # seconds; writes benchmarks/results/other_tools.json

Hooks and torchvision's feature extraction are shown in the book itself; these two are not among its packages. Networks
have random weights from seed 0, so nothing is downloaded. TransformerLens takes language models only, so it gets a
small GPT-2.
"""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import version
from typing import Any

import torch
import torchvision
from common import BENCHMARK_RESULTS, provenance, write_result
from torch import Tensor

from resperturb import measure


def mean_norm(x: Tensor) -> float:
    return float(x.flatten(1).norm(dim=1).mean())


def block_and_images() -> tuple[Any, Tensor]:
    """The resnet18 and the images of the chapter."""
    torch.manual_seed(0)
    return torchvision.models.resnet18(weights=None).eval(), torch.randn(8, 3, 64, 64)


@torch.no_grad()
def with_torchlens() -> dict[str, Any]:
    """‖f‖ of the first block of resnet18."""
    import torchlens

    model, images = block_and_images()
    log = torchlens.trace(model, images)
    labels = list(log.layer_labels)
    addition = next(label for label in labels if "add" in label)
    before = [label for label in labels[: labels.index(addition)] if label.startswith("batchnorm")]
    x = model.maxpool(torch.relu(model.bn1(model.conv1(images))))
    block = model.layer1[0]
    f = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
    return {
        "network": "resnet18",
        "explicit": mean_norm(f),
        "measure": float(measure(model, [images], batch_statistics=False)["perturbation_norm"][0]),
        "tool": mean_norm(log[before[-1]].out),
        "where": before[-1],
        "kept": len([label for label in labels if not label.startswith("buffer")]),
    }


@torch.no_grad()
def with_transformerlens() -> dict[str, Any]:
    """‖f‖ / ‖x‖ of every block of a small GPT-2: attention and MLP of each layer."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    from tokenizers import Tokenizer, models
    from transformer_lens import TransformerBridge
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    layers, words = 6, 100
    model = GPT2LMHeadModel(GPT2Config(vocab_size=words, n_positions=32, n_embd=64, n_layer=layers, n_head=4)).eval()
    tokens = torch.randint(0, words, (8, 32))
    expected = measure(model, [{"input_ids": tokens}])["scaled"]
    vocabulary = Tokenizer(models.WordLevel({str(i): i for i in range(words)}, unk_token="0"))
    with tempfile.TemporaryDirectory() as folder:  # it takes a model by name or folder
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=vocabulary, bos_token="1", eos_token="2").save_pretrained(folder)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, hf_model=model, tokenizer=tokenizer, device="cpu")
    _, cache = bridge.run_with_cache(tokens)
    found = []
    for layer in range(layers):
        for state, branch in (("resid_pre", "attn_out"), ("resid_mid", "mlp_out")):
            x, f = (cache[f"blocks.{layer}.hook_{name}"].flatten(1).norm(dim=1) for name in (state, branch))
            found.append(float((f / x).mean()))
    return {
        "network": f"GPT-2, {layers} layers",
        "blocks": len(expected),
        "measure": float(expected.mean()),
        "tool": sum(found) / len(found),
        "largest_relative_difference": max(abs(a / b - 1) for a, b in zip(found, expected, strict=True)),
    }


def main() -> int:
    try:
        tools = {name: version(name) for name in ("torchlens", "transformer_lens")}
    except ImportError as error:
        print(f"{error}; pip install torchlens transformer_lens", file=sys.stderr)
        return 2
    result = provenance(quick=False)
    result["versions"] |= tools
    result |= {"torchlens": with_torchlens(), "transformer_lens": with_transformerlens()}
    write_result(result, BENCHMARK_RESULTS / "other_tools.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
