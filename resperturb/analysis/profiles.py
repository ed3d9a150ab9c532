"""Profiles of a run over its blocks, sections and transitions: who moves the data, and by which measure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import Summary
from resperturb.analysis.power_law import PowerLaw, fit_power_law
from resperturb.records.record import Record


def blocks_for_share(scaled: np.ndarray, share: float) -> int:
    """The smallest number of blocks whose scaled perturbations together make up `share` of the sum over all blocks."""
    largest_first = np.sort(scaled)[::-1].cumsum()
    return int(np.searchsorted(largest_first, share * largest_first[-1] * (1 - 1e-12)) + 1)


def concentration_table(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """A row per depth: how the average is spread over the blocks, mean over seeds.

    An average that falls as 1/L can come from L blocks that each do less, or from as many busy blocks at every depth
    among ever more idle ones. The mean does not tell these apart; the median and the largest block do.
    """
    rows = []
    for record in records:
        if not record.diverged:
            scaled = record.blocks_at(moment)["scaled"].to_numpy()
            rows.append(
                {
                    "blocks": record.blocks,
                    "mean": scaled.mean(),
                    "median": np.median(scaled),
                    "largest": scaled.max(),
                    "half": blocks_for_share(scaled, 0.5),
                    "nine_tenths": blocks_for_share(scaled, 0.9),
                }
            )
    return pd.DataFrame(rows).groupby("blocks").mean().reset_index()


def section_summary(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """A row per depth and section, mean over seeds.

    Returns:
        Columns blocks; section (from 1); count (its blocks); scaled (their average); share (of the sum of the scaled
        perturbations over all blocks); path (of the sum of the absolute ones, transitions included in the sum);
        cosine (mean of cos(f, x)); successive (mean of cos(f_l, f_(l-1)), NaN in records that have none).
    """
    rows = []
    for record in records:
        if record.diverged:
            continue
        table, identity = record.at(moment), record.blocks_at(moment)
        for section, part in identity.groupby("section"):
            rows.append(
                {
                    "blocks": record.blocks,
                    "section": section,
                    "count": len(part),
                    "scaled": part["scaled"].mean(),
                    "share": part["scaled"].sum() / identity["scaled"].sum(),
                    "path": part["perturbation_norm"].sum() / table["perturbation_norm"].sum(),
                    "cosine": part["cosine"].mean(),
                    "successive": successive(part).mean(),
                }
            )
    return pd.DataFrame(rows).groupby(["blocks", "section"]).mean().reset_index()


def successive(table: pd.DataFrame) -> pd.Series:
    """cos(f_l, f_(l-1)) of a section's blocks; NaN throughout where the record is older than the measurement."""
    if "successive_cosine" in table:
        return table["successive_cosine"].astype(float)
    return pd.Series(np.nan, index=table.index)


def transition_table(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """A row per depth and transition, mean over seeds: what happens where one section hands on to the next.

    Returns:
        Columns blocks; into (the section that begins); projected (norm of the projected state over that of the state of
        the block before); scaled (‖f‖ over the norm of the projected state); cosine (of f and the projected state);
        after (norm of the state of the block that follows over that of the block before).
    """
    rows = []
    for record in records:
        if record.diverged:
            continue
        table = record.at(moment)  # rows are in the order of the network
        for place in np.flatnonzero(table["kind"] == "transition"):
            before, here, after = (table.iloc[int(place) + step] for step in (-1, 0, 1))
            rows.append(
                {
                    "blocks": record.blocks,
                    "into": int(here["section"]),
                    "projected": here["state_norm"] / before["state_norm"],
                    "scaled": here["scaled"],
                    "cosine": here["cosine"],
                    "after": after["state_norm"] / before["state_norm"],
                }
            )
    columns = ["blocks", "into", "projected", "scaled", "cosine", "after"]
    return pd.DataFrame(rows, columns=columns).groupby(["blocks", "into"]).mean().reset_index()


def section_runs(records: Iterable[Record], section: int, moment: str = "end") -> list[Summary]:
    """The average over one section's blocks, as runs that a law can be fitted to; L is the depth of the network."""
    runs = []
    for record in records:
        if not record.diverged:
            table = record.blocks_at(moment)
            runs.append(Summary(record.blocks, float(table.loc[table["section"] == section, "scaled"].mean())))
    return runs


def section_numbers(records: Iterable[Record]) -> list[int]:
    """The numbers of the sections, from 1."""
    return list(range(1, next(iter(records)).experiment.sections + 1))


MEASURE_NAMES = {"scaled": "scaled", "perturbation_norm": "absolute", "state_norm": "norm of the state"}


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
        for column, name in MEASURE_NAMES.items():
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
