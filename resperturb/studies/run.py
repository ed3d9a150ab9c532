"""One run: network, data, training, measurement and record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor, nn

from resperturb.errors import ExperimentError
from resperturb.experiment.cost import check_cost, machine_memory
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.parameters import results_folder
from resperturb.measurement.measure import measurement
from resperturb.measurement.model_state import preserve_state
from resperturb.models.path import section_paths
from resperturb.models.residual import Block, ResidualNetwork, network_of
from resperturb.records.freshness import source_hash
from resperturb.records.record import Record
from resperturb.studies.conduct import compose
from resperturb.training.data import Images, load_images
from resperturb.training.loop import Moment, evaluate, train

MEASURED_AT_ONCE = 256  # images per batch; batch statistics at initialisation depend on it


def device_of(name: str) -> torch.device:
    """Return the device called `name`; "auto" is a GPU if there is one.

    Raises:
        ExperimentError: no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the device meta has no values
    except (RuntimeError, AssertionError, TypeError):  # each device has its own way to say no
        here = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise ExperimentError(f"device must be auto or one of {', '.join(here)}, but got {name!r}.") from None
    return device


def run(
    experiment: Experiment,
    results: Path | str = "results/runs",
    *,
    again: bool = False,
    longest: float = math.inf,
    report: Callable[[str], None] = print,
) -> Record:
    """Train a network, measure it before, during and after training, and write the record.

    Args:
        experiment: the experiment to run.
        results: folder of the sweep; the record is written to results/<experiment.name>/.
        again: run even if there is a fresh record of the experiment.
        longest: seconds; a run on processors that is estimated to take longer is refused.
        report: called with each line of progress.

    Returns:
        The record. A run with a loss or activations that are not finite has diverged, and its record has no end.

    Raises:
        ExperimentError: no such device, a network that its memory cannot hold, a run of more than the `longest` time,
            unusable data (DataError) or results folder (RecordError).
    """
    device = device_of(experiment.device)
    folder = results_folder(results) / experiment.name
    checkpoint = folder.with_name(f".{folder.name}.checkpoint")
    # Operations on 8x8 images are too small to share out.
    threads = experiment.threads or (1 if experiment.dataset == "digits" else torch.get_num_threads())

    def work() -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
        check_size(experiment, device, longest, report)
        return train_and_measure(experiment, device, checkpoint, report)

    record = compose(
        folder,
        work,
        kind="run",
        threads=threads,
        device=device,
        again=again,
        report=report,
    )
    checkpoint.unlink(missing_ok=True)
    return record


def check_size(experiment: Experiment, device: torch.device, longest: float, report: Callable[[str], None]) -> None:
    """Say what a run will need, and refuse one that the device cannot hold or that takes longer than `longest`."""
    if device.type == "cuda":  # whose time has no estimate
        cost = check_cost(experiment, torch.cuda.get_device_properties(device).total_memory, math.inf)
    else:
        cost = check_cost(experiment, machine_memory(), longest)
    report(f"estimated: {cost}")


def train_and_measure(
    experiment: Experiment, device: torch.device, checkpoint: Path, report: Callable[[str], None]
) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """Train and measure; return the contents of run.json and the tables of the record."""
    images = load_images(experiment, device)
    network = network_of(experiment, channels=images.channels)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    drawn = [layer.weight.detach().clone() for layer in branch_convolutions(network)]  # the same in a resumed run
    spent = {"seconds": 0.0}

    def observe(moment: Moment) -> dict[str, Any]:
        begun = time.perf_counter()
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # float32 in measuring, on a GPU too
            observation = observation_of(network, images, experiment, moment, drawn)
        spent["seconds"] += time.perf_counter() - begun
        return observation

    identity = f"{experiment.identity} {source_hash()}"
    training = train(network, images, experiment, observe, checkpoint=checkpoint, identity=identity, report=report)
    loss, accuracy = (
        (math.nan, math.nan)
        if training.diverged
        else evaluate(network, images.test_images, images.test_labels, experiment.precision)
    )
    facts = {
        "experiment": experiment.to_dict(),
        "diverged": training.diverged,
        "accuracy": finite_or_none(accuracy),
        "loss": finite_or_none(loss),
        "averages": {
            o["moment"]: {name: finite_or_none(value) for name, value in o["averages"].items()}  # no cosine where f = 0
            for o in training.observations
            if o["moment"] != "training"
        },
        "training": {
            "images_per_second": training.images_per_second,
            "seconds": training.seconds,
            "steps": training.step,
            "epochs": training.epoch,
            "weight_decay": training.weight_decay,
            "clock": training.clock,
            "train_loss": finite_or_none(training.history[-1]["train_loss"]) if training.history else None,
            "resumed": training.resumed,
        },
        "parameters": sum(p.numel() for p in network.parameters()),
        "measurement_seconds": spent["seconds"],
    }
    return facts, {
        "perturbations": tidy([o["table"] for o in training.observations]),
        "weights": tidy([o["weights"] for o in training.observations]),
        "sections": tidy([o["sections"] for o in training.observations]),
        "samples": pd.DataFrame({f"snapshot_{i}": o["samples"] for i, o in enumerate(training.observations)}),
        "history": pd.DataFrame(training.history),
        "conventions": pd.DataFrame() if training.diverged else conventions_of(network, images, experiment),
    }


def observation_of(
    network: ResidualNetwork, images: Images, experiment: Experiment, moment: Moment, drawn: list[Tensor]
) -> dict[str, Any]:
    """Measure all blocks at one moment; return rows of tables, a value per image and averages, in plain values."""
    result = measurement(network, batches_of(images.test_images, experiment), successive=True)
    table = result.table
    when: dict[str, Any] = {"moment": moment.name, "epoch": moment.epoch, "step": moment.step, "clock": moment.clock}
    for position, (column, value) in enumerate(when.items()):
        table.insert(position, column, value)
    table["batch_statistics"] = result.batch_statistics
    identity = table[table["kind"] == "identity"]
    with preserve_state(list(network.modules()), result.batch_statistics):
        sections = section_paths(network, batches_of(images.test_images, experiment)[0])
    sections.insert(0, "moment", moment.name)
    return {
        "moment": moment.name,
        "table": plain(table),
        "sections": plain(sections),
        "weights": {"moment": moment.name, **weights_of(network, drawn)},
        "samples": result.scaled_per_sample.tolist(),
        "averages": {
            "scaled": float(result.scaled_per_sample.mean()),
            "absolute": float(identity["perturbation_norm"].mean()),
            "state": float(identity["state_norm"].mean()),
            "cosine": float(identity["cosine"].mean()),
        },
    }


def plain(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Convert a table to lists with None for NaN, which a checkpoint can store."""
    return {
        str(name): values for name, values in table.astype(object).where(table.notna(), None).to_dict("list").items()
    }


def branch_convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions in the branches of all blocks, in order."""
    blocks = (module for module in network.modules() if isinstance(module, Block))
    return [layer for block in blocks for layer in block.branch if isinstance(layer, nn.Conv2d)]


def weights_of(network: nn.Module, drawn: list[Tensor]) -> dict[str, list[Any]]:
    """Measure the weights in the branch of every block, in order.

    Args:
        network: the network.
        drawn: initial weights of :func:`branch_convolutions`.

    Returns:
        Columns block, and for the first and second layer of a branch:

        - gain, shift: root mean square of the gains and shifts of the batch norm;
        - variance: running variance, mean over channels, without epsilon;
        - weight: L2 norm of a filter of the convolution, root mean square over filters;
        - memory: W · W_0 / ‖W_0‖² of the weights W drawn as W_0; None for W_0 = 0. It falls as e^-T if gradients are
          zero or orthogonal to W_0.
    """
    columns: dict[str, list[float | None]] = {}
    before = iter(drawn)

    def add(name: str, value: Tensor) -> None:
        columns.setdefault(name, []).append(finite_or_none(float(value)))

    for block in (module for module in network.modules() if isinstance(module, Block)):
        norms = [layer for layer in block.branch if isinstance(layer, nn.BatchNorm2d)]
        convolutions = [layer for layer in block.branch if isinstance(layer, nn.Conv2d)]
        for place, norm in enumerate(norms, start=1):
            add(f"gain{place}", norm.weight.detach().square().mean().sqrt())
            add(f"shift{place}", norm.bias.detach().square().mean().sqrt())
            add(f"variance{place}", norm.running_var.mean())  # type: ignore[union-attr]
        for place, layer in enumerate(convolutions, start=1):
            add(f"weight{place}", layer.weight.detach().flatten(1).square().sum(1).mean().sqrt())
            first = next(before)
            add(f"memory{place}", (layer.weight.detach() * first).sum() / first.square().sum())
    return {"block": list(range(1, len(columns.get("weight1", [])) + 1)), **columns}


def batches_of(images: Tensor, experiment: Experiment) -> list[Tensor]:
    """Return the measured images in batches, channels last."""
    measured = images[: experiment.measured_images]
    return [batch.contiguous(memory_format=torch.channels_last) for batch in measured.split(MEASURED_AT_ONCE)]


def conventions_of(network: nn.Module, images: Images, experiment: Experiment) -> pd.DataFrame:
    """Measure the trained network on training images and with norms per channel; one table, by convention."""
    columns = ["block", "section", "kind", "state_norm", "perturbation_norm", "scaled", "step_scaled", "cosine"]
    ways: dict[str, tuple[Tensor, Literal["together", "apart"]]] = {
        "training images": (images.train_images, "together"),
        "per channel": (images.test_images, "apart"),
    }
    tables = {
        name: measurement(network, batches_of(pictures, experiment), channels=channels).table[columns]
        for name, (pictures, channels) in ways.items()
    }
    return pd.concat(tables, names=["convention"]).reset_index("convention")


def tidy(tables: list[dict[str, list[Any]]]) -> pd.DataFrame:
    """Join the tables of all snapshots, numbered from 0."""
    frames = [pd.DataFrame(table) for table in tables]
    for number, frame in enumerate(frames):
        frame.insert(0, "snapshot", number)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
