"""Profiles of runs over blocks, sections and transitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.records.record import Record, blocks_of

MEASURE_NAMES = {"scaled": "scaled", "perturbation_norm": "absolute", "state_norm": "norm of the state"}


def block_average(record: Record, column: str = "scaled", moment: str = "end", section: int | None = None) -> float:
    """Average a column over the blocks of a run, or over those of one section (from 1)."""
    table = record.blocks_at(moment)
    return float((table if section is None else table[table["section"] == section])[column].mean())


def fit_measure(
    records: Iterable[Record], column: str = "scaled", moment: str = "end", section: int | None = None
) -> Slope:
    """Fit the exponent of a :func:`block_average` over the depth of the network, one point per run."""
    kept = finished(records)
    return fit_slope([r.blocks for r in kept], [block_average(r, column, moment, section) for r in kept])


def exponents_over_training(records: Iterable[Record]) -> pd.DataFrame:
    """Fit the exponent at every snapshot of runs that differ only in depth and seed.

    Returns:
        Columns share (of the training steps), clock (T so far), exponent, low, high, bent.
    """
    rows = [
        {"snapshot": snapshot, "share": step / record.run["training"]["steps"], "clock": clock, "blocks": record.blocks}
        | {"scaled": part["scaled"].mean()}
        for record in finished(records)
        for (snapshot, step, clock), part in blocks_of(record.perturbations).groupby(["snapshot", "step", "clock"])
    ]
    exponents = []
    for _, part in pd.DataFrame(rows).groupby("snapshot"):
        slope = fit_slope(part["blocks"].to_numpy(), part["scaled"].to_numpy())
        exponents.append({**part[["share", "clock"]].mean(), **slope.columns})
    return pd.DataFrame(exponents)


def section_numbers(records: Iterable[Record]) -> list[int]:
    """Return the numbers of the sections, from 1."""
    return list(range(1, next(iter(records)).experiment.sections + 1))


def mean_over_seeds(rows: list[dict[str, Any]], *keys: str) -> pd.DataFrame:
    """Average every other column over rows with the same keys."""
    return pd.DataFrame(rows).groupby(list(keys), as_index=False).mean()


def blocks_for_share(scaled: np.ndarray, share: float) -> int:
    """Return the smallest number of blocks whose scaled perturbations make up `share` of the sum over all blocks."""
    largest_first = np.sort(scaled)[::-1].cumsum()
    return int(np.searchsorted(largest_first, share * largest_first[-1] * (1 - 1e-12)) + 1)


def participation_ratio(scaled: np.ndarray) -> float:
    """Return (sum of s)² / sum of s² of scaled perturbations s; equal blocks give their number, zeros give NaN."""
    return float(scaled.sum() ** 2 / ((scaled**2).sum() or np.nan))


def concentration_table(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """Tabulate by depth how the perturbation spreads over blocks, means over seeds.

    An average falls as 1/L if all blocks do less, or if a fixed number of busy blocks is joined by idle ones. The mean
    cannot tell these apart; the median and the largest block can.

    Returns:
        Columns blocks; mean, median and largest (scaled perturbation over blocks); half and nine_tenths (fewest blocks
        with that share of the sum); shared (:func:`participation_ratio` / blocks) and rooted (the same for
        perturbations 1/sqrt(l), the theory before training).
    """
    rows = []
    for record in finished(records):
        scaled = record.blocks_at(moment)["scaled"].to_numpy()
        rooted = np.arange(1, record.blocks + 1) ** -0.5
        rows.append(
            {
                "blocks": record.blocks,
                "mean": scaled.mean(),
                "median": np.median(scaled),
                "largest": scaled.max(),
                "half": blocks_for_share(scaled, 0.5),
                "nine_tenths": blocks_for_share(scaled, 0.9),
                "shared": participation_ratio(scaled) / record.blocks,
                "rooted": participation_ratio(rooted) / record.blocks,
            }
        )
    return mean_over_seeds(rows, "blocks")


def section_summary(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """Tabulate sections by depth, means over seeds.

    Returns:
        Columns blocks; section (from 1); count (blocks in it); scaled (average); share (of the sum of scaled
        perturbations over all blocks); path (share of the sum of absolute perturbations, transitions included); cosine
        (mean of cos(f, x)); successive (mean of cos(f_l, f_(l-1))).
    """
    rows = []
    for record in finished(records):
        every, blocks = record.at(moment), record.blocks_at(moment)
        for section, part in blocks.groupby("section"):
            rows.append(
                {
                    "blocks": record.blocks,
                    "section": section,
                    "count": len(part),
                    "scaled": part["scaled"].mean(),
                    "share": part["scaled"].sum() / blocks["scaled"].sum(),
                    "path": part["perturbation_norm"].sum() / every["perturbation_norm"].sum(),
                    "cosine": part["cosine"].mean(),
                    "successive": part["successive_cosine"].mean(),
                }
            )
    return mean_over_seeds(rows, "blocks", "section")


def transition_table(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate transitions after training by depth, means over seeds.

    Returns:
        Columns blocks; into (section that begins); projected (norm of the projected state over that of the previous
        block's state); scaled (‖f‖ over the norm of the projected state); cosine (of f and the projected state); after
        (norm of the next block's state over that of the previous block's state).
    """
    rows = []
    for record in finished(records):
        table = record.at("end")  # rows are in the order of execution
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
    return mean_over_seeds(rows, "blocks", "into") if rows else pd.DataFrame(columns=columns)


def measure_table(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate exponents before and after training: columns moment, measure, exponent, low, high, bent."""
    kept = finished(records)
    return pd.DataFrame(
        {"moment": moment, "measure": name, **fit_measure(kept, column, moment).columns}
        for moment in ("initialization", "end")
        for column, name in MEASURE_NAMES.items()
    )
