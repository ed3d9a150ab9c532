"""Tables of sweeps and their numbers in words: averages by depth, exponents, stopping depths."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.curves import CURVES
from resperturb.analysis.power_law import PowerLaw, fit_power_law
from resperturb.analysis.slope_tests import Slope
from resperturb.errors import ScalingError
from resperturb.records.record import Record, summary

SOURCE = {"initialization": "De & Smith 2020", "end": "Hauser 2019"}  # of the exponents -1/2 and -1


def signed(value: float) -> str:
    """Format a number with two decimals and a proper minus sign; zero has none."""
    return f"{value:z.2f}".replace("-", "−")


def clock_words(clock: float) -> str:
    """Format a time under weight decay with at most two decimals."""
    return f"T = {clock:.2f}".rstrip("0").rstrip(".")


def exponent_words(slope: Slope) -> str:
    """Format an exponent; one that is bent is called a mean slope, with the exponents at both ends."""
    ends = " and ".join(map(signed, slope.ends))
    return signed(slope.exponent) + (f" (mean slope, at the ends {ends})" if slope.bent else "")


def exponent_cells(table: pd.DataFrame, suffix: str = "") -> list[str]:
    """Format the columns exponent, high and bent of a table (each name with the suffix) as "exponent ± half-width"."""
    columns = [f"{name}{suffix}" for name in ("exponent", "high", "bent")]
    return [
        f"{signed(exponent)} ± {high - exponent:.2f}" + (" (mean slope)" if bent else "")
        for exponent, high, bent in table[columns].itertuples(index=False)
    ]


def curve_cells(compared: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Format results of :func:`resperturb.analysis.curves.compare_curves` by sweep: a column for each curve, with its
    AICc above the best and the p-value of lack of fit in brackets."""

    def cell(difference: float, p_fit: float) -> str:
        if not math.isfinite(difference):
            return "–"
        fit = "<0.001" if p_fit < 0.001 else f"{p_fit:.3f}"
        return f"{difference:.1f}" + (f" ({fit})" if p_fit == p_fit else "")

    rows = []
    for name, table in compared.items():
        found = {row["curve"]: cell(row["difference"], row["p_fit"]) for row in table.to_dict("records")}
        rows.append({"sweep": name, **{curve.name: found[curve.name] for curve in CURVES}})
    return pd.DataFrame(rows)


def interval(slope: Slope) -> str:
    """Format an exponent's interval, with a third decimal if it is narrow."""
    digits = 2 if slope.high - slope.low >= 0.02 else 3
    return f"{slope.low:.{digits}f} to {slope.high:.{digits}f}".replace("-", "−")


def laws_by_moment(records: Sequence[Record]) -> dict[str, PowerLaw]:
    """Fit the power laws before and after training, by moment; branches that start at zero have none before."""
    laws = {}
    for moment in SOURCE:
        with contextlib.suppress(*([ScalingError] if moment == "initialization" else [])):
            laws[moment] = fit_power_law(records, moment=moment)
    return laws


def depth_table(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate a sweep by depth, means over seeds; diverged runs are left out.

    Returns:
        Columns blocks, runs, accuracy, scaled_ and absolute_ averages before ("initialization") and after training
        ("end"), clock (T) and seconds (of a run).
    """
    return (
        summary(finished(records))
        .groupby("blocks")
        .agg(
            runs=("seed", "count"),
            accuracy=("accuracy", "mean"),
            scaled_initialization=("scaled_initialization", "mean"),
            scaled_end=("scaled_end", "mean"),
            absolute_initialization=("absolute_initialization", "mean"),
            absolute_end=("absolute_end", "mean"),
            clock=("clock", "mean"),
            seconds=("wall_seconds", "mean"),
        )
        .reset_index()
    )
