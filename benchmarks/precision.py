"""Whether training in bfloat16 ends where training in float32 does: losses and the fitted exponent, over five seeds.

    python benchmarks/precision.py            # some minutes on one core; writes benchmarks/results/precision.json
    python benchmarks/precision.py --quick --output FILE    # tiny networks: shows that it runs

Digits, depths 6 to 48, T = 5, each seed trained in both precisions from the same weights, with the same order of
images. Differences are taken seed by seed, bfloat16 less float32, and compared with the standard deviation over seeds
in float32: rounding is harmless where it moves a result less than another seed does. Measurement is in float32 always.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from common import parsed, parser_of, provenance, write_result

from resperturb.analysis.power_law import power_law, student
from resperturb.analysis.slope_tests import fit_slope
from resperturb.experiment import Experiment
from resperturb.experiment.experiment import PRECISIONS
from resperturb.measurement.measure import measure
from resperturb.models.residual import network_of
from resperturb.training.data import load_images
from resperturb.training.loop import Moment, evaluate, train

QUANTITIES = ("train_loss", "test_loss", "test_accuracy", "scaled_perturbation")


def train_one(experiment: Experiment) -> dict[str, Any]:
    """One run: its last losses (nats), accuracy, and the mean scaled perturbation over blocks and measured images."""
    images = load_images(experiment)
    network = network_of(experiment, channels=images.channels)

    def observe(moment: Moment) -> dict[str, Any]:
        return {}

    done = train(network, images, experiment, observe, report=lambda line: None)
    test_loss, test_accuracy = evaluate(network, images.test_images, images.test_labels)
    rows = measure(network, [images.test_images[: experiment.measured_images]])
    found = {
        "blocks": experiment.blocks,
        "seed": experiment.seed,
        "precision": experiment.precision,
        "train_loss": done.history[-1]["train_loss"],
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "scaled_perturbation": float(rows.loc[rows["kind"] == "identity", "scaled"].mean()),
        "diverged": done.diverged,
    }
    print(found, file=sys.stderr)
    return found


def of(runs: Iterable[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [run for run in runs if all(run[name] == value for name, value in wanted.items())]


def compare_precisions(name: str, full: Sequence[float], half: Sequence[float]) -> dict[str, Any]:
    """Means in both precisions, the mean difference with Student's 95 % interval, and the deviation over seeds."""
    differences = [b - a for a, b in zip(full, half, strict=True)]
    deviation = statistics.stdev(full)
    reach = student(len(differences) - 1) * statistics.stdev(differences) / len(differences) ** 0.5
    mean = statistics.mean(differences)
    return {
        "quantity": name,
        "float32": statistics.mean(full),
        "bfloat16": statistics.mean(half),
        "difference": mean,
        "low": mean - reach,
        "high": mean + reach,
        "deviation_over_seeds": deviation,
        "deviations": abs(mean) / deviation if deviation else None,
    }


def by_precision(runs: list[dict[str, Any]], name: str, blocks: int) -> tuple[list[float], list[float]]:
    full, half = ([run[name] for run in of(runs, precision=precision, blocks=blocks)] for precision in PRECISIONS)
    return full, half


def exponents(runs: list[dict[str, Any]], precision: str) -> list[float]:
    """The exponent over the depths, for each seed by itself."""
    found = []
    for seed in sorted({run["seed"] for run in runs}):
        rows = sorted(of(runs, precision=precision, seed=seed), key=lambda run: run["blocks"])
        depths, means = (np.array([float(run[name]) for run in rows]) for name in ("blocks", "scaled_perturbation"))
        found.append(float(power_law(depths, means)[0]))
    return found


def fitted(runs: list[dict[str, Any]], precision: str) -> dict[str, float]:
    """The exponent over all seeds together, with the interval that the book's fits have."""
    chosen = of(runs, precision=precision)
    return fit_slope([run["blocks"] for run in chosen], [run["scaled_perturbation"] for run in chosen]).columns


def main(arguments: list[str] | None = None) -> int:
    options = parsed(parser_of("precision", str(__doc__)), arguments)
    torch.set_num_threads(1)  # digits are too small for more
    result = provenance(options.quick)
    depths, seeds = ((3, 4), range(2)) if options.quick else ((6, 12, 24, 48), range(5))
    facts: dict[str, Any] = {"dataset": "digits", "epochs": 1 if options.quick else 10, "snapshots": 0, "threads": 1}
    runs = [
        train_one(Experiment(blocks=blocks, seed=seed, precision=precision, **facts))
        for seed in seeds
        for blocks in depths
        for precision in PRECISIONS
    ]
    per_seed = [exponents(runs, precision) for precision in PRECISIONS]
    result |= {
        "experiment": facts | {"depths": [*depths], "seeds": [*seeds], "clock": Experiment(**facts).clock},
        "runs": runs,
        "depths": [
            {"blocks": blocks, **compare_precisions(name, *by_precision(runs, name, blocks))}
            for blocks in depths
            for name in QUANTITIES
        ],
        "exponent": compare_precisions("exponent", *per_seed),
        "fits": {precision: fitted(runs, precision) for precision in PRECISIONS},
    }
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
