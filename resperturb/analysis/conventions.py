"""Conventions: what "the average" could mean, and what each meaning does to the exponent of the same records.

The paper fixes none of these. Every convention turns a run into one number, and a power law is fitted to those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.profiles import block_average, section_numbers
from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.records.record import Record, blocks_of
from resperturb.records.sweeps import Sweep

OUR_CONVENTION = "ours"
Reduction = Callable[[Record, str], float | None]


@dataclass(frozen=True)
class Convention:
    """A reduction of a run, at one moment, to a number; `of` gives None where a record does not hold what it needs."""

    name: str
    meaning: str
    of: Reduction


def mean_of(column: str, section: int | None = None) -> Reduction:
    """The mean of one column over the blocks, or over those of one section."""
    return lambda record, moment: block_average(record, column, moment, section)


def ratio_of_means(record: Record, moment: str) -> float:
    table = record.blocks_at(moment)
    return float((table["perturbation_norm"] / table["state_norm"]).mean())


def ratio_of_sums(record: Record, moment: str) -> float:
    table = record.blocks_at(moment)
    return float(table["perturbation_norm"].sum() / table["state_norm"].sum())


def with_transitions(record: Record, moment: str) -> float:
    return float(record.at(moment)["scaled"].mean())


def blocks_under(record: Record, name: str) -> pd.DataFrame:
    """The blocks as another convention measured them, at the end alone; from conventions.csv."""
    table = record.conventions
    return blocks_of(table[table["convention"] == name]) if "kind" in table else table[:0]


def mean_under(name: str, *, means_first: bool = False) -> Reduction:
    """The mean over blocks as another convention measured them: of the ratios, or of the ratios of mean norms."""

    def value(record: Record, moment: str) -> float | None:
        table = blocks_under(record, name)
        if moment != "end" or table.empty:
            return None
        ratios = table["perturbation_norm"] / table["state_norm"] if means_first else table["scaled"]
        return float(ratios.mean())

    return value


def all_conventions(sweep: Sweep) -> tuple[Convention, ...]:
    """All conventions, ours first; one for every section."""
    return (
        Convention(OUR_CONVENTION, "ratio for each image, then mean over images and blocks", mean_of("scaled")),
        Convention("ratio of means", "mean norms over images first, then their ratio in each block", ratio_of_means),
        Convention("ratio of sums", "norms summed over images and blocks, then one ratio", ratio_of_sums),
        Convention("median image", "the median over images in place of the mean", mean_of("scaled_q50")),
        Convention("per channel", "ratio for each channel, then mean over channels", mean_under("per channel")),
        Convention(
            "means per channel",
            "mean norms over channels and images first, then their ratio in each block",
            mean_under("per channel", means_first=True),
        ),
        Convention("training images", "images that the network was trained on", mean_under("training images")),
        Convention("step taken", "‖x_(l+1) − x_l‖ in place of ‖f‖: after any activation", mean_of("step_scaled")),
        Convention("with transitions", "transitions count as blocks, their projection as the state", with_transitions),
        *(
            Convention(f"section {section}", f"the blocks of section {section} alone", mean_of("scaled", section))
            for section in section_numbers(sweep.records)
        ),
    )


def fit_under(convention: Convention, records: Sequence[Record], moment: str) -> Slope | None:
    """The exponent of a sweep under one convention; None where the records lack it."""
    values = [(record.blocks, convention.of(record, moment)) for record in finished(records)]
    there = [(blocks, value) for blocks, value in values if value is not None]
    if len({blocks for blocks, _ in there}) < 2:
        return None
    return fit_slope(*zip(*there, strict=True))


def convention_table(sweep: Sweep, moment: str = "end") -> pd.DataFrame:
    """One row a convention: sweep, convention, what it is, exponent with its interval over runs, and "moved by", its
    distance from ours."""
    rows: list[dict[str, object]] = []
    ours: float | None = None
    for convention in all_conventions(sweep):
        line = fit_under(convention, sweep.records, moment)
        if line is None:
            continue
        ours = line.exponent if ours is None else ours
        facts = {"sweep": sweep.name, "convention": convention.name, "what it is": convention.meaning}
        rows.append({**facts, **line.columns, "moved by": line.exponent - ours})
    return pd.DataFrame(rows)


def largest_shift(table: pd.DataFrame) -> pd.Series:
    """The row of a convention table that moves the exponent furthest."""
    return table.iloc[int(table["moved by"].abs().to_numpy().argmax())]
