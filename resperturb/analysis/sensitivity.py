"""Sensitivity of the exponent to choices: sweeps that vary one choice beside their main sweep."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd

from resperturb.analysis.conditions import accuracy_by_depth, bar_met
from resperturb.analysis.slope_tests import Slope, difference, fit_runs
from resperturb.errors import ScalingError
from resperturb.records.sweeps import Sweep, sensitivity_sweeps
from resperturb.records.words import choice_words


def shared_slopes(sweep: Sweep, base: Sweep, moment: str = "end") -> tuple[Slope, Slope] | None:
    """Fit the exponents of two sweeps on the depths of both; None with fewer than two depths or an average of zero."""
    shared = set(sweep.depths) & set(base.depths)
    with contextlib.suppress(ScalingError):
        first, second = (fit_runs([r for r in s.finished if r.blocks in shared], moment) for s in (sweep, base))
        return first, second
    return None


def sensitivity_table(sweeps: dict[str, Sweep]) -> pd.DataFrame:
    """Tabulate sweeps that vary a choice, on the depths shared with their main sweep.

    Returns:
        Columns sweep, base; varied (in words); runs; accuracy (lowest over depths); trained
        (:func:`~resperturb.analysis.conditions.bar_met`); before (exponent at initialisation, NaN if branches start at
        zero); exponent, low, high, bent (after training); usual (exponent of the main sweep); moved, moved_low,
        moved_high (difference with Welch's interval).
    """
    rows = []
    for name, (sweep, base, fields) in sensitivity_sweeps(sweeps).items():
        slopes, before = shared_slopes(sweep, base), shared_slopes(sweep, base, "initialization")
        if slopes is None:
            continue
        moved, low, high = difference(*slopes)
        rows.append(
            {
                "sweep": name,
                "base": base.name,
                "varied": " and ".join(choice_words(field, given) for field, (given, _) in fields.items()),
                "runs": len(sweep.records),
                "accuracy": accuracy_by_depth(sweep.records).min(),
                "trained": bar_met(sweep.records),
                "before": before[0].exponent if before else np.nan,
                **slopes[0].columns,
                "usual": slopes[1].exponent,
                "moved": moved,
                "moved_low": low,
                "moved_high": high,
            }
        )
    return pd.DataFrame(rows)
