"""Figures of the method: the verdicts, and exponents by convention of averaging and by choice."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.analysis.conventions import OUR_CONVENTION
from resperturb.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    WIDTH,
    close,
    draw_intervals,
    legend_of_all,
    style_of,
)
from resperturb.records.sweeps import Sweep, display_name

VERDICTS = (  # 95 % interval, verdict
    ((-1.06, -0.94), "holds"),
    ((-0.985, -0.915), "holds roughly"),
    ((-0.80, -0.66), "does not hold"),
    ((-1.12, -0.78), "cannot be told"),
)
NARROWER = 0.84  # width of a 90 % interval, which decides equivalence, over that of a 95 % interval
FURTHEST = -2.0  # exponents below this are written at the edge of the figure
FAR = 0.32  # shifts beyond this are written at the edge of the figure
LABEL = 24  # characters in a line of a label


def verdict_words(claimed: float, margin: float) -> Figure:
    """Plot four intervals of an exponent beside the claimed value and its margin, with their verdicts."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    axes.axvspan(claimed - margin, claimed + margin, color=GREEN, alpha=0.15, linewidth=0)
    axes.axvline(claimed, color=INK, linewidth=1, linestyle=":")
    for row, ((low, high), _) in enumerate(VERDICTS):
        middle, reach = (low + high) / 2, NARROWER * (high - low) / 2
        axes.plot([low, high], [row, row], color=BLUE, linewidth=1.2)
        axes.plot([middle - reach, middle + reach], [row, row], color=BLUE, linewidth=4.5, solid_capstyle="butt")
        axes.plot(middle, row, "o", color=BLUE, markersize=7)
    axes.set_yticks(range(len(VERDICTS)), labels=[word for _, word in VERDICTS])
    axes.set_ylim(len(VERDICTS) - 0.5, -0.5)
    axes.set(xlim=(-1.2, -0.6), xlabel="exponent")
    axes.set_xticks([-1.1, -1, -0.9, -0.7], labels=["−1.1", "−1", "−0.9", "−0.7"])
    return close(figure)


def shifts_by_convention(table: pd.DataFrame, sweeps: Mapping[str, Sweep], margin: float) -> Figure:
    """Plot how far other conventions of averaging move the exponent, a row for each and a marker for each sweep.

    Args:
        table: from :func:`resperturb.analysis.conventions.convention_table`, of all sweeps.
        sweeps: by name.
        margin: half-width of the band.
    """
    moved = table[table["convention"] != OUR_CONVENTION]
    names = list(dict.fromkeys(moved["convention"]))
    figure, axes = plt.subplots(figsize=(WIDTH, 0.42 * len(names) + 1.3))
    axes.axvspan(-margin, margin, color=GREEN, alpha=0.15, linewidth=0)
    axes.axvline(0, color=INK, linewidth=1, linestyle=":")
    kept = [name for name in sweeps if name in set(moved["sweep"])]
    written: dict[int, list[str]] = {}
    for number, name in enumerate(kept):
        part = moved[moved["sweep"] == name]
        rows = np.array([names.index(convention) for convention in part["convention"]])
        shift = part["moved by"].to_numpy()
        inside = np.abs(shift) <= FAR
        aside = 0.5 * ((number + 0.5) / len(kept) - 0.5)
        style = {**style_of(sweeps[name]), "linestyle": "none", "markersize": 6}
        axes.plot(shift[inside], rows[inside] + aside, **style)
        for row, value in zip(rows[~inside], shift[~inside], strict=True):
            written.setdefault(int(row), []).append(f"{value:+.2f}".replace("-", "−"))
    for row, values in written.items():
        axes.annotate(", ".join(values) + " ▸", (FAR, row), ha="right", va="center", fontsize=10, color=INK)
    axes.set_yticks(range(len(names)), labels=names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(xlim=(-FAR, FAR), xlabel="moves the exponent by")
    legend_of_all(figure, axes, 2)
    return close(figure)


def exponents_by_choice(table: pd.DataFrame) -> Figure:
    """Plot exponents of sweeps that vary one choice, a row each, with a tick at the exponent of the main sweep.

    Open markers are networks that miss their bar of accuracy.
    From :func:`resperturb.analysis.sensitivity.sensitivity_table`."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.5 * len(table) + 1.2))
    rows = np.arange(len(table))
    for trained, fill in ((True, BLUE), (False, "none")):
        there = (table["trained"] == trained).to_numpy()
        if not there.any():
            continue
        ends = (table.loc[there, name] for name in ("exponent", "low", "high"))
        style = {"fmt": "o", "color": BLUE, "markerfacecolor": fill}
        label = "other choice" if trained else "other choice, below the bar"
        draw_intervals(axes, rows[there], *ends, across=True, label=label, **style)
    axes.plot(table["usual"], rows, "|", color=ORANGE, markersize=14, label="main sweep, same depths")
    for number, value in enumerate(table["exponent"]):
        if value < FURTHEST:  # its interval would hide the others
            words = f"◂ {value:.1f}".replace("-", "−")
            axes.annotate(words, (FURTHEST, number + 0.25), color=BLUE, va="center", fontsize=10)
    axes.set_xlim(left=max(FURTHEST, axes.get_xlim()[0]))
    for level in (-0.5, -1.0):
        axes.axvline(level, color=INK, linewidth=1, linestyle=":")
    names = [f"{display_name(base)}: {varied}" for base, varied in zip(table["base"], table["varied"], strict=True)]
    axes.set_yticks(rows, labels=[textwrap.fill(each, LABEL) for each in names])
    axes.set_ylim(len(table) - 0.5, -0.5)
    axes.set(xlabel="exponent after training")
    legend_of_all(figure, axes, 2)
    return close(figure)
