"""The model that is measured: refused where its additions are hidden, run under observation, left as it was."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from resperturb.additions import AdditionFinder
from resperturb.errors import MeasurementError
from resperturb.recorder import Recorder


def refuse_hidden(model: Any) -> None:
    if not isinstance(model, nn.Module):
        raise MeasurementError(
            f"model is a {type(model).__name__}, but must be an eager torch.nn.Module; pass the module that was"
            " compiled, scripted or exported."
        )
    dynamo = sys.modules.get("torch._dynamo.eval_frame")  # importing it costs seconds, and nobody compiled without it
    compiled = getattr(dynamo, "OptimizedModule", ())
    for name, module in model.named_modules():
        where = f"module {name}" if name else "the model"
        kind = type(module).__name__
        if (
            isinstance(module, compiled)
            or getattr(module, "_compiled_call_impl", None) is not None
            or hasattr(module.forward, "_torchdynamo_orig_callable")
        ):
            how = "is compiled by torch.compile"
        elif isinstance(module, torch.jit.ScriptModule):
            how = "is a TorchScript module"
        elif isinstance(module, torch.fx.GraphModule):
            how = "is an FX or exported graph"
        elif isinstance(module, nn.DataParallel):
            how = "runs in threads of its own"
        else:
            continue
        raise MeasurementError(
            f"{where[0].upper()}{where[1:]} ({kind}) {how}, which hides its additions and their places; pass the"
            " original module (with the same weights) instead."
        )


def never_updated(norm: _BatchNorm) -> bool:
    """num_batches_tracked alone does not tell: old checkpoints have trained statistics and no count."""
    if norm.running_mean is None or norm.running_var is None:
        return True
    counted = norm.num_batches_tracked is not None and bool(norm.num_batches_tracked != 0)
    return not counted and not bool(norm.running_mean.any()) and bool((norm.running_var == 1).all())


@contextmanager
def unchanged(model: nn.Module, batch_statistics: bool) -> Iterator[None]:
    """Evaluation mode without gradients; everything that a forward pass might change is put back."""
    modules = list(model.modules())
    modes = [module.training for module in modules]
    norms = [m for m in modules if isinstance(m, _BatchNorm)] if batch_statistics else []
    tracks = [norm.track_running_stats for norm in norms]
    buffers = [dict(module._buffers) for module in modules]
    copies = [{k: b.detach().clone() for k, b in known.items() if b is not None} for known in buffers]
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 (the state of others is kept, not used)
    fast = torch.backends.mha.get_fastpath_enabled()
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    types = {"cpu", *(t.device.type for t in chain(model.parameters(), model.buffers()))} - {"meta"}
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=cuda))
        stack.enter_context(torch.inference_mode(False))  # what a model caches in its forward must stay usable
        stack.enter_context(torch.no_grad())
        for kind in types:
            stack.enter_context(torch.autocast(kind, enabled=False))
        try:
            torch.backends.mha.set_fastpath_enabled(False)  # its one fused operation hides the additions
            for module in modules:
                module.training = False  # not .eval(): some modules act on it, such as merging adapters
            for norm in norms:
                norm.training, norm.track_running_stats = True, False
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
            for module, mode in zip(modules, modes, strict=True):
                module.training = mode
            for norm, tracked in zip(norms, tracks, strict=True):
                norm.track_running_stats = tracked
            for module, known, copied in zip(modules, buffers, copies, strict=True):
                for name, value in copied.items():
                    if not torch.equal(known[name], value):  # type: ignore[arg-type]
                        known[name].copy_(value)  # type: ignore[union-attr]
                module._buffers.clear()
                module._buffers.update(known)
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def forward(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], recorder: Recorder) -> None:
    """One forward pass under observation."""
    paths = {id(module): name or type(model).__name__ for name, module in model.named_modules()}
    names = recorder.names

    def enter(module: nn.Module, inputs: Any) -> None:
        names.append(paths.get(id(module), names[-1]))
        if isinstance(module, nn.MultiheadAttention) and not module.batch_first and inputs and inputs[0].dim() == 3:
            steps, batch = inputs[0].shape[:2]
            if steps == recorder.samples and not recorder.additions:
                recorder.samples = batch  # the model's input has its samples second
                recorder.probe %= batch
            recorder.sequence_first = batch == recorder.samples

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        names.pop()

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
    try:
        with AdditionFinder(recorder, [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]):
            model(*args, **kwargs)
    finally:
        for hook in hooks:
            hook.remove()


def inputs_of(
    batch: Any, device: torch.device | None, home: torch.device | None
) -> tuple[tuple[Any, ...], dict[str, Any], int]:
    """(positional arguments, keyword arguments, samples) of one batch."""
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
            f"A batch is a {type(batch).__name__}; give tensors, (tensor, label) pairs, or dicts of keyword arguments."
        )
    if device is not None:
        args = tuple(value.to(device) for value in args)
        kwargs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in kwargs.items()}
    tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
    if not any(tensor.dim() for tensor in tensors):
        raise MeasurementError("A batch holds no tensor with a dimension of samples; put samples first.")
    for tensor in tensors:
        if home is not None and tensor.device != home:
            raise MeasurementError(
                f"The model is on {home}, but a batch on {tensor.device}; pass device={str(home)!r} to move the"
                " batches, or move the model."
            )
    samples = next(len(tensor) for tensor in tensors if tensor.dim())
    if samples == 0:
        raise MeasurementError(
            "A batch holds 0 samples; every batch needs at least one (see drop_last, or your filter)."
        )
    return args, kwargs, samples
