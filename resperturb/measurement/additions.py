"""Residual additions of any eager PyTorch model, found by ancestry and not by names of modules.

A dispatch mode sees every tensor operation below autograd and builds a graph: one `Node` for each value that depends on
the model's input, with the values it was computed from. An addition of two tensors of one shape is

- an **identity** addition if one operand, the perturbation f, was computed from the other, the state x, along a path
  with a weighted linear operation (convolution, matrix product, attention). In `(x + a(x)) + b(x)` the state of the
  second addition is `x + a(x)`;
- a **transition** if both operands come from a common tensor, one of them (the state) by linear operations alone
  (projection, pooling, padding, normalisation), the other by a path with weights and a nonlinearity.

Other additions are not residual. `x + 0.0447 x**3` and rotary embeddings have no weights on the path, and those of the
blocks before x are not on it; position
embeddings and masks do not depend on the input; `q + k` and low-rank adapters are sums of linear maps; the carried part
`(1 - t) * x` of a highway gate is not linear in x.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from resperturb.errors import MeasurementError
from resperturb.measurement.ancestry import Lineage, Node, Operation, operation, tensors_in

Kind = Literal["identity", "transition"]


def depends_through_weights(node: Node, targets: set[Node], barrier: Collection[Node] = ()) -> bool:
    """Whether `node` was computed from any of `targets` along a path with a weighted linear operation.

    A path ends at the first target, and passes no value of `barrier`.
    """
    oldest = min(target.order for target in targets)
    heap = [(-node.order, node)]
    weighted = {node: False}  # whether a path from the key to `node` has weights
    while heap:
        current = heapq.heappop(heap)[1]
        passed = weighted[current]
        if passed and current in targets:
            return True
        if current in targets or current in barrier:
            continue
        for parent in current.parents:
            if parent.order >= oldest:
                if parent not in weighted:
                    weighted[parent] = False
                    heapq.heappush(heap, (-parent.order, parent))
                weighted[parent] |= passed or current.weighted
    return False


def latest_common_ancestor(first: Node, second: Node) -> Node | None:
    """Return the latest value that both were computed from; None without one, or if they use different parts of it."""
    side = {first: 1, second: 2}
    children: dict[Node, list[Node]] = {}
    heap = [(-first.order, first), (-second.order, second)]
    heapq.heapify(heap)
    while heap:
        current = heapq.heappop(heap)[1]
        if side[current] == 3:
            below = children[current]
            return None if all(child.piece and side[child] != 3 for child in below) else current
        for parent in current.parents:
            if parent not in side:
                side[parent] = 0
                heapq.heappush(heap, (-parent.order, parent))
            side[parent] |= side[current]
            children.setdefault(parent, []).append(current)
    return None


def is_linear_in(node: Node, ancestor: Node) -> bool:
    """Whether `node` was computed from `ancestor` alone, by linear operations and sums of them."""
    waiting, seen = [node], {ancestor}
    while waiting:
        current = waiting.pop()
        if current not in seen:
            if not current.linear or current.order < ancestor.order:
                return False
            seen.add(current)
            waiting += current.parents
    return True


def _with_sources(node: Node) -> set[Node]:
    """Return a residual sum and the sums that it is a rounded copy of."""
    copies = {node}
    while node.summed is not None and len(node.parents) == 1 and node.parents[0].summed is node.summed:
        node = node.parents[0]
        copies.add(node)
    return copies


def _earlier_states(node: Node) -> set[Node]:
    """Return the states of the residual sums that `node` continues."""
    states: set[Node] = set()
    while node.summed is not None:
        node = node.summed
        states |= _with_sources(node)
    return states


def classify(a: Node, b: Node) -> tuple[Kind, bool] | None:
    """Return the kind of an addition of two values and whether `a` is the state; None if it is not residual."""
    if a is b:
        return None
    a_older = a.order < b.order
    older, younger = (a, b) if a_older else (b, a)
    if depends_through_weights(younger, {older}):
        return "identity", a_older
    for state, other, a_is_state in ((older, younger, a_older), (younger, older, not a_older)):
        earlier = _earlier_states(state)
        if earlier and depends_through_weights(other, earlier, _with_sources(state)):  # not by weights of the state
            return "identity", a_is_state
    ancestor = latest_common_ancestor(a, b)
    if ancestor is None or ancestor in (a, b):
        return None
    a_is_linear = is_linear_in(a, ancestor)
    if a_is_linear == is_linear_in(b, ancestor):
        return None
    return ("transition", a_is_linear) if depends_through_weights(b if a_is_linear else a, {ancestor}) else None


def rounds(given: Tensor, result: Tensor) -> bool:
    """Whether a copy may differ from its source, which has finer numbers."""
    if not (given.is_floating_point() and result.is_floating_point()):
        return given.is_complex() != result.is_complex()
    return torch.finfo(result.dtype).eps > torch.finfo(given.dtype).eps


def reason_left_out(a: Node, b: Node, alike: bool) -> str | None:
    """Say why an addition to a state has no row; None if neither operand was a state. `alike`: of one shape."""
    if not alike:
        return "the perturbation has another shape" if classify(a, b) else None
    ancestor = latest_common_ancestor(a, b)
    if ancestor in (a, b):
        return "the perturbation passes no convolution, matmul or attention"
    if ancestor is None or is_linear_in(a, ancestor) or is_linear_in(b, ancestor):
        return None
    weighted = any(depends_through_weights(node, {ancestor}) for node in (a, b))
    return "neither operand is a linear shortcut" if weighted else None


# ----------------------------------------------------------------------------------------------- the mode


@dataclass
class Addition:
    """A residual addition before it runs: `result = state_factor * state + factor * perturbation`."""

    index: int
    kind: Kind
    state: Tensor
    perturbation: Tensor
    state_factor: float
    factor: float
    value: int  # identifies the state's contents
    follows: tuple[int, int] | None  # (earlier addition of this stream, operations since)
    final: bool  # whether no state nearer to the sum of that addition can follow
    overwrites: Tensor | None  # the operand that the sum overwrites


class Observer(Protocol):
    """Callbacks of the finder. They must read tensors at once, since the model may overwrite them next."""

    @property
    def module_path(self) -> Callable[[], str]:
        """A function that returns the path of the innermost running module."""

    def on_left_out(self, name: str, reason: str) -> None:
        """A state is the sum of an addition in module `name` that has no row."""

    def before_addition(self, addition: Addition) -> None: ...

    def after_addition(self, addition: Addition, result: Tensor, value: int) -> None: ...

    def on_activation(self, index: int, result: Tensor, value: int, final: bool) -> None:
        """An activation was applied to the sum of addition `index`; `final` if the sum is gone."""

    def on_use(self, index: int) -> None:
        """An operation other than an activation read the sum of addition `index`."""

    def on_stream_end(self, index: int) -> None:
        """No tensor holds the stream after addition `index` any more."""

    def before_write(self, tensor: Tensor) -> None:
        """An operation is about to write to the memory of this tensor."""


class AdditionFinder(TorchDispatchMode):
    """Dispatch mode that reports every residual addition of one forward pass to an observer."""

    def __init__(self, observer: Observer, inputs: list[Tensor]) -> None:
        super().__init__()
        self.lineage = Lineage()
        self._observer = observer
        self._additions = 0
        self._state: Node | None = None
        self._operands: tuple[Node, Node, bool] | None = None  # of an addition without a row; of one shape?
        self._left_out: dict[Node, tuple[Node, Node, bool, str]] = {}  # the same and the module, by the sum
        self._sums: dict[int, tuple[StorageWeakRef, Node]] = {}  # the memory of each live stream's sum
        for tensor in inputs:
            floating = tensor.is_floating_point() or tensor.is_complex()
            self.lineage.write(tensor, self.lineage.node() if floating else self.lineage.integers)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import torch._dynamo, which takes seconds

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if types and any(kind.__name__ == "DTensor" for kind in types):
            raise MeasurementError(
                "The model computes with tensors that are split over processes (DTensor), whose additions cannot be"
                " followed; measure it without tensor parallelism."
            )
        kwargs = kwargs or {}
        op = operation(func)
        if op.view or op.fresh:
            return func(*args, **kwargs)  # no value of its own, or none that depends on the input
        lineage = self.lineage
        values = (*args, *kwargs.values()) if kwargs else args
        operands = tensors_in(values) if op.lists else [value for value in values if isinstance(value, Tensor)]
        read = [lineage.read(operand) for operand in operands]
        nodes = [node for node in read if node is not None]
        if not (nodes or op.writes):
            return func(*args, **kwargs)
        written = self._written(op, args, kwargs) if op.writes else []
        adds = op.addition and len(nodes) > 1 and torch._C._current_graph_task_id() < 0  # not of a backward pass
        addition = self._residual(args, kwargs, read, written) if adds else None
        if addition is not None:
            for index in [index for index in self._sums if not lineage.alive(index)]:
                del self._sums[index]
                self._observer.on_stream_end(index)
            self._observer.before_addition(addition)
        for tensor in written:
            self._observer.before_write(tensor)
        if not op.activation:
            for node in nodes:
                if node.stream is not None and node.stream[1] == 0:
                    self._observer.on_use(node.stream[0])

        result = func(*args, **kwargs)

        if not nodes:
            return result
        streams = [node for node in nodes if node is not lineage.integers]
        parents = () if op.fills else tuple(dict.fromkeys(streams))
        linear = op.linear and (len(streams) == 1 or (op.combines and len(streams) > 1))
        # sum([x, f]) starts with x + 0
        copies = op.copies or (op.addition and not isinstance(args[1], Tensor) and args[1] == 0 and not written)
        source = (1 if written else 0) if copies and len(operands) > len(written) else None
        for output in written or tensors_in((result,)):
            if not (output.is_floating_point() or output.is_complex()):
                lineage.write(output, lineage.integers)
                continue
            if not written and (output.numel() == 0 or lineage.tracks(output)):
                continue  # an unused output, or memory of an operand that the schema does not declare
            origin = read[source] if source is not None and operands[source].numel() == output.numel() else None
            if origin is None or origin is lineage.integers or source is None:
                node = lineage.node(parents, op.weighted, linear)
                if not op.weighted:
                    node.stream = self._continued(operands, read, output)
            elif not rounds(operands[source], output):
                node = origin  # the same value in other memory
            else:
                node = lineage.node((origin,), linear=True)
                node.summed = origin.summed
                node.stream = origin.stream and (origin.stream[0], origin.stream[1] + 1)
            if addition is not None:
                node.stream = (addition.index, 0)
                node.summed = self._state
                lineage.write(output, node)
                self._sums[addition.index] = (StorageWeakRef(output.untyped_storage()), node)
                self._observer.after_addition(addition, output, node.order)
            else:
                lineage.write(output, node)
                if adds and self._operands is not None:
                    self._left_out[node] = (*self._operands, self._observer.module_path())
                    self._operands = None
                if op.activation and node.stream is not None and node.stream[1] == 1:
                    index = node.stream[0]
                    self._observer.on_activation(index, output, node.order, final=not self._present(index))
        return result

    @staticmethod
    def _written(op: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
        return tensors_in([args[place] if isinstance(place, int) else kwargs.get(place) for place in op.writes])

    @staticmethod
    def _continued(operands: list[Tensor], nodes: list[Node | None], output: Tensor) -> tuple[int, int] | None:
        """Return the stream that an unweighted operation continues: the one of its operands of the output's size."""
        found = None
        for operand, node in zip(operands, nodes, strict=True):
            if node is not None and node.stream is not None and operand.numel() == output.numel():
                if found is not None and found != node.stream:
                    return None
                found = node.stream
        return None if found is None else (found[0], found[1] + 1)

    def _present(self, index: int) -> bool:
        """Whether the sum of an addition is still in memory."""
        weak, node = self._sums.get(index, (None, None))
        return weak is not None and node is not None and self.lineage.holds(weak, node)

    def _report_left_out(self, node: Node) -> None:
        """Report an addition that has no row and whose sum, or a function of it without weights, is a state."""
        while node not in self._left_out and len(node.parents) == 1 and not node.weighted:
            node = node.parents[0]
        if node in self._left_out:
            first, second, alike, name = self._left_out.pop(node)
            if reason := reason_left_out(first, second, alike):
                self._observer.on_left_out(name, reason)

    def _residual(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], read: list[Node | None], written: list[Tensor]
    ) -> Addition | None:
        self._operands = None
        left, right, *_ = args
        if not (isinstance(left, Tensor) and isinstance(right, Tensor)):
            return None
        if not (left.is_floating_point() and right.is_floating_point()) or left.dim() < 2:
            return None
        a, b, *_ = read
        if a is None or b is None:
            return None
        if left.shape != right.shape or (found := classify(a, b)) is None:
            self._operands = a, b, left.shape == right.shape
            return None
        kind, left_is_state = found
        alpha = float(kwargs.get("alpha", 1))
        node = a if left_is_state else b
        state_factor = 1.0 if left_is_state else alpha
        self._state = node
        if self._left_out:
            self._report_left_out(node)
        self._additions += 1
        return Addition(
            index=self._additions - 1,
            kind=kind if state_factor == 1 else "transition",  # a rescaled shortcut is no identity
            state=left if left_is_state else right,
            perturbation=right if left_is_state else left,
            state_factor=state_factor,
            factor=alpha if left_is_state else 1.0,
            value=node.order,
            follows=node.stream,
            final=node.stream is not None and (node.stream[1] == 0 or not self._present(node.stream[0])),
            overwrites=written[0] if written else None,
        )
