"""Perturbations in the logs of a Hugging Face trainer."""

from __future__ import annotations

from typing import Any

from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from resperturb.callbacks.logger import PerturbationLogger, Values, prefixed

__all__ = ["PerturbationCallback"]


class PerturbationCallback(TrainerCallback):
    """Log perturbations by `trainer.log`, at the start, while training and at the last step.

    They reach `trainer.state.log_history` and what `report_to` names. Every process measures, and the first one writes.

    Args:
        trainer: the trainer; add the callback by its `add_callback`.
        batch: two samples or more to measure, the same every time, on any device: a dict such as a tokenizer returns.
        options: `every`, `profile` and the options of `measure`, as for
            `PerturbationLogger`.

    Attributes:
        logger: the `PerturbationLogger`, from the start of training.
    """

    def __init__(self, trainer: Trainer, batch: Any, **options: Any) -> None:
        self.trainer, self.batch, self.options = trainer, batch, options
        self.logger: PerturbationLogger

    def send(self, step: int, values: Values) -> None:
        control = self.trainer.control
        due = control.should_log
        self.trainer.log(prefixed(values))
        control.should_log = due  # trainer.log clears it, and the loss of this step would not be logged

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        model: Any = self.trainer.model  # the original, also where the trainer compiles or distributes it
        self.logger = PerturbationLogger(model, self.batch, to=self.send, start=state.global_step, **self.options)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.logger.step(state.global_step)
        if control.should_training_stop:
            self.logger.log()
