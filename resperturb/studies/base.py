"""A study: a frozen dataclass of parameters, with a method that conducts it and returns tables."""

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
    """Parameters that all studies have."""

    kind: ClassVar[str]  # of its records; its notebook has that name too

    seed: int = 0  # of weights and of the order of the data
    threads: int = field(default=1, metadata={"decides": False})  # processor threads

    def __post_init__(self) -> None:
        self.check(("seed", 0), ("threads", 1))

    def check(self, *bounds: tuple[str, int]) -> None:
        """Whole numbers of at least a bound."""
        for name, low in bounds:
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low))

    @abc.abstractmethod
    def conduct(self, report: Report) -> Tables:
        """Do it; the tables become the record."""


@dataclass(frozen=True, kw_only=True)
class TrainedStudy(Study):
    """A study of one trained network: what it takes from :class:`resperturb.experiment.Experiment`."""

    dataset: str = "digits"
    blocks: int = 30
    sections: int = 3
    block: str = "preactivation"
    epochs: int | None = None  # None: the data set's own, as for all that follows
    train_size: int | None = None
    test_size: int | None = None
    measured_images: int = 256  # test images that all of it is taken on
    clock: float = 5.0  # time under weight decay, where weight_decay is None
    weight_decay: float | None = field(default=None, metadata={"later": True})  # None: what makes T equal `clock`
    precision: str = "float32"  # of training

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = self.experiment  # checks what it is given, and fills in
        for name in ("blocks", "sections", "epochs", "train_size", "test_size", "measured_images", "clock"):
            object.__setattr__(self, name, getattr(plain, name))
        self.check(("blocks", 1))  # a run may have none

    @property
    def experiment(self) -> Experiment:
        """The run that leads to the network."""
        names = {f.name for f in dataclasses.fields(TrainedStudy)}
        return Experiment(**{name: getattr(self, name) for name in names}, snapshots=0)


def train_network(experiment: Experiment, report: Report) -> tuple[ResidualNetwork, Images, Training]:
    """Train a network as the experiment says; give its data and the history of its training too."""
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
    """How well a network does on all test images, and what it took."""
    loss, accuracy = evaluate(network, images.test_images, images.test_labels, precision)
    return {"accuracy": accuracy, "loss": loss, "clock": training.clock, "training_seconds": training.seconds}
