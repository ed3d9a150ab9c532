"""One forward pass, observed: each residual addition reduced to scalars per sample, and the formulas over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from resperturb.additions import Addition
from resperturb.errors import MeasurementError
from resperturb.moments import VALUES
from resperturb.norms import other_squares, products, squared_distances, squares, totals

RECONSTRUCTION_LIMIT = 1e-5


@dataclass
class Row:
    """The scalars of one addition in one batch: tensors of float64 [samples x tokens], `one` of one number."""

    block: int
    name: str
    kind: str
    dtype: torch.dtype
    state_factor: float
    factor: float
    xx: Tensor  # ‖x‖²
    ff: Tensor  # ‖f‖²
    xf: Tensor  # x · f
    total: Tensor  # ‖sum‖², of what the model went on with
    one: Tensor  # ‖sum - (x + f)‖ / ‖sum‖ of one sample, number by number
    moved: Tensor | None = None  # ‖x_next - x‖²; None: x_next is the sum itself
    after: Tensor | None = None  # ‖x_next‖²


@dataclass
class Open:
    """An addition whose next state is still to come."""

    row: Row
    state: Tensor | None
    shape: torch.Size
    result: int = -1  # the value of its sum
    steps: int = 1 << 30  # operations between the sum and the best next state so far
    activated: tuple[int, Tensor, Tensor] | None = None  # value, ‖x_next - x‖², ‖x_next‖² after its activation
    used: bool = False  # the sum itself goes on, so an activation of it is part of a branch


@dataclass
class Recorder:
    """Observer of one forward pass: reduces each addition to scalars per sample."""

    samples: int
    per_token: bool
    probe: int  # the sample whose sum is compared number by number
    names: list[str]  # path of the module that runs now, innermost last
    selected: Callable[[int, str], bool]
    rows: list[Row] = field(default_factory=list)
    sections: list[int] = field(default_factory=list)  # of the rows
    blocks: int = 0
    additions: int = 0
    sequence_first: bool = False
    _section: int = 0
    _shape: torch.Size | None = None
    _open: dict[int, Open] = field(default_factory=dict)
    _now: tuple[Row, Tensor] | None = None  # the row that waits for its sum, and the sum expected of the probe

    def _axis(self, shape: torch.Size) -> int:
        if len(shape) == 3 and shape[1] == self.samples and (self.sequence_first or shape[0] != self.samples):
            return 1
        if shape[0] % self.samples == 0:  # more: windows or frames folded into the batch
            return 0
        raise MeasurementError(
            f"The addition in {self.names[-1]} joins tensors of shape {tuple(shape)}, where no dimension holds"
            f" the batch's {self.samples} samples; pass batches with the samples in the first dimension."
        )

    def _flat(self, tensor: Tensor, like: Tensor) -> Tensor:
        """A tensor as [samples (x tokens), numbers] in `like`'s memory order, so that no layout needs a copy."""
        axis = self._axis(like.shape)
        tokens = self.per_token and like.dim() == 3
        rest = [d for d in range(like.dim()) if d != axis]
        order = [axis, *(rest if tokens else sorted(rest, key=like.stride, reverse=True))]
        rows = self.samples * (like.shape[rest[0]] if tokens else 1)
        wide = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
        return wide.permute(order).reshape(rows, -1)

    def _probed(self, x: Tensor) -> Tensor:
        each = len(x) // self.samples
        return x[self.probe * each : (self.probe + 1) * each]

    def before(self, addition: Addition) -> None:
        state, a, b = addition.state, addition.state_factor, addition.factor
        x, f = self._flat(state, state), self._flat(addition.perturbation, state)
        known = self._continue(addition, x)
        identity = addition.kind == "identity"
        shape = state.shape[:1] + state.shape[2:] if self._axis(state.shape) else state.shape[1:]
        self._section += not identity or shape != self._shape
        self._shape = shape
        self.additions += 1
        self.blocks += identity
        block = self.blocks if identity else 0
        if not self.selected(block, self.names[-1]):
            return
        ff, xf, *new = totals(x, f, other_squares, products, *([squares] if known is None else []))
        xx = new[0] if known is None else known
        dtype = torch.promote_types(state.dtype, addition.perturbation.dtype)
        row = Row(block, self.names[-1], addition.kind, dtype, a, b, xx, ff, xf, xx, xx)
        self.rows.append(row)
        self.sections.append(self._section)
        kept = state.clone() if addition.overwrites is state else state
        self._open[addition.index] = Open(row, kept, state.shape)
        self._now = row, a * self._probed(x) + b * self._probed(f)

    def after(self, addition: Addition, result: Tensor, value: int) -> None:
        if self._now is None:
            return
        (row, expected), self._now = self._now, None
        out = self._flat(result, result if addition.overwrites is not None else addition.state)
        (row.total,) = totals(out, out, squares)
        probe = self._probed(self._flat(result, addition.state))
        norm = torch.linalg.vector_norm(probe).clamp_min(torch.finfo(torch.float32).tiny)
        row.one = (torch.linalg.vector_norm(probe - expected) / norm).reshape(1)
        self._open[addition.index].result = value

    def _continue(self, addition: Addition, x: Tensor) -> Tensor | None:
        """Take this addition's state as the next state of the one it follows; returns its ‖x‖² where that is known."""
        index, steps = addition.follows or (-1, 0)
        opened = self._open.get(index)
        if opened is None or opened.shape != addition.state.shape:
            return None
        row = opened.row
        known = None
        if addition.value == opened.result:
            known, moved = row.total, None
        elif opened.activated is not None and opened.activated[0] == addition.value:
            _, moved, known = opened.activated
        elif opened.state is not None and steps < opened.steps:
            known, moved = totals(x, self._flat(opened.state, addition.state), squares, squared_distances)
        else:
            return None
        if steps < opened.steps:
            opened.steps, row.moved, row.after = steps, moved, known
        if addition.final:
            del self._open[index]
        return known

    def activated(self, index: int, result: Tensor, value: int, final: bool) -> None:
        opened = self._open.get(index)
        if opened is None or opened.state is None or opened.activated is not None or opened.shape != result.shape:
            return
        states = self._flat(result, result), self._flat(opened.state, result)
        moved, after = totals(*states, squared_distances, squares)
        opened.activated = value, moved, after
        if opened.steps > 1 and not opened.used:  # holds until an addition shows which state it takes
            opened.row.moved, opened.row.after = moved, after
        if final:
            opened.state = None

    def used(self, index: int) -> None:
        opened = self._open.get(index)
        if opened is not None and not opened.used:
            opened.used = True
            if opened.steps > 1 and opened.activated is not None:
                opened.row.moved = opened.row.after = None

    def overwriting(self, tensor: Tensor) -> None:
        for opened in self._open.values():
            if opened.state is not None and tensor.layout is torch.strided:
                same = opened.state.untyped_storage()._cdata == tensor.untyped_storage()._cdata
                opened.state = opened.state.clone() if same else opened.state

    def ended(self, index: int) -> None:
        self._open.pop(index, None)


def values_of(rows: Sequence[Row], samples: int) -> np.ndarray:
    """float64 [rows, VALUES, samples] of one batch. The formulas of the table."""
    fields = [(row.xx, row.ff, row.xf, row.total, row.one, row.moved, row.after) for row in rows]
    # One transfer for the whole batch: a transfer per block would make the GPU wait.
    flat = torch.cat([t.double() if t.device.type != "mps" else t for t in chain(*fields) if t is not None])
    numbers = flat.cpu().double().numpy()
    values = np.empty((len(rows), len(VALUES), samples))
    start = 0

    def take(tensor: Tensor | None) -> np.ndarray:
        nonlocal start
        if tensor is None:
            return np.empty(0)
        start += tensor.numel()
        return numbers[start - tensor.numel() : start].reshape(samples if tensor.numel() > 1 else 1, -1)

    for number, (row, tensors) in enumerate(zip(rows, fields, strict=True)):
        xx, ff, xf, total, one, moved, after = (take(tensor) for tensor in tensors)
        where = f"addition {number + 1} ({row.kind}, {row.name})"
        if not np.isfinite(np.stack([xx, ff, xf, total])).all():
            what = "perturbation" if np.isfinite(xx).all() else "state"
            raise MeasurementError(
                f"The {what} of {where} is not finite (NaN, infinite, or a norm above 1e19, too large to square), the"
                " first in the network; check the weights and the inputs."
            )
        if (xx == 0).any():
            raise MeasurementError(f"The state that enters {where} is zero in a sample, so ‖f‖ / ‖x‖ does not exist.")
        a, b = row.state_factor, row.factor
        state, f = abs(a) * np.sqrt(xx), abs(b) * np.sqrt(ff)
        expected = a * a * xx + 2 * a * b * xf + b * b * ff  # ‖a x + b f‖²
        error = np.maximum(np.abs(total - expected) / (2 * (a * a * xx + b * b * ff)), one)
        limit = max(RECONSTRUCTION_LIMIT, 2 * torch.finfo(row.dtype).eps)
        if error.max() >= limit:
            raise MeasurementError(
                f"In {where}, x + f differs from what the model went on with by {error.max():.1e} (relative; at most"
                f" {limit:.0e} is allowed): the numbers would be wrong. Please report this model."
            )
        if not moved.size:
            moved, after = (a - 1) ** 2 * xx + 2 * (a - 1) * b * xf + b * b * ff, total  # ‖(a x + b f) - x‖²
        with np.errstate(divide="ignore", invalid="ignore"):
            cosine = np.where(ff > 0, np.sign(a * b) * xf / np.sqrt(xx * ff), np.nan)  # of a zero f: undefined
            # 1 - cos(x, x') = (‖x' - x‖² - (‖x'‖ - ‖x‖)²) / (2 ‖x‖ ‖x'‖): exact for small steps, where 1 - x·x' is not
            gap = moved - (np.sqrt(after) - np.sqrt(xx)) ** 2
            influence = np.where(after > 0, gap.clip(0) / (2 * np.sqrt(xx * after)), np.nan)
        step = np.sqrt(np.maximum(moved, 0) / xx)
        per_token = (state, f, f / state, cosine, step, influence, error)
        for column, value in enumerate(per_token):
            value = np.broadcast_to(value, (samples, value.shape[-1]))
            counted = np.isfinite(value).sum(1)
            summed = np.where(np.isfinite(value), value, 0).sum(1)
            values[number, column] = np.where(counted > 0, summed / np.maximum(counted, 1), np.nan)
        values[number, -1] = error.max()
    return values
