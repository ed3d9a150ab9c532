"""Base classes of studies: frozen dataclasses of parameters with a method that returns tables."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd
import torch
from torch import nn

from resperturb.errors import ExperimentError
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.parameters import Parameters
from resperturb.experiment.validation import whole_number
from resperturb.models.residual import ResidualNetwork, network_of
from resperturb.training.data import Images, load_images
from resperturb.training.loop import Training, evaluate, train

Tables = dict[str, pd.DataFrame]
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Study(Parameters, abc.ABC):
    """A study and the parameters that all studies share."""

    kind: ClassVar[str]  # kind of its records and name of its notebook

    seed: int = 0  # of weights and of the order of the data
    threads: int = field(default=1, metadata={"decides": False})  # processor threads

    def __post_init__(self) -> None:
        self.check(("seed", 0), ("threads", 1))

    def check(self, *bounds: tuple[str, int]) -> None:
        """Check that parameters are whole numbers and at least their bounds."""
        for name, low in bounds:
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low))

    @abc.abstractmethod
    def conduct(self, report: Report) -> Tables:
        """Conduct the study and return the tables of its record."""


@dataclass(frozen=True, kw_only=True)
class TrainedStudy(Study):
    """A study of one trained network, with the parameters of its :class:`resperturb.experiment.Experiment`."""

    dataset: str = "digits"
    blocks: int = 30
    sections: int = 3
    block: str = "preactivation"
    epochs: int | None = None  # None: default of the data set, here and below
    train_size: int | None = None
    test_size: int | None = None
    measured_images: int = 256  # test images
    clock: float = 5.0  # time under weight decay T, if weight_decay is None
    weight_decay: float | None = field(default=None, metadata={"later": True})  # None: `clock` sets it
    precision: str = "float32"  # of training

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = self.experiment  # checks values and fills in defaults
        for name in ("blocks", "sections", "epochs", "train_size", "test_size", "measured_images", "clock"):
            object.__setattr__(self, name, getattr(plain, name))
        self.check(("blocks", 1))  # a run may have 0

    @property
    def experiment(self) -> Experiment:
        """The run that trains the network."""
        names = {f.name for f in dataclasses.fields(TrainedStudy)}
        return Experiment(**{name: getattr(self, name) for name in names}, snapshots=0)


def train_network(experiment: Experiment, report: Report) -> tuple[ResidualNetwork, Images, Training]:
    """Train the network of an experiment and return it in evaluation mode, with its data and training.

    Raises:
        ExperimentError: training diverged.
    """
    images = load_images(experiment, torch.device("cpu"))
    network = network_of(experiment, channels=images.channels)
    training = train(network, images, experiment, lambda moment: None, report=report)
    if training.diverged:
        raise ExperimentError(
            f"training diverged at {experiment.blocks} blocks with seed {experiment.seed}; choose a lower clock."
        )
    network.eval()
    return network, images, training


def accuracy_row(network: nn.Module, images: Images, training: Training, precision: str) -> dict[str, float]:
    """Evaluate a network on all test images: accuracy, loss, clock (T) and training_seconds."""
    loss, accuracy = evaluate(network, images.test_images, images.test_labels, precision)
    return {"accuracy": accuracy, "loss": loss, "clock": training.clock, "training_seconds": training.seconds}
