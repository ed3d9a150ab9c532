"""What tests are about: sweeps as none is shipped, made of shipped records, and networks that have seen a batch."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from conftest import ROOT

from resperturb.records.record import Record, load_records

DIGITS = ROOT / "results" / "shipped-digits"


@dataclass(frozen=True)
class FakeRun:
    """A run that is its numbers: one, or one per image."""

    blocks: int
    values: float | np.ndarray
    diverged: bool = False

    def scaled_per_sample(self, moment: str = "end") -> np.ndarray:
        return np.atleast_1d(self.values)


def copy_sweep(target: Path, *, source: Path = DIGITS, steeper: float = 0.0, **changes: object) -> list[Record]:
    """The records of a sweep in another folder, with fields of their experiments changed.

    Args:
        target: the new folder.
        source: the folder of the records.
        steeper: added to the exponent after training, by a factor of depth ** steeper on what was measured.
        changes: fields of the experiment.
    """
    for record in load_records(source):
        folder = target / record.name
        shutil.copytree(record.folder, folder)
        run = json.loads((folder / "run.json").read_text())
        run["experiment"] |= changes
        factor = record.blocks**steeper
        run["averages"]["end"]["scaled"] *= factor
        (folder / "run.json").write_text(json.dumps(run))
        table = record.perturbations.copy()
        table.loc[table["moment"] == "end", "scaled"] *= factor
        table.to_csv(folder / "perturbations.csv", index=False)
        samples = record.samples.copy()
        samples.iloc[:, -1] *= factor
        samples.to_csv(folder / "samples.csv", index=False)
    return load_records(target)


def write_conventions(records: list[Record], factors: dict[str, float]) -> None:
    """conventions.csv as a run would leave it, the scaled perturbation being that of the end times a factor."""
    for record in records:
        end = record.at("end")
        tables = [end.assign(scaled=end["scaled"] * factor).assign(convention=name) for name, factor in factors.items()]
        table = pd.concat(tables)
        table[["convention", *end.columns]].to_csv(record.folder / "conventions.csv", index=False)


def with_statistics(network: Any, images: torch.Tensor) -> Any:
    """The network in evaluation, after its batch norms have seen these images a few times."""
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(images)
    return network.eval()


def silent(_: str) -> None:
    """Report nothing."""
