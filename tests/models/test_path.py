"""The path of the states: displacement, length and straightness against what geometry says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from resperturb.experiment import Experiment
from resperturb.models.path import section_paths
from resperturb.models.residual import Block, ResidualNetwork, Transition, network_of


@pytest.mark.parametrize("kind", ["preactivation", "postactivation"])
def test_the_path_agrees_with_the_states_kept_whole(kind: str) -> None:
    network = network_of(Experiment(blocks=7, width=4, block=kind), channels=1).eval()
    images = torch.randn(5, 1, 8, 8)
    table = section_paths(network, images)
    assert table["section"].tolist() == [1, 2, 3]
    assert table["blocks"].tolist() == [3, 2, 2]
    sections: list[list[torch.Tensor]] = [[]]
    with torch.no_grad():
        taken = list(network.states(images))
    for step in taken:
        if isinstance(step.layer, Transition):
            sections.append([])
        else:
            sections[-1] += (
                [step.next_state.flatten(1)] if sections[-1] else [step.state.flatten(1), step.next_state.flatten(1)]
            )
    for row, states in zip(table.itertuples(), sections, strict=True):
        steps = [after - before for before, after in itertools.pairwise(states)]
        moved = (states[-1] - states[0]).norm(dim=1)
        length = sum(step.norm(dim=1) for step in steps)
        products = sum((a * b).sum(1) for i, a in enumerate(steps) for j, b in enumerate(steps) if i != j)
        norms = sum(a.norm(dim=1) * b.norm(dim=1) for i, a in enumerate(steps) for j, b in enumerate(steps) if i != j)
        assert row.displacement == pytest.approx(float(moved.mean()), rel=1e-4)
        assert row.straightness == pytest.approx(float((moved / length).mean()), rel=1e-4)
        assert row.cosine == pytest.approx(float((products / norms).mean()), rel=1e-3, abs=1e-5)
        assert row.end == pytest.approx(float(states[-1].norm(dim=1).mean()), rel=1e-4)


def pushed(network: ResidualNetwork, directions: torch.Tensor) -> ResidualNetwork:
    """The network, every block of which adds one constant direction to the whole state, whatever the image is."""

    class Push(nn.Module):
        def __init__(self, direction: torch.Tensor) -> None:
            super().__init__()
            self.direction = direction

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.direction.view(1, -1, 1, 1).expand_as(x)

    for block, direction in zip((b for b in network.modules() if isinstance(b, Block)), directions, strict=True):
        block.branch = nn.Sequential(Push(direction))
    return network


@pytest.mark.parametrize(("straight", "exponent"), [(True, -1.0), (False, -0.5)])
def test_aligned_steps_need_one_over_n_and_random_ones_one_over_the_root(straight: bool, exponent: float) -> None:
    """Steps of one length that reach one displacement: how long they are follows from their straightness alone."""
    generator = torch.Generator().manual_seed(0)
    sizes = []
    for blocks in (4, 64):
        network = network_of(Experiment(blocks=blocks, sections=1, width=256), channels=1).eval()
        directions = torch.randn(1 if straight else blocks, 256, generator=generator).expand(blocks, 256)
        directions = directions / directions.norm(dim=1, keepdim=True)
        (row,) = section_paths(pushed(network, directions), torch.randn(3, 1, 8, 8)).itertuples()
        assert row.common == pytest.approx(1.0, rel=1e-4)
        assert row.cosine == pytest.approx(1.0 if straight else 0.0, abs=0.05)
        sizes.append(row.length / blocks / row.displacement)
    assert np.log(sizes[1] / sizes[0]) / np.log(16) == pytest.approx(exponent, abs=0.05)


def test_a_network_without_blocks_has_no_path() -> None:
    assert section_paths(network_of(Experiment(blocks=0, width=4), channels=1), torch.randn(2, 1, 8, 8)).empty
