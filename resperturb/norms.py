"""Sums over the numbers of every row, in float32 over short pieces and in float64 over those."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=1024)
def _pieces(length: int, limit: int = 16384) -> int:
    """How many equal pieces to sum a row in: float32 sums of long rows lose digits."""
    wanted = -(-length // limit)
    return next((k for k in range(max(wanted, 1), 8 * wanted + 1) if length % k == 0), 1)


def squares(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1).square()


def other_squares(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(y, dim=1).square()


def products(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(1)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Of the difference itself: ‖x‖² - 2 x·y + ‖y‖² would lose a small step to cancellation."""
    return torch.linalg.vector_norm(x - y, dim=1).square()


def totals(x: Tensor, y: Tensor, *sums: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
    """Each sum over every row of x and y [rows, numbers] -> float64 [rows].

    All sums of a group of rows (4 MB) are taken while it is in cache, and no temporary is larger than a group.
    """
    rows, pieces = len(x), _pieces(x.shape[1])
    x, y = x.reshape(rows * pieces, -1), y.reshape(rows * pieces, -1)
    group = max(1, (1 << (20 if x.device.type == "cpu" else 26)) // x.shape[1])
    parts = [[f(a, b) for f in sums] for a, b in zip(x.split(group), y.split(group), strict=True)]
    wide = torch.float32 if x.device.type == "mps" else torch.float64  # that device has no float64
    return [torch.cat(column).to(wide).view(rows, -1).sum(1) for column in zip(*parts, strict=True)]
