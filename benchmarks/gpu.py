"""Training on a GPU: images per second beside what a user would write, at 100 and at 300 blocks on CIFAR-10.

    python benchmarks/gpu.py            # some minutes where there is a CUDA GPU; writes benchmarks/results/gpu.json
    python benchmarks/gpu.py --quick --device cpu --output FILE    # a tiny network on invented images

Both train the same network with the same batch, optimiser and augmentation. The peer is plain PyTorch: a DataLoader
over torchvision's data set and transforms, float32, the default memory format. Ours is resperturb's training loop:
images resident on the device and augmented there, bfloat16, channels_last. They take turns, round by round; each time
the first epoch warms up and the second is timed. The matrix rate is that of bfloat16 products in the same process.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from typing import Any

import torch
from common import (
    CLASSES,
    fastest,
    invented_images,
    matrix_rate,
    median_and_range,
    operations_per_image,
    parsed,
    parser_of,
    provenance,
    wait,
    write_result,
)
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset, Subset

from resperturb.errors import DataError
from resperturb.experiment import Experiment
from resperturb.models.residual import network_of
from resperturb.training.data import data_folder, load_images
from resperturb.training.loop import train

SIDE = 32


def cifar10_experiment(blocks: int, steps: int, batch: int, device: str, **changes: Any) -> Experiment:
    sizes = {"batch_size": batch, "train_size": steps * batch, "test_size": batch, "measured_images": 1}
    facts = {"epochs": 2, "snapshots": 0, "precision": "bfloat16", "stem_stride": 1, **sizes, **changes}
    return Experiment(dataset="cifar10", blocks=blocks, device=device, **facts)


# ----------------------------------------------------------------------------------------------- the two ways


def augmented_images(experiment: Experiment, invented: bool) -> Dataset[Any]:
    from torchvision import datasets, transforms

    steps = [
        transforms.RandomCrop(SIDE, padding=SIDE // 8),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    ]
    size = experiment.train_size or 0
    if invented:
        return datasets.FakeData(size, (3, SIDE, SIDE), CLASSES, transforms.Compose(steps))
    return Subset(datasets.CIFAR10(data_folder(), transform=transforms.Compose(steps)), range(size))


def peer_on_device(experiment: Experiment, device: torch.device, invented: bool) -> float:
    """Images per second of the loop that tutorials have."""
    workers = 0 if invented else min(8, os.cpu_count() or 1)
    pinned, kept = device.type == "cuda", workers > 0
    loader = DataLoader(
        augmented_images(experiment, invented),
        experiment.batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=pinned,
        persistent_workers=kept,
    )
    model = network_of(experiment, channels=3).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=experiment.momentum, weight_decay=1e-4)
    rate = 0.0
    for _ in range(2):
        wait(device)
        begun, seen = time.perf_counter(), 0
        for images, labels in loader:
            loss = cross_entropy(model(images.to(device, non_blocking=True)), labels.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(images)
        wait(device)
        rate = seen / (time.perf_counter() - begun)
    return rate


def ours_on_device(experiment: Experiment, device: torch.device, invented: bool) -> float:
    """Images per second of resperturb's loop, whose last step of an epoch waits for the device."""
    images = invented_images(experiment, device) if invented else load_images(experiment, device)
    model: nn.Module = network_of(experiment, channels=3)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    done = train(model, images, experiment, observe=lambda moment: {}, report=lambda line: None)
    return float(done.history[-1]["images_per_second"])


# ----------------------------------------------------------------------------------------------- what is possible


def bandwidth(device: torch.device, size: int) -> float:
    """Bytes per second, read and written, of a copy on the device: the best of several."""
    source = torch.zeros(size, device=device, dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * size / fastest(lambda: target.copy_(source), device)


# ----------------------------------------------------------------------------------------------- all of it


def case(blocks: int, options: Any, device: torch.device, rate: float) -> dict[str, Any]:
    steps, batch, rounds = (2, 4, 1) if options.quick else (80, 128, options.rounds)
    experiment = cifar10_experiment(blocks, steps, batch, str(device), **({"width": 4} if options.quick else {}))
    ways = {"ours": ours_on_device, "peer": peer_on_device}  # ours fetches the data where they are missing
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            torch.manual_seed(0)
            taken[name].append(way(experiment, device, options.quick))
            print(f"{blocks} blocks, {name}: {taken[name][-1]:.0f} images/s", file=sys.stderr)
    operations = operations_per_image(experiment)
    found = {name: {"images_per_second": median_and_range(rates)} for name, rates in taken.items()}
    return {
        "blocks": blocks,
        "batch": batch,
        "steps": steps,
        "rounds": rounds,
        **found,
        "ratio": median_and_range([fast / plain for fast, plain in zip(taken["ours"], taken["peer"], strict=True)]),
        "operations_per_image": operations,
        "share_of_matrix_rate": operations * statistics.median(taken["ours"]) / rate,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("gpu", str(__doc__))
    parser.add_argument("--device", default="cuda", help="cpu shows, with --quick, that it runs (cuda)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    options = parsed(parser, arguments)
    if options.device != "cuda" and not options.quick:
        parser.error("numbers of another device than cuda are not those to keep: add --quick")
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA GPU here: nothing was measured and nothing written.")
        return 0
    device = torch.device(options.device)
    result = provenance(options.quick, options.device)
    rate = matrix_rate(device, 256 if options.quick else 8192)
    result |= {
        "matrix_flops_per_second": rate,
        "bandwidth_bytes_per_second": bandwidth(device, 2**20 if options.quick else 2**30),
    }
    try:
        cases = [case(blocks, options, device, rate) for blocks in ((3, 4) if options.quick else (100, 300))]
    except DataError as error:
        print(f"Nothing was measured and nothing written: {error}")
        return 0
    write_result(result | {"cases": cases}, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
