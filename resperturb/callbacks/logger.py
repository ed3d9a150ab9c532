"""Perturbations during training, measured every so many steps and sent to a dashboard, a CSV file or a function."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from resperturb.analysis.networks import block_averages
from resperturb.errors import ActivationError, MeasurementError, shown
from resperturb.measurement.measure import measurement

__all__ = ["EVERY", "PerturbationLogger", "Values", "perturbation_values", "prefixed", "sink_of"]

EVERY = 200  # steps; measuring then takes less than 1 % of training (benchmarks/logging_cost.py)

Values = dict[str, float]
Sink = Callable[[int, Values], Any]


def perturbation_values(model: nn.Module, batch: Any, *, profile: bool = True, **options: Any) -> Values:
    """Measure one batch and summarise its blocks; transitions are left out.

    Args:
        model, batch, options: as for `measure`; the batch is moved to the model's device.
        profile: whether to return the scaled perturbation of every block too.

    Returns:
        Values without unit.

        - scaled, scaled_sum, alive and participation, as :func:`~resperturb.analysis.networks.block_averages` has them.
        - successive_cosine: mean of cos(f, f of the previous block); NaN without two blocks of one section.
        - block_001 and so on: scaled perturbation of each block.

    Raises:
        MeasurementError: what cannot be measured, a batch of one sample, or a model without blocks.
    """
    device = next((parameter.device for parameter in model.parameters()), None)
    table = measurement(model, [batch], device=device, successive=True, **options).table
    if table["samples"].iloc[0] < 2:
        raise MeasurementError("batch has 1 sample, but live blocks show in the spread over samples; give 2 or more.")
    blocks = table[table["block"] > 0]
    if blocks.empty:
        raise MeasurementError(f"{type(model).__name__} has transitions but no block to log; call measure to see them.")
    values = block_averages(table) | {"successive_cosine": float(blocks["successive_cosine"].mean())}
    if profile:
        values |= {f"block_{n:03d}": float(s) for n, s in zip(blocks["block"], blocks["scaled"], strict=True)}
    return values


def prefixed(values: Values) -> Values:
    """Return the values under the names that dashboards show, such as perturbation/scaled."""
    return {f"perturbation/{name}": value for name, value in values.items()}


def sink_of(to: Any, start: int = 0) -> Sink:
    """Return the function that takes a step and its values to where they belong.

    Args:
        to: a TensorBoard SummaryWriter, an object with `log_metrics(dict, step)` (loggers of Lightning, MLflow), an
            object with `log(dict)` (W&B), a path of a CSV file, or a function of (step, values).
        start: steps taken before; a CSV file keeps its rows up to here and is continued.

    Raises:
        MeasurementError: anything else, or a CSV file that is not to be continued.
    """
    if isinstance(to, (str, os.PathLike)):
        return _csv_sink(Path(to), start)
    if hasattr(to, "add_scalar"):
        return lambda step, values: _write_scalars(to, step, values)
    if hasattr(to, "log_metrics"):
        return lambda step, values: to.log_metrics(prefixed(values), step)
    if hasattr(to, "log"):
        return lambda step, values: to.log({"perturbation/step": step, **prefixed(values)})
    if callable(to):
        return to
    raise MeasurementError(
        "to must be a SummaryWriter, an object with log_metrics(dict, step) or log(dict), a path or a function of"
        f" (step, values), but got {shown(to)}."
    )


def _write_scalars(writer: Any, step: int, values: Values) -> None:
    for name, value in prefixed(values).items():
        writer.add_scalar(name, value, step)
    writer.flush()


def _csv_sink(path: Path, start: int) -> Sink:
    """Return a function that adds a row to a file; a killed run leaves whole rows."""
    if path.exists():
        if not start:
            raise MeasurementError(f"{path} exists; name another file, or pass start=STEPS to continue it after STEPS.")
        try:
            old = pd.read_csv(path, float_precision="round_trip")
        except ValueError:  # as pandas' errors of empty and malformed files are
            old = pd.DataFrame()
        if "step" not in old:
            raise MeasurementError(f"{path} is no log of perturbations, so it cannot be continued; name another file.")
        whole = path.with_name(f"{path.name}.new")
        old[old["step"] < start].to_csv(whole, index=False)
        whole.replace(path)
    path.parent.mkdir(parents=True, exist_ok=True)

    def add_row(step: int, values: Values) -> None:
        row = pd.DataFrame([{"step": step, **values}])
        if path.exists() and [*pd.read_csv(path, nrows=0)] != [*row]:
            raise MeasurementError(f"{path} has the columns of another network; name another file.")
        row.to_csv(path, mode="a", header=not path.exists(), index=False)

    return add_row


class PerturbationLogger:
    """Log the perturbations of a model while it trains, at once and then every `every` optimiser steps.

    Call :meth:`step` after every step of the optimiser. The model is left as it was, so training is the same with and
    without. Batch norms that were not yet trained use the batch's own statistics, as in `measure`.
    Where training has diverged, the values are NaN and training goes on. Processes that train together must all call
    it; `to=lambda step, values: None` keeps one silent.

    Args:
        model: any PyTorch module that `measure` takes.
        batch: two samples or more to measure, the same every time: a tensor, a (tensor, label) pair or a dict.
        to: where values go; see :func:`~resperturb.callbacks.logger.sink_of`.
        every: steps between measurements; the default takes less than 1 % of the time of training.
        start: steps taken before, where training continues.
        profile: whether to log every block too.
        options: `batch_statistics` and `sequences` of `measure`.

    Attributes:
        values: what was logged last, as :func:`~resperturb.callbacks.logger.perturbation_values` returns it.

    Example:
        >>> import torch
        >>> from resperturb import PerturbationLogger
        >>> layer, steps = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True), []
        >>> batch = torch.randn(4, 16, 8)
        >>> logger = PerturbationLogger(layer, batch, to=lambda step, values: steps.append(step), every=2)
        >>> for _ in range(5):
        ...     logger.step()  # after each step of the optimiser
        >>> steps
        [0, 2, 4]

    Raises:
        MeasurementError: a model or batch that cannot be measured, or a bad `to` or `every`.
    """

    def __init__(
        self,
        model: nn.Module,
        batch: Any,
        *,
        to: Any,
        every: int = EVERY,
        start: int = 0,
        profile: bool = True,
        **options: Any,
    ) -> None:
        if not isinstance(every, (int, np.integer)) or every < 1:
            raise MeasurementError(f"every must be a whole number of steps from 1, but got {shown(every)}.")
        self.model, self.batch, self.every, self.steps = model, batch, every, start
        self._options = {"profile": profile, **options}
        self.values = perturbation_values(model, batch, **self._options)
        self._send = sink_of(to, start)
        self._send(start, self.values)
        self._logged = start

    def step(self, steps: int | None = None) -> None:
        """Count a step of the optimiser, or set the count to `steps`, and log where `every` steps are full."""
        before, self.steps = self.steps, self.steps + 1 if steps is None else steps
        if self.steps // self.every > before // self.every:
            self.log()

    def log(self) -> None:
        """Measure and log now, unless this step was logged."""
        if self._logged == self.steps:
            return
        try:
            self.values = perturbation_values(self.model, self.batch, **self._options)
        except ActivationError:
            self.values = dict.fromkeys(self.values, float("nan"))
        self._send(self.steps, self.values)
        self._logged = self.steps
