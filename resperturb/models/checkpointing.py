"""Activation checkpointing with unchanged results: the backward pass recomputes the activations of a section."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint


def checkpointed(section: nn.Module, x: Tensor) -> Tensor:
    """Compute section(x) and store only the states between groups of blocks for the backward pass.

    A block stores four tensors of the state's size, so groups of √n / 2 of the n blocks need the least memory.
    """
    blocks = list(section.children())
    size = max(1, round(math.sqrt(len(blocks)) / 2))
    for start in range(0, len(blocks), size):
        group = nn.Sequential(*blocks[start : start + size])
        contexts = functools.partial(checkpoint_contexts, group)
        x = checkpoint(group, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
    return x


def checkpoint_contexts(
    group: nn.Module,
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    return contextlib.nullcontext(), recomputation(group, torch.overrides._get_current_function_mode_stack())


@contextlib.contextmanager
def recomputation(group: nn.Module, modes: Sequence[TorchFunctionMode]) -> Iterator[None]:
    """Context that repeats the first pass of a group: with its function modes, which backward suspends."""
    with preserve_statistics(group), contextlib.ExitStack() as stack:
        for mode in modes:
            stack.enter_context(mode)
        yield


@contextlib.contextmanager
def preserve_statistics(group: nn.Module) -> Iterator[None]:
    """Context in which passes update copies of the running statistics, so that no batch counts twice."""
    norms = [module for module in group.modules() if isinstance(module, nn.BatchNorm2d)]
    held = [dict(norm.named_buffers()) for norm in norms]
    set_buffers(norms, [{name: buffer.clone() for name, buffer in buffers.items()} for buffers in held])
    try:
        yield
    finally:
        set_buffers(norms, held)


def set_buffers(modules: Sequence[nn.Module], buffers: Sequence[dict[str, Tensor]]) -> None:
    for module, named in zip(modules, buffers, strict=True):
        for name, buffer in named.items():
            setattr(module, name, buffer)
