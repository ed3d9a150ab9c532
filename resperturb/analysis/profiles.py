"""Profiles of runs over blocks, sections and transitions, and the measures that describe a block."""

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
    """The mean of a column over the blocks of a run, or over those of one section (from 1)."""
    table = record.blocks_at(moment)
    return float((table if section is None else table[table["section"] == section])[column].mean())


def fit_measure(
    records: Iterable[Record], column: str = "scaled", moment: str = "end", section: int | None = None
) -> Slope:
    """The exponent of a :func:`block_average` over the depth of the network, one point a run."""
    kept = finished(records)
    return fit_slope([r.blocks for r in kept], [block_average(r, column, moment, section) for r in kept])


def exponents_over_training(records: Iterable[Record]) -> pd.DataFrame:
    """The exponent at every snapshot of runs that are alike but for depth and seed.

    Returns:
        Columns share (of the steps of training), clock (T until then), exponent, low, high, bent.
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
    """The numbers of the sections, from 1."""
    return list(range(1, next(iter(records)).experiment.sections + 1))


def mean_over_seeds(rows: list[dict[str, Any]], *keys: str) -> pd.DataFrame:
    """A row for each combination of the keys, with the mean of every other column."""
    return pd.DataFrame(rows).groupby(list(keys), as_index=False).mean()


def blocks_for_share(scaled: np.ndarray, share: float) -> int:
    """The smallest number of blocks whose scaled perturbations make up `share` of the sum over all blocks."""
    largest_first = np.sort(scaled)[::-1].cumsum()
    return int(np.searchsorted(largest_first, share * largest_first[-1] * (1 - 1e-12)) + 1)


def participation_ratio(scaled: np.ndarray) -> float:
    """How many blocks share the work evenly: (sum of s)^2 / sum of s^2 over the blocks' scaled perturbations s."""
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def concentration_table(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """Concentration of the average over the blocks: one row a depth, mean over seeds.

    An average that falls as 1/L can come from L blocks that each do less, or from as many busy blocks at every depth
    among ever more idle ones. The mean does not tell these apart; the median and the largest block do.

    Returns:
        Columns blocks; mean, median and largest (of the blocks' scaled perturbations); half and nine_tenths (the
        fewest blocks with that share of their sum); shared (the participation ratio, as a share of all blocks) and
        rooted (what it is where block l adds 1/sqrt(l) of its state, as in theory before training).
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
    """One row a depth and section, mean over seeds.

    Returns:
        Columns blocks; section (from 1); count (its blocks); scaled (their average); share (of the sum of the scaled
        perturbations over all blocks); path (of the sum of the absolute ones, transitions included in the sum);
        cosine (mean of cos(f, x)); successive (mean of cos(f_l, f_(l-1))).
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


def transition_table(records: Iterable[Record], moment: str = "end") -> pd.DataFrame:
    """One row a depth and transition between two sections, mean over seeds.

    Returns:
        Columns blocks; into (the section that begins); projected (norm of the projected state over that of the state of
        the block before); scaled (‖f‖ over the norm of the projected state); cosine (of f and the projected state);
        after (norm of the state of the block that follows over that of the block before).
    """
    rows = []
    for record in finished(records):
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
    return mean_over_seeds(rows, "blocks", "into") if rows else pd.DataFrame(columns=columns)


def measure_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a moment and measure: columns moment; measure; exponent, low, high (over depth), bent."""
    kept = finished(records)
    return pd.DataFrame(
        {"moment": moment, "measure": name, **fit_measure(kept, column, moment).columns}
        for moment in ("initialization", "end")
        for column, name in MEASURE_NAMES.items()
    )
