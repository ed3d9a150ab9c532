"""What a study is: a frozen dataclass of its parameters, with a method that conducts it and returns tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd
import torch
from torch import nn

from resperturb.errors import ExperimentError
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.parameters import BESIDES, given_in
from resperturb.experiment.validation import reject_unknown, whole_number
from resperturb.models.residual import Block, ResidualNetwork, network_of
from resperturb.training.data import Images, load_images
from resperturb.training.loop import Training, evaluate, train

Tables = dict[str, pd.DataFrame]
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Parameters that all studies have. Those marked `decides=False` are recorded, and decide no result.

    Raises:
        ExperimentError: a field has a value outside what is allowed.
    """

    study: ClassVar[str]  # what its folder in results/ is called, and its notebook
    titled: ClassVar[tuple[str, ...]]  # fields that the name of its record spells out

    seed: int = 0  # of weights and of the order of the data
    threads: int = field(default=1, metadata={"decides": False})  # processor threads

    def __post_init__(self) -> None:
        self.check(("seed", 0), ("threads", 1))

    def check(self, *bounds: tuple[str, int]) -> None:
        """Whole numbers of at least a bound."""
        for name, low in bounds:
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low))

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that decide the result."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.metadata.get("decides", True)}

    @property
    def name(self) -> str:
        """What its record is called: some fields to read, then six digits that stand for the rest."""
        text = json.dumps(self.identity, sort_keys=True)
        parts = [spelled(name, getattr(self, name)) for name in (*self.titled, "seed")]
        return "-".join([*parts, hashlib.sha256(text.encode()).hexdigest()[:6]])

    def conduct(self, report: Report) -> Tables:
        """Do it; the tables become the record."""
        raise AssertionError(f"{type(self).__name__} says nothing of how it is conducted")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from names and values, refusing names that are no field.

        Raises:
            ExperimentError: an unknown name (with the nearest right one) or a bad value.
        """
        reject_unknown(values, [f.name for f in dataclasses.fields(cls)])
        return cls(**values)

    @classmethod
    def read(cls, namespace: Mapping[str, Any]) -> tuple[Self, Path, bool]:
        """The study, the folder of its records and `again`, from ``globals()`` right after the parameters cell.

        Raises:
            ExperimentError: a plain value whose name is no parameter (with the nearest right name), or a bad value.
        """
        given = given_in(namespace)
        reject_unknown(given, [*(f.name for f in dataclasses.fields(cls)), *BESIDES])
        results, again = given.pop("results", f"results/{cls.study}"), given.pop("again", False)
        if not isinstance(results, str | Path) or not str(results):
            raise ExperimentError(f"results must be the name of a folder, but got {results!r}.")
        if not isinstance(again, bool):
            raise ExperimentError(f"again must be True or False, but got {again!r}.")
        return cls.from_mapping(given), Path(results), again


def spelled(name: str, value: Any) -> str:
    """A field as part of a file's name: a word for itself, a number after the field's name."""
    if isinstance(value, str):
        return value
    number = f"{value:03d}" if name == "blocks" else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name}-{number}"


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
    clock: float = 5.0  # time under weight decay
    precision: str = "float32"  # of training

    def __post_init__(self) -> None:
        super().__post_init__()
        plain = self.experiment  # checks what it is given, and fills in
        for name in ("blocks", "sections", "epochs", "train_size", "test_size", "measured_images", "clock"):
            object.__setattr__(self, name, getattr(plain, name))

    @property
    def experiment(self) -> Experiment:
        """The run that leads to the network."""
        names = {f.name for f in dataclasses.fields(TrainedStudy)}
        return Experiment(**{name: getattr(self, name) for name in names}, snapshots=0)


def trained(experiment: Experiment, report: Report) -> tuple[ResidualNetwork, Images, Training]:
    """A network trained as the experiment says, with its data and the history of its training.

    Raises:
        ExperimentError: the training diverged.
    """
    images = load_images(experiment, torch.device("cpu"))
    network = network_of(experiment, channels=images.channels)
    training = train(network, images, experiment, lambda moment: None, report=report)
    if training.diverged:
        raise ExperimentError(
            f"training diverged at {experiment.blocks} blocks with seed {experiment.seed}, so there is no network to "
            "study; choose a lower clock or fewer blocks."
        )
    network.eval()
    return network, images, training


def sections_of(network: ResidualNetwork) -> list[list[Block]]:
    """The blocks of every section, in order."""
    return [[block for block in section.children() if isinstance(block, Block)] for section in network.sections]


def accuracy_row(network: nn.Module, images: Images, training: Training, precision: str) -> dict[str, float]:
    """How well a network does on all test images, and what it took."""
    loss, accuracy = evaluate(network, images.test_images, images.test_labels, precision)
    return {"accuracy": accuracy, "loss": loss, "clock": training.clock, "training_seconds": training.seconds}
