"""A Sphinx extension: the data of the picture that plays a training, the blocks of a network at every snapshot.

It compares trainings that are alike but for weight decay, at the deepest network and the first seed that all have.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from _ext.explorer import script, significant
from resperturb.records.record import Record, blocks_of
from resperturb.records.sweeps import TITLES, Sweep, load_sweeps

FILM_SCRIPT = "training-data.js"  # in _static/ of the built book
FILM_GLOBAL = "resperturbTraining"  # what the script assigns
TRAININGS = {"cifar10-no-decay": "no decay", "cifar10": "usual decay", "cifar10-more-decay": "more decay"}
"""Sweeps by name, with what a reader calls their decay."""


def film_data(sweeps: Mapping[str, Sweep]) -> dict[str, Any]:
    """The trainings that are compared, ready for JSON; empty where there are not two of them."""
    chosen = {words: sweeps[name].finished for name, words in TRAININGS.items() if name in sweeps}
    networks = [{(record.blocks, -record.seed) for record in records} for records in chosen.values()]
    if len(chosen) < 2 or not (shared := set.intersection(*networks)):
        return {}
    blocks, seed = max(shared)
    runs = {
        words: next(record for record in records if (record.blocks, -record.seed) == (blocks, seed))
        for words, records in chosen.items()
    }
    some = next(iter(runs.values()))
    return {
        "data": TITLES[some.experiment.dataset],
        "blocks": blocks,
        "seed": some.seed,
        "sections": some.blocks_at("end")["section"].tolist(),
        "runs": [{"name": words} | training_data(record) for words, record in runs.items()],
    }


def training_data(record: Record) -> dict[str, Any]:
    """One training: its weight decay, where its record lies, and all blocks at every snapshot.

    Accuracy is followed on a part of the test images, and measured on all of them at the end.
    """
    snapshots = []
    accuracy = dict(zip(record.history["epoch"], record.history["test_accuracy"], strict=True))
    accuracy[record.run["training"]["epochs"]] = record.accuracy
    for _, blocks in blocks_of(record.perturbations).groupby("snapshot"):
        epoch = int(blocks["epoch"].iloc[0])
        snapshots.append(
            {
                "epoch": epoch,
                "clock": significant(blocks["clock"].iloc[0]),
                "accuracy": significant(accuracy.get(epoch)),  # an untrained network has none
                "average": significant(blocks["scaled"].mean()),
                "scaled": [significant(value) for value in blocks["scaled"]],
            }
        )
    return {
        "decay": record.weight_decay,
        "record": f"results/{record.folder.parent.name}/{record.name}/run.json",
        "snapshots": snapshots,
    }


def write_film(app: Any, error: Exception | None) -> None:
    """Write the script beside the built pages."""
    if error is not None or app.builder.format != "html":
        return
    data = film_data(load_sweeps(Path(app.srcdir).parent / "results"))
    Path(app.outdir, "_static", FILM_SCRIPT).write_text(script(data, FILM_GLOBAL), encoding="utf-8")


def setup(app: Any) -> None:
    app.connect("build-finished", write_film)
