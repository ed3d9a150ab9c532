"""bfloat16 where the processor has none: the same numbers from float32 convolutions of rounded operands."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from resperturb.experiment import Experiment
from resperturb.models.residual import ResidualNetwork, network_of
from resperturb.training import precision
from resperturb.training.data import load_images
from resperturb.training.loop import train
from resperturb.training.precision import RoundedConvolutions, arithmetic, autocast

CPU = torch.device("cpu")
STEP = 2.0**-8  # half the distance between neighbouring bfloat16 numbers, relative


@pytest.fixture
def without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "native", lambda device: False)


class Convolutions(TorchDispatchMode):
    """Counts convolutions, their backward passes and products of matrices by the type they compute in."""

    def __init__(self) -> None:
        super().__init__()
        self.types: Counter[tuple[str, torch.dtype]] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[-1]
        if name.startswith(("convolution", "addmm")):
            self.types[name, args[0].dtype] += 1
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_result_is_that_of_the_rounded_operands_to_one_step(dimensions: int) -> None:
    torch.manual_seed(0)
    layer = getattr(torch.nn, f"Conv{dimensions}d")(8, 16, 3, padding=1)
    x = torch.randn(4, 8, *[8] * dimensions)
    with RoundedConvolutions(), autocast(CPU, "bfloat16"):
        found = layer(x)
    exact = copy.deepcopy(layer).bfloat16().double()(x.bfloat16().double())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=1.01 * STEP, atol=1e-5)


@pytest.mark.skipif(not precision.native(CPU), reason="this processor has no bfloat16 to compare with")
def test_it_is_what_a_processor_with_bfloat16_does() -> None:
    torch.manual_seed(0)
    network = ResidualNetwork(6, width=8)
    twin = copy.deepcopy(network)
    x = torch.randn(16, 1, 16, 16)
    with autocast(CPU, "bfloat16"):
        network(x).float().square().sum().backward()
    with RoundedConvolutions():
        with autocast(CPU, "bfloat16"):
            scores = twin(x)
        scores.float().square().sum().backward()
    for (name, ours), theirs in zip(twin.named_parameters(), network.parameters(), strict=True):
        assert torch.cosine_similarity(ours.grad.flatten(), theirs.grad.flatten(), dim=0) > 0.995, name


def test_float32_is_left_alone() -> None:
    layer, x = torch.nn.Conv2d(3, 8, 3), torch.randn(2, 3, 8, 8)
    expected = layer(x)
    with RoundedConvolutions():
        torch.testing.assert_close(layer(x), expected, rtol=0, atol=0)
        with autocast(CPU, "float32"):
            torch.testing.assert_close(layer(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("has", [True, False])
def test_only_bfloat16_on_a_processor_without_it_is_rounded(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "native", lambda device: has)
    assert not isinstance(arithmetic(CPU, "float32"), RoundedConvolutions)
    assert isinstance(arithmetic(CPU, "bfloat16"), RoundedConvolutions) != has


@pytest.mark.usefixtures("without_bfloat16")
def test_no_convolution_of_a_training_run_is_left_to_bfloat16() -> None:
    experiment = Experiment(
        blocks=4, width=8, train_size=64, test_size=32, measured_images=32, batch_size=32, epochs=1,
        precision="bfloat16",
    )  # fmt: skip
    network = network_of(experiment, channels=1)
    with Convolutions() as seen:
        result = train(network, load_images(experiment), experiment, lambda moment: None, report=lambda line: None)
    assert result.step == 2
    assert seen.types.pop(("addmm", torch.bfloat16)) == 2 + 1  # the head, for each step and for the test images
    layers = 1 + 2 * 6 + 2  # stem, two in each block and transition, projections
    assert seen.types["convolution_backward", torch.float32] == 2 * layers
    assert seen.types["convolution", torch.float32] == 2 * layers + layers  # and once for the test images
    assert {dtype for _, dtype in seen.types} == {torch.float32}
