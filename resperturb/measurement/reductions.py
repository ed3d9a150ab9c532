"""Reductions of tensor rows to scalars, in float32 over short pieces and float64 over pieces, and their buffer."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


@lru_cache(maxsize=1024)
def _pieces(length: int, limit: int = 16384) -> int:
    """Return the number of equal pieces of a row, since float32 sums of long rows lose digits."""
    wanted = -(-length // limit)
    return next((k for k in range(max(wanted, 1), 8 * wanted + 1) if length % k == 0), 1)


def squares(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1).square_()


def other_squares(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(y, dim=1).square_()


def products(x: Tensor, y: Tensor) -> Tensor:
    return (x * y).sum(1)


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return ‖x - y‖² from the difference; ‖x‖² - 2 x·y + ‖y‖² would lose small steps to cancellation."""
    return torch.linalg.vector_norm(x - y, dim=1).square_()


def row_sums(x: Tensor, y: Tensor, *sums: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Compute each of `sums` over the rows of x and y, (rows, numbers) to (len(sums) * rows,), float32 or float64.

    All sums of a group of rows (2 MB) are computed while it is in cache; no temporary is larger than a group.
    """
    rows, length = x.shape
    pieces = _pieces(length)
    if pieces > 1:
        x, y = x.reshape(rows * pieces, -1), y.reshape(rows * pieces, -1)
    group = max(1, (1 << (19 if x.device.type == "cpu" else 26)) * pieces // length)
    whole = rows * pieces <= group  # a split would cost more than small sums
    groups = ((x, y),) if whole else zip(x.split(group), y.split(group), strict=True)
    parts = [[f(a, b) for f in sums] for a, b in groups]
    values = torch.cat([part for column in zip(*parts, strict=True) for part in column])
    if pieces == 1:
        return values
    wide = torch.float32 if x.device.type == "mps" else torch.float64  # Apple GPUs have no float64
    return values.to(wide).view(-1, pieces).sum(1)


class ScalarBuffer:
    """Buffer of the scalars of one forward pass in few large tensors.

    Many small tensors between the large ones of the model would fragment memory. One transfer copies all scalars from a
    GPU.
    """

    def __init__(self, device: torch.device, chunk_size: int = 1 << 18) -> None:
        self._options = {"device": device, "dtype": torch.float32 if device.type == "mps" else torch.float64}
        self._chunk_size = chunk_size
        self._chunks: list[Tensor] = []
        self._offsets: list[int] = []  # of the first scalar in each chunk
        self._end = 0

    def append(self, values: Tensor) -> slice:
        """Copy values of shape (n,) into the buffer and return their place in :meth:`to_numpy`."""
        count = values.numel()
        if not self._chunks or self._end + count - self._offsets[-1] > self._chunks[-1].numel():
            self._chunks.append(torch.empty(max(self._chunk_size, count), **self._options))  # type: ignore[call-overload]
            self._offsets.append(self._end)
        start = self._end - self._offsets[-1]
        self._chunks[-1][start : start + count] = values
        self._end += count
        return slice(self._end - count, self._end)

    def to_numpy(self) -> np.ndarray:
        """Return all scalars in order, float64, shape (scalars,)."""
        ends = [*self._offsets[1:], self._end]
        used = [chunk[: end - start] for chunk, start, end in zip(self._chunks, self._offsets, ends, strict=True)]
        return torch.cat(used).cpu().double().numpy() if used else np.empty(0)
