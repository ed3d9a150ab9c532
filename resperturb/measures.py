"""The absolute and the scaled measure: how each depends on depth, on the image and on the norm of the stream."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from resperturb.averages import Summary
from resperturb.records import Record
from resperturb.scaling import PowerLaw, fit_power_law

MEASURES = {"scaled": "scaled", "perturbation_norm": "absolute", "state_norm": "norm of the state"}


def measure_runs(records: Iterable[Record], column: str, moment: str = "end") -> list[Summary]:
    """One column averaged over the blocks of each run, as runs that a law can be fitted to."""
    return [
        Summary(record.blocks, float(record.blocks_at(moment)[column].mean()))
        for record in records
        if not record.diverged
    ]


def measure_law(records: Iterable[Record], column: str, moment: str = "end") -> PowerLaw:
    """The power law of one column's average over depth, with an interval over seeds and depths."""
    return fit_power_law(measure_runs(records, column, moment), replicates=500)


def over_images(record: Record, column: str, moment: str = "end") -> float:
    """How much a measure differs between images: its coefficient of variation, averaged over blocks."""
    table = record.blocks_at(moment)
    return float((table[f"{column}_std"] / table[column]).mean())


def with_the_stream(record: Record, column: str, moment: str = "end") -> float:
    """How a measure goes with the norm of the stream from block to block: the correlation of their logarithms."""
    table = record.blocks_at(moment)
    return float(np.corrcoef(np.log(table["state_norm"]), np.log(table[column]))[0, 1])


def measure_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row per measure and moment.

    Returns:
        Columns moment; measure; exponent, low, high (over depth); images (coefficient of variation over images);
        stream (correlation with the norm of the stream over blocks, NaN for that norm itself). The last two are of the
        deepest networks, mean over seeds.
    """
    kept = [record for record in records if not record.diverged]
    deepest = [record for record in kept if record.blocks == max(r.blocks for r in kept)]
    rows = []
    for moment in ("initialization", "end"):
        for column, name in MEASURES.items():
            law = measure_law(kept, column, moment)
            stream = [with_the_stream(r, column, moment) for r in deepest] if column != "state_norm" else [np.nan]
            rows.append(
                {
                    "moment": moment,
                    "measure": name,
                    "exponent": law.exponent,
                    "low": law.low,
                    "high": law.high,
                    "images": np.mean([over_images(record, column, moment) for record in deepest]),
                    "stream": np.mean(stream),
                }
            )
    return pd.DataFrame(rows)
