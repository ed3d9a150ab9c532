"""Additions to a state that have no row: a warning names their module and the reason, and there is no false alarm."""

import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d

from resperturb.measurement.measure import measure


class Network(nn.Module):
    """An addition of the kind to be tested, and a block that takes its sum as the state."""

    def __init__(self, start) -> None:
        super().__init__()
        self.f, self.g, self.start = nn.Linear(8, 8), nn.Linear(8, 8), start

    def branch(self, x: Tensor) -> Tensor:
        return self.g(torch.relu(self.f(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(self, x)
        return x + self.branch(x)


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (
            lambda net, x: x + avg_pool1d(x, 3, 1, 1),
            "the perturbation passes no convolution, matmul or attention",
        ),
        (
            lambda net, x: torch.relu(avg_pool1d(x, 3, 1, 1).add_(x)),
            "the perturbation passes no convolution, matmul or attention",
        ),
        (lambda net, x: x + net.branch(x.mean(1, keepdim=True)), "the perturbation has another shape"),
        (lambda net, x: torch.maximum(x, x.roll(1, 1)) + net.branch(x), "neither operand is a linear shortcut"),
    ],
)
def test_names_the_module_and_the_reason(start, reason):
    with pytest.warns(UserWarning, match=f"^1 addition to a state is left out, in Network: {reason}.$"):
        table = measure(Network(start), [torch.randn(4, 5, 8)])
    assert table.attrs["left_out"] == [("Network", reason)]
    assert table["kind"].tolist() == ["identity"]
    two = nn.Sequential(Network(start), nn.Linear(8, 8), Network(start))
    with pytest.warns(UserWarning, match="^2 additions to states are left out, the first in 0: "):
        assert [name for name, _ in measure(two, [torch.randn(4, 5, 8)]).attrs["left_out"]] == ["0", "2"]


@pytest.mark.parametrize(
    "start",
    [
        lambda net, x: x * (1 + torch.tanh(x + 0.0447 * x**3)),
        lambda net, x: x + torch.arange(5.0)[:, None],
        lambda net, x: net.f(x) + net.g(net.f(x)),  # a low-rank adapter
        lambda net, x: net.f(x) + net.branch(x),  # a transition
        lambda net, x: x.cos() * torch.ones(8) + x.roll(4, -1) * torch.ones(8),
    ],
)
def test_gives_no_false_alarm(start):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure(Network(start), [torch.randn(4, 5, 8)]).attrs["left_out"] == []
