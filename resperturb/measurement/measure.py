"""Perturbations of the residual blocks of any eager PyTorch model.

A block is one residual addition x + f (Hauser 2019, arXiv 1902.04106) of the state x and the perturbation f. Both are
read at the addition, before the model overwrites them, and checked against the sum; `additions` finds it. Norms are L2
norms per sample: float32 over pieces of at most 16384 numbers, float64 over pieces.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from resperturb.errors import MeasurementError
from resperturb.measurement.formulas import sample_values
from resperturb.measurement.model_state import (
    has_initial_statistics,
    model_inputs,
    module_paths,
    preserve_state,
    record_forward,
)
from resperturb.measurement.moments import Moments

__all__ = ["Measurement", "MeasurementError", "measure", "measurement"]

META = torch.device("meta")


@dataclass(frozen=True)
class Measurement:
    """The result of :func:`measurement`.

    Attributes:
        table: one row per addition, as :func:`measure` returns it.
        scaled_per_sample: mean of ‖f‖ / ‖x‖ over blocks, float64, shape (samples,); NaN without blocks.
        batch_statistics: whether batch-norm layers used the statistics of each batch.
    """

    table: pd.DataFrame
    scaled_per_sample: np.ndarray
    batch_statistics: bool


def measurement(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: torch.device | str | None = None,
    batch_statistics: bool | None = None,
    sequences: Literal["sample", "token"] = "sample",
    channels: Literal["together", "apart"] = "together",
    successive: bool = False,
) -> Measurement:
    """Measure as :func:`measure` does; also return the scaled perturbation of every sample.

    Args:
        channels: "apart" takes norms per channel of states (N, C, H, W) and averages over channels whose state is not
            zero. Other states are not affected.
        successive: add the column successive_cosine, cos(f, f of the previous block) within a section. One perturbation
            stays in memory.
    """
    if batches is None or isinstance(batches, (torch.Tensor, Mapping)):
        raise MeasurementError(
            f"batches must be a list or loader of batches, but got one {type(batches).__name__}; pass [batch]."
        )
    if is_labelled(batches):
        raise MeasurementError(
            "batches must be a list or loader, but got one pair with labels; pass [(images, labels)]."
        )
    paths = module_paths(model)
    modules = list(paths)
    title = type(modules[0]).__name__
    if sequences not in ("sample", "token"):
        raise MeasurementError(f"sequences must be 'sample' or 'token', but got {sequences!r}.")
    if channels not in ("together", "apart"):
        raise MeasurementError(f"channels must be 'together' or 'apart', but got {channels!r}.")
    per_channel = channels == "apart"
    tensors = (t for m in modules for t in chain(m._parameters.values(), m._buffers.values()) if t is not None)
    devices = {t.device for t in tensors}
    if devices == {META} and not any(hasattr(m, "_hf_hook") for m in modules):
        raise MeasurementError(f"The weights of {title} are on the meta device, without values; load them first.")
    devices.discard(META)  # weights that hooks of accelerate load for each pass
    model_device = devices.pop() if len(devices) == 1 else None  # else the model itself moves batches
    target = torch.device(device) if device is not None else None
    if target is not None and target.index is None and model_device is not None and target.type == model_device.type:
        target = model_device  # "cuda" is the model's own GPU
    norms = [m for m in modules if isinstance(m, _BatchNorm)]
    if batch_statistics is None:
        batch_statistics = bool(norms) and all(has_initial_statistics(norm) for norm in norms)
    options = {
        "per_token": sequences == "token",
        "per_channel": per_channel,
        "successive": successive,
    }
    moments, layout, recorder = Moments(), None, None
    with preserve_state(modules, batch_statistics):
        for count, batch in enumerate(batches):
            args, kwargs, samples = model_inputs(batch, target, model_device)
            try:
                recorder = record_forward(paths, args, kwargs, samples, options | {"probe": count % samples})
            except ValueError as error:
                if not (batch_statistics and "more than 1 value per channel" in str(error)):
                    raise
                raise MeasurementError(
                    f"{title} has batch normalisation without running statistics, which needs more than one value per"
                    f" channel in a batch, but got {samples} samples; give more, or batch_statistics=False."
                ) from None
            found = [(row.name, row.kind) for row in recorder.rows]
            if layout is not None and found != layout:
                raise MeasurementError(
                    f"Batch {count + 1} ran {len(found)} residual additions and batch 1 ran {len(layout)}, or others:"
                    " the path through the model depends on the data; measure batches of one path together."
                )
            layout = found
            if not found:
                raise MeasurementError(
                    f"{title} ran no residual addition x + f(x) with weights in f; check that it is a residual network,"
                    " and that its blocks do not run in fused or custom code."
                )
            apart = per_channel or sequences == "token"
            values = sample_values(recorder.rows, recorder.buffer.to_numpy(), recorder.samples, apart)
            moments.add(values, np.array([row.block > 0 for row in recorder.rows]))
    if recorder is None:
        raise MeasurementError("batches is empty or a used-up generator; give at least one batch.")
    rows = recorder.rows
    table = pd.DataFrame(
        {
            "block": [row.block for row in rows],
            "name": [row.name for row in rows],
            "section": recorder.sections,
            "kind": [row.kind for row in rows],
            "samples": moments.samples,
            **moments.columns(),
        }
    )
    if not successive:
        table = table.drop(columns="successive_cosine")
    table.attrs |= {"batch_statistics": batch_statistics, "left_out": recorder.left_out}
    return Measurement(table, moments.scaled_per_sample(), batch_statistics)


def is_labelled(batches: Any) -> bool:
    """Whether this is one pair of a tensor and labels in the place of a list of batches."""
    pair = isinstance(batches, (tuple, list)) and len(batches) == 2
    return pair and all(isinstance(part, torch.Tensor) for part in batches) and batches[1].dim() <= 1 < batches[0].dim()


def measure(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: torch.device | str | None = None,
    batch_statistics: bool | None = None,
    sequences: Literal["sample", "token"] = "sample",
) -> pd.DataFrame:
    """Measure every residual addition x + f of a model and check it against its sum.

    Additions are found without naming modules. The model runs in evaluation mode without gradients or autocast; modes,
    buffers and random states are restored. Memory beyond a plain forward pass is about one state, for any number of
    blocks and samples.

    Args:
        model: any PyTorch module that runs Python. What `torch.compile` has compiled runs uncompiled; of a wrapper for
            data-parallel training the module inside is measured.
        batches: iterable of tensors, (tensor, label) pairs, or dicts of keyword arguments. Samples come first; second
            in a sequence-first model such as `nn.TransformerEncoder` by default. In a dict the first tensor counts
            them, sizes of 1 and square masks left out. Where there are as many tokens as samples, three more passes
            tell them apart.
        device: device to move the batches to; None leaves them. The model is never moved.
        batch_statistics: whether batch-norm layers use the statistics of each batch. None: only if no running
            statistics were ever updated. `table.attrs["batch_statistics"]` has the choice.
        sequences: "sample" takes norms over all tokens of a sample; "token" takes them per token of states (N, tokens,
            features) and averages over tokens whose state is not zero. Other states are not affected. Padding counts
            as any other token.

    Returns:
        One row per addition, in order of execution. An addition to a state that is left out gives a warning, and
        `table.attrs["left_out"]` has (module, reason). Values have no unit and are averaged over samples with equal
        weight. `_std` is the population standard deviation over samples; `_q05` to `_q95` are quantiles over samples,
        exact up to 16384 samples, then over at least 8192 evenly spaced ones.

        - block: 1 to L; 0 for a transition.
        - name: path of the innermost module that runs the addition (for the model itself, its class name).
        - section: 1 to S; blocks of one state shape. A transition starts a section.
        - kind: "identity" (the state is x itself) or "transition" (a projection, pooling or rescaling of x).
        - samples: number of samples.
        - state_norm: ‖x‖.
        - perturbation_norm: ‖f‖, the absolute perturbation (Hauser 2019, arXiv 1902.04106).
        - scaled: ‖f‖ / ‖x‖, the scaled perturbation (Hauser 2019; Jastrzebski et al. 2018, arXiv 1710.04773, section
          4).
        - cosine: cos(f, x), over samples with f ≠ 0; NaN without any.
        - step_scaled: ‖x_next - x‖ / ‖x‖, where x_next is the state of the next addition of the same stream and shape,
          after any activation or normalisation. In the last block of a section x_next is the sum, after its activation
          if nothing else uses the sum.
        - influence: 1 - cos(x, x_next), the block influence of Men et al. (2024, arXiv 2403.03853).
        - reconstruction_error: largest relative difference between x + f and the sum in the model. In every sample it
          compares squared norms, abs(‖sum‖² - ‖x + f‖²) / 2(‖x‖² + ‖f‖²); in one sample per batch it compares numbers,
          ‖sum - (x + f)‖ / ‖sum‖. Below 1e-5, or below twice the rounding step of lower precision.

    Example:
        >>> import torch
        >>> from resperturb import measure
        >>> layer = torch.nn.TransformerEncoderLayer(d_model=8, nhead=2, batch_first=True)
        >>> table = measure(layer, [torch.randn(4, 16, 8)])
        >>> table[["block", "kind", "samples"]]
           block      kind  samples
        0      1  identity        4
        1      2  identity        4

    Raises:
        MeasurementError: no residual addition, no batch, or no sample; too few samples for batch statistics; a
            scripted, exported or tensor-parallel model; model and batch on different devices; a state that is zero or
            not finite; a sum that differs from x + f.
    """
    table = measurement(model, batches, device=device, batch_statistics=batch_statistics, sequences=sequences).table
    if table.attrs["left_out"]:
        warnings.warn(left_out_sentence(table.attrs["left_out"]), stacklevel=2)
    return table


def left_out_sentence(left_out: Sequence[tuple[str, str]]) -> str:
    """Say which additions to a state have no row, and why.

    Args:
        left_out: modules and reasons, as in `table.attrs["left_out"]`.
    """
    name, reason = left_out[0]
    if len(left_out) == 1:
        return f"1 addition to a state is left out, in {name}: {reason}."
    return f"{len(left_out)} additions to states are left out, the first in {name}: {reason}."
