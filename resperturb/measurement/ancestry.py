"""Graph of ancestors: the values that every tensor was computed from while a model runs.

A :class:`Node` is a value that depends on the model's input: the contents of a region of memory, not a Python object.
Keys are storages, so views, chunks and in-place operations need no special cases. A weak reference to each storage
keeps its address from being reused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

# ----------------------------------------------------------------------------------------------- operations

_WEIGHTED = re.compile(
    r"_?(\w+_)?q?conv(olution|_transpose)?(\d?d)?(_\w+)?|(\w*_)?(add|b|addb|baddb)?mm(_\w+)?|(add)?mv|dot"
    r"|(\w*_)?q?(matmul|linear)(_\w+)?|\w*attention\w*|\w*(rnn|lstm|gru)(_\w+)?|_fused_\w+dot_product\w*"
)
_LINEAR = re.compile(
    r"\w*conv(olution|\d?d)?\w*|(add|b|addb|baddb)?mm|_weight_\w+_mm|matmul|linear(_dynamic\w*)?"
    r"|\w*(batch|layer|group|instance|rms)_norm\w*|\w*(avg|max)_pool\w*"
    r"|\w*_pad\w*|upsample_\w+|pixel_(un)?shuffle|add|sub|rsub|mul|div|neg|mean|sum|cat|stack|index|index_select|gather|roll"
    r"|flip|slice_scatter|clone|_to_copy|copy|_fft_\w+"
)
_COMBINES = re.compile(r"add|sub|rsub|cat|stack")
_COPY = re.compile(r"clone|_to_copy|copy|\w+_copy|contiguous")
_ACTIVATION = re.compile(
    r"\w*relu\w*|gelu|silu|mish|(hard)?swish|hardswish|elu|celu|selu|tanh|sigmoid|softplus|hardtanh|clamp\w*"
)
_FRESH = re.compile(r"\w+_like|new_\w+")
_FILL = re.compile(r"fill|zero|normal|uniform|bernoulli|exponential|resize|set")


@dataclass(frozen=True)
class Operation:
    """The traits of an ATen operation that matter for ancestry."""

    addition: bool
    weighted: bool
    linear: bool  # in its only tracked operand
    combines: bool  # whether it is linear in all its operands together
    copies: bool
    activation: bool
    fills: bool
    fresh: bool  # whether it takes the shape of its operand and no value
    view: bool
    lists: bool  # whether an argument can be a list of tensors
    writes: tuple[int | str, ...]  # positions, or names of keyword arguments, that are written to


@cache
def operation(func: Any) -> Operation:
    """Classify an ATen overload by its name and schema."""
    schema = func._schema
    base = schema.name.split("::")[-1]
    name = base if base.startswith("__") else base.rstrip("_")
    writes: list[int | str] = []
    if "batch_norm" not in name:  # its running statistics are no part of the stream
        for position, argument in enumerate(schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                writes.append(argument.name if argument.kwarg_only else position)
    aliases = [r.alias_info for r in schema.returns if r.alias_info is not None]

    def named(pattern: re.Pattern[str]) -> bool:
        return pattern.fullmatch(name) is not None

    return Operation(
        addition=name == "add" and schema.name.startswith("aten::"),  # not sub, which stands in gates: n + z (h - n)
        weighted=named(_WEIGHTED) and not name.startswith(("linalg", "upsample")),
        linear=named(_LINEAR),
        combines=named(_COMBINES),
        copies=named(_COPY),
        activation=named(_ACTIVATION),
        fills=named(_FILL) and bool(writes),
        fresh=named(_FRESH),
        view=bool(aliases) and not any(a.is_write for a in aliases),
        lists=any(re.search(r"List\[.*Tensor", str(argument.type)) for argument in schema.arguments),
        writes=tuple(writes),
    )


def tensors_in(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)) and value and not isinstance(value[0], int):  # no sizes, no strides
            found += tensors_in(value)
    return found


# ----------------------------------------------------------------------------------------------- memory

Region = tuple[int, tuple[tuple[int, int], ...]]  # offset; (stride, size) by decreasing stride


def region_of(tensor: Tensor) -> Region:
    """Return the elements of a storage that a tensor covers, equal for all views of the same elements."""
    dims: list[tuple[int, int]] = []
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True), reverse=True):
        if size == 1 or stride == 0:
            continue
        if dims and dims[-1][0] == stride * size:  # the outer dimension continues this one
            dims[-1] = (stride, size * dims[-1][1])
        else:
            dims.append((stride, size))
    return int(tensor.storage_offset()), tuple(dims)


def overlaps(first: Region, second: Region) -> bool:
    """Whether two regions of one storage may share an element; exact for chunks of one tensor."""
    if first[0] > second[0]:
        first, second = second, first
    distance = second[0] - first[0]
    if [stride for stride, _ in first[1]] == [stride for stride, _ in second[1]]:
        for stride, size in first[1]:
            steps, distance = divmod(distance, stride)
            if steps >= size:
                return False
        return distance == 0
    return distance <= sum(stride * (size - 1) for stride, size in first[1])


class Node:
    """A value and the values it was computed from."""

    __slots__ = ("linear", "order", "parents", "piece", "stream", "summed", "weighted")

    def __init__(
        self, order: int, parents: tuple[Node, ...] = (), weighted: bool = False, linear: bool = False
    ) -> None:
        self.order = order  # parents have smaller ones, which bounds every search
        self.parents = parents
        self.weighted = weighted
        self.linear = linear  # in all its parents together
        self.piece = False  # whether it is a part of its parents' memory, such as a chunk
        self.stream: tuple[int, int] | None = None  # (residual addition it continues, operations since)
        self.summed: Node | None = None  # the state of a residual sum


class _Memory:
    """The values in one storage and their regions."""

    def __init__(self, weak: StorageWeakRef) -> None:
        self.weak = weak
        self.whole: Node | None = None
        self.writes: list[tuple[Region, Node]] = []  # since `whole`, latest last
        self.pieces: dict[Region, Node] = {}


class Lineage:
    """Map from tensors to the nodes of their present values."""

    def __init__(self) -> None:
        self._clock = count()
        self._memory: dict[int, _Memory] = {}
        self._sweep_at = 32
        self._holders: dict[int, list[StorageWeakRef]] = {}
        self.integers = self.node()  # all integers share one root, since indices carry no stream

    def node(self, parents: tuple[Node, ...] = (), weighted: bool = False, linear: bool = False) -> Node:
        return Node(next(self._clock), parents, weighted, linear)

    def tracks(self, tensor: Tensor) -> bool:
        return tensor.layout is torch.strided and tensor.untyped_storage()._cdata in self._memory

    def read(self, tensor: Tensor) -> Node | None:
        """Return the node of a tensor's value; None if the value does not depend on the model's input."""
        if tensor.layout is not torch.strided:
            return None
        storage = tensor.untyped_storage()
        memory = self._memory.get(storage._cdata)
        if memory is None:
            return None
        if memory.whole is not None and not memory.writes and tensor.nbytes == storage.nbytes():
            return memory.whole
        region = region_of(tensor)
        if region in memory.pieces:
            return memory.pieces[region]
        parts: list[Node] = []
        for written, node in reversed(memory.writes):
            if written == region:
                if not parts:
                    return node
                parts.append(node)
                break
            if overlaps(written, region):
                parts.append(node)
        else:
            if memory.whole is not None:
                parts.append(memory.whole)
        if not parts:
            return None
        if parts[0] is self.integers:
            return self.integers
        piece = self.node(tuple(dict.fromkeys(parts)), linear=True)
        piece.piece = True
        memory.pieces[region] = piece
        return piece

    def write(self, tensor: Tensor, node: Node) -> None:
        """Record that a tensor's memory now holds the value `node`."""
        if tensor.layout is not torch.strided:
            return
        storage = tensor.untyped_storage()
        memory = self._memory.get(storage._cdata)
        if memory is None:
            if len(self._memory) >= self._sweep_at:  # also frees the addresses of dead storages
                self._memory = {key: m for key, m in self._memory.items() if not m.weak.expired()}
                self._sweep_at = max(32, 2 * len(self._memory))
            memory = self._memory[storage._cdata] = _Memory(StorageWeakRef(storage))
        if tensor.nbytes == storage.nbytes():
            memory.whole, memory.writes, memory.pieces = node, [], {}
        else:
            region = region_of(tensor)
            memory.writes = [(r, n) for r, n in memory.writes if r != region] + [(region, node)]
            memory.pieces = {r: n for r, n in memory.pieces.items() if not overlaps(r, region)}
        if node.stream is not None:
            self._holders.setdefault(node.stream[0], []).append(memory.weak)

    def holds(self, weak: StorageWeakRef, node: Node) -> bool:
        """Whether a storage still exists and holds this value."""
        memory = self._memory.get(weak.cdata)
        if memory is None or weak.expired():
            return False
        return memory.whole is node or any(n is node for _, n in memory.writes)

    def alive(self, index: int) -> bool:
        """Whether any tensor still holds the stream after residual addition `index`."""
        holders = self._holders.get(index, [])
        while holders and holders[-1].expired():
            holders.pop()
        if any(not weak.expired() for weak in holders):
            return True
        self._holders.pop(index, None)
        return False
