"""The arithmetic of training: float32, or bfloat16 by autocast, also where the processor has no bfloat16.

PyTorch's convolutions in bfloat16 need a processor that has it (AVX-512 on x86). Elsewhere they fall back to code that
is ten to twenty times slower than float32, so there the operands are rounded to bfloat16 and convolved in float32. That
is what a processor with bfloat16 does too: its products of bfloat16 numbers are exact and its sums are kept in float32.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CONVOLUTIONS = (torch.conv1d, torch.conv2d, torch.conv3d)


def native(device: torch.device) -> bool:
    """Whether PyTorch has fast bfloat16 convolutions on `device`."""
    if device.type != "cpu":
        return True
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def rounded(values: Any) -> Any:
    """Floating tensors rounded to bfloat16 and held in float32; gradients are rounded likewise."""
    if isinstance(values, Tensor) and values.is_floating_point():
        return values.to(torch.bfloat16).float()
    return values


class RoundedConvolutions(TorchFunctionMode):
    """Within it, convolutions under autocast to bfloat16 take rounded operands, sum in float32 and round the result."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in CONVOLUTIONS or not torch.is_autocast_enabled("cpu"):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            wide = func(*map(rounded, args), **{name: rounded(value) for name, value in kwargs.items()})
        return wide.to(torch.bfloat16)


def arithmetic(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """The context for training and evaluation in `precision` on `device`."""
    return RoundedConvolutions() if precision == "bfloat16" and not native(device) else nullcontext()
