"""Tables of sweeps: averages by depth, fitted laws before and after training, and stopping depths.

Hauser (2019) reports that after training the average scaled perturbation is "roughly inversely proportional" to the
number of blocks (exponent -1); theory gives -1/2 at initialisation with batch normalisation (De & Smith 2020).
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.curves import CURVES
from resperturb.analysis.power_law import PowerLaw, fit_power_law, stopping_depth
from resperturb.analysis.slope_tests import Slope
from resperturb.errors import ScalingError
from resperturb.records.record import Record, summary

CLAIMED_EXPONENTS = {"initialization": -0.5, "end": -1.0}
SOURCE = {"initialization": "De & Smith 2020", "end": "Hauser 2019"}


def signed(value: float) -> str:
    """A number with two digits after the point and a minus sign that is no hyphen."""
    return f"{value:.2f}".replace("-", "−")


def clock_words(clock: float) -> str:
    """A time under weight decay, with at most two digits after the point."""
    return f"T = {clock:.2f}".rstrip("0").rstrip(".")


def exponent_words(slope: Slope) -> str:
    """An exponent as the plan prints it: where no single power describes the runs it is called a mean slope, with the
    local exponents at the shallow and at the deep end."""
    ends = " and ".join(map(signed, slope.ends))
    return signed(slope.exponent) + (f" (mean slope, at the ends {ends})" if slope.bent else "")


def exponent_cells(table: pd.DataFrame, suffix: str = "") -> list[str]:
    """Exponents of a table with the reach of their intervals, from its columns exponent, high and bent, each with a
    suffix."""
    columns = [f"{name}{suffix}" for name in ("exponent", "high", "bent")]
    return [
        f"{signed(exponent)} ± {high - exponent:.2f}" + (" (mean slope)" if bent else "")
        for exponent, high, bent in table[columns].itertuples(index=False)
    ]


def curve_cells(compared: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row each sweep and a column each curve of :func:`resperturb.analysis.curves.compare`: how much larger AICc is
    than that of the best, and the p-value of lack of fit where there is one."""

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


def interval(law: Slope | PowerLaw) -> str:
    """The exponent's interval in words, with enough digits to tell its ends apart."""
    digits = 2 if law.high - law.low >= 0.02 else 3
    return f"{law.low:.{digits}f} to {law.high:.{digits}f}".replace("-", "−")


def laws_by_moment(records: Sequence[Record], fit: Callable[..., PowerLaw] = fit_power_law) -> dict[str, PowerLaw]:
    """Fit the power laws before and after training, by moment; branches that start at f = 0 have none before."""
    laws = {}
    for moment in CLAIMED_EXPONENTS:
        with contextlib.suppress(ScalingError):
            laws[moment] = fit(records, moment=moment)
    return laws


def depth_table(records: Iterable[Record]) -> pd.DataFrame:
    """One row a depth: means over seeds of averages, blocks x average, and accuracy (diverged runs left out)."""
    table = (
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
    )
    table.insert(4, "product_end", table.index * table["scaled_end"])
    return table.reset_index()


def stopping_table(records: Sequence[Record], epsilons: Iterable[float]) -> pd.DataFrame:
    """One row an epsilon: the depth, its interval, whether measured, and the accuracy at that depth.

    An epsilon without an answer (the average does not fall, and no measured depth is below) has no row.
    """
    accuracy = depth_table(records).set_index("blocks")["accuracy"]
    rows = []
    for epsilon in epsilons:
        try:
            found = stopping_depth(epsilon, records)
        except ScalingError:
            continue
        rows.append(
            {
                "epsilon": epsilon,
                "depth": found.depth,
                "crossing": found.crossing,
                "low": found.low,
                "high": found.high,
                "how": "measured" if found.measured else "extrapolated",
                "not yet below at": found.above,
                "accuracy there": accuracy.get(found.depth) if found.measured else None,
            }
        )
    return pd.DataFrame(rows)


def epsilons_of(records: Sequence[Record]) -> list[float]:
    """Thresholds for a sweep, the largest first, of one digit each: between the measured averages, and one below."""
    averages = depth_table(records)["scaled_end"].to_numpy()
    between = {float(f"{(a * b) ** 0.5:.1g}") for a, b in itertools.pairwise(averages)}
    return sorted({*between, float(f"{averages[-1] / 2:.1g}")}, reverse=True)
