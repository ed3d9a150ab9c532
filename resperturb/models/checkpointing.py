"""Activation checkpointing that changes no number: a section's activations are computed again on the way back."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint


def recomputed(section: nn.Module, x: Tensor) -> Tensor:
    """section(x), keeping for the backward pass the state between groups of blocks and no more.

    A block keeps four tensors of the state's size, so groups of half the root of the section's length hold least.
    """
    blocks = list(section.children())
    size = max(1, round(math.sqrt(len(blocks)) / 2))
    for start in range(0, len(blocks), size):
        group = nn.Sequential(*blocks[start : start + size])
        contexts = functools.partial(first_and_second_pass, group)
        x = checkpoint(group, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return x


def first_and_second_pass(
    group: nn.Module,
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    return contextlib.nullcontext(), second_pass(group, torch.overrides._get_current_function_mode_stack())


@contextlib.contextmanager
def second_pass(group: nn.Module, modes: Sequence[TorchFunctionMode]) -> Iterator[None]:
    """Within it the group computes what it did before: in the modes of then, which a backward pass suspends."""
    with statistics_untouched(group), contextlib.ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


@contextlib.contextmanager
def statistics_untouched(group: nn.Module) -> Iterator[None]:
    """Within it, training passes update copies of the running statistics: the second must not count a batch twice."""
    norms = [module for module in group.modules() if isinstance(module, nn.BatchNorm2d)]
    held = [dict(norm.named_buffers()) for norm in norms]
    put(norms, [{name: buffer.clone() for name, buffer in buffers.items()} for buffers in held])
    try:
        yield
    finally:
        put(norms, held)


def put(modules: Sequence[nn.Module], buffers: Sequence[dict[str, Tensor]]) -> None:
    for module, named in zip(modules, buffers, strict=True):
        for name, buffer in named.items():
            setattr(module, name, buffer)
