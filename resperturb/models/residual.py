"""Residual networks of any depth: a stem, sections of identity blocks joined by transitions, and a linear head.

Every block is ``x + f(x)`` written as such, with nothing done in place on the stream, so the next block receives the
sum that is measured at the addition. References: He et al., "Deep Residual Learning for Image Recognition"
(arXiv 1512.03385; post-activation blocks, section 4.2 for the layout); He et al., "Identity Mappings in Deep Residual
Networks" (arXiv 1603.05027; pre-activation blocks).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resperturb.errors import ExperimentError
from resperturb.experiment.experiment import Experiment
from resperturb.models.checkpointing import checkpointed


def convolution(inputs: int, outputs: int, side: int, stride: int = 1, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, stride, padding=side // 2, bias=bias)


def normalization(kind: str, channels: int, epsilon: float) -> nn.Module:
    return nn.BatchNorm2d(channels, epsilon) if kind == "batch" else nn.Identity()


def branch(inputs: int, outputs: int, stride: int, *, kind: str, norm: str, epsilon: float) -> nn.Sequential:
    """The residual branch f: two 3x3 convolutions. Input (N, inputs, H, W), output (N, outputs, H/stride, W/stride).

    Pre-activation: norm, relu, conv, norm, relu, conv. Post-activation: conv, norm, relu, conv, norm.
    The relus work in place on the normalisation's output, or copy without one: the stream is never changed.
    """
    bias = norm == "none"  # batch norm's shift makes a bias before it idle
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
    """One residual step: x + s f(x), with a relu after it in post-activation networks. (N, C, H, W) to the same.

    `s` is the branch scale; the perturbation is s f(x).
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
    """From one section to the next: p(x) + f(x), where p is a 1x1 convolution that halves the side.

    No block: its state is projected, so it has no identity to be a perturbation of. (N, C, H, W) to
    (N, 2C, ceil(H/2), ceil(W/2)). The projection shortcut is He et al.'s option B.
    """

    def __init__(self, inputs: int, outputs: int, *, kind: str, norm: str, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.branch = branch(inputs, outputs, 2, kind=kind, norm=norm, epsilon=epsilon)
        # A 1x1 convolution of stride 2 is one of every second pixel. PyTorch's own writes behind its memory where the
        # processor has AVX2 alone and the input fewer than 8 channels, channels last (oneDNN; seen with torch 2.15).
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
    """One residual addition of a forward pass: next_state is state + perturbation, after any activation."""

    layer: Block | Transition
    state: Tensor  # of a transition the projected one
    perturbation: Tensor
    next_state: Tensor


class ResidualNetwork(nn.Module):
    """A residual classifier of `blocks` identity blocks.

    Args:
        blocks: depth L, at least `sections` or 0; spread over the sections as evenly as possible, earlier ones first.
        sections: runs of blocks of one shape; the width doubles and the side halves from one to the next.
        width: channels of the first section.
        kind: "preactivation" or "postactivation".
        norm: "batch" or "none".
        epsilon: what batch norm adds to the variance.
        channels: channels of the images.
        classes: outputs of the head.
        stem_stride: stride of the first convolution.
        branch_scale: factor on f at the addition.
        initialization: "he" (normal, fan out) or "zero" (the same, with f = 0 at the start).
        checkpointing: in training, store the states between groups of blocks only and compute the rest twice: memory
            grows with the square root of the depth, at the price of a second forward pass.

    Shapes: input (N, channels, H, W), output (N, classes).
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
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        counts = spread(blocks, sections)
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
        # A pre-activation stream is never normalised on its way, so it is once before the head (arXiv 1603.05027).
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
            x = checkpointed(section, x) if self.checkpointing and torch.is_grad_enabled() else section(x)
        return self.classify(x)

    def classify(self, state: Tensor) -> Tensor:
        """Scores (N, classes) from the state behind the last block."""
        return self.head(self.norm(state).mean(dim=(2, 3)))  # average over the image

    def layers(self) -> list[Block | Transition]:
        """Blocks and transitions in the order of execution."""
        joints = [[], *([transition] for transition in self.transitions)]
        groups = ((*joint, *section.children()) for joint, section in zip(joints, self.sections, strict=True))
        return [layer for layer in itertools.chain.from_iterable(groups) if isinstance(layer, Block | Transition)]

    def states(self, images: Tensor) -> Iterator[ResidualStep]:
        """Run the forward pass addition by addition, up to the state that :meth:`classify` takes."""
        x = self.stem(images)
        for layer in self.layers():
            state, f = layer.shortcut(x), layer.perturbation(x)
            x = layer.after(state + f)
            yield ResidualStep(layer, state, f, x)


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """He et al. (arXiv 1502.01852): normal weights with variance 2 / fan out, biases zero."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@torch.no_grad()
def zero_last_layer(layers: nn.Sequential) -> None:
    """Make f = 0 by zeroing the branch's last weighted layer: each block starts as the identity (arXiv 1706.02677)."""
    last = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)][-1]
    nn.init.zeros_(last.weight)


def network_of(experiment: Experiment, *, channels: int, classes: int = 10) -> ResidualNetwork:
    """The network an experiment describes, its weights drawn from the experiment's seed."""
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
            classes=classes,
            stem_stride=experiment.stem_stride or 1,
            branch_scale=experiment.branch_scale,
            initialization=experiment.initialization,
            checkpointing=experiment.checkpointing,
        )


def spread(blocks: int, sections: int) -> tuple[int, ...]:
    """Number of blocks in each section, as even as possible, earlier sections first (100 over 3 is 34, 33, 33)."""
    if not 1 <= sections <= (blocks or sections):
        raise ExperimentError(f"sections must lie between 1 and blocks ({blocks}), but got {sections}.")
    each, rest = divmod(blocks, sections)
    return tuple(each + (index < rest) for index in range(sections))
