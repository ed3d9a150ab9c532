"""Measure how far each block of a residual network moves its state, in any eager PyTorch model.

A block is one residual addition x + f (Hauser 2019, arXiv:1902.04106): x is the state, f the perturbation. Both are
read at the addition itself, before the model writes over them (`additions` finds it), and compared with the sum. Norms
are L2 norms per sample, taken in float32 over pieces of at most 16384 numbers and added up in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
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
from resperturb.measurement.recorder import Recorder

__all__ = ["Measurement", "MeasurementError", "measure", "measurement"]


@dataclass(frozen=True)
class Measurement:
    """Result of `measurement`."""

    table: pd.DataFrame  # as `measure` returns it
    scaled_per_sample: np.ndarray  # float64 [samples]: mean of ‖f‖ / ‖x‖ over the identity rows, NaN without any
    batch_statistics: bool  # whether batch-norm layers normalised with the statistics of each batch


def _selection(blocks: Sequence[int] | str | None) -> Callable[[int, str], bool]:
    if blocks is None:
        return lambda number, name: True
    if isinstance(blocks, str):
        return lambda number, name: fnmatchcase(name, blocks)
    wanted = set(blocks)
    if not wanted or not all(isinstance(b, (int, np.integer)) and b >= 1 for b in wanted):
        raise MeasurementError(
            f"blocks is {blocks!r}; give block numbers from 1 up, or a pattern of names: 'layer3.*'."
        )
    return lambda number, name: number in wanted


def _check_selection(recorder: Recorder, blocks: Sequence[int] | str | None, title: str) -> None:
    if not recorder.additions:
        raise MeasurementError(
            f"{title} ran no residual addition: no + joins a tensor of the network with something computed from it with"
            " weights; check that this is a residual network whose blocks do not run in fused or custom code."
        )
    missing = (
        [] if blocks is None or isinstance(blocks, str) else sorted({*blocks} - {row.block for row in recorder.rows})
    )
    if missing or not recorder.rows:
        raise MeasurementError(
            f"blocks asks for {blocks if isinstance(blocks, str) else missing}, but {title} has the blocks 1 to"
            f" {recorder.blocks}; measure without blocks to see their names."
        )


def measurement(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: torch.device | str | None = None,
    blocks: Sequence[int] | str | None = None,
    batch_statistics: bool | None = None,
    sequences: Literal["sample", "token"] = "sample",
    channels: Literal["together", "apart"] = "together",
    successive: bool = False,
) -> Measurement:
    """`measure`, with the scaled perturbation of every sample beside the table. Same errors, and two more arguments.

    Args:
        channels: "apart" takes norms per channel of states [samples, channels, height, width] and averages over a
            sample's channels, those of a zero state left out. Other states are not affected.
        successive: add the column successive_cosine: cos(f, f of the previous identity addition) within a section;
            one perturbation is held in memory.
    """
    paths = module_paths(model)
    modules = list(paths)
    if sequences not in ("sample", "token"):
        raise MeasurementError(f"sequences is {sequences!r}; choose 'sample' or 'token'.")
    if channels not in ("together", "apart"):
        raise MeasurementError(f"channels is {channels!r}; choose 'together' or 'apart'.")
    selected, per_channel = _selection(blocks), channels == "apart"
    tensors = (t for m in modules for t in chain(m._parameters.values(), m._buffers.values()) if t is not None)
    devices = {t.device for t in tensors}
    model_device = devices.pop() if len(devices) == 1 else None  # a model over several devices moves its own batches
    target = torch.device(device) if device is not None else None
    if target is not None and target.index is None and model_device is not None and target.type == model_device.type:
        target = model_device  # "cuda" is the model's own GPU
    norms = [m for m in modules if isinstance(m, _BatchNorm)]
    if batch_statistics is None:
        batch_statistics = bool(norms) and all(has_initial_statistics(norm) for norm in norms)
    title = type(model).__name__
    options = {
        "per_token": sequences == "token",
        "per_channel": per_channel,
        "successive": successive,
        "selected": selected,
    }
    moments, layout, recorder = Moments(), None, None
    with preserve_state(modules, batch_statistics):
        for count, batch in enumerate(batches):
            args, kwargs, samples = model_inputs(batch, target, model_device)
            recorder = record_forward(paths, args, kwargs, samples, options | {"probe": count % samples})
            found = [(row.name, row.kind) for row in recorder.rows]
            if layout is not None and found != layout:
                raise MeasurementError(
                    f"Batch {count + 1} ran {len(found)} residual additions and batch 1 ran {len(layout)}, or others:"
                    " the path through the model depends on the data; measure together what takes the same path."
                )
            layout = found
            _check_selection(recorder, blocks, title)
            values = sample_values(recorder.rows, recorder.buffer.to_numpy(), recorder.samples, per_channel)
            moments.add(values, np.array([row.block > 0 for row in recorder.rows]))
    if recorder is None:
        raise MeasurementError("batches is empty (or a generator that was used up); give at least one batch.")
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
    table.attrs["batch_statistics"] = batch_statistics
    return Measurement(table, moments.scaled_per_sample(), batch_statistics)


def measure(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    device: torch.device | str | None = None,
    blocks: Sequence[int] | str | None = None,
    batch_statistics: bool | None = None,
    sequences: Literal["sample", "token"] = "sample",
) -> pd.DataFrame:
    """Measure every residual addition x + f of a model, found without naming modules and checked against its sum.

    The model runs in evaluation mode without gradients or autocast, and is left as it was, random states included.
    Memory above the plain forward pass: about one state, however many blocks and samples there are.

    Args:
        model: any eager PyTorch module.
        batches: iterable of tensors, of (tensor, label) tuples or lists, or of dicts passed as keyword arguments.
            Samples come first (second where the model is sequence-first, as `nn.TransformerEncoder` is by default).
        device: where to move the batches; None leaves them. The model is never moved.
        blocks: which rows: None for all, block numbers (1 to L, no transitions), or a pattern of names ("layer3.*").
            Other rows are not computed and do not count in `scaled_per_sample`.
        batch_statistics: normalise batch-norm layers with each batch's own statistics. None: only if the running
            statistics of all of them were never updated, since they mean nothing yet.
            `table.attrs["batch_statistics"]` says which.
        sequences: "sample" takes norms over a sample's whole state, all tokens together; "token" takes them per token
            of states [samples, tokens, features] and averages over a sample's tokens. Other states are not affected.

    Returns:
        One row per addition, in execution order. All values are L2 norms and ratios without unit, averaged over
        samples with equal weight. `_std` is the population standard deviation over samples; `_q05` to `_q95` are
        quantiles over samples, exact up to 16384 of them and then over evenly spaced samples (at least 8192).

        - block: 1 to L; 0 for a transition.
        - name: path of the innermost module that did the addition (the class name for the model itself).
        - section: 1 to S; blocks of one state shape. A transition opens a section.
        - kind: "identity" (the state is x itself) or "transition" (a projection, pooling or rescaling of it).
        - samples: how many were measured.
        - state_norm: ‖x‖, of the state.
        - perturbation_norm: ‖f‖, the absolute perturbation (Hauser 2019, arXiv:1902.04106).
        - scaled: ‖f‖ / ‖x‖, the scaled perturbation (ibid.; Jastrzebski et al. 2018, arXiv:1710.04773, section 4).
        - cosine: cos(f, x); over samples with f ≠ 0, NaN without any.
        - step_scaled: ‖x_next - x‖ / ‖x‖, where x_next is the state of the next addition of this stream and shape,
          after any activation or normalisation. Without a next one (the last block of a section): the sum after an
          activation, if one was all that used it, else the sum.
        - influence: 1 - cos(x, x_next) (Men et al. 2024, arXiv:2403.03853, "block influence").
        - reconstruction_error: the largest relative difference between x + f and the tensor that the model went on
          with: in every sample abs(‖sum‖² - ‖x + f‖²) / 2(‖x‖² + ‖f‖²), where ‖x + f‖² = ‖x‖² + 2 x·f + ‖f‖² (over a
          scale that cancellation does not touch), and in one sample of every batch ‖sum - (x + f)‖ / ‖sum‖, number by
          number. Always below 1e-5, or below twice the rounding step of a model in lower precision.

    Raises:
        MeasurementError: no residual addition or batch; 0 samples; a hidden (compiled, scripted, exported) model; model
            and batch on different devices; a state that is zero or not finite; a sum that is not x + f.

    `resperturb.measurement.additions` defines residual additions.
    """
    return measurement(
        model, batches, device=device, blocks=blocks, batch_statistics=batch_statistics, sequences=sequences
    ).table
