"""Figures of the mechanism: straight and random paths, what an exponent is made of, predicted against measured."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.style import BLUE, GREEN, INK, ORANGE, PURPLE, SERIES, close, draw_intervals

ACCOUNTS = {"exponent": "this book's account", "decay-decides": "decay decides", "two-parts": "two parts"}
FACTOR_LABELS = {"displacement": "displacement", "straightness": "straightness", "growth": "growth"}
PRESET_STYLE = {
    "mechanism-mnist": {"color": ORANGE, "marker": "s", "label": "MNIST"},
    "mechanism-second": {"color": PURPLE, "marker": "o", "label": "MNIST, second round"},
    "mechanism-cifar10": {"color": GREEN, "marker": "^", "label": "CIFAR-10"},
    "cifar10-zero": {"color": BLUE, "marker": "D", "label": "CIFAR-10, main recipe"},
}


def paths_of_steps(paths: pd.DataFrame) -> Figure:
    """A drawing: few and many steps to one displacement, aligned and in random directions, at one scale. From
    :func:`resperturb.analysis.mechanism.paths_of_steps`."""
    figure, all_axes = plt.subplots(1, 2, figsize=(6.8, 3.4), sharex=True, sharey=True)
    titles = {"aligned": r"aligned: steps of $D/n$", "random": r"random: steps of about $D/\sqrt{n}$"}
    for axes, (kind, title) in zip(all_axes, titles.items(), strict=True):
        drawn = paths[paths["kind"] == kind].groupby("steps")
        for height, style, (count, path) in zip((0.5, -0.5), SERIES, drawn, strict=False):
            color = style["color"]
            axes.plot(path["x"], path["y"] + height, color=color, marker=".", markersize=5, linewidth=1.2)
            axes.plot([0, 1], [height, height], "o", color=INK, markersize=6, markerfacecolor="none")
            axes.annotate(f"{count} steps", (0, height), (-8, -4), textcoords="offset points", color=color, ha="right")
        axes.set(title=title, xlabel="way from start to end", yticks=[], xticks=[0, 1], xticklabels=["0", "$D$"])
        axes.set_aspect("equal")
        axes.spines["left"].set_visible(False)
    return close(figure)


def predicted_against_measured(table: pd.DataFrame) -> Figure:
    """Measured exponents over predicted ones, a panel for each account; a band within 0.1 of the diagonal. Open: known
    beforehand, or short of the plan's accuracy. From :func:`resperturb.analysis.mechanism.prediction_table`."""
    figure, all_axes = plt.subplots(1, 3, figsize=(8.4, 3.4), sharex=True, sharey=True)
    span = np.array([-1.15, -0.4])
    for axes, (name, title) in zip(all_axes, ACCOUNTS.items(), strict=True):
        axes.plot(span, span, color=INK, linewidth=1)
        axes.fill_between(span, span - 0.1, span + 0.1, color=INK, alpha=0.2, linewidth=0)
        for preset, style in PRESET_STYLE.items():
            for counts in (True, False):
                part = table[(table["preset"] == preset) & (table["counts"] == counts)]
                face = {"label": style["label"]} if counts else {"markerfacecolor": "none", "label": None}
                drawn: dict[str, Any] = {**style, **face, "linestyle": "none", "markersize": 5, "elinewidth": 0.8}
                if len(part):
                    draw_intervals(axes, part[name], part["measured"], part["low"], part["high"], **drawn)
        axes.set(title=title, xlabel="predicted", xlim=span, ylim=(-1.35, -0.35))
    all_axes[0].set_ylabel("measured")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.06, 1), ncols=3)
    return close(figure)


def factor_slopes(table: pd.DataFrame) -> Figure:
    """The mean exponent of the sections in every condition, a row each, and the slopes over log depth that make it.

    Rings are exponents of the average over all blocks. From :func:`resperturb.analysis.mechanism.prediction_table`."""
    columns = {"sectional": "exponent", **FACTOR_LABELS}
    figure, all_axes = plt.subplots(1, 4, figsize=(8.6, 0.26 * len(table) + 1.1), sharey=True)
    rows = np.arange(len(table))
    groups = {"displacement": ("priced", "gains decay", "gains do not decay")}
    for axes, (name, title) in zip(all_axes, columns.items(), strict=True):
        by, yes, no = groups.get(name, ("straight", "weights gone or zero", "weights kept"))
        colors = (GREEN, PURPLE) if name in groups else (BLUE, ORANGE)
        for color, label, whether in zip(colors, (yes, no), (True, False), strict=True):
            those = (table[by] == whether).to_numpy(dtype=bool)
            axes.plot(table.loc[those, name], rows[those], "o", color=color, label=label, markersize=5)
        if name == "sectional":
            axes.plot(table["measured"], rows, "o", color=INK, markerfacecolor="none", markersize=7, label="all blocks")
        axes.axvline(-1 if name == "sectional" else 0, color=INK, linewidth=1, linestyle=":")
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("slope")
        axes.grid(axis="x", alpha=0.3)
    all_axes[0].set_yticks(rows, labels=list(table["condition"]))
    all_axes[0].invert_yaxis()
    found = [axes.get_legend_handles_labels() for axes in all_axes[:2]]
    handles, labels = ([item for pair in found for item in pair[place]] for place in (0, 1))
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0.02, 1), ncols=3)
    return close(figure)


def factors_over_training(tables: dict[str, pd.DataFrame]) -> Figure:
    """Straightness, displacement and memory over the share of training, a line for each condition; the last section.

    From :func:`resperturb.analysis.mechanism.factors_over_training`."""
    names = {"straightness": "straightness", "displacement": "displacement", "memory": "initial weights left"}
    figure, all_axes = plt.subplots(1, 3, figsize=(8.4, 2.9), sharex=True)
    colors = (BLUE, ORANGE, GREEN, PURPLE)
    for axes, (name, title) in zip(all_axes, names.items(), strict=True):
        for (label, table), color, style in zip(tables.items(), colors, SERIES, strict=False):
            last = table[table["section"] == table["section"].max()]
            axes.plot(last["share"], last[name], **{**style, "color": color, "label": label, "markersize": 4})
        axes.set(title=title, xlabel="share of training")
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    figure.legend(*all_axes[0].get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.02, 1), ncols=2)
    return close(figure)
