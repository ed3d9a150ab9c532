"""Forward passes under observation that leave the model unchanged, and checks for models that hide their additions."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resperturb.errors import MeasurementError
from resperturb.measurement.additions import Addition, AdditionFinder
from resperturb.measurement.recorder import AmbiguousAxisError, Recorder, StateReleasedError
from resperturb.measurement.reductions import ScalarBuffer

DYNAMO = "torch._dynamo.eval_frame"  # its import takes seconds; nothing is compiled before
WRAPPERS = {"_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"}
"""Names under which wrappers of torch.compile, activation checkpointing and FSDP hold a module."""


def module_paths(model: Any) -> dict[nn.Module, str]:
    """Map every module to its path without wrappers, the model to its class name; refuse what cannot be followed.

    The first module is the model; of a compiled or data-parallel model it is the original module.
    """
    if not isinstance(model, nn.Module):
        raise MeasurementError(
            f"model must be an eager torch.nn.Module, but got a {type(model).__name__}; pass the module that was"
            " compiled, scripted or exported."
        )
    compiled = getattr(sys.modules.get(DYNAMO), "OptimizedModule", ())
    while isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel, compiled)):
        model = model._orig_mod if isinstance(model, compiled) else model.module
    paths = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            how = "is a TorchScript module, which hides its additions"
        elif isinstance(module, torch.fx.GraphModule):
            how = "is an FX or exported graph, whose mode is fixed"
        elif isinstance(module, nn.DataParallel):
            how = "runs in threads of its own, which hides its additions"
        else:
            named = [part for part in path.split(".") if part not in WRAPPERS]
            paths[module] = ".".join(named) or type(model).__name__
            continue
        where = f"Module {path}" if path else "The model"
        raise MeasurementError(
            f"{where} ({type(module).__name__}) {how}; pass the original module with the same weights instead."
        )
    return paths


def has_initial_statistics(norm: _BatchNorm) -> bool:
    """Whether running statistics were never updated; also works for checkpoints without a count of updates."""
    if norm.running_mean is None or norm.running_var is None:
        return True
    counted = norm.num_batches_tracked is not None and bool(norm.num_batches_tracked != 0)
    return not counted and not bool(norm.running_mean.any()) and bool((norm.running_var == 1).all())


def write_count(tensor: Tensor) -> int | None:
    """Return the number of writes to a tensor; None if PyTorch does not count them."""
    return None if tensor.is_inference() else tensor._version


@contextmanager
def preserve_state(modules: Sequence[nn.Module], batch_statistics: bool) -> Iterator[None]:
    """Context in evaluation mode without gradients, which restores everything that a forward pass may change."""
    modes = [module.training for module in modules]
    norms = [m for m in modules if isinstance(m, _BatchNorm)] if batch_statistics else []
    tracks = [norm.track_running_stats for norm in norms]
    buffers = [(module, dict(module._buffers)) for module in modules if module._buffers]
    empty = [module for module in modules if not module._buffers]
    copies = [(b, b.detach().clone(), write_count(b)) for _, known in buffers for b in known.values() if b is not None]
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 (saved and restored, not used)
    fast = torch.backends.mha.get_fastpath_enabled()
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    held = chain(*(module._parameters.values() for module in modules), (b for b, _, _ in copies))
    types = {"cpu", *(t.device.type for t in held if t is not None)} - {"meta"}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        stack.enter_context(torch.inference_mode(False))  # tensors that a model caches must stay usable
        stack.enter_context(torch.no_grad())
        for kind in types:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if DYNAMO in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))  # what is compiled runs as it was written
        try:
            torch.backends.mha.set_fastpath_enabled(False)  # its fused operation hides the additions
            for module in modules:
                if module.training:  # setting an attribute of a module is slow
                    module.training = False  # not .eval(), which merges adapters in some modules
            for norm in norms:
                norm.training, norm.track_running_stats = True, False
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for module, mode in zip(modules, modes, strict=True):
                if module.training != mode:
                    module.training = mode
            for norm, tracked in zip(norms, tracks, strict=True):
                norm.track_running_stats = tracked
            for buffer, value, version in copies:
                if buffer.shape != value.shape:
                    buffer.data = value
                elif (version is None or buffer._version != version) and not torch.equal(buffer, value):
                    buffer.copy_(value)
            for module in empty:
                module._buffers.clear()
            for module, known in buffers:
                module._buffers.clear()
                module._buffers.update(known)
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


MODULE_CALL = nn.Module._call_impl.__code__  # runs whenever a module is called


def innermost_path(paths: Mapping[nn.Module, str]) -> str:
    """Return the path of the innermost running module, from the call stack, which costs less than hooks."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is MODULE_CALL and (path := paths.get(frame.f_locals["self"])) is not None:
            return path
        frame = frame.f_back  # type: ignore[assignment]
    return next(iter(paths.values()))


def record_forward(
    paths: Mapping[nn.Module, str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    samples: int,
    options: dict[str, Any],
) -> Recorder:
    """Run the model, which is the first of `paths`, on one batch and record its additions."""
    device = next(v.device for v in (*args, *kwargs.values()) if isinstance(v, Tensor))
    module_path: Callable[[], str] = partial(innermost_path, paths)
    keep_states, axes = False, None
    while True:
        buffer = ScalarBuffer(device)
        recorder = Recorder(
            samples, module_path=module_path, buffer=buffer, keep_states=keep_states, axes=axes, **options
        )
        try:
            run_under_observation(list(paths), args, kwargs, recorder)
            return recorder
        except StateReleasedError:
            keep_states = True
        except AmbiguousAxisError:
            axes = sample_axes(list(paths), args, kwargs, samples)


def run_under_observation(
    modules: Sequence[nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any], observer: Recorder | ShapeObserver
) -> None:
    """Run the first module once on a copy of its input, to which it may write; sequence-first attention tells the
    observer its first two sizes."""

    def before(module: nn.Module, inputs: Any) -> None:
        if inputs and inputs[0].dim() == 3:
            observer.on_attention(*inputs[0].shape[:2])

    args = tuple(value.clone() for value in args)
    kwargs = {name: value.clone() if isinstance(value, Tensor) else value for name, value in kwargs.items()}
    attentions = [m for m in modules if isinstance(m, nn.MultiheadAttention) and not m.batch_first]
    hooks = [attention.register_forward_pre_hook(before) for attention in attentions]
    try:
        with AdditionFinder(observer, [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]):
            modules[0](*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()


class ShapeObserver:
    """Observer that notes the shape of each state, and the first sizes in sequence-first attention."""

    def __init__(self) -> None:
        self.shapes: list[torch.Size] = []
        self.attention: tuple[int, int] | None = None

    def before_addition(self, addition: Addition) -> None:
        self.shapes.append(addition.state.shape)

    def on_attention(self, steps: int, batch: int) -> None:
        self.attention = self.attention or (steps, batch)

    def ignore(self, *_: Any, **__: Any) -> Any: ...

    after_addition = on_activation = on_use = on_stream_end = on_left_out = before_write = module_path = ignore


def sample_axes(
    modules: Sequence[nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any], samples: int
) -> dict[torch.Size, int]:
    """Find the dimension of samples in states by a second pass over a batch that is shorter by one.

    The dimension that shrinks is the first of the model's input: samples, or steps where it shrinks those of
    sequence-first attention. Shapes that are found with both dimensions are left out.
    """

    def shorter(value: Any) -> Any:
        return value[:-1] if isinstance(value, Tensor) and value.dim() and len(value) == samples else value

    whole, less = ShapeObserver(), ShapeObserver()
    run_under_observation(modules, args, kwargs, whole)
    try:
        fewer = tuple(map(shorter, args)), {name: shorter(value) for name, value in kwargs.items()}
        run_under_observation(modules, *fewer, less)
    except Exception as error:
        raise MeasurementError(
            f"A batch of {samples} samples has as many tokens as samples, so the dimension of samples is unclear, and"
            f" the model refuses a smaller batch ({type(error).__name__}: {error}); pass batches of another size."
        ) from error
    steps_first = whole.attention is not None and less.attention is not None and whole.attention[0] > less.attention[0]
    found: dict[torch.Size, set[int]] = {}
    for shape, cut in zip(whole.shapes, less.shapes, strict=False):
        shrunk = [axis for axis in range(min(len(shape), len(cut))) if shape[axis] != cut[axis]]
        if len(shape) == 3 and shrunk in ([0], [1]):
            found.setdefault(shape, set()).add(1 - shrunk[0] if steps_first else shrunk[0])
    return {shape: axes.pop() for shape, axes in found.items() if len(axes) == 1}


def model_inputs(
    batch: Any, device: torch.device | None, model_device: torch.device | None
) -> tuple[tuple[Any, ...], dict[str, Any], int]:
    """Return positional arguments, keyword arguments and number of samples of one batch, moved to `device`."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    if isinstance(batch, (tuple, list)) and batch:
        batch = batch[0]  # (input, label)
    if isinstance(batch, Tensor):
        args, kwargs = (batch,), {}
    elif isinstance(batch, Mapping):
        args, kwargs = (), dict(batch)
    else:
        raise MeasurementError(
            "A batch must be a tensor, a (tensor, label) pair or a dict of keyword arguments, but got a"
            f" {type(batch).__name__}."
        )
    if device is not None:
        args = tuple(value.to(device) for value in args)
        kwargs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in kwargs.items()}
    tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
    if not any(tensor.dim() for tensor in tensors):
        raise MeasurementError("A batch has no tensor with a dimension of samples; put samples first.")
    for tensor in tensors:
        if model_device is not None and tensor.device != model_device:
            raise MeasurementError(
                f"The model is on {model_device}, but a batch is on {tensor.device}; pass device={str(model_device)!r}"
                " to move the batches, or move the model."
            )
    samples = number_of_samples(tensors)
    if samples == 0:
        raise MeasurementError(
            "A batch has 0 samples, but needs at least one; check drop_last or the filter of your data."
        )
    return args, kwargs, samples


def number_of_samples(tensors: Sequence[Tensor]) -> int:
    """Return the first size of the first tensor; sizes of 1 and square masks, such as (steps, steps), do not count."""
    sizes = [len(tensor) for tensor in tensors if tensor.dim()]
    counted = [len(t) for t in tensors if t.dim() and len(t) != 1 and not (t.dim() == 2 and t.shape[0] == t.shape[1])]
    return (counted or sizes)[0]
