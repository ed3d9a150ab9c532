"""The traps of the book's chapter, and others: what `measure` finds in each module."""

import re
import warnings

import pandas as pd
import pytest
import torch
from conftest import ROOT
from torch import Tensor, nn

from resperturb.measurement.measure import MeasurementError, measure


def test_each_module_has_the_rows_that_its_code_says():
    chapter = (ROOT / "book" / "measurement_check.md").read_text(encoding="utf-8")
    cells = re.findall(r"```\{code-cell\} python\n:tags: \[hide-input\]\n(.*?)```", chapter, re.S)
    names = {"torch": torch}
    exec(next(cell for cell in cells if "class Trap" in cell), names)
    traps = {trap.__name__: trap() for trap in names["Trap"].__subclasses__()}
    x = torch.randn(4, 5, 8)
    with warnings.catch_warnings(record=True) as warned:
        tables = {name: measure(trap, [x]) for name, trap in traps.items()}
    kinds = {name: table["kind"].tolist() for name, table in tables.items()}
    assert kinds == {name: ["identity"] for name in traps} | {"Projection": ["transition"]}
    assert [str(warning.message) for warning in warned] == [
        "1 addition to a state is left out, in Pooling: the perturbation passes no convolution, matmul or attention."
    ]
    for name in ("InPlace", "StochasticDepth", "PostNorm"):
        push = traps[name].g(torch.relu(traps[name].f(x)))
        expected = (push.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)).mean().item()
        assert abs(tables[name]["scaled"].item() / expected - 1) < 1e-5


class Layers(nn.Module):
    """A network of linear layers, whose steps a subclass defines."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(count))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.step(x, layer)
        return x


class Snake(Layers):
    def step(self, x: Tensor, layer: nn.Module) -> Tensor:
        return x + layer(x + torch.sin(x) ** 2)  # an activation with an addition of its own


class SnakeInHalfPrecision(Layers):
    def step(self, x: Tensor, layer: nn.Module) -> Tensor:
        return x + layer((x.bfloat16() + torch.sin(x.bfloat16()) ** 2).float())


class TokenShift(Layers):
    def step(self, x: Tensor, layer: nn.Module) -> Tensor:
        return x + layer(torch.relu(x + 0.5 * (torch.roll(x, 1, 0) - x)))


class Noise(Layers):
    def step(self, x: Tensor, layer: nn.Module) -> Tensor:
        return x + layer(torch.relu(x)) + layer(torch.randn_like(x))  # the last one is computed from no state


class Parallel(Layers):
    def step(self, x: Tensor, layer: nn.Module) -> Tensor:
        return (x + layer(torch.relu(x))) + layer(torch.sigmoid(x))


class Force(Layers):
    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(super().forward(x).sum(), x)[0]

    def step(self, x: Tensor, layer: nn.Module) -> Tensor:
        return x + torch.tanh(layer(x))


@pytest.mark.parametrize(
    ("network", "rows"),
    [(Snake, 3), (SnakeInHalfPrecision, 3), (TokenShift, 3), (Noise, 3), (Parallel, 6), (Force, 3)],
)
def test_only_blocks_have_rows(network: type[Layers], rows: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is left out is no block
        table = measure(network(), [torch.randn(4, 8)])
    assert table["kind"].tolist() == ["identity"] * rows


def test_a_sum_of_linear_maps_is_no_transition() -> None:
    class Sum(Layers):
        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(sum(layer(x) for layer in self.layers) + torch.fft.ifft(torch.fft.fft(x)).real)

    with pytest.raises(MeasurementError, match="ran no residual addition"):
        measure(Sum(), [torch.randn(4, 8)])


def test_an_activation_in_place_changes_no_value() -> None:
    class Normalised(Layers):
        def step(self, x: Tensor, layer: nn.Module) -> Tensor:
            return nn.functional.layer_norm(torch.relu(x + layer(x)), (8,))

    class InPlace(Normalised):
        def step(self, x: Tensor, layer: nn.Module) -> Tensor:
            return nn.functional.layer_norm((x + layer(x)).relu_(), (8,))

    plain = Normalised()
    in_place = InPlace()
    in_place.load_state_dict(plain.state_dict())
    x = [torch.randn(4, 8)]
    pd.testing.assert_frame_equal(measure(in_place, x), measure(plain, x).replace("Normalised", "InPlace"))
