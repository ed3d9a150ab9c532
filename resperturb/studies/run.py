"""One run, composed: network, data, training, measurement, record. Nothing else knows all of them."""

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
from resperturb.measurement.measure import measurement
from resperturb.measurement.model_state import preserve_state
from resperturb.models.path import section_paths
from resperturb.models.residual import Block, ResidualNetwork, network_of
from resperturb.records.freshness import source_hash
from resperturb.records.record import Record
from resperturb.studies.conduct import compose
from resperturb.training.data import Images, load_images
from resperturb.training.loop import Moment, evaluate, train

MEASURED_AT_ONCE = 256  # images a batch; the statistics of an untrained batch norm are taken over as many


def device_of(name: str) -> torch.device:
    """The device called `name`; "auto" is a GPU where there is one."""
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
    """Train a network, measure it at the start, on the way and at the end, and write the record.

    Args:
        experiment: what to run.
        results: the sweep's folder; the record becomes results/<experiment.name>/.
        again: run even where a record of this experiment, made by the present sources, is there already.
        longest: seconds; a run on processors that is estimated to take longer is refused.
        report: takes one line of progress at a time.

    Returns:
        The record. A run whose loss or activations were no finite numbers is recorded as diverged, without an end.

    Raises:
        ExperimentError: no such device, a network that its memory cannot hold, a run of more than the `longest` time,
            unusable data (DataError) or results folder (RecordError).
    """
    device = device_of(experiment.device)
    folder = Path(results) / experiment.name
    checkpoint = folder.with_name(f".{folder.name}.checkpoint")
    # Operations on 8x8 images are too small to share out (benchmarks/sweep.py measures it).
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
    """What run.json is to hold of a run, and the tables of its record."""
    images = load_images(experiment, device)
    network = network_of(experiment, channels=images.channels)
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    drawn = [layer.weight.detach().clone() for layer in branch_convolutions(network)]  # a resumed run draws them again
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
    """All blocks at one moment, in plain values: the tables' rows, a value per image, and the averages over blocks."""
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
    """A table as lists, None for NaN: what a checkpoint can store."""
    return {
        str(name): values for name, values in table.astype(object).where(table.notna(), None).to_dict("list").items()
    }


def branch_convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """The convolutions in the branches of all blocks, in order."""
    blocks = (module for module in network.modules() if isinstance(module, Block))
    return [layer for block in blocks for layer in block.branch if isinstance(layer, nn.Conv2d)]


def weights_of(network: nn.Module, drawn: list[Tensor]) -> dict[str, list[Any]]:
    """Sizes in the branch of every block, in order. `drawn`: the weights of its convolutions as they were initialised.

    gain1, gain2 and shift1, shift2: root mean square of what the first and the second batch norm multiply by and add;
    variance1, variance2: the mean over channels of the running variance they divide by, before epsilon is added;
    weight1, weight2: root mean square over filters of the L2 norm of a filter of each convolution;
    memory1, memory2: W · W_0 / ‖W_0‖² of each convolution W, drawn as W_0; None for W_0 = 0. It goes as
    exp(-sum of lr * weight_decay / (1 - momentum)) where no gradient acts, or one that is orthogonal to W_0.
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
    """The first images, as they are measured."""
    measured = images[: experiment.measured_images]
    return [batch.contiguous(memory_format=torch.channels_last) for batch in measured.split(MEASURED_AT_ONCE)]


def conventions_of(network: nn.Module, images: Images, experiment: Experiment) -> pd.DataFrame:
    """The trained network measured by other conventions than the record's own, one below the other."""
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
    """One table of all snapshots, numbered from 0."""
    frames = [pd.DataFrame(table) for table in tables]
    for number, frame in enumerate(frames):
        frame.insert(0, "snapshot", number)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
