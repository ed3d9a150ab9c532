"""Figures of sensitivity: the exponent over weight decay, number of steps and architecture."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.style import (
    DATASET_STYLE,
    INK,
    MOMENT_STYLE,
    PURPLE,
    SERIES,
    close,
    draw_intervals,
    legend_of_all,
    panels,
)
from resperturb.records.sweeps import KINDS, TITLES

CLOCK = "time under weight decay $T$"
FURTHEST = -2.0  # exponents below this are written at the figure's edge


def products_over_clock(table: pd.DataFrame) -> Figure:
    """Depth times average over T, a panel for each depth, a line for each number of epochs; crosses learned little."""
    depths = sorted(set(table["blocks"]))
    figure, all_axes = panels([f"{depth} blocks" for depth in depths], 2.5, sharex=True)
    for axes, depth in zip(all_axes, depths, strict=True):
        at_depth = table[table["blocks"] == depth]
        for style, (epochs, part) in zip(SERIES, at_depth.groupby("epochs"), strict=False):
            lost = part[~part["learned"]]
            axes.plot(lost["clock"], lost["product"], "x", color=style["color"], markersize=5)
            means = part[part["learned"]].groupby("clock")["product"].agg(["mean", "min", "max"])
            ends = means["mean"], means["min"], means["max"]
            draw_intervals(axes, means.index, *ends, label=f"{epochs} epochs", **style)
        axes.set(yscale="log", xlabel=CLOCK, ylabel=r"$L \times$ average")
        axes.label_outer()
    legend_of_all(figure, all_axes[0], 3)
    return close(figure)


def exponents_over_clock(tables: dict[str, pd.DataFrame], labels: dict[str, str]) -> Figure:
    """The exponent over T, a line for each map and number of epochs; dotted, what is claimed and where it starts."""
    figure, axes = plt.subplots(figsize=(6.0, 4.4))
    faces: dict[str, dict[str, Any]] = {
        "clock": {},
        "clock-postactivation": {"markerfacecolor": "none"},
        "clock-mnist": {"alpha": 0.55},
    }
    for name, table in tables.items():
        for style, (epochs, part) in zip(SERIES, table.groupby("epochs"), strict=False):
            style = {**style, **faces.get(name, {}), "label": f"{labels[name]}, {epochs} epochs"}
            draw_intervals(axes, part["clock"], part["exponent"], part["low"], part["high"], **style)
    for level in (-0.5, -1.0):
        axes.axhline(level, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel=CLOCK, ylabel="exponent after training")
    return close(figure, axes, 2)


def architecture_exponents(table: pd.DataFrame) -> Figure:
    """Exponents before and after training with their intervals, a row for each architecture; far ones as numbers."""
    figure, axes = plt.subplots(figsize=(6.0, 0.5 * len(table) + 1.2))
    for shift, (moment, style) in zip((0.12, -0.12), MOMENT_STYLE.items(), strict=True):
        ends = table[moment], table[f"{moment} low"], table[f"{moment} high"]
        draw_intervals(axes, np.arange(len(table)) + shift, *ends, across=True, **{**style, "linestyle": "none"})
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
    return close(figure, axes, 2)


def exponents_over_decay(conditions: pd.DataFrame, others: tuple[float, float, float, float]) -> Figure:
    """The exponent after training over weight decay: a colour for each data set, open markers for post-activation
    blocks, a star for the networks of others.

    Args:
        conditions: dataset, block, weight_decay, exponent, low and high, a row a condition.
        others: weight decay, exponent, low and high of the networks of others.
    """
    figure, axes = plt.subplots(figsize=(6.0, 4.2))
    for (dataset, block), part in conditions.groupby(["dataset", "block"], sort=False):
        style = {**DATASET_STYLE[str(dataset)], "label": f"{TITLES[str(dataset)]}, {KINDS[str(block)]}"}
        if block == "postactivation":
            style |= {"linestyle": ":", "markerfacecolor": "none"}
        draw_intervals(axes, part["weight_decay"], part["exponent"], part["low"], part["high"], **style)
    star: dict[str, Any] = {"fmt": "*", "color": PURPLE, "markersize": 12, "label": "networks of others"}
    draw_intervals(axes, *np.array(others)[:, None], **star)
    for level in (-0.5, -1.0):
        axes.axhline(level, color=INK, linewidth=1, linestyle=":")
    axes.set_xscale("symlog", linthresh=1e-4)
    axes.set_xlim(left=-2e-5)
    axes.set(xlabel="weight decay", ylabel="exponent after training")
    return close(figure, axes, 2)
