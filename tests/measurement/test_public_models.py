"""Architectures that people use: how many blocks, and the same numbers as an explicit forward pass in float64."""

import copy
from collections.abc import Callable, Generator, Iterable, Iterator
from types import ModuleType

import pytest
import torch
import torchvision
from torch import Tensor, nn

from resperturb.measurement.measure import measure
from resperturb.models.residual import ResidualNetwork


def tv(name: str, **kwargs) -> nn.Module:
    return torchvision.models.get_model(name, weights=None, **kwargs).eval()


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("torchvision", "swin_t mobilenet_v2 regnet_y_400mf resnext50_32x4d"),
        ("timm", "resnetv2_50 deit_tiny_patch16_224 convnextv2_atto"),
        ("transformers", "gpt2 llama"),
    ],
)
def test_the_additions_are_those_of_the_definition(benchmark: Callable[[str], ModuleType], package: str, names: str):
    pytest.importorskip(package)
    architectures = benchmark("architectures")
    cases = {case[1].partition(":")[2]: case for case in architectures.cases()}
    for name in names.split():
        row = architectures.measured(*cases[name])
        assert row["agrees"], row
        assert row["reconstruction_error"] < 1e-5


def test_a_masked_batch_by_name():
    hf = pytest.importorskip("transformers")
    small = {"vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2}
    bert = hf.BertModel(hf.BertConfig(num_hidden_layers=3, **small))
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 7])
    table = measure(bert, [{"input_ids": torch.randint(0, 50, (3, 7)), "attention_mask": mask}])
    assert list(table.kind) == ["identity"] * 6
    assert table.samples.tolist() == [3] * 6
    assert (table.step_scaled != table.scaled)[:-1].all()  # the stream is normalised after each addition


def encoder(batch_first: bool = True, norm_first: bool = False) -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=batch_first, norm_first=norm_first)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_encoder(batch_first, norm_first):
    """Its fast path would hide the additions; without `batch_first` the samples are in the second dimension."""
    x = torch.randn(5, 4, 16)
    fast = torch.backends.mha.get_fastpath_enabled()
    table = measure(encoder(batch_first, norm_first), [x])
    assert torch.backends.mha.get_fastpath_enabled() == fast
    assert list(table.kind) == ["identity"] * 6
    assert table.samples[0] == (5 if batch_first else 4)
    norm = norm_of(x if batch_first else x.transpose(0, 1))
    assert table.state_norm[0] == pytest.approx(norm.mean().item(), rel=1e-5)


def test_stochastic_depth_in_evaluation():
    model = tv("convnext_tiny", stochastic_depth_prob=0.9).train()
    assert list(measure(model, [torch.randn(2, 3, 32, 32)]).kind) == ["identity"] * 18
    assert model.training


# ------------------------------------------------------- agreement with explicit forward passes, written out in float64

Step = tuple[Tensor, Tensor, Tensor]  # state, perturbation, state after any activation


def norm_of(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)


def cosine_of(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).flatten(1).sum(1) / (norm_of(x) * norm_of(y))


def resnet_steps(model: nn.Module, x: Tensor) -> Iterator[Step]:
    """Torchvision's ResNet, without anything in place."""
    m = model
    x = m.maxpool(torch.relu(m.bn1(m.conv1(x))))
    for block in (*m.layer1, *m.layer2, *m.layer3, *m.layer4):
        f = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        if hasattr(block, "conv3"):
            f = block.bn3(block.conv3(torch.relu(f)))
        state = x if block.downsample is None else block.downsample(x)
        x = torch.relu(state + f)
        yield state, f, x


def additive_steps(x: Tensor, branches: Iterable[Callable[[Tensor], Tensor]]) -> Generator[Step, None, Tensor]:
    """Add each branch to the stream; return where it ends."""
    for branch in branches:
        f = branch(x)
        state, x = x, x + f
        yield state, f, x
    return x


def convnext_steps(model: nn.Module, x: Tensor) -> Iterator[Step]:
    for stage in model.features:
        if isinstance(stage[0], torchvision.models.convnext.CNBlock):
            x = yield from additive_steps(x, [lambda s, b=block: b.layer_scale * b.block(s) for block in stage])
        else:
            x = stage(x)


def vit_steps(model: nn.Module, x: Tensor) -> Iterator[Step]:
    x = model._process_input(x)
    x = torch.cat([model.class_token.expand(len(x), -1, -1), x], 1) + model.encoder.pos_embedding
    for layer in model.encoder.layers:
        branches = (
            lambda s, b=layer: b.self_attention(*[b.ln_1(s)] * 3, need_weights=False)[0],
            lambda s, b=layer: b.mlp(b.ln_2(s)),
        )
        x = yield from additive_steps(x, branches)


def our_steps(model: ResidualNetwork, x: Tensor) -> Iterator[Step]:
    for _, state, f, after in model.states(x):
        yield state, f, after


def encoder_steps(model: nn.TransformerEncoder, x: Tensor) -> Iterator[Step]:
    """Post-norm: the stream is what leaves the normalisation."""
    for layer in model.layers:
        f = layer.self_attn(x, x, x, need_weights=False)[0]
        state, x = x, layer.norm1(x + f)
        yield state, f, x
        f = layer.linear2(torch.relu(layer.linear1(x)))
        state, x = x, layer.norm2(x + f)
        yield state, f, x


IMAGES, TINY, GREY = (3, 3, 48, 48), (3, 3, 32, 32), (5, 1, 28, 28)
# name: builder, explicit forward pass, shape of the input, transitions
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[..., Iterator[Step]], tuple[int, ...], int]] = {
    "resnet18": (lambda: tv("resnet18"), resnet_steps, IMAGES, 3),
    "resnet50": (lambda: tv("resnet50"), resnet_steps, IMAGES, 4),
    "convnext_tiny": (lambda: tv("convnext_tiny", layer_scale=0.3), convnext_steps, IMAGES, 0),
    "vit": (lambda: torchvision.models.VisionTransformer(32, 8, 4, 4, 64, 128).eval(), vit_steps, TINY, 0),
    "ours, post-activation": (lambda: ResidualNetwork(9, kind="postactivation").eval(), our_steps, GREY, 2),
    "ours, pre-activation": (lambda: ResidualNetwork(9, branch_scale=0.1).eval(), our_steps, GREY, 2),
    "ours, no norm": (lambda: ResidualNetwork(6, norm="none", branch_scale=0.1).eval(), our_steps, GREY, 2),
    "transformer encoder": (encoder, encoder_steps, (4, 7, 16), 0),
}


def test_a_vision_transformer_is_one_section_of_named_layers():
    build, _, shape, _ = CASES["vit"]
    table = measure(build(), [torch.randn(shape)])
    assert set(table.section) == {1}
    assert table.name[0] == "encoder.layers.encoder_layer_0"


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, torch.contiguous_format) for name in CASES]
    + [(name, torch.channels_last) for name in ("resnet18", "ours, no norm")],
    ids=str,
)
def test_agrees_with_an_explicit_forward_pass_in_float64(name, layout):
    build, steps, shape, transitions = CASES[name]
    model, x = build(), torch.randn(shape)
    for module in model.modules():  # statistics that do something
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.3, 0.8)
    table = measure(model.to(memory_format=layout), [x[:2].to(memory_format=layout), x[2:].to(memory_format=layout)])
    assert not table.attrs["batch_statistics"]
    with torch.no_grad():
        expected = list(steps(copy.deepcopy(model).double(), x.double()))
    assert len(table) == len(expected)
    assert (table.kind == "transition").sum() == transitions
    assert table.reconstruction_error.max() < 1e-5
    for row, (state, f, after) in zip(table.itertuples(), expected, strict=True):
        if row.Index == len(table) - 1:  # no next state: the documented convention
            if name == "transformer encoder":
                after = state + f  # only normalised after it
            elif name == "ours, no norm":
                after = torch.relu(state + f)  # the head's
        ratio = norm_of(f) / norm_of(state)
        exact = {
            "state_norm": norm_of(state).mean(),
            "perturbation_norm": norm_of(f).mean(),
            "scaled": ratio.mean(),
            "scaled_q25": ratio.quantile(0.25),
            "step_scaled": (norm_of(after - state) / norm_of(state)).mean(),
        }
        assert row.samples == len(x)
        assert {column: getattr(row, column) for column in exact} == pytest.approx(
            {column: value.item() for column, value in exact.items()}, rel=1e-5
        )
        assert row.scaled_std == pytest.approx(ratio.std(correction=0).item(), rel=1e-3, abs=1e-6)
        assert row.cosine == pytest.approx(cosine_of(f, state).mean().item(), abs=1e-5)
        assert row.influence == pytest.approx((1 - cosine_of(after, state)).mean().item(), rel=1e-5, abs=1e-8)


def test_the_trap_of_the_naive_hook():
    """A hook on the last batch norm of torchvision's block does not hold f: the block goes on in the same memory."""
    model, x = tv("resnet18"), torch.randn(2, 3, 48, 48)
    kept: dict[str, Tensor] = {}
    handle = model.layer1[1].bn2.register_forward_hook(lambda module, inputs, output: kept.update(f=output))
    with torch.no_grad():
        model(x)
        handle.remove()
        _, truth, out = list(resnet_steps(copy.deepcopy(model).double(), x.double()))[1]
    naive = norm_of(kept["f"]).mean().item()
    table = measure(model, [x], batch_statistics=False).set_index("name")
    measured = table.perturbation_norm["layer1.1"]
    assert measured == pytest.approx(norm_of(truth).mean().item(), rel=1e-5)
    assert naive == pytest.approx(norm_of(out).mean().item(), rel=1e-5)  # what it holds is the block's output
    assert abs(naive - measured) > 0.01 * measured
