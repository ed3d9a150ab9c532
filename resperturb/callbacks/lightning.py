"""Perturbations in the loggers of a Lightning trainer."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from resperturb.callbacks.logger import PerturbationLogger, Values, sink_of

__all__ = ["PerturbationCallback"]


class PerturbationCallback(Callback):
    """Log perturbations through every logger of the trainer, at the start, while training and at the end.

    Every process measures, and Lightning lets the first one write. Steps are those of the optimiser.

    Args:
        batch: two samples or more to measure, the same every time, on any device.
        model: the network to measure; None for the Lightning module, whose `forward` then takes the batch.
        options: `every`, `profile` and the options of `measure`, as for
            `PerturbationLogger`.

    Attributes:
        logger: the `PerturbationLogger`, from the start of training.
    """

    def __init__(self, batch: Any, *, model: nn.Module | None = None, **options: Any) -> None:
        self.batch, self.model, self.options = batch, model, options
        self.logger: PerturbationLogger

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sinks = [sink_of(logger) for logger in trainer.loggers]

        def send(step: int, values: Values) -> None:
            for sink in sinks:
                sink(step, values)

        model = pl_module if self.model is None else self.model
        batch = self.batch if self.model else trainer.precision_plugin.convert_input(self.batch)  # as for training
        self.logger = PerturbationLogger(model, batch, to=send, start=trainer.global_step, **self.options)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.logger.step(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.logger.log()
