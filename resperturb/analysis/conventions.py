"""Conventions of averaging: what each one does to the exponent of the same records.

The paper leaves the average open. Every convention reduces a run to one number, and a power law is fitted to those.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.profiles import block_average, section_numbers
from resperturb.analysis.slope_tests import fit_slope
from resperturb.errors import ScalingError
from resperturb.records.record import Record, blocks_of
from resperturb.records.sweeps import Sweep

OUR_CONVENTION = "ours"
WITH_TRANSITIONS = "with transitions"
Reduction = Callable[[Record], float | None]  # of a trained run; None where the record lacks data


def mean_of(column: str, section: int | None = None) -> Reduction:
    """Average one column over the blocks, or over those of one section."""
    return lambda record: block_average(record, column, section=section)


def mean_under(name: str, *, means_first: bool = False) -> Reduction:
    """Average the ratios in conventions.csv over the blocks; `means_first`: the ratios of mean norms."""

    def value(record: Record) -> float | None:
        table = record.conventions
        if "kind" not in table:
            return None
        table = blocks_of(table[table["convention"] == name])
        ratios = table["perturbation_norm"] / table["state_norm"] if means_first else table["scaled"]
        return float(ratios.mean()) if len(table) else None

    return value


def all_conventions(sweep: Sweep) -> dict[str, tuple[str, Reduction]]:
    """Return the meaning of each convention and its function, by name; ours first, and one for each section."""

    def ratio_of_means(record: Record) -> float:
        table = record.blocks_at("end")
        return float((table["perturbation_norm"] / table["state_norm"]).mean())

    def ratio_of_sums(record: Record) -> float:
        sums = record.blocks_at("end")[["perturbation_norm", "state_norm"]].sum()
        return float(sums["perturbation_norm"] / sums["state_norm"])

    return {
        OUR_CONVENTION: ("ratio for each image, then mean over images and blocks", mean_of("scaled")),
        "ratio of means": ("mean norms over images first, then their ratio in each block", ratio_of_means),
        "ratio of sums": ("norms summed over images and blocks, then one ratio", ratio_of_sums),
        "median image": ("the median over images in place of the mean", mean_of("scaled_q50")),
        "per channel": ("ratio for each channel, then mean over channels", mean_under("per channel")),
        "means per channel": (
            "mean norms over channels and images first, then their ratio in each block",
            mean_under("per channel", means_first=True),
        ),
        "training images": ("images that the network was trained on", mean_under("training images")),
        "step taken": ("‖x_(l+1) − x_l‖ in place of ‖f‖: after any activation", mean_of("step_scaled")),
        WITH_TRANSITIONS: (
            "transitions count as blocks, in the average and in L, their projection as the state",
            lambda record: float(record.at("end")["scaled"].mean()),
        ),
        **{
            f"section {section}": (f"the blocks of section {section} alone", mean_of("scaled", section))
            for section in section_numbers(sweep.records)
        },
    }


def convention_table(sweep: Sweep) -> pd.DataFrame:
    """Tabulate the exponent after training by convention; conventions that the records lack have no row.

    Returns:
        Columns sweep, convention, "what it is", exponent, low, high, bent, and "moved by" (exponent minus ours).
    """
    rows: list[dict[str, object]] = []
    ours: float | None = None
    for name, (meaning, reduce) in all_conventions(sweep).items():
        counted = name == WITH_TRANSITIONS
        values = [(len(r.at("end")) if counted else r.blocks, reduce(r)) for r in finished(sweep.records)]
        there = [(blocks, value) for blocks, value in values if value is not None]
        try:
            line = fit_slope(*np.array(there).reshape(-1, 2).T)
        except ScalingError:  # too few runs have it
            if ours is None:
                raise
            continue
        ours = line.exponent if ours is None else ours
        facts = {"sweep": sweep.name, "convention": name, "what it is": meaning}
        rows.append({**facts, **line.columns, "moved by": line.exponent - ours})
    return pd.DataFrame(rows)


def largest_shift(table: pd.DataFrame) -> pd.Series:
    """Return the row of a convention table that moves the exponent furthest."""
    return table.iloc[int(table["moved by"].abs().argmax())]
