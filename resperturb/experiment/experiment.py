"""One run, described: every choice that Hauser (2019, arXiv 1902.04106) leaves open is a field here, with its reason.

An :class:`Experiment` is complete when it is built: fields left at ``None`` are filled in from the data set's own
defaults, so a record always shows the values that were used.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from resperturb.errors import ExperimentError, shown
from resperturb.experiment.parameters import Parameters
from resperturb.experiment.validation import finite, one_of, whole_number

DATASETS = ("digits", "mnist", "cifar10")
BLOCK_KINDS = ("preactivation", "postactivation")
NORMALIZATIONS = ("batch", "none")
INITIALIZATIONS = ("he", "zero")
AUGMENTATIONS = ("none", "crop-flip")
OPTIMIZERS = ("sgd", "adamw")
SCHEDULES = ("one-cycle", "constant")
PRECISIONS = ("float32", "bfloat16")
# Parameters that weight decay acts on: every one; weights of convolutions and the head alone; gains and shifts of
# normalisations alone; the first or the last convolution of every branch alone. Several of these are joined by a "+".
DECAYED = ("all", "weights", "normalization", "first-convolutions", "last-convolutions")

# What a laptop finishes in minutes. Measured costs stand in config/*.yaml, beside the presets.
DATASET_DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"train_size": 1437, "test_size": 360, "epochs": 10, "stem_stride": 1, "augmentation": "none"},
    "mnist": {"train_size": 6000, "test_size": 10000, "epochs": 4, "stem_stride": 2, "augmentation": "none"},
    "cifar10": {"train_size": 10000, "test_size": 10000, "epochs": 6, "stem_stride": 2, "augmentation": "crop-flip"},
}
# Images there are: scikit-learn's digits are split 1437 / 360 by us, the others come split.
TRAIN_IMAGES = {"digits": 1437, "mnist": 60000, "cifar10": 50000}
TEST_IMAGES = {"digits": 360, "mnist": 10000, "cifar10": 10000}
REMOVED = (("checkpointing", False),)  # former fields with the value that all records on file have
IMAGE_SIDE = {"digits": 8, "mnist": 28, "cifar10": 32}


@dataclass(frozen=True, kw_only=True)
class Experiment(Parameters):
    """All that decides one run.

    Fields marked with ``decides=False`` say where and with how many threads the run happens.

    Raises:
        ExperimentError: a field has a value outside what is allowed.
    """

    name_fields: ClassVar[tuple[str, ...]] = ("blocks",)

    dataset: str = "digits"  # digits (8x8, ships with scikit-learn), mnist (28x28), cifar10 (32x32 colour)
    # Depth L: residual blocks over all sections; transitions are not counted. 0: stem, transitions and head alone.
    blocks: int = 6
    # Runs of blocks of one shape; between them the side halves and the width doubles. None: 3, or `blocks` if fewer.
    sections: int = None  # type: ignore[assignment]
    width: int = 16  # channels of the first section (16/32/64 with three sections, as in He et al. 2015)
    block: str = "preactivation"  # x + f(x) exactly; "postactivation" takes the relu of it, as in He et al. 2015
    normalization: str = "batch"  # batch norm before (pre) or after (post) each convolution, or "none"
    branch_scale: float = 1.0  # factor on f at the addition; the paper names none
    initialization: str = "he"  # He normal; "zero" starts every branch at f = 0
    stem_stride: int = None  # type: ignore[assignment] # 2 halves the image in the first convolution: four times less work
    seed: int = 0  # initial weights, order of images and augmentation; the split and the test images do not change
    epochs: int = None  # type: ignore[assignment] # passes over the training images
    batch_size: int = 64  # images a step
    optimizer: str = field(default="sgd", metadata={"later": True})  # "adamw" wants a learning rate near 0.002
    schedule: str = field(default="one-cycle", metadata={"later": True})  # "constant" after the same warm-up
    learning_rate: float = 0.1  # peak of the schedule
    momentum: float = 0.9  # of stochastic gradient descent; AdamW's beta_1
    weight_decay: float | None = 5e-4  # what people use on CIFAR-10; None: what makes T equal `clock`
    # Where weight_decay is None: time under weight decay, T = sum of lr * weight_decay / (1 - momentum) over steps.
    clock: float = 5.0
    decayed: str = field(default="all", metadata={"later": True})  # parameters that weight decay acts on
    norm_epsilon: float = field(default=1e-5, metadata={"later": True})  # added to the variance by batch norm
    augmentation: str = None  # type: ignore[assignment] # "crop-flip": shift by up to an eighth of the side, mirror; or "none"
    train_size: int = None  # type: ignore[assignment] # training images used
    test_size: int = None  # type: ignore[assignment] # test images the accuracy is taken on
    measured_images: int = 256  # test images the perturbations are measured on, the first ones of the test set
    snapshots: int = 3  # measurements of all blocks during training, beside those at the start and at the end
    precision: str = "float32"  # of training; measurement is always float32
    device: str = field(default="auto", metadata={"decides": False})  # auto (a GPU if there is one), cpu, cuda, ...
    threads: int | None = field(default=None, metadata={"decides": False})  # None: one for digits, else all

    def __post_init__(self) -> None:
        one_of("dataset", self.dataset, DATASETS)
        if self.block not in BLOCK_KINDS and isinstance(self.block, numbers.Number):
            raise ExperimentError(
                f"block is the kind of block, one of {', '.join(BLOCK_KINDS)}, but got {shown(self.block)}; "
                f"the number of residual blocks is called blocks: use blocks={shown(self.block)}."
            )
        if self.sections is None:
            few = isinstance(self.blocks, int) and 1 <= self.blocks < 3
            object.__setattr__(self, "sections", self.blocks if few else 3)
        for name, value in DATASET_DEFAULTS[self.dataset].items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for name, allowed in (
            ("block", BLOCK_KINDS),
            ("normalization", NORMALIZATIONS),
            ("initialization", INITIALIZATIONS),
            ("augmentation", AUGMENTATIONS),
            ("precision", PRECISIONS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
        ):
            one_of(name, getattr(self, name), allowed)
        for part in self.decayed.split("+") if isinstance(self.decayed, str) else [self.decayed]:
            one_of("decayed", part, DECAYED)
        for name, low in (
            ("blocks", 0),
            ("sections", 1),
            ("width", 1),
            ("stem_stride", 1),
            ("seed", 0),
            ("epochs", 1),
            ("batch_size", 2),
            ("train_size", 2),
            ("test_size", 1),
            ("measured_images", 1),
            ("snapshots", 0),
        ):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low))
        if self.threads is not None:
            object.__setattr__(self, "threads", whole_number("threads", self.threads, 1))
        for name, low_exclusive in (("branch_scale", None), ("learning_rate", 0.0), ("norm_epsilon", 0.0)):
            object.__setattr__(self, name, finite(name, getattr(self, name), above=low_exclusive))
        for name in ("momentum", "clock", "weight_decay"):
            if name != "weight_decay" or self.weight_decay is not None:
                object.__setattr__(self, name, finite(name, getattr(self, name), at_least=0.0))
        self._check_together()

    def _check_together(self) -> None:
        """What no field can be blamed for alone."""
        if self.weight_decay is not None and self.clock != type(self).clock:
            raise ExperimentError(
                f"clock sets the weight decay where weight_decay is None, but got clock {self.clock:g} and "
                f"weight_decay {self.weight_decay:g}: give weight_decay=None with a clock, or leave the clock away."
            )
        if self.momentum >= 1:
            raise ExperimentError(f"momentum must be below 1, but got {self.momentum}; a usual value is 0.9.")
        if self.sections > self.blocks > 0:
            raise ExperimentError(
                f"sections must be at most the number of blocks ({self.blocks}), but got {self.sections}; use fewer."
            )
        for name, there in (("train_size", TRAIN_IMAGES), ("test_size", TEST_IMAGES)):
            if getattr(self, name) > there[self.dataset]:
                raise ExperimentError(
                    f"{name} must be at most {there[self.dataset]}, the images that {self.dataset} has, "
                    f"but got {getattr(self, name)}."
                )
        if self.batch_size > self.train_size:
            raise ExperimentError(
                f"batch_size must be at most train_size ({self.train_size}), but got {self.batch_size}."
            )
        if self.measured_images > self.test_size:
            raise ExperimentError(
                f"measured_images must be at most test_size ({self.test_size}), but got {self.measured_images}."
            )
        most = max(self.epochs, type(self).snapshots)
        if self.snapshots > most:
            raise ExperimentError(
                f"snapshots must be at most {most}, since they are made between epochs, but got {self.snapshots}."
            )
        side = IMAGE_SIDE[self.dataset]
        if self.stem_stride > side:
            raise ExperimentError(
                f"stem_stride must be at most the side of the images ({side}), but got {self.stem_stride}."
            )

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        return super().from_mapping(without_removed(values))

    @property
    def settings(self) -> dict[str, Any]:
        """The fields that choose a way through the code: those that decide the result, and removed ones."""
        return {**self.identity, **dict(REMOVED)}

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def without_removed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out former fields, which older records have."""
    return {name: value for name, value in parameters.items() if (name, value) not in REMOVED}
