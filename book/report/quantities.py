"""Numbers of sweeps and names of records for the prose of the chapters."""

from __future__ import annotations

from collections.abc import Sequence

from resperturb.analysis.summaries import depth_table
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep

PUBLISHED_SCHEDULES = {  # for CIFAR-10 with momentum 0.9: (learning rate, steps) pairs, weight decay
    "he2015": (((0.1, 32_000), (0.01, 16_000), (0.001, 16_000)), 1e-4),  # section 4.2
    "cohen2021": (((0.05, 200 * 391),), 5e-4),  # the mean of a cosine over 200 epochs, from the code of the paper
    "idelbayev": (((0.1, 100 * 391), (0.01, 50 * 391), (0.001, 50 * 391)), 1e-4),  # defaults of trainer.py beside them
}


def published_clock(name: str) -> float:
    """Compute the time under weight decay T of a published schedule."""
    rates, decay = PUBLISHED_SCHEDULES[name]
    return sum(rate * steps for rate, steps in rates) * decay / (1 - 0.9)


def quantities(sweep: Sweep) -> dict[str, float]:
    """Return the size of a sweep, and facts that no claim is about."""
    finished, table = sweep.finished, depth_table(sweep.records)
    return {
        "runs": len(sweep.records),
        "diverged": len(sweep.records) - len(finished),
        "deepest": sweep.depths[-1],
        "seeds": len({record.seed for record in finished}),
        "images_measured": finished[0].experiment.measured_images,
        "train_size": finished[0].run["experiment"]["train_size"],
        "clock": float(table["clock"].mean()),
        "weight_decay": finished[0].weight_decay,
        "accuracy_low": float(table["accuracy"].min()),
        "accuracy_high": float(table["accuracy"].max()),
    }


def machine_time(records: Sequence[Record]) -> dict[str, float | str]:
    """Return the number of runs, total minutes, threads per run, and processors."""
    provenances = [record.run["provenance"] for record in records]
    return {
        "runs": len(records),
        "minutes": sum(record.run["wall_seconds"] for record in records) / 60,
        "threads": ", ".join(map(str, sorted({provenance["threads"] for provenance in provenances}))),
        "processors": ", ".join(sorted({provenance["processor"] for provenance in provenances})),
    }
