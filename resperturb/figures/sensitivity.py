"""Figures of sensitivity: the exponent over weight decay, number of steps and single choices."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.style import (
    BLUE,
    DATASET_STYLE,
    INK,
    ORANGE,
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
    """Depth times average over T, a panel for each depth, a line for each number of epochs. From
    :func:`resperturb.analysis.clock.clock_table`."""
    depths = sorted(set(table["blocks"]))
    figure, grid = plt.subplots(1, len(depths), figsize=(8.4, 2.8), sharex=True, sharey=True, squeeze=False)
    all_axes = list(grid.flat)
    for axes, depth in zip(all_axes, depths, strict=True):
        for style, (epochs, part) in zip(SERIES, table[table["blocks"] == depth].groupby("epochs"), strict=False):
            means = part.groupby("clock")["product"].agg(["mean", "min", "max"])
            ends = means["mean"], means["min"], means["max"]
            draw_intervals(axes, means.index, *ends, label=f"{epochs} epochs", **style)
        axes.set(title=f"{depth} blocks", xlabel=CLOCK)
    all_axes[0].set_ylabel(r"$L \times$ average")
    legend_of_all(figure, all_axes[0], 3)
    return close(figure)


def exponents_by_choice(table: pd.DataFrame) -> Figure:
    """Exponents after training where one choice is varied, with their intervals, a row for each; open markers for
    networks that miss the bar of accuracy; a tick at the exponent of the main sweep. From
    :func:`resperturb.analysis.sensitivity.sensitivity_table`."""
    figure, axes = plt.subplots(figsize=(6.0, 0.45 * len(table) + 1.2))
    rows = np.arange(len(table))
    for trained, fill in ((True, BLUE), (False, "none")):
        there = (table["trained"] == trained).to_numpy()
        ends = (table.loc[there, name] for name in ("exponent", "low", "high"))
        style = {"fmt": "o", "color": BLUE, "markerfacecolor": fill}
        draw_intervals(axes, rows[there], *ends, across=True, label="trained" if trained else "below the bar", **style)
    axes.plot(table["usual"], rows, "|", color=ORANGE, markersize=14, label="main sweep, same depths")
    for number, value in enumerate(table["exponent"]):
        if value < FURTHEST:  # beside the others a line of its own would be all that is seen
            words = f"◂ {value:.1f}".replace("-", "−")
            axes.annotate(words, (FURTHEST, number + 0.25), color=BLUE, va="center", fontsize=10)
    axes.set_xlim(left=max(FURTHEST, axes.get_xlim()[0]))
    for level in (-0.5, -1.0):
        axes.axvline(level, color=INK, linewidth=1, linestyle=":")
    axes.set_yticks(rows, labels=[textwrap.fill(words, 30) for words in table["varied"]])
    axes.invert_yaxis()
    axes.set(xlabel="exponent after training")
    return close(figure, axes, 2)


def exponents_over_training(groups: Mapping[str, Mapping[tuple[str, str], pd.DataFrame]]) -> Figure:
    """The exponent against the share of training, a panel for each group of trainings by its title, a line for each
    data set and kind of block, of :func:`resperturb.analysis.profiles.exponents_over_training`."""
    figure, all_axes = panels(list(groups))
    for axes, group in zip(all_axes, groups.values(), strict=True):
        for number, ((dataset, block), table) in enumerate(group.items()):
            style: dict[str, Any] = {**DATASET_STYLE[dataset], "label": f"{TITLES[dataset]}, {KINDS[block]}"}
            style |= {"markerfacecolor": "none", "linestyle": "--"} if block == "postactivation" else {}
            places = table["share"] + 0.008 * (number - len(group) / 2)  # intervals stand side by side
            draw_intervals(axes, places, table["exponent"], table["low"], table["high"], **style)
        for level in (-0.5, -1.0):
            axes.axhline(level, color=INK, linewidth=1, linestyle=":")
        axes.set(xlabel="share of training", ylim=(-1.2, -0.1))  # intervals of few runs go on beyond
    all_axes[0].set(ylabel="exponent")
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def exponents_over_decay(
    short: pd.DataFrame,
    usual: pd.DataFrame,
    others: tuple[float, float, float, float],
    gentle: pd.DataFrame | None = None,
) -> Figure:
    """The exponent after training over weight decay: lines for short trainings with every decay, on the depths that all
    of a line have, large markers for networks trained as usual, open ones for post-activation blocks, a star for
    networks of others.

    Args:
        short, usual: dataset, block, weight_decay, clock, exponent, low and high, a row a condition; short has the last
            three of shared depths in columns that end so.
        others: weight decay, exponent, low and high of the networks of others.
        gentle: :func:`resperturb.analysis.clock.forgetting_table`. With it everything stands over the time under weight
            decay T, and networks of others, whose T is not on file, are a band.
    """
    over = "weight_decay" if gentle is None else "clock"
    apart, near = (1.18, 8e-6) if gentle is None else (1.04, 0.008)  # how far large markers stand from each other
    figure, axes = plt.subplots(figsize=(6.0, 4.6))
    for table, size in ((short, 4), (usual, 10)):
        groups = table.groupby(["dataset", "block"], sort=False)
        for number, ((dataset, block), part) in enumerate(groups):
            style: dict[str, Any] = {**DATASET_STYLE[str(dataset)], "markersize": size}
            style |= {"linestyle": "none"} if table is usual else {"linewidth": 1}
            style |= {"markerfacecolor": "none", "linestyle": ":"} if block == "postactivation" else {}
            if table is usual:
                kind = f", {KINDS[str(block)]}" if block == "postactivation" else ""
                style |= {"linestyle": "none", "label": f"{TITLES[str(dataset)]}{kind}"}
            part = part.sort_values(over)
            aside = number - (len(groups) - 1) / 2 if table is usual else 0.0  # large markers stand side by side
            places = part[over] * apart**aside + (part[over] == 0) * near * aside
            names = [f"{name}{'' if table is usual else '_shared'}" for name in ("exponent", "low", "high")]
            draw_intervals(axes, places, *(part[name] for name in names), **style)
    others_style: dict[str, Any] = {"color": PURPLE, "label": "networks of others"}
    if gentle is None:
        draw_intervals(axes, *np.array(others)[:, None], fmt="*", markersize=13, **others_style)
        axes.set_xscale("symlog", linthresh=1e-4)
        axes.set(xlim=(-3e-5, None), xlabel="weight decay")
    else:
        axes.axhspan(others[2], others[3], alpha=0.15, linewidth=0, **others_style)
        along: dict[str, Any] = {**DATASET_STYLE["mnist"], "linestyle": "--", "markersize": 6, "label": "MNIST, gentle"}
        draw_intervals(axes, gentle["clock"], gentle["exponent"], gentle["low"], gentle["high"], **along)
        axes.set_xscale("symlog", linthresh=0.1)
        axes.set(xlim=(-0.05, 9), xlabel=CLOCK)
        axes.set_xticks([0, 0.1, 1, 2, 5], labels=["0", "0.1", "1", "2", "5"])
    for level, words in ((-0.5, "−1/2, before training"), (-1.0, "−1, the claim")):
        axes.axhline(level, color=INK, linewidth=1, linestyle=":")
        axes.annotate(words, (0, level), (2, 3), textcoords="offset points", color=INK, fontsize=10)
    axes.set_ylim(-1.2, -0.35)  # intervals of few runs go on beyond
    axes.set_ylabel("exponent after training")
    return close(figure, axes, 2)
