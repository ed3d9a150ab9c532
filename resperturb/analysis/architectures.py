"""What the architecture does to the exponent: one choice varied at a time, from the sweeps that vary it."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.averages import ScalingError
from resperturb.claims import depth_table
from resperturb.figures import INK, MOMENT_STYLE, finished, legend_above
from resperturb.scaling import fit_power_law
from resperturb.sweeps import Sweep, differences

FIELDS = ("block", "sections", "width", "normalization", "branch_scale", "initialization")
FURTHEST = -2.0  # exponents below this are written at the figure's edge
SHOWN = {"block": "block kind", "normalization": "normalisation", "branch_scale": "factor on the branch"}


def architecture_sweeps(found: dict[str, Sweep], dataset: str = "digits") -> dict[str, tuple[Sweep, dict[str, Any]]]:
    """Sweeps of a data set that differ from its first in the architecture alone or with what that needs: by name, with
    the fields that differ."""
    base = found[dataset]
    chosen: dict[str, tuple[Sweep, dict[str, Any]]] = {dataset: (base, {})}
    for name, sweep in found.items():
        if sweep.dataset != dataset or name == dataset:
            continue
        fields = {field: given for field, (given, _) in differences(sweep, base).items()}
        if fields and any(field in FIELDS for field in fields):
            chosen[name] = (sweep, fields)
    return chosen


def architecture_table(found: dict[str, Sweep], dataset: str = "digits") -> pd.DataFrame:
    """A row per architecture: what is varied, the exponent before and after training on the depths that all have, with
    intervals, depth times average in the deepest of them, and accuracies."""
    chosen = architecture_sweeps(found, dataset)
    shared = set.intersection(*(set(sweep.depths) for sweep, _ in chosen.values()))
    rows = []
    for name, (sweep, fields) in chosen.items():
        records = [record for record in sweep.finished if record.blocks in shared]
        row: dict[str, Any] = {"sweep": name, "varied": varied_words(fields), "runs": len(records)}
        for moment in ("initialization", "end"):
            try:
                law = fit_power_law(records, moment=moment, replicates=500)
                row |= {moment: law.exponent, f"{moment} low": law.low, f"{moment} high": law.high}
            except ScalingError:  # branches that start at zero
                row |= {moment: np.nan, f"{moment} low": np.nan, f"{moment} high": np.nan}
        table = depth_table(records)
        row |= {"product": table["product_end"].iloc[-1], "least accurate": table["accuracy"].min()}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("end", ignore_index=True)


def varied_words(fields: dict[str, Any]) -> str:
    """What differs, to read."""
    if not fields:
        return "as in the other chapters"
    return ", ".join(f"{SHOWN.get(name, name.replace('_', ' '))} {value}" for name, value in fields.items())


def architecture_figure(table: pd.DataFrame) -> Figure:
    """Exponents before and after training with their intervals, a row for each architecture; far ones as numbers."""
    figure, axes = plt.subplots(figsize=(6.0, 0.5 * len(table) + 1.2))
    for shift, (moment, style) in zip((0.12, -0.12), MOMENT_STYLE.items(), strict=True):
        reach = np.clip([table[moment] - table[f"{moment} low"], table[f"{moment} high"] - table[moment]], 0, None)
        place = np.arange(len(table)) + shift
        axes.errorbar(table[moment], place, xerr=reach, capsize=2, **{**style, "linestyle": "none"})
    for number, value in enumerate(table["end"]):
        if value < FURTHEST:  # beside the others a line of its own would be all that is seen
            words, colour = f"◂ {value:.1f}".replace("-", "−"), MOMENT_STYLE["end"]["color"]
            axes.annotate(words, (FURTHEST, number + 0.25), color=colour, va="center", fontsize=10)
    axes.set_xlim(left=max(FURTHEST, axes.get_xlim()[0]))
    for level in (-0.5, -1.0):
        axes.axvline(level, color=INK, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(table)), labels=[textwrap.fill(words, 26) for words in table["varied"]])
    axes.invert_yaxis()
    axes.set(xlabel="exponent")
    legend_above(axes, 2)
    return finished(figure)


def architecture_answer(found: dict[str, Sweep]) -> str:
    """The answer in one sentence."""
    table = architecture_table(found)
    base = table[table["sweep"] == "digits"].iloc[0]
    others = table[table["sweep"] != "digits"]
    inside = others[(others["end low"] <= base["end"]) & (base["end"] <= others["end high"])]
    least, most = others.iloc[-1], others.iloc[0]
    return (
        f"The exponent after training is {base['end']:.2f} as in the other chapters and lies between {most['end']:.2f} "
        f"({most['varied']}) and {least['end']:.2f} ({least['varied']}) where one choice is varied; {len(inside)} of "
        f"{len(others)} intervals hold it."
    ).replace("-", "−")
