"""Residual networks of any depth: a stem, sections of identity blocks joined by transitions, and a linear head.

Every block computes ``x + f(x)`` and changes nothing in place on the stream, so the next block receives the measured
sum. References: He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385; post-activation blocks,
layout of section 4.2); He et al., "Identity Mappings in Deep Residual Networks" (arXiv 1603.05027; pre-activation
blocks).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resperturb.errors import ExperimentError
from resperturb.experiment.experiment import BLOCK_KINDS, INITIALIZATIONS, NORMALIZATIONS, Experiment
from resperturb.experiment.validation import one_of, whole_number


def convolution(inputs: int, outputs: int, side: int, stride: int = 1, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=bias)


def normalization(kind: str, channels: int, epsilon: float) -> nn.Module:
    return nn.BatchNorm2d(channels, epsilon) if kind == "batch" else nn.Identity()


def branch(inputs: int, outputs: int, stride: int, *, kind: str, norm: str, epsilon: float) -> nn.Sequential:
    """Build the residual branch f of two 3x3 convolutions, (N, inputs, H, W) to (N, outputs, H/stride, W/stride).

    Pre-activation: norm, relu, conv, norm, relu, conv. Post-activation: conv, norm, relu, conv, norm. A relu works in
    place only on the output of a normalisation, never on the stream.
    """
    bias = norm == "none"  # batch norm has a shift
    relu = nn.ReLU(inplace=norm != "none")
    first = convolution(inputs, outputs, 3, stride, bias=bias)
    second = convolution(outputs, outputs, 3, bias=bias)
    if kind == "preactivation":
        before, between = normalization(norm, inputs, epsilon), normalization(norm, outputs, epsilon)
        layers = [before, relu, first, between, relu, second]
    else:
        between, behind = normalization(norm, outputs, epsilon), normalization(norm, outputs, epsilon)
        layers = [first, between, relu, second, behind]
    return nn.Sequential(*layers)


class Block(nn.Module):
    """A residual block, x + s f(x), (N, C, H, W) to the same shape; post-activation blocks apply a relu to the sum.

    The perturbation is s f(x) with the branch scale s.
    """

    def __init__(self, channels: int, *, kind: str, norm: str, epsilon: float = 1e-5, scale: float) -> None:
        super().__init__()
        self.branch = branch(channels, channels, 1, kind=kind, norm=norm, epsilon=epsilon)
        self.scale = scale
        self.after = nn.ReLU() if kind == "postactivation" else nn.Identity()

    def shortcut(self, x: Tensor) -> Tensor:
        return x

    def perturbation(self, x: Tensor) -> Tensor:
        f = self.branch(x)
        return f if self.scale == 1.0 else self.scale * f

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x + self.perturbation(x))


class Transition(nn.Module):
    """A transition between sections, p(x) + f(x), (N, C, H, W) to (N, 2C, ceil(H/2), ceil(W/2)).

    The shortcut p is a 1x1 convolution of stride 2 (option B of He et al.). A transition is no block: without an
    identity there is nothing to perturb.
    """

    def __init__(self, inputs: int, outputs: int, *, kind: str, norm: str, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.branch = branch(inputs, outputs, 2, kind=kind, norm=norm, epsilon=epsilon)
        # With fewer than 8 channels the input is sliced instead of strided: on processors with AVX2 only, PyTorch's
        # channels-last convolution of stride 2 then writes beyond its memory (oneDNN, seen with torch 2.15).
        self.narrow = inputs < 8
        self.projection = convolution(inputs, outputs, 1, 1 if self.narrow else 2, bias=norm == "none")
        self.after = nn.ReLU() if kind == "postactivation" else nn.Identity()

    def shortcut(self, x: Tensor) -> Tensor:
        return self.projection(x[:, :, ::2, ::2] if self.narrow else x)

    def perturbation(self, x: Tensor) -> Tensor:
        return self.branch(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.shortcut(x) + self.perturbation(x))


class ResidualStep(NamedTuple):
    """A residual addition of a forward pass; next_state is state + perturbation after any activation."""

    layer: Block | Transition
    state: Tensor  # projected in a transition
    perturbation: Tensor
    next_state: Tensor


class ResidualNetwork(nn.Module):
    """A residual image classifier of any depth, after He et al. (arXiv 1512.03385 and 1603.05027).

    Maps images (N, channels, H, W) to scores (N, classes).

    Args:
        blocks: depth L, 0 or at least `sections`; spread evenly over the sections, earlier ones first.
        sections: number of sections; from one to the next the width doubles and the side halves.
        width: channels of the first section.
        kind: "preactivation" or "postactivation" blocks.
        norm: "batch" or "none".
        epsilon: constant that batch norm adds to the variance.
        channels: channels of the images.
        classes: number of classes.
        stem_stride: stride of the first convolution.
        branch_scale: factor on f at the addition.
        initialization: "he" (normal, fan out) or "zero" (the same, but f = 0 at the start).

    Example:
        >>> import torch
        >>> from resperturb import ResidualNetwork
        >>> ResidualNetwork(blocks=6, width=4)(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])

    Raises:
        ExperimentError: `blocks` cannot be spread over `sections`.
    """

    def __init__(
        self,
        blocks: int,
        *,
        sections: int = 3,
        width: int = 16,
        kind: str = "preactivation",
        norm: str = "batch",
        epsilon: float = 1e-5,
        channels: int = 1,
        classes: int = 10,
        stem_stride: int = 1,
        branch_scale: float = 1.0,
        initialization: str = "he",
    ) -> None:
        super().__init__()
        one_of("kind", kind, BLOCK_KINDS)
        one_of("norm", norm, NORMALIZATIONS)
        one_of("initialization", initialization, INITIALIZATIONS)
        whole_number("width", width, 1)
        counts = spread(whole_number("blocks", blocks, 0), sections)
        widths = [width * 2**index for index in range(sections)]
        post = kind == "postactivation"
        stem = [convolution(channels, width, 3, stem_stride, bias=norm == "none")]
        self.stem = nn.Sequential(*stem, *([normalization(norm, width, epsilon), nn.ReLU()] if post else []))
        self.transitions = nn.ModuleList(
            [Transition(a, b, kind=kind, norm=norm, epsilon=epsilon) for a, b in itertools.pairwise(widths)]
        )
        self.sections = nn.ModuleList(
            nn.Sequential(*(Block(c, kind=kind, norm=norm, epsilon=epsilon, scale=branch_scale) for _ in range(count)))
            for c, count in zip(widths, counts, strict=True)
        )
        # A pre-activation stream is normalised only here, before the head (arXiv 1603.05027).
        self.norm = nn.Identity() if post else nn.Sequential(normalization(norm, widths[-1], epsilon), nn.ReLU())
        self.head = nn.Linear(widths[-1], classes)
        self.apply(initialize)
        if initialization == "zero":
            for block in self.modules():
                if isinstance(block, Block):
                    zero_last_layer(block.branch)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for index, section in enumerate(self.sections):
            if index:
                x = self.transitions[index - 1](x)
            x = section(x)
        return self.classify(x)

    def classify(self, state: Tensor) -> Tensor:
        """Compute scores (N, classes) from the state after the last block."""
        return self.head(self.norm(state).mean(dim=(2, 3)))  # average over the image

    def layers(self) -> list[Block | Transition]:
        """Return blocks and transitions in order of execution."""
        joints = [[], *([transition] for transition in self.transitions)]
        groups = ((*joint, *section.children()) for joint, section in zip(joints, self.sections, strict=True))
        return [layer for layer in itertools.chain.from_iterable(groups) if isinstance(layer, Block | Transition)]

    def states(self, images: Tensor) -> Iterator[ResidualStep]:
        """Run the forward pass and yield every addition; the last next_state is the input of :meth:`classify`."""
        x = self.stem(images)
        for layer in self.layers():
            state, f = layer.shortcut(x), layer.perturbation(x)
            x = layer.after(state + f)
            yield ResidualStep(layer, state, f, x)


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """Draw normal weights with variance 2 / fan out and set biases to zero (He et al., arXiv 1502.01852)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def zero_last_layer(layers: nn.Sequential) -> None:
    """Zero the last weighted layer of a branch, so that the block starts as the identity (arXiv 1706.02677)."""
    last = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)


def network_of(experiment: Experiment, *, channels: int) -> ResidualNetwork:
    """Build the network of an experiment, with weights drawn from the experiment's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed)
        return ResidualNetwork(
            experiment.blocks,
            sections=experiment.sections,
            width=experiment.width,
            kind=experiment.block,
            norm=experiment.normalization,
            epsilon=experiment.norm_epsilon,
            channels=channels,
            stem_stride=experiment.stem_stride,
            branch_scale=experiment.branch_scale,
            initialization=experiment.initialization,
        )


def spread(blocks: int, sections: int) -> tuple[int, ...]:
    """Spread blocks evenly over sections, earlier sections first: 100 over 3 is 34, 33, 33.

    Raises:
        ExperimentError: fewer blocks than sections, except for 0 blocks.
    """
    if not 1 <= sections <= (blocks or sections):
        raise ExperimentError(f"sections must lie between 1 and blocks ({blocks}), but got {sections}.")
    each, rest = divmod(blocks, sections)
    return tuple(each + (index < rest) for index in range(sections))
