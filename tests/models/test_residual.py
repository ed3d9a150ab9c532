"""Networks of any depth: shapes, gradients, and the residual step itself."""

from __future__ import annotations

import itertools
import os
import platform
import subprocess
import sys

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resperturb.experiment import Experiment
from resperturb.experiment.experiment import BLOCK_KINDS, NORMALIZATIONS
from resperturb.models.residual import Block, ResidualNetwork, Transition, network_of, spread


@settings(deadline=None, max_examples=15)
@example(blocks=0, sections=3, width=4, kind="preactivation", norm="batch", channels=1, side=8, stride=1)
@given(
    blocks=st.integers(0, 9),
    sections=st.integers(1, 4),
    width=st.integers(1, 5),
    kind=st.sampled_from(BLOCK_KINDS),
    norm=st.sampled_from(NORMALIZATIONS),
    channels=st.sampled_from([1, 3]),
    side=st.sampled_from([8, 9, 28]),
    stride=st.sampled_from([1, 2]),
)
def test_any_depth_maps_images_to_classes(
    blocks: int, sections: int, width: int, kind: str, norm: str, channels: int, side: int, stride: int
) -> None:
    sections = min(sections, blocks or sections)
    network = ResidualNetwork(
        blocks, sections=sections, width=width, kind=kind, norm=norm, channels=channels, stem_stride=stride
    )
    scores = network(torch.randn(3, channels, side, side))
    assert scores.shape == (3, 10)
    assert torch.isfinite(scores).all()
    counts = [sum(isinstance(m, Block) for m in section.modules()) for section in network.sections]
    assert tuple(counts) == spread(blocks, sections)
    assert sum(isinstance(m, Transition) for m in network.modules()) == sections - 1


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("norm", NORMALIZATIONS)
@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_a_block_is_exactly_x_plus_f_and_leaves_the_stream_alone(kind: str, norm: str, scale: float) -> None:
    block = Block(4, kind=kind, norm=norm, scale=scale)
    x = torch.randn(2, 4, 6, 6)
    before = x.clone()
    total = x + scale * block.branch(x)
    assert block(x).equal(torch.relu(total) if kind == "postactivation" else total)
    assert x.equal(before)  # nothing was done in place


@pytest.mark.parametrize("kind", BLOCK_KINDS)
def test_the_states_lead_to_the_scores_of_the_forward_pass(kind: str) -> None:
    network = ResidualNetwork(5, width=4, kind=kind, branch_scale=0.5).eval()
    x = torch.randn(3, 1, 8, 8)
    steps = list(network.states(x))
    assert [step.layer for step in steps] == network.layers()
    assert [isinstance(step.layer, Block) for step in steps] == [True, True, False, True, True, False, True]
    for step, following in itertools.pairwise(steps):
        assert following.layer(step.next_state).equal(following.next_state)
    assert network.classify(steps[-1].next_state).equal(network(x))


@pytest.mark.parametrize("kind", BLOCK_KINDS)
@pytest.mark.parametrize("norm", NORMALIZATIONS)
def test_every_parameter_has_a_gradient(kind: str, norm: str) -> None:
    network = ResidualNetwork(17, sections=2, width=4, kind=kind, norm=norm)
    network(torch.randn(6, 1, 8, 8)).square().sum().backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("narrow", [4, 7, 8])
def test_the_shortcut_of_any_width_is_a_1x1_convolution_of_stride_2(narrow: int, side: int) -> None:
    transition = Transition(narrow, 2 * narrow, kind="preactivation", norm="batch").double()
    x = torch.randn(2, narrow, side, side, dtype=torch.float64)
    shortcut = transition(x) - transition.branch(x)
    expected = torch.nn.functional.conv2d(x, transition.projection.weight, stride=2)
    torch.testing.assert_close(shortcut, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the fault is of one family of processors")
def test_narrow_networks_train_on_a_processor_with_avx2_alone() -> None:
    code = (
        "import torch, resperturb\n"
        "network = resperturb.ResidualNetwork(4, width=4).to(memory_format=torch.channels_last)\n"
        "for _ in range(40):\n"
        "    x = torch.randn(32, 1, 28, 28).contiguous(memory_format=torch.channels_last)\n"
        "    network(x).square().sum().backward()\n"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("kind", BLOCK_KINDS)
@pytest.mark.parametrize("norm", NORMALIZATIONS)
def test_zero_initialisation_starts_every_block_as_the_identity(kind: str, norm: str) -> None:
    network = ResidualNetwork(4, sections=2, width=4, kind=kind, norm=norm, initialization="zero")
    x = torch.randn(2, 4, 8, 8)
    for block in network.sections[0].children():
        assert block.get_submodule("branch")(x).abs().max() == 0


def test_the_seed_decides_the_weights_and_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    first, again = (network_of(Experiment(seed=1), channels=1) for _ in range(2))
    other = network_of(Experiment(seed=2), channels=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_the_epsilon_of_an_experiment_is_that_of_every_batch_norm() -> None:
    network = network_of(Experiment(blocks=3, norm_epsilon=1e-3), channels=1)
    assert {module.eps for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)} == {1e-3}
