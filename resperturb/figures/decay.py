"""Figures of the exponent over training and over time under weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.style import (
    DATASET_STYLE,
    INK,
    PURPLE,
    SERIES,
    WIDTH,
    close,
    draw_intervals,
    legend_of_all,
    name_axes,
    name_ends,
    panels,
)
from resperturb.records.sweeps import KINDS, TITLES

CLOCK = "time under weight decay $T$"


def products_over_clock(table: pd.DataFrame) -> Figure:
    """Plot depth times average over T, a panel for each depth and a line for each number of epochs.
    From :func:`resperturb.analysis.clock.clock_table`."""
    depths = sorted(set(table["blocks"]))
    figure, grid = plt.subplots(1, len(depths), figsize=(WIDTH, 2.8), sharex=True, sharey=True, squeeze=False)
    all_axes = list(grid.flat)
    for axes, depth in zip(all_axes, depths, strict=True):
        for style, (epochs, part) in zip(SERIES, table[table["blocks"] == depth].groupby("epochs"), strict=False):
            means = part.groupby("clock")["product"].agg(["mean", "min", "max"])
            ends = means["mean"], means["min"], means["max"]
            draw_intervals(axes, means.index, *ends, label=f"{epochs} epochs", **style)
        axes.set_title(f"{depth} blocks")
    name_axes(figure, CLOCK, r"$L \times$ average")
    legend_of_all(figure, all_axes[0], 3)
    return close(figure)


def exponents_over_training(groups: Mapping[str, Mapping[tuple[str, str], pd.DataFrame]]) -> Figure:
    """Plot the exponent over training, a panel for each group and a line for each data set and kind of block.

    Args:
        groups: tables of :func:`resperturb.analysis.profiles.exponents_over_training` by title of the panel, then by
            data set and kind of block.
    """
    figure, all_axes = panels(list(groups), 3.0)
    for axes, group in zip(all_axes, groups.values(), strict=True):
        for number, ((dataset, block), table) in enumerate(group.items()):
            style: dict[str, Any] = {**DATASET_STYLE[dataset], "label": f"{TITLES[dataset]}, {KINDS[block]}"}
            style |= {"markerfacecolor": "none", "linestyle": "--"} if block == "postactivation" else {}
            places = table["share"] + 0.008 * (number - len(group) / 2)  # so that intervals do not overlap
            draw_intervals(axes, places, table["exponent"], table["low"], table["high"], **style)
        for level in (-0.5, -1.0):
            axes.axhline(level, color=INK, linewidth=1, linestyle=":")
        axes.set(ylim=(-1.2, -0.1), xticks=[0, 0.5, 1])  # cuts the intervals of few runs
    name_axes(figure, "share of training", "exponent")
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def exponents_over_clock(usual: pd.DataFrame, gentle: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Plot the headline: the exponent after training over time under weight decay T, with names at the ends of lines.

    Args:
        usual: trainings on all images, one condition per row, columns dataset, block, epochs, full, clock, exponent,
            low, high. Other numbers of epochs are other recipes, each with a line. Images of full size have rings.
        gentle: from :func:`resperturb.analysis.clock.forgetting_table`.
        published: the exponent of published networks, columns clock, exponent, low, high.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    span = (-1.2, -0.4)
    axes.set(xlim=(-0.4, 12), ylim=span, xlabel=CLOCK, ylabel="exponent after training", xticks=[0, 2, 5, 10])
    lines: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {}
    usual = usual.sort_values("epochs")
    for (dataset, block, epochs, full), part in usual.groupby(["dataset", "block", "epochs", "full"], sort=False):
        post, first = block == "postactivation", TITLES[str(dataset)] + ", full size" * bool(full)
        style = {**DATASET_STYLE[str(dataset)], "linestyle": "none" if post else "-", "markersize": 7}
        name = f"{first}, post-activation" if post else first
        name = f"{name}, {epochs} epochs" if name in lines else name
        lines[name] = (part, {**style, "markerfacecolor": "none"} if post else style)
    style = {"color": PURPLE, "marker": "D", "markersize": 7, "markerfacecolor": "none", "linestyle": "none"}
    lines["published, post-activation, full size"] = (published, style)
    lines["MNIST, few images"] = (gentle, {**DATASET_STYLE["mnist"], "linestyle": "--", "markersize": 4})
    names = []
    for name, (part, style) in lines.items():
        table = part.sort_values("clock")
        places, middle = table["clock"], table["exponent"]
        axes.plot(places, middle, **style)
        if "full size" in name:
            axes.plot(places, middle, "o", markersize=16, markerfacecolor="none", color=style["color"])
        wide = (table["low"] < span[0]) & (table["high"] > span[1])  # wider than the panel
        for which, alpha in ((~wide, 1.0), (wide, 0.25)):
            ends = (table[column][which] for column in ("exponent", "low", "high"))
            look: dict[str, Any] = {"fmt": "none", "ecolor": style["color"], "elinewidth": 0.8, "alpha": alpha}
            draw_intervals(axes, places[which], *ends, **look)
        if "epochs" in name:
            axes.text(11.8, table["high"].iloc[-1] + 0.01, name, color=style["color"], ha="right", va="bottom")
        elif "post" not in name and "full size" not in name:
            names.append((name, (places.iloc[-1], middle.iloc[-1]), style["color"]))
    place = (published["clock"].item() + 1.3, published["exponent"].item())
    axes.text(*place, "four published\nnetworks", color=PURPLE, va="center")
    if usual["full"].any():
        axes.text(11.8, span[1], "in rings: images of full size", color=INK, ha="right", va="top")
    name_ends(axes, names)
    for level, words in ((-0.5, "−1/2, before training"), (-1.0, "−1, the claim")):
        axes.axhline(level, color=INK, linewidth=1, linestyle=":")
        axes.annotate(words, (11.8, level), (2, 3), textcoords="offset points", color=INK, ha="right")
    return close(figure)
