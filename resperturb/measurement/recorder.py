"""Recorder of one forward pass, which reduces each residual addition to scalars per sample as it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from resperturb.errors import MeasurementError
from resperturb.measurement.additions import Addition
from resperturb.measurement.reductions import (
    ScalarBuffer,
    other_squares,
    products,
    row_sums,
    squared_distances,
    squares,
)


@dataclass
class RecordedAddition:
    """One addition of a batch. Each slice of the buffer has samples x (tokens or channels) scalars."""

    block: int
    name: str
    kind: str
    dtype: torch.dtype
    state_factor: float
    factor: float
    xx: slice  # ‖x‖²
    ff: slice  # ‖f‖²
    xf: slice  # x · f
    total: slice  # ‖sum‖² of the model's sum
    probe: slice  # ‖sum - (x + f)‖² and ‖sum‖² of one sample
    step: slice | None = None  # ‖x_next - x‖²; None if x_next is the sum
    next_state: slice | None = None  # ‖x_next‖²
    successive: slice | None = None  # f · f of the previous identity addition in the section
    previous: slice | None = None  # ‖f‖² of the previous identity addition


@dataclass
class PendingAddition:
    """An addition that waits for its next state."""

    row: RecordedAddition
    state: Tensor | None
    shape: torch.Size
    expected: Tensor  # the sum of the probe
    value: int = -1  # of the sum
    distance: int = 1 << 30  # operations between the sum and the nearest next state so far
    activated: tuple[int, slice, slice] | None = None  # value, ‖x_next - x‖² and ‖x_next‖² after an activation
    used: bool = False  # whether another operation reads the sum; then its activation belongs to a branch


class StateReleasedError(Exception):
    """A released state is needed; run the batch again with `keep_states`."""


class AmbiguousAxisError(Exception):
    """A state's shape fits the samples in two ways; give `axes`."""


@dataclass
class Recorder:
    """Observer that reduces each addition of one forward pass to scalars per sample."""

    samples: int
    per_token: bool
    per_channel: bool
    successive: bool  # whether to compare each perturbation with the previous one
    probe: int  # the sample whose sum is compared number by number
    module_path: Callable[[], str]  # returns the path of the innermost running module
    buffer: ScalarBuffer
    keep_states: bool = False
    axes: Mapping[torch.Size, int] | None = None  # dimension of the samples in states whose shape does not tell it
    rows: list[RecordedAddition] = field(default_factory=list)
    sections: list[int] = field(default_factory=list)  # of the rows
    left_out: list[tuple[str, str]] = field(default_factory=list)  # module and reason
    blocks: int = 0
    sequence_first: bool = False  # whether samples come second in the model's input
    _section: int = 0
    _shape: torch.Size | None = None
    _pending: dict[int, PendingAddition] = field(default_factory=dict)
    # Shapes whose last sum was the next state without change. The recorder expects the same of the next sum and
    # releases the state: a state that it keeps would push the model's tensors out of the cache.
    _direct_shapes: set[torch.Size] = field(default_factory=set)
    _previous: tuple[RecordedAddition, Tensor] | None = None  # the previous identity addition and its perturbation

    def _sample_axis(self, shape: torch.Size) -> int:
        second = len(shape) == 3 and shape[1] == self.samples
        if second and (self.sequence_first or shape[0] % self.samples or self.samples == 1 < shape[0]):
            return 1
        if second and self.samples > 1:  # tokens or samples second: the shape does not tell
            if self.axes is None:
                raise AmbiguousAxisError
            if shape in self.axes:
                return self.axes[shape]
        elif shape[0] % self.samples == 0:  # a multiple if windows or frames are folded into the batch
            return 0
        raise MeasurementError(
            f"The addition in {self.module_path()} has tensors of shape {tuple(shape)}, where no dimension or two fit"
            f" the batch's {self.samples} samples; pass batches of another size, with samples in the first dimension."
        )

    def _flatten(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Return a tensor as (samples x (tokens or channels), numbers) in the memory order of `like`."""
        wide = tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
        shape, axis = like.shape, self._sample_axis(like.shape)
        apart = (self.per_token and like.dim() == 3) or (self.per_channel and like.dim() == 4)
        if axis == 0 and not apart and like.is_contiguous() and wide.is_contiguous():
            return wide.view(self.samples, -1)
        rest = [d for d in range(like.dim()) if d != axis]
        order = [axis, *(rest if apart else sorted(rest, key=like.stride, reverse=True))]
        rows = self.samples * (shape[rest[0]] if apart else 1)
        return wide.permute(order).reshape(rows, -1)

    def _probe_rows(self, x: Tensor) -> Tensor:
        each = x.shape[0] // self.samples
        return x[self.probe * each : (self.probe + 1) * each]

    def _reduce(self, x: Tensor, y: Tensor, *sums: Callable[[Tensor, Tensor], Tensor]) -> list[slice]:
        place, rows = self.buffer.append(row_sums(x, y, *sums)), x.shape[0]
        return [slice(start, start + rows) for start in range(place.start, place.stop, rows)]

    def before_addition(self, addition: Addition) -> None:
        state, a, b = addition.state, addition.state_factor, addition.factor
        x, f = self._flatten(state, state), self._flatten(addition.perturbation, state)
        known = self._record_next_state(addition, x)
        identity = addition.kind == "identity"
        shape = state.shape[:1] + state.shape[2:] if self._sample_axis(state.shape) else state.shape[1:]
        self._section += not identity or shape != self._shape
        self._shape = shape
        self.blocks += identity
        ff, xf, *new = self._reduce(x, f, other_squares, products, *([squares] if known is None else []))
        xx = new[0] if known is None else known
        block, name = self.blocks if identity else 0, self.module_path()
        row = RecordedAddition(block, name, addition.kind, state.dtype, a, b, xx, ff, xf, xx, xx)
        self.rows.append(row)
        if self.successive:
            self._compare_with_previous(row, addition)
        self.sections.append(self._section)
        kept = None
        if self.keep_states or state.shape not in self._direct_shapes:
            kept = state.clone() if addition.overwrites is state else state
        x_probe, f_probe = self._probe_rows(x), self._probe_rows(f)
        expected = torch.add(x_probe if a == 1 else a * x_probe, f_probe, alpha=b)
        self._pending[addition.index] = PendingAddition(row, kept, state.shape, expected)

    def _compare_with_previous(self, row: RecordedAddition, addition: Addition) -> None:
        """Record f · f of the previous identity addition if it is in the same section."""
        if addition.kind != "identity":
            self._previous = None
            return
        perturbation = addition.perturbation
        if self._previous is not None and self._previous[1].shape == perturbation.shape:
            previous, other = self._previous
            flat = self._flatten(perturbation, addition.state), self._flatten(other, addition.state)
            (row.successive,) = self._reduce(*flat, products)
            row.previous = previous.ff
        self._previous = row, perturbation.clone() if addition.overwrites is perturbation else perturbation

    def after_addition(self, addition: Addition, result: Tensor, value: int) -> None:
        pending = self._pending[addition.index]
        row, expected = pending.row, pending.expected
        ordered = self._flatten(result, addition.state)  # the numbers of a sample in the order of `expected`
        out = ordered if addition.overwrites is None else self._flatten(result, result)
        row.dtype = result.dtype
        (row.total,) = self._reduce(out, out, squares)
        probe = self._probe_rows(ordered).reshape(1, -1)
        row.probe = self.buffer.append(row_sums(expected.reshape(1, -1), probe, squared_distances, other_squares))
        pending.value = value

    def _record_next_state(self, addition: Addition, x: Tensor) -> slice | None:
        """Record this addition's state as the next state of the addition it follows; return its ‖x‖² if known."""
        index, distance = addition.follows or (-1, 0)
        pending = self._pending.get(index)
        if pending is None or pending.shape != addition.state.shape:
            return None
        row = pending.row
        known = None
        if addition.value == pending.value:
            known, step = row.total, None
            if pending.activated is None:
                self._direct_shapes.add(pending.shape)
        elif pending.activated is not None and pending.activated[0] == addition.value:
            _, step, known = pending.activated
        elif pending.state is not None and distance < pending.distance:
            known, step = self._reduce(x, self._flatten(pending.state, addition.state), squares, squared_distances)
        elif pending.state is None and distance < pending.distance:
            raise StateReleasedError
        else:
            return None
        if distance < pending.distance:
            pending.distance, row.step, row.next_state = distance, step, known
        if addition.final:
            del self._pending[index]
        return known

    def on_activation(self, index: int, result: Tensor, value: int, final: bool) -> None:
        pending = self._pending.get(index)
        if pending is None or pending.activated is not None or pending.shape != result.shape:
            return
        if pending.state is None:
            raise StateReleasedError
        states = self._flatten(result, result), self._flatten(pending.state, result)
        step, squared = self._reduce(*states, squared_distances, squares)
        pending.activated = value, step, squared
        if pending.distance > 1 and not pending.used:  # until an addition shows its state
            pending.row.step, pending.row.next_state = step, squared
        if final and not self.keep_states:
            pending.state = None

    def on_use(self, index: int) -> None:
        pending = self._pending.get(index)
        if pending is not None and not pending.used:
            pending.used = True
            if pending.distance > 1 and pending.activated is not None:
                pending.row.step = pending.row.next_state = None

    def before_write(self, tensor: Tensor) -> None:
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()._cdata
        for pending in self._pending.values():
            if pending.state is not None and pending.state.untyped_storage()._cdata == storage:
                pending.state = pending.state.clone()
        if self._previous is not None and self._previous[1].untyped_storage()._cdata == storage:
            self._previous = self._previous[0], self._previous[1].clone()

    def on_attention(self, steps: int, batch: int) -> None:
        """Sequence-first attention runs on inputs of these first sizes."""
        if steps == self.samples != batch and not self.rows:
            self.samples, self.sequence_first, self.probe = batch, True, self.probe % batch

    def on_left_out(self, name: str, reason: str) -> None:
        self.left_out.append((name, reason))

    def on_stream_end(self, index: int) -> None:
        self._pending.pop(index, None)
