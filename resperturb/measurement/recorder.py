"""One forward pass, observed: each residual addition reduced to scalars per sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from resperturb.errors import MeasurementError
from resperturb.measurement.additions import Addition
from resperturb.measurement.reductions import Place, Shelf, other_squares, products, squared_distances, squares, totals


@dataclass
class Row:
    """Where the scalars of one addition in one batch are kept: places of [samples x (tokens or channels)] numbers."""

    block: int
    name: str
    kind: str
    dtype: torch.dtype
    state_factor: float
    factor: float
    xx: Place  # ‖x‖²
    ff: Place  # ‖f‖²
    xf: Place  # x · f
    total: Place  # ‖sum‖², of what the model went on with
    one: Place  # ‖sum - (x + f)‖² and ‖sum‖² of one sample, number by number
    moved: Place | None = None  # ‖x_next - x‖²; None: x_next is the sum itself
    after: Place | None = None  # ‖x_next‖²
    successive: Place | None = None  # f · f of the identity addition before, in the same section
    previous: Place | None = None  # ‖f‖² of that one


@dataclass
class Open:
    """An addition whose next state is still to come."""

    row: Row
    state: Tensor | None
    shape: torch.Size
    result: int = -1  # the value of its sum
    steps: int = 1 << 30  # operations between the sum and the best next state so far
    activated: tuple[int, Place, Place] | None = None  # value, ‖x_next - x‖², ‖x_next‖² after its activation
    let_go: bool = False  # the state is gone because nothing can need it any more
    used: bool = False  # the sum itself goes on, so an activation of it is part of a branch


class StateGoneError(Exception):
    """A state is needed that was not kept; the batch must be run once more with `keep_states`."""


@dataclass
class Recorder:
    """Observer of one forward pass: reduces each addition to scalars per sample."""

    samples: int
    per_token: bool
    per_channel: bool
    successive: bool  # also compare each perturbation with the one before
    probe: int  # the sample whose sum is compared number by number
    place: Callable[[], str]  # path of the innermost module that runs now
    selected: Callable[[int, str], bool]
    shelf: Shelf
    keep_states: bool = False
    rows: list[Row] = field(default_factory=list)
    sections: list[int] = field(default_factory=list)  # of the rows
    blocks: int = 0
    additions: int = 0
    sequence_first: bool = False
    _section: int = 0
    _shape: torch.Size | None = None
    _open: dict[int, Open] = field(default_factory=dict)
    _now: tuple[Row, Tensor] | None = None  # the row that waits for its sum, and the sum expected of the probe
    # Shapes whose last sum was the next state as it stood. Their next one is taken to be so too and its state let go:
    # keeping it would push what the model computes with out of the cache.
    _direct: set[torch.Size] = field(default_factory=set)
    _last: tuple[Row, Tensor] | None = None  # the identity addition before, and its perturbation

    def _axis(self, shape: torch.Size) -> int:
        if len(shape) == 3 and shape[1] == self.samples and (self.sequence_first or shape[0] != self.samples):
            return 1
        if shape[0] % self.samples == 0:  # more: windows or frames folded into the batch
            return 0
        raise MeasurementError(
            f"The addition in {self.place()} joins tensors of shape {tuple(shape)}, where no dimension holds"
            f" the batch's {self.samples} samples; pass batches with the samples in the first dimension."
        )

    def _flat(self, tensor: Tensor, like: Tensor) -> Tensor:
        """A tensor as [samples (x tokens or channels), numbers] in `like`'s memory order: no layout needs a copy."""
        wide = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
        shape, axis = like.shape, self._axis(like.shape)
        apart = (self.per_token and like.dim() == 3) or (self.per_channel and like.dim() == 4)
        if axis == 0 and not apart and like.is_contiguous() and wide.is_contiguous():
            return wide.view(self.samples, -1)
        rest = [d for d in range(like.dim()) if d != axis]
        order = [axis, *(rest if apart else sorted(rest, key=like.stride, reverse=True))]
        rows = self.samples * (shape[rest[0]] if apart else 1)
        return wide.permute(order).reshape(rows, -1)

    def _probed(self, x: Tensor) -> Tensor:
        each = len(x) // self.samples
        return x[self.probe * each : (self.probe + 1) * each]

    def _sums(self, x: Tensor, y: Tensor, *sums: Callable[[Tensor, Tensor], Tensor]) -> list[Place]:
        return [self.shelf.keep(total) for total in totals(x, y, *sums)]

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
        name = self.place()
        if not self.selected(block, name):
            return
        ff, xf, *new = self._sums(x, f, other_squares, products, *([squares] if known is None else []))
        xx = new[0] if known is None else known
        dtype = torch.promote_types(state.dtype, addition.perturbation.dtype)
        row = Row(block, name, addition.kind, dtype, a, b, xx, ff, xf, xx, xx)
        self.rows.append(row)
        if self.successive:
            self._compare(row, addition)
        self.sections.append(self._section)
        kept = None
        if self.keep_states or state.shape not in self._direct:
            kept = state.clone() if addition.overwrites is state else state
        self._open[addition.index] = Open(row, kept, state.shape)
        x_probe, f_probe = self._probed(x), self._probed(f)
        self._now = row, torch.add(x_probe if a == 1 else a * x_probe, f_probe, alpha=b)

    def _compare(self, row: Row, addition: Addition) -> None:
        """Take f · f of the identity addition before, where that is of this section."""
        if addition.kind != "identity":
            self._last = None
            return
        perturbation = addition.perturbation
        if self._last is not None and self._last[1].shape == perturbation.shape:
            last, other = self._last
            flat = self._flat(perturbation, addition.state), self._flat(other, addition.state)
            (row.successive,) = self._sums(*flat, products)
            row.previous = last.ff
        self._last = row, perturbation.clone() if addition.overwrites is perturbation else perturbation

    def after(self, addition: Addition, result: Tensor, value: int) -> None:
        if self._now is None:
            return
        (row, expected), self._now = self._now, None
        out = self._flat(result, result if addition.overwrites is not None else addition.state)
        (row.total,) = self._sums(out, out, squares)
        probe = self._probed(self._flat(result, addition.state)).reshape(1, -1)
        row.one = self.shelf.keep(torch.cat(totals(expected.reshape(1, -1), probe, squared_distances, other_squares)))
        self._open[addition.index].result = value

    def _continue(self, addition: Addition, x: Tensor) -> Place | None:
        """Take this addition's state as the next state of the one it follows; returns its ‖x‖² where that is known."""
        index, steps = addition.follows or (-1, 0)
        opened = self._open.get(index)
        if opened is None or opened.shape != addition.state.shape:
            return None
        row = opened.row
        known = None
        if addition.value == opened.result:
            known, moved = row.total, None
            if opened.activated is None:
                self._direct.add(opened.shape)
        elif opened.activated is not None and opened.activated[0] == addition.value:
            _, moved, known = opened.activated
        elif opened.state is not None and steps < opened.steps:
            known, moved = self._sums(x, self._flat(opened.state, addition.state), squares, squared_distances)
        elif opened.state is None and steps < opened.steps and not opened.let_go:
            raise StateGoneError
        else:
            return None
        if steps < opened.steps:
            opened.steps, row.moved, row.after = steps, moved, known
        if addition.final:
            del self._open[index]
        return known

    def activated(self, index: int, result: Tensor, value: int, final: bool) -> None:
        opened = self._open.get(index)
        if opened is None or opened.activated is not None or opened.shape != result.shape:
            return
        if opened.state is None:
            raise StateGoneError
        states = self._flat(result, result), self._flat(opened.state, result)
        moved, after = self._sums(*states, squared_distances, squares)
        opened.activated = value, moved, after
        if opened.steps > 1 and not opened.used:  # holds until an addition shows which state it takes
            opened.row.moved, opened.row.after = moved, after
        if final:
            opened.state, opened.let_go = None, True

    def used(self, index: int) -> None:
        opened = self._open.get(index)
        if opened is not None and not opened.used:
            opened.used = True
            if opened.steps > 1 and opened.activated is not None:
                opened.row.moved = opened.row.after = None

    def overwriting(self, tensor: Tensor) -> None:
        if tensor.layout is not torch.strided:
            return
        place = tensor.untyped_storage()._cdata
        for opened in self._open.values():
            if opened.state is not None and opened.state.untyped_storage()._cdata == place:
                opened.state = opened.state.clone()
        if self._last is not None and self._last[1].untyped_storage()._cdata == place:
            self._last = self._last[0], self._last[1].clone()

    def ended(self, index: int) -> None:
        self._open.pop(index, None)
