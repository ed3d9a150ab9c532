"""The same measurement with other tools: mean ‖f‖ / ‖x‖ of every residual addition of ten networks.

    pip install torchlens nnsight transformer-lens    # in an environment of their own; they are not among ours
    python benchmarks/other_tools.py                  # minutes; writes benchmarks/results/other_tools.json

Every tool is used by a function of this file, and `lines` counts the lines of it and of the names that it needs. Right
is what agrees with a forward pass that is written out in float64. Time is taken in turns with the plain pass, without
what is done once per model. Memory is the peak above that of the plain pass, with an allocator that gives memory back
at once. Weights are random (seed 0), so nothing is downloaded. Tools that are not installed are left out.
"""

from __future__ import annotations

import argparse
import copy
import functools
import gc
import inspect
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from common import ROOT, parsed, parser_of, provenance, write_result
from measurement import ALLOCATORS, forget_peak, resident
from torch import Tensor, nn

from resperturb import MeasurementError, ResidualNetwork, measure

sys.path.append(str(ROOT / "tests" / "measurement"))
from test_public_models import Step, additive_steps, convnext_steps, our_steps, resnet_steps, vit_steps

os.environ["HF_HUB_OFFLINE"] = "1"

Site = tuple[str, str, str]  # "x" or "f"; path of a module; "input" or "output"
Run = Callable[[Tensor], list[float]]  # from a batch to the mean of ‖f‖ / ‖x‖ for each addition
RIGHT = 1e-4  # largest relative error of a tool that is right


def norm(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)


def ratios(norms: dict[str, list[Tensor]]) -> list[float]:
    return [float((f / x).mean()) for x, f in zip(norms["x"], norms["f"], strict=True)]


# ----------------------------------------------------------------------------------------------- where x and f are


def resnet_sites(model: nn.Module) -> Iterator[Site]:
    for path, block in model.named_modules():
        if hasattr(block, "downsample"):
            if block.downsample is None:
                yield "x", path, "input"
            yield "f", f"{path}.bn3" if hasattr(block, "bn3") else f"{path}.bn2", "output"
            if block.downsample is not None:
                yield "x", f"{path}.downsample", "output"


def our_sites(model: Any) -> Iterator[Site]:
    paths = {module: path for path, module in model.named_modules()}
    for block in model.layers():
        path = paths[block]
        yield ("x", f"{path}.projection", "output") if hasattr(block, "projection") else ("x", path, "input")
        yield "f", f"{path}.branch", "output"


def block_sites(kind: str, *names: str) -> Callable[[nn.Module], Iterator[Site]]:
    """Sites of blocks of one class, by the names of their parts: whose input is x, whose output is f, and so on."""

    def sites(model: nn.Module) -> Iterator[Site]:
        for path, block in model.named_modules():
            if type(block).__name__ == kind:
                for place, name in enumerate(names):
                    what, side = ("f", "output") if place % 2 else ("x", "input")
                    yield what, f"{path}.{name}", side

    return sites


# ----------------------------------------------------------------------------------------------- the tools


def with_measure(model: nn.Module) -> Run:
    return lambda batch: list(measure(model, [batch])["scaled"])


def with_hooks(model: nn.Module, sites: Iterable[Site], at_once: bool) -> Run:
    kept: dict[str, list[Tensor]] = {"x": [], "f": []}

    def hook(what: str, *arguments: Any) -> None:
        value = arguments[-1][0] if isinstance(arguments[-1], tuple) else arguments[-1]
        kept[what].append(norm(value) if at_once else value)

    for what, path, side in sites:
        module = model.get_submodule(path)
        register = module.register_forward_pre_hook if side == "input" else module.register_forward_hook
        register(functools.partial(hook, what))

    def run(batch: Tensor) -> list[float]:
        for values in kept.values():
            values.clear()
        model(batch)
        return ratios(kept if at_once else {what: [norm(v) for v in values] for what, values in kept.items()})

    return run


def with_nnsight(model: nn.Module, sites: Iterable[Site]) -> Run:
    from nnsight import NNsight, save

    net, places = NNsight(model), list(sites)

    def run(batch: Tensor) -> list[float]:
        with net.trace(batch):
            norms = save({"x": [], "f": []})
            for what, path, side in places:
                path = path.replace(".output.", ".E_output.")  # as it calls parts named "output"
                value = getattr(net.get(path), side)
                norms[what].append(norm(value[0] if isinstance(value, tuple) else value))
        return ratios(norms)

    return run


def with_torchlens(model: nn.Module, blocks: dict[str, tuple[int, ...]]) -> Run:
    """Take the sums that run in a class of blocks itself; which operand is the state, by order of the sums."""
    import torchlens

    def run(batch: Tensor) -> list[float]:
        log, norms = torchlens.trace(model, batch), dict[str, list[Tensor]](x=[], f=[])
        seen = Counter[str]()
        for layer in log.layer_list:
            path = layer.modules[-1].rsplit(":", 1)[0] if layer.modules else ""
            states = blocks.get(type(model.get_submodule(path)).__name__)
            operands = layer.parent_arg_positions["args"]
            if states and "add" in layer.layer_type and len(operands) == 2:
                state = states[seen[path] % len(states)]
                seen[path] += 1
                for what, place in (("x", state), ("f", 1 - state)):
                    norms[what].append(norm(log[operands[place]].out))
        return ratios(norms)

    return run


def with_transformerlens(model: Any) -> Run:
    from tokenizers import Tokenizer, models
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({str(i): i for i in range(model.config.vocab_size)}, unk_token="0"))
    with tempfile.TemporaryDirectory() as folder:  # it takes a model by name or folder
        model.save_pretrained(folder)
        PreTrainedTokenizerFast(tokenizer_object=words, bos_token="1", eos_token="2").save_pretrained(folder)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        bridge = TransformerBridge.boot_transformers(folder, hf_model=model, tokenizer=tokenizer, device="cpu")
    pairs = [("resid_pre", "attn_out"), ("resid_mid", "mlp_out")]

    def run(batch: Tensor) -> list[float]:
        _, cache = bridge.run_with_cache(batch)
        names = [[f"blocks.{i}.hook_{x_or_f}" for x_or_f in pair] for i in range(bridge.cfg.n_layers) for pair in pairs]
        return ratios({"x": [norm(cache[x]) for x, _ in names], "f": [norm(cache[f]) for _, f in names]})

    return run


def lines_of(*written: Any) -> int:
    """Lines of code of functions, without docstrings and empty lines."""
    count = 0
    for function in written:
        body = inspect.getsource(function).replace(f'"""{function.__doc__}"""', "")
        count += sum(bool(line.strip()) for line in body.splitlines())
    return count


# ----------------------------------------------------------------------------------------------- the networks


def swin_steps(model: Any, x: Tensor) -> Iterator[Step]:
    for stage in model.features:
        if hasattr(stage, "norm") or not hasattr(stage[0], "attn"):  # between stages, or the embedding
            x = stage(x)
            continue
        for b in stage:
            x = yield from additive_steps(x, [lambda s, b=b: b.attn(b.norm1(s)), lambda s, b=b: b.mlp(b.norm2(s))])


def gpt2_steps(model: Any, tokens: Tensor) -> Iterator[Step]:
    m = model.transformer
    x = m.wte(tokens) + m.wpe(torch.arange(tokens.shape[1]))
    for b in m.h:
        x = yield from additive_steps(x, [lambda s, b=b: b.attn(b.ln_1(s))[0], lambda s, b=b: b.mlp(b.ln_2(s))])


def bert_steps(model: Any, tokens: Tensor) -> Iterator[Step]:
    """Post-norm: the stream is what leaves the normalisation."""
    x = model.bert.embeddings(tokens)
    for b in model.bert.encoder.layer:
        for branch, end in (
            (lambda s, b=b: b.attention.output.dense(b.attention.self(s)[0]), b.attention.output),
            (lambda s, b=b: b.output.dense(b.intermediate(s)), b.output),
        ):
            f = branch(x)
            state, x = x, end.LayerNorm(x + f)
            yield state, f, x


def llama_steps(model: Any, tokens: Tensor) -> Iterator[Step]:
    m = model.model
    x = m.embed_tokens(tokens)
    rotary = {"position_embeddings": m.rotary_emb(x, torch.arange(tokens.shape[1])[None]), "attention_mask": None}
    for b in m.layers:
        attention = lambda s, b=b: b.self_attn(b.input_layernorm(s), **rotary)[0]  # noqa: E731
        x = yield from additive_steps(x, [attention, lambda s, b=b: b.mlp(b.post_attention_layernorm(s))])


WORDS = 500


@dataclass(frozen=True)
class Network:
    """A network and what each tool must be told of it; nothing for one without residual additions."""

    build: Callable[[], nn.Module]
    steps: Callable[..., Iterator[Step]] | None = None
    sites: Callable[[nn.Module], Iterator[Site]] | None = None
    sums: dict[str, tuple[int, ...]] | None = None  # class of block: which operand of each of its sums is the state
    images: tuple[int, ...] = (8, 3, 96, 96)
    tokens: bool = False

    def prepared(self) -> tuple[nn.Module, Tensor]:
        """The model in evaluation mode, its running statistics updated once, and a batch."""
        torch.manual_seed(0)
        model = self.build()
        batch = torch.randint(2, WORDS, (8, 128)) if self.tokens else torch.randn(self.images)
        if not self.tokens:
            model.train()(batch)
        return model.eval(), batch


def vision(name: str, **options: Any) -> Callable[[], nn.Module]:
    import torchvision

    return functools.partial(torchvision.models.get_model, name, weights=None, **options)


def language(name: str, **options: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        kind = {"GPT2": "GPT2LMHeadModel", "Bert": "BertForMaskedLM", "Llama": "LlamaForCausalLM"}[name]
        config = getattr(transformers, f"{name}Config")(vocab_size=WORDS, **options)
        return getattr(transformers, kind)(config)

    return build


SMALL = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4, "num_hidden_layers": 6}
GPT2 = {"n_positions": 128, "n_embd": 256, "n_head": 4, "n_layer": 6, "bos_token_id": 1, "eos_token_id": 1}
BERT_NAMES = ("attention.self", "attention.output.dropout", "intermediate", "output.dropout")
LLAMA_NAMES = ("input_layernorm", "self_attn", "post_attention_layernorm", "mlp")

NETWORKS = {
    "resnet18": Network(vision("resnet18"), resnet_steps, resnet_sites, {"BasicBlock": (1,)}),
    "resnet50": Network(vision("resnet50"), resnet_steps, resnet_sites, {"Bottleneck": (1,)}),
    "ours, post-activation": Network(
        functools.partial(ResidualNetwork, 27, kind="postactivation", channels=3),
        our_steps,
        our_sites,
        {"Block": (0,), "Transition": (0,)},
        images=(32, 3, 32, 32),
    ),
    "convnext_tiny": Network(
        vision("convnext_tiny"), convnext_steps, block_sites("CNBlock", "block", "stochastic_depth"), {"CNBlock": (1,)}
    ),
    "vit_b_16": Network(
        vision("vit_b_16", image_size=96),
        vit_steps,
        block_sites("EncoderBlock", "ln_1", "self_attention", "ln_2", "mlp"),
        {"EncoderBlock": (1, 0)},
    ),
    "swin_t": Network(
        vision("swin_t"),
        swin_steps,
        block_sites("SwinTransformerBlock", "norm1", "attn", "norm2", "mlp"),
        {"SwinTransformerBlock": (0, 0)},
    ),
    "densenet121": Network(vision("densenet121")),
    "GPT-2": Network(
        language("GPT2", **GPT2),
        gpt2_steps,
        block_sites("GPT2Block", "ln_1", "attn", "ln_2", "mlp"),
        {"GPT2Block": (1, 0)},
        tokens=True,
    ),
    "BERT": Network(
        language("Bert", **SMALL),
        bert_steps,
        block_sites("BertLayer", *BERT_NAMES),
        {"BertSelfOutput": (1,), "BertOutput": (1,)},
        tokens=True,
    ),
    "Llama": Network(
        language("Llama", num_key_value_heads=2, **SMALL),
        llama_steps,
        block_sites("LlamaDecoderLayer", *LLAMA_NAMES),
        {"LlamaDecoderLayer": (0, 0)},
        tokens=True,
    ),
}


# ----------------------------------------------------------------------------------------------- a tool on a network


Way = Callable[[nn.Module], Run]
# torchlens comes last: it wraps the functions of torch, and they stay wrapped.
TOOLS = ("measure", "hooks that keep", "hooks that reduce at once", "nnsight", "TransformerLens", "torchlens")


def ways(network: Network) -> dict[str, tuple[Way, int]]:
    """The tools that are installed and take a network: the function from a model to a run, and the lines to write."""
    found: dict[str, tuple[Way, int]] = {"measure": (with_measure, lines_of(with_measure))}
    sites, sums = network.sites, network.sums
    if sites is None or sums is None:
        return found
    lines = lines_of(with_hooks, sites)
    found["hooks that keep"] = (lambda model: with_hooks(model, sites(model), at_once=False)), lines
    found["hooks that reduce at once"] = (lambda model: with_hooks(model, sites(model), at_once=True)), lines
    if find_spec("nnsight"):
        found["nnsight"] = (lambda model: with_nnsight(model, sites(model))), lines_of(with_nnsight, sites)
    if network.tokens and find_spec("transformer_lens"):
        found["TransformerLens"] = with_transformerlens, lines_of(with_transformerlens)
    if find_spec("torchlens"):
        found["torchlens"] = (lambda model: with_torchlens(model, sums)), lines_of(with_torchlens)
    return found


def additions(run: Run, batch: Tensor) -> list[float]:
    """What a tool finds; nothing where `measure` refuses the network."""
    try:
        return run(batch)
    except MeasurementError:
        return []


def largest_error(found: list[float], expected: list[float]) -> float:
    """The largest relative error; infinite if additions are missing or too many."""
    if len(found) != len(expected):
        return math.inf
    return max((abs(a / b - 1) for a, b in zip(found, expected, strict=True)), default=0.0)


def time_ratios(model: nn.Module, run: Run, batch: Tensor, rounds: int) -> list[float]:
    """Seconds of a way over those of the plain pass next to it, round by round."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        model(batch)
        middle = time.perf_counter()
        additions(run, batch)
        taken.append((time.perf_counter() - middle) / (middle - start))
    return taken


def peak_of(made: Callable[[], Run], batch: Tensor) -> int:
    """Bytes above what this process held before."""
    additions(made(), batch)  # what is loaded and compiled on first use is no memory of the measurement
    run = made()
    gc.collect()
    forget_peak()
    before = resident("VmRSS")
    additions(run, batch)
    return resident("VmHWM") - before


@functools.cache
def explicit(name: str) -> list[float]:
    """Mean of ‖f‖ / ‖x‖ for each addition, in float64."""
    network = NETWORKS[name]
    model, batch = network.prepared()
    if network.steps is None:
        return []
    steps = network.steps(model.double(), batch if network.tokens else batch.double())
    return [float((norm(f) / norm(state)).mean()) for state, f, _ in steps]


def row_of(name: str, tool: str, rounds: int) -> dict[str, Any]:
    """Lines, error and time of a tool on a network."""
    model, batch = NETWORKS[name].prepared()
    way, lines = ways(NETWORKS[name])[tool]
    run = way(copy.deepcopy(model))
    error = largest_error(additions(run, batch), explicit(name))
    times = time_ratios(model, run, batch, rounds)
    row = {"lines": lines, "error": error if math.isfinite(error) else None, "right": error < RIGHT}
    row |= {"ratio": statistics.median(times), "ratio_low": min(times), "ratio_high": max(times)}
    print(f"{name}, {tool}: {row}", file=sys.stderr)
    return row


def peaks(names: Iterable[str]) -> dict[str, dict[str, int]]:
    """Bytes of every tool above the plain pass, by network."""
    found = {}
    for name in names:
        model, batch = NETWORKS[name].prepared()

        def peak(way: Way, model: nn.Module = model, batch: Tensor = batch) -> int:
            return peak_of(lambda: way(copy.deepcopy(model)), batch)

        base = peak(lambda model: model)
        found[name] = {tool: peak(way) - base for tool, (way, _) in ways(NETWORKS[name]).items()}
        print(f"{name}: {found[name]}", file=sys.stderr)
    return found


@torch.no_grad()
def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("other_tools", str(__doc__))
    parser.add_argument("--rounds", type=int, default=7, help="of the timing (7)")
    parser.add_argument("--peaks", nargs="+", help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.peaks:
        print(json.dumps(peaks(options.peaks)))
        return 0
    names = ["resnet18"] if options.quick else list(NETWORKS)
    result = provenance(options.quick)
    packages = [tool for tool in ("torchlens", "nnsight", "transformer_lens") if find_spec(tool)]
    result["versions"] |= {package: version(package) for package in packages}
    pairs = [(tool, name) for tool in TOOLS for name in names if tool in ways(NETWORKS[name])]
    rows = {pair: row_of(*pair[::-1], 1 if options.quick else options.rounds) for pair in pairs}
    command = [sys.executable, str(Path(__file__).resolve()), "--peaks", *names]
    environment = os.environ | ALLOCATORS["gives back at once"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    above = json.loads(done.stdout.splitlines()[-1])
    result["cases"] = [
        {"network": name, "tool": tool, "additions": len(explicit(name)), **row, "above_plain_bytes": above[name][tool]}
        for (tool, name), row in rows.items()
    ]
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
