"""Training on a processor, beside what a user would write: images per second.

    python benchmarks/training.py            # some minutes; writes benchmarks/results/training.json
    python benchmarks/training.py --quick --output FILE    # tiny networks on invented images: shows that it runs

Both train the same network with the same batch and stochastic gradient descent, and take turns, round by round; the
first epoch warms up and the second is timed. The peer is plain PyTorch: a DataLoader over torchvision's data set and
transforms, float32, the default memory format, all cores. Ours is resperturb's loop: bfloat16, channels_last, images
held as tensors. Digits are trained by processes of their own, in every way that shares out the cores: one with all of
them, or one each, started together, whose rates are added. The matrix rate is that of bfloat16 products of this
process, taken in every case.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import (
    CPU,
    invented_images,
    matrix_rate,
    median_and_range,
    operations_per_image,
    parsed,
    parser_of,
    provenance,
    write_result,
)
from measurement import resident
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from resperturb.errors import DataError
from resperturb.experiment import Experiment
from resperturb.experiment.cost import CHANNELS
from resperturb.experiment.experiment import IMAGE_SIDE
from resperturb.models.residual import network_of
from resperturb.training.data import data_folder, load_images
from resperturb.training.loop import train

CORES = os.cpu_count() or 1
Pause = Callable[[], None]


def experiment_of(dataset: str, blocks: int, batch: int, steps: int, **changes: Any) -> Experiment:
    """Two epochs of `steps` batches, the whole image at full width; one snapshot lies between them."""
    sizes = {"batch_size": batch, "train_size": steps * batch, "test_size": 2, "measured_images": 1}
    facts = {"epochs": 2, "snapshots": 1, "stem_stride": 1, "augmentation": "none", **sizes, **changes}
    return Experiment(dataset=dataset, blocks=blocks, device="cpu", **facts)


# ----------------------------------------------------------------------------------------------- the two ways


def data_set(experiment: Experiment, invented: bool) -> Dataset[Any]:
    from torchvision import datasets, transforms

    size, channels = experiment.train_size or 0, CHANNELS[experiment.dataset]
    if invented or experiment.dataset == "digits":
        images = invented_images(experiment) if invented else load_images(experiment)
        return TensorDataset(images.train_images, images.train_labels)
    steps = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * channels, (0.25,) * channels)])
    read = datasets.CIFAR10 if experiment.dataset == "cifar10" else datasets.MNIST
    return Subset(read(data_folder(), transform=steps), range(size))


def peer(experiment: Experiment, invented: bool, pause: Pause) -> float:
    """Images per second of the loop that tutorials have."""
    loader = DataLoader(data_set(experiment, invented), experiment.batch_size, shuffle=True)
    model = network_of(experiment, channels=CHANNELS[experiment.dataset])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=experiment.momentum, weight_decay=1e-4)
    rate = 0.0
    for epoch in range(2):
        if epoch:
            pause()
        begun, seen = time.perf_counter(), 0
        for images, labels in loader:
            loss = cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(images)
        rate = seen / (time.perf_counter() - begun)
    return rate


def ours(experiment: Experiment, invented: bool, pause: Pause) -> float:
    """Images per second of resperturb's loop in the second epoch; what it measures in between is the pause."""
    images = invented_images(experiment) if invented else load_images(experiment)
    model = network_of(experiment, channels=CHANNELS[experiment.dataset])

    def observe(moment: Any) -> dict[str, Any]:
        if moment.name == "training":
            pause()
        return {}

    done = train(model, images, experiment, observe, report=lambda line: None)
    return float(done.history[-1]["images_per_second"])


WAYS: dict[str, Callable[[Experiment, bool, Pause], float]] = {"ours": ours, "peer": peer}


# ----------------------------------------------------------------------------------------------- large images


def large(experiment: Experiment, rounds: int, quick: bool) -> dict[str, Any]:
    """Ours (bfloat16) and the peer by turns in this process, with all cores."""
    rate = matrix_rate(CPU, 256 if quick else 2048)
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(rounds):
        for name, way in WAYS.items():
            taken[name].append(way(experiment, quick, nothing))
            print(f"{case_facts(experiment)}, {name}: {taken[name][-1]:.0f} images/s", file=sys.stderr)
    operations = operations_per_image(experiment)
    return {
        **case_facts(experiment),
        "rounds": rounds,
        **{name: {"images_per_second": median_and_range(rates)} for name, rates in taken.items()},
        "ratio": median_and_range([fast / plain for fast, plain in zip(taken["ours"], taken["peer"], strict=True)]),
        "operations_per_image": operations,
        "matrix_flops_per_second": rate,
        "share_of_matrix_rate": operations * statistics.median(taken["ours"]) / rate,
    }


def case_facts(experiment: Experiment) -> dict[str, Any]:
    return {
        "dataset": experiment.dataset,
        "side": IMAGE_SIDE[experiment.dataset],
        "blocks": experiment.blocks,
        "batch": experiment.batch_size,
        "steps": (experiment.train_size or 0) // experiment.batch_size,
    }


def nothing() -> None:
    pass


# ----------------------------------------------------------------------------------------------- small images


def start(task: dict[str, Any]) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps(task)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def run_children(task: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """What `count` processes of one task say; each waits after its first epoch until all have come so far."""
    children = [start(task) for _ in range(count)]
    try:
        for child in children:
            if child.stdout is None or child.stdout.readline() != "ready\n":
                raise RuntimeError(f"a process of the benchmark ended early: {task}.")
        for child in children:
            if child.stdin is not None:
                child.stdin.write("go\n")
                child.stdin.flush()
        return [json.loads(child.communicate()[0]) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()


def child_of(task: dict[str, Any]) -> None:
    """One way in this process; prints its images per second and its memory in bytes."""
    torch.set_num_threads(task["threads"])
    experiment = Experiment.from_mapping(task["experiment"])
    before = resident("VmRSS")

    def pause() -> None:
        print("ready", flush=True)
        sys.stdin.readline()

    rate = WAYS[task["way"]](experiment, task["invented"], pause)
    peak = resident("VmHWM")
    print(json.dumps({"images_per_second": rate, "peak_bytes": peak, "above_start_bytes": peak - before}))


def small(experiment: Experiment, rounds: int, quick: bool) -> dict[str, Any]:
    """Digits: ours and the peer, with the cores in one process or in processes of one core each, by turns."""
    rows: list[dict[str, Any]] = [
        {"way": way, "precision": precision, "processes": processes, "threads": CORES // processes}
        for way, precision in (("peer", "float32"), ("ours", "float32"), ("ours", "bfloat16"))
        for processes in dict.fromkeys((1, CORES))
    ]
    rates: list[list[float]] = [[] for _ in rows]
    for _ in range(rounds):
        for row, found in zip(rows, rates, strict=True):
            told = dataclasses.replace(experiment, precision=row["precision"]).to_dict()
            task = {"way": row["way"], "threads": row["threads"], "experiment": told, "invented": quick}
            said = run_children(task, row["processes"])
            found.append(sum(one["images_per_second"] for one in said))
            print(f"{case_facts(experiment)}, {row}: {found[-1]:.0f} images/s", file=sys.stderr)
    plain = rates[0]  # the peer as it comes: one process with all cores
    ways = [
        {
            **row,
            "images_per_second": median_and_range(found),
            "ratio": median_and_range([mine / theirs for mine, theirs in zip(found, plain, strict=True)]),
        }
        for row, found in zip(rows, rates, strict=True)
    ]
    return {**case_facts(experiment), "rounds": rounds, "ways": ways}


# ----------------------------------------------------------------------------------------------- all of it


def time_cases(quick: bool, rounds: int) -> dict[str, Any]:
    narrow = {"width": 4} if quick else {}
    cases = [
        large(experiment_of(dataset, blocks, batch, steps, precision="bfloat16", **narrow), rounds, quick)
        for dataset in ("mnist", "cifar10")
        for blocks, batch, steps in (((3, 4, 2), (4, 4, 2)) if quick else ((30, 128, 4), (100, 128, 2)))
    ]
    digits = experiment_of("digits", 6, 16, 2, **narrow) if quick else experiment_of("digits", 300, 64, 8)
    return {"cases": cases, "digits": small(digits, rounds, quick)}


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("training", str(__doc__))
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.child:
        child_of(options.child)
        return 0
    result = provenance(options.quick)
    try:
        write_result(result | time_cases(options.quick, 1 if options.quick else options.rounds), options.output)
    except DataError as error:
        print(f"Nothing was written: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
