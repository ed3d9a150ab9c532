"""What a run needs, estimated before it starts: parameters, memory, and time on one processor core.

Each value that a pass handles takes ``SECONDS_PER_VALUE``, and each block of a step ``SECONDS_PER_CALL``, most of the
time where images are small. Both were fitted to the records in results/. How many runs shared the machine is not
recorded: nineteen of twenty took between a third and three times the estimate. A graphics processor is faster.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resperturb.errors import ExperimentError, shown
from resperturb.experiment.experiment import IMAGE_SIDE, TEST_IMAGES, TRAIN_IMAGES, Experiment
from resperturb.experiment.parameters import Parameters

DAY = 86400.0  # seconds
GIB = 2**30  # bytes
UNITS = {"years": 365 * DAY, "days": DAY, "hours": 3600.0, "minutes": 60.0}
CHANNELS = {"digits": 1, "mnist": 1, "cifar10": 3}  # of the images
SECONDS_PER_VALUE = 1.5e-9
SECONDS_PER_CALL = 3e-3
KEPT = 4  # tensors of the state's size that a block stores for the backward pass
PROCESS = 0.85 * GIB  # Python and PyTorch before they have anything to do
BLOCK = 28 * 2**10  # bytes of a block's modules, however narrow
BEYOND = 10**18  # parameters of no machine
SIZES = ("blocks", "depths", "sections", "layers", "width", "context", "batch_size", "measured_sequences", "draws")
"""Fields that memory grows with."""


@dataclass(frozen=True)
class Cost:
    """Number of parameters, memory in bytes at the peak, and seconds on one processor core."""

    parameters: int
    memory: float
    seconds: float

    @property
    def duration(self) -> str:
        unit, size = next((pair for pair in UNITS.items() if self.seconds >= 2 * pair[1]), ("seconds", 1.0))
        return f"about {self.seconds / size:.3g} {unit}"

    def __str__(self) -> str:
        return f"{self.duration} on one processor core, {self.memory / GIB:.2g} GiB of memory"


def estimate(experiment: Experiment) -> Cost:
    """The cost of training a network and measuring it as the experiment says."""
    epochs, train_size, test_size = experiment.epochs, experiment.train_size, experiment.test_size
    name, width, channels = experiment.dataset, experiment.width, CHANNELS[experiment.dataset]
    side = -(-IMAGE_SIDE[name] // experiment.stem_stride)
    parameters, stored = 9 * channels * width, 0.0  # stored: values of one image, in all states and branches
    each, rest = divmod(experiment.blocks, experiment.sections)
    for section in range(experiment.sections):
        if section:
            side, width = -(-side // 2), 2 * width
            parameters += 14 * width**2  # two convolutions and a projection, from half the width
        blocks = each + (section < rest)
        parameters += 18 * width**2 * blocks
        stored += KEPT * width * side**2 * (blocks + 1.0)
        if parameters > BEYOND:
            break
    passes = 3.0 * epochs * train_size + epochs * min(1000, test_size) + test_size  # backward takes as long as two
    passes += 2.0 * (experiment.snapshots + 4) * experiment.measured_images
    calls = epochs * (train_size // experiment.batch_size) * (experiment.blocks + experiment.sections)
    images = 3 * (TRAIN_IMAGES[name] + TEST_IMAGES[name]) + 4 * (train_size + test_size)  # bytes of a pixel
    moments = 2 if experiment.optimizer == "adamw" else 1
    numbers = parameters * (2 + moments) + stored * experiment.batch_size
    memory = PROCESS + BLOCK * experiment.blocks + channels * IMAGE_SIDE[name] ** 2 * images + 4 * numbers
    return Cost(parameters, memory, SECONDS_PER_VALUE * stored * passes + SECONDS_PER_CALL * calls)


def check_cost(experiment: Experiment, memory: float, longest: float) -> Cost:
    """The cost of a run, unless that is more than `memory` bytes or the `longest` seconds.

    Raises:
        ExperimentError: it is more.
    """
    cost = estimate(experiment)
    check_memory(experiment, cost.memory, memory)
    if cost.seconds > longest:
        raise ExperimentError(
            f"the run takes {cost.duration} on one processor core, but {longest / 3600:g} hours are allowed; add --yes "
            "(longest=math.inf in Python) to start it, or choose fewer blocks, epochs or images."
        )
    return cost


def check_memory(parameters: Parameters, needed: float, available: float) -> None:
    """Refuse an experiment or a study that needs more bytes than there are.

    Raises:
        ExperimentError: it does; the message has its sizes.
    """
    if needed > available:
        sizes = ", ".join(f"{name} {shown(getattr(parameters, name))}" for name in SIZES if hasattr(parameters, name))
        raise ExperimentError(
            f"{sizes} need about {needed / GIB:.3g} GiB of memory, but there are {available / GIB:.3g} GiB; choose "
            "smaller ones."
        )


def machine_memory(limit: Path = Path("/sys/fs/cgroup/memory.max")) -> int:
    """Bytes of main memory, or fewer in a container: `limit` is a file of control groups, version 2."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no such file, or "max"
        memory = min(memory, int(limit.read_text()))
    return memory
