"""The training loop: stochastic gradient descent or AdamW, one cycle of the learning rate or a constant one.

It adds up the time under weight decay, T = sum over steps of lr * weight_decay / (1 - momentum). An experiment may set
T in place of the weight decay; runs of one T and different length do not end alike.
"""

from __future__ import annotations

import hashlib
import io
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from resperturb.errors import ActivationError
from resperturb.experiment.experiment import Experiment
from resperturb.training.data import Images, augment
from resperturb.training.precision import arithmetic, autocast

WARMUP = 0.25  # share of the steps in which the learning rate rises; deep networks diverge without
WATCHED_IMAGES = 1000  # test images the accuracy is followed on during training
SECONDS_BETWEEN_CHECKPOINTS = 20.0


@dataclass(frozen=True)
class Moment:
    """When in a run a measurement is made."""

    name: str  # initialization, training, end
    epoch: int
    step: int
    clock: float  # T so far


@dataclass
class Training:
    """State and results of the loop, in plain Python values, so that they can be stored and resumed."""

    steps: int
    weight_decay: float
    clock: float = 0.0
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0  # in the loop itself, measurements left out
    images_per_second: float = 0.0
    diverged: bool = False  # the loss or an activation was no finite number
    resumed: bool = False
    history: list[dict[str, float]] = field(default_factory=list)  # a row an epoch
    observations: list[Any] = field(default_factory=list)  # what `observe` returned, in order


def learning_rate(step: int, steps: int, peak: float, schedule: str = "one-cycle") -> float:
    """Straight up to `peak` over the first quarter of the steps; then down to zero along a cosine, or "constant"."""
    rising = WARMUP * steps
    if step + 1 <= rising:
        return peak * (step + 1) / rising
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1 + math.cos(math.pi * (step + 1 - rising) / (steps - rising + 1)))


def clock_per_decay(experiment: Experiment, steps: int) -> float:
    """T of the whole run divided by the weight decay: sum of lr / (1 - momentum), of AdamW the sum of lr."""
    rates = (learning_rate(step, steps, experiment.learning_rate, experiment.schedule) for step in range(steps))
    return math.fsum(rates) / momentum_factor(experiment)


def momentum_factor(experiment: Experiment) -> float:
    """What rate * weight_decay is divided by in T: 1 - momentum where decay is part of the gradient, 1 where it stands
    alone (Loshchilov and Hutter 2019, arXiv 1711.05101)."""
    return 1.0 if experiment.optimizer == "adamw" else 1 - experiment.momentum


def weight_decay_of(experiment: Experiment, steps: int) -> float:
    """The weight decay an experiment states, or the one with which its `steps` take the clock to T = clock."""
    if experiment.weight_decay is not None:
        return experiment.weight_decay
    return experiment.clock / clock_per_decay(experiment, steps)


def snapshot_epochs(epochs: int, snapshots: int) -> set[int]:
    """Epochs after which to measure, evenly between the start and the end (which are measured anyway)."""
    return {round(epochs * k / (snapshots + 1)) for k in range(1, snapshots + 1)} - {0, epochs}


def train(
    network: nn.Module,
    images: Images,
    experiment: Experiment,
    observe: Callable[[Moment], Any],
    *,
    checkpoint: Path | None = None,
    identity: str = "",
    report: Callable[[str], None] = print,
) -> Training:
    """Train `network` in place.

    Args:
        network: on the device of the images; takes (N, C, H, W), gives (N, classes).
        images, experiment: data, and the schedule, batch size, precision and seed of the run.
        observe: called at initialisation, at the snapshots and at the end; its results are stored. Not called at the
            end of a run that diverged.
        checkpoint: file to resume from and to save to, at most every 20 seconds, at the end of an epoch.
        identity: of this run; a checkpoint of another run is ignored.
        report: takes one line an epoch.
    """
    device = images.train_images.device
    network.to(memory_format=torch.channels_last)  # else convolutions convert weights
    batches = len(images.train_images) // experiment.batch_size  # an incomplete last batch is left out
    epochs = experiment.epochs
    state = Training(steps=epochs * batches, weight_decay=0.0)
    state.weight_decay = weight_decay_of(experiment, state.steps)
    groups = parameter_groups(network, experiment.decayed, state.weight_decay)
    rate, fused = experiment.learning_rate, device.type in ("cpu", "cuda")
    optimizer: torch.optim.Optimizer
    if experiment.optimizer == "adamw":
        optimizer = torch.optim.AdamW(groups, lr=rate, betas=(experiment.momentum, 0.999), fused=fused)
    else:
        optimizer = torch.optim.SGD(groups, lr=rate, momentum=experiment.momentum, fused=fused)
    generator = torch.Generator().manual_seed(experiment.seed)

    def record(moment: Moment) -> None:
        try:
            state.observations.append(observe(moment))
        except ActivationError as error:  # too deep for its initialisation, or on its way to an infinite loss
            report(f"diverged: {error}")
            state.diverged = True

    if checkpoint is not None and resume(checkpoint, identity, network, optimizer, generator, state, report):
        report(f"resumed after epoch {state.epoch} of {epochs}")
    else:
        record(Moment("initialization", 0, 0, 0.0))
    measured = snapshot_epochs(epochs, experiment.snapshots)
    saved = time.monotonic()
    while state.epoch < epochs and not state.diverged:
        with arithmetic(device, experiment.precision):
            train_epoch(network, images, experiment, optimizer, generator, state, batches)
        row = state.history[-1]
        report(
            f"epoch {state.epoch:3d} of {epochs}  loss {row['train_loss']:.4f}  "
            f"test accuracy {row['test_accuracy']:.4f}  {row['images_per_second']:.0f} images/s"
        )
        if state.diverged:
            report(f"the loss is no longer finite after step {state.step}: the run has diverged")
        elif state.epoch == epochs:
            record(Moment("end", state.epoch, state.step, state.clock))
        elif state.epoch in measured:
            record(Moment("training", state.epoch, state.step, state.clock))
        if checkpoint is not None and time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            try:
                save(checkpoint, identity, network, optimizer, generator, state)
            except OSError as error:  # hours of training are worth more than their checkpoint
                report(f"the checkpoint cannot be saved ({error.strerror}); the run goes on without")
            saved = time.monotonic()
    state.images_per_second = state.step * experiment.batch_size / state.seconds if state.step else 0.0
    return state


def parameter_groups(network: nn.Module, decayed: str, weight_decay: float) -> list[dict[str, Any]]:
    """The parameters for the optimiser: those that decay, then those that do not; `decayed` is of an experiment."""
    if "all" in decayed.split("+"):
        return [{"params": list(network.parameters()), "weight_decay": weight_decay}]
    convolutions: dict[str, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        before, found, _ = name.partition("branch.")
        if found and parameter.dim() == 4:
            convolutions.setdefault(before, []).append(parameter)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    named = {
        "weights": [parameter for parameter in network.parameters() if parameter.dim() > 1],
        "normalization": [parameter for norm in norms for parameter in norm.parameters()],
        "first-convolutions": [branch[0] for branch in convolutions.values()],
        "last-convolutions": [branch[-1] for branch in convolutions.values()],
    }
    kept = {parameter for name in decayed.split("+") for parameter in named[name]}
    chosen, others = ([p for p in network.parameters() if (p in kept) == decays] for decays in (True, False))
    return [{"params": chosen, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def train_epoch(
    network: nn.Module,
    images: Images,
    experiment: Experiment,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    state: Training,
    batches: int,
) -> None:
    """One pass over the training images; adds a row to the history and advances `state`."""
    device = images.train_images.device
    started = time.perf_counter()
    order = torch.randperm(len(images.train_images), generator=generator).to(device)
    total = torch.zeros((), device=device)
    correct = torch.zeros((), device=device)
    network.train()
    done = 0
    for batch in range(batches):
        rate = learning_rate(state.step, state.steps, experiment.learning_rate, experiment.schedule)
        for group in optimizer.param_groups:
            group["lr"] = rate
        picked = order[batch * experiment.batch_size : (batch + 1) * experiment.batch_size]
        x, labels = images.train_images[picked], images.train_labels[picked]
        if experiment.augmentation == "crop-flip":
            x = augment(x, generator)
        x = x.contiguous(memory_format=torch.channels_last)
        optimizer.zero_grad(set_to_none=True)
        with autocast(device, experiment.precision):
            scores = network(x)
        loss = cross_entropy(scores.float(), labels)
        loss.backward()
        optimizer.step()
        total += loss.detach()
        correct += (scores.argmax(1) == labels).sum()
        state.clock += rate * state.weight_decay / momentum_factor(experiment)
        state.step += 1
        done += 1
        if (done % 20 == 0 or done == batches) and not math.isfinite(total.item()):  # seldom: waits for a GPU
            state.diverged = True
            break
    seconds = time.perf_counter() - started
    state.seconds += seconds
    state.epoch += 1
    watched = min(WATCHED_IMAGES, len(images.test_images))
    test_loss, test_accuracy = evaluate(
        network, images.test_images[:watched], images.test_labels[:watched], experiment.precision
    )
    state.history.append(
        {
            "epoch": state.epoch,
            "step": state.step,
            "clock": state.clock,
            "learning_rate": rate,
            "train_loss": total.item() / done,
            "train_accuracy": correct.item() / (done * experiment.batch_size),
            "test_loss": test_loss,
            "test_accuracy": test_accuracy,
            "images_per_second": done * experiment.batch_size / seconds,
        }
    )


@torch.no_grad()
def evaluate(network: nn.Module, images: Tensor, labels: Tensor, precision: str = "float32") -> tuple[float, float]:
    """Mean cross-entropy (nats) and share of correct answers. Shapes: images (N, C, H, W), labels (N,)."""
    network.eval()
    loss = correct = 0.0
    for x, y in zip(images.split(256), labels.split(256), strict=True):
        with arithmetic(images.device, precision), autocast(images.device, precision):
            scores = network(x.contiguous(memory_format=torch.channels_last)).float()
        loss += cross_entropy(scores, y, reduction="sum").item()
        correct += (scores.argmax(1) == y).sum().item()
    return loss / len(images), correct / len(images)


STORED = ("clock", "epoch", "step", "seconds", "diverged", "history", "observations")


def save(
    checkpoint: Path,
    identity: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    state: Training,
) -> None:
    """Write everything that the rest of the run depends on, behind its SHA-256, atomically.

    Raises:
        OSError: it cannot be written; the checkpoint before it stays.
    """
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    torch.save(
        {
            "identity": identity,
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
            "state": {name: getattr(state, name) for name in STORED},
        },
        content,
    )
    partial = checkpoint.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
        partial.replace(checkpoint)
    finally:
        partial.unlink(missing_ok=True)


def resume(
    checkpoint: Path,
    identity: str,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    state: Training,
    report: Callable[[str], None],
) -> bool:
    """Continue from the checkpoint if there is a whole one of this run; True if so."""
    if not checkpoint.is_file():
        return False
    content = checkpoint.read_bytes()
    digest, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != digest:  # torch.load would not notice
        report(f"the checkpoint {checkpoint} is damaged; the run starts from the beginning")
        return False
    device = next(network.parameters()).device
    stored = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    if stored["identity"] != identity:
        return False
    network.load_state_dict(stored["network"])
    optimizer.load_state_dict(stored["optimizer"])
    generator.set_state(stored["generator"].cpu())
    for name in STORED:
        setattr(state, name, stored["state"][name])
    state.resumed = True
    return True
