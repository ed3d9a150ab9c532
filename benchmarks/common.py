"""Options, provenance and output that all benchmarks share."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from resperturb.experiment import Experiment
from resperturb.experiment.cost import CHANNELS
from resperturb.experiment.experiment import IMAGE_SIDE
from resperturb.models.residual import network_of
from resperturb.records.provenance import git_commit, machine, versions
from resperturb.training.data import Images

ROOT = Path(__file__).resolve().parent.parent
CLASSES = 10
CPU = torch.device("cpu")
BENCHMARK_RESULTS = ROOT / "benchmarks" / "results"


def parser_of(name: str, about: str) -> argparse.ArgumentParser:
    """The options every benchmark takes.

    Args:
        name: of the benchmark, and of the file in benchmarks/results/ that it writes.
        about: its docstring; the first line is shown by --help.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="as small as it can be: a test that it runs")
    parser.add_argument(
        "--output", type=Path, default=BENCHMARK_RESULTS / f"{name}.json", help=f"(benchmarks/results/{name}.json)"
    )
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; numbers of --quick are refused a place among those that are kept."""
    options = parser.parse_args(arguments)
    if options.quick and options.output.resolve() == Path(parser.get_default("output")).resolve():
        parser.error("--quick needs an --output of its own: its numbers are not those to keep")
    return options


def provenance(quick: bool, device: str = "cpu") -> dict[str, Any]:
    """When, on what machine, with what versions and sources. Call it before measuring: it takes the time."""
    return {
        "quick": quick,
        "load": os.getloadavg()[0],  # before it began; the machine should be quiet
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(torch.device(device)),
        "versions": versions(),
        **git_commit(),
    }


def median_and_range(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def write_result(result: dict[str, Any], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written: {output}")


# ----------------------------------------------------------------------------------------------- training


def invented_images(experiment: Experiment, device: torch.device = CPU) -> Images:
    """Noise of the shape of the experiment's images, with labels by chance."""
    side = IMAGE_SIDE[experiment.dataset]

    def drawn(count: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(count)
        images = torch.randn(count, CHANNELS[experiment.dataset], side, side, generator=generator)
        return images.to(device), torch.randint(CLASSES, (count,), generator=generator).to(device)

    return Images(*drawn(experiment.train_size or 1), *drawn(experiment.test_size or 1))


def operations_per_image(experiment: Experiment) -> float:
    """Floating-point operations of a training step (convolutions and products, forwards and backwards) per image."""
    channels, side, batch = CHANNELS[experiment.dataset], IMAGE_SIDE[experiment.dataset], 2
    model = network_of(experiment, channels=channels)
    with FlopCounterMode(display=False) as counter:
        cross_entropy(model(torch.randn(batch, channels, side, side)), torch.zeros(batch, dtype=torch.long)).backward()
    return counter.get_total_flops() / batch


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fastest(work: Callable[[], Any], device: torch.device, times: int = 10) -> float:
    taken = []
    for _ in range(times + 1):
        wait(device)
        begun = time.perf_counter()
        work()
        wait(device)
        taken.append(time.perf_counter() - begun)
    return min(taken[1:])


def matrix_rate(device: torch.device, side: int) -> float:
    """Floating-point operations per second of bfloat16 matrix products: the best of several."""
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    return 2 * side**3 / fastest(lambda: a @ a, device)
