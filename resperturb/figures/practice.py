"""Figures for practice: removed blocks, accuracy over depth beside the stopping rule, and what to log."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.analysis.conditions import accuracy_by_depth
from resperturb.analysis.practice import LOGGED
from resperturb.figures.style import INK, MEASURE_LABEL, SERIES, close, depth_axis, legend_of_all, panels, style_of
from resperturb.records.sweeps import TITLES, Sweep

WAYS = {"scaled": "smallest scaled perturbation", "added loss": "least loss alone", "random": "at random"}
AT_RANDOM: dict[str, Any] = {"color": INK, "marker": "x", "linestyle": (0, (1, 2))}


def loss_without(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """The loss that each block's absence adds over its scaled perturbation; a mark for each block, open if it is dead.

    `tables`: "blocks" of records of the study of lesions, one below the other, by the title of their panel.
    """
    figure, axes = panels(list(tables), 3.0)
    for panel, table in zip(axes, tables.values(), strict=True):
        for style, (section, part) in zip(itertools.cycle(SERIES), table.groupby("section"), strict=False):
            look = {**style, "linestyle": "none", "markersize": 5}
            live, dead = part[part["alive"]], part[~part["alive"]]
            panel.plot(live["scaled"], live["added_loss"], label=f"section {section}", **look)
            panel.plot(dead["scaled"], dead["added_loss"], markerfacecolor="none", **look)
        panel.axhline(0, color=INK, linewidth=0.8)
        panel.set(xscale="log", xlabel=MEASURE_LABEL["scaled"])
        low, high = panel.get_xlim()
        panel.set_xlim(min(low, 0.08), max(high, 1.2))  # some whole power of ten is on the axis
        panel.set_yscale("symlog", linthresh=1e-3)
    for panel in axes[::2]:
        panel.set_ylabel("loss that its absence adds")
    legend_of_all(figure, axes[0], 3)
    return close(figure)


def pruning(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Mean accuracy over the share of live blocks removed together, a line for each way to choose them; the band of
    random choices spans all draws.

    `tables`: "pruning" of records of the study of lesions, one below the other, by the title of their panel.
    """
    import seaborn as sns  # here, since importing it takes longer than all else that a chapter imports

    figure, axes = panels(list(tables), 3.0)
    faint = {"alpha": 0.15, "linewidth": 0}
    for panel, table in zip(axes, tables.values(), strict=True):
        whole = table[table["way"] == "whole"].assign(share=0.0)
        for (way, label), style in zip(WAYS.items(), (*SERIES[:2], AT_RANDOM), strict=True):
            rows = pd.concat([whole, table[table["way"] == way]])
            look = {"markersize": 5, "markeredgecolor": style["color"], "err_kws": faint, **style}
            spread = ("pi", 100) if way == "random" else None
            sns.lineplot(rows, x="share", y="accuracy", errorbar=spread, label=label, legend=False, ax=panel, **look)
        panel.set(xlabel="share of live blocks removed", ylabel="", ylim=(0, 1.02))
    for panel in axes[::2]:
        panel.set_ylabel("test accuracy")
    legend_of_all(figure, axes[0], 3)
    return close(figure)


def accuracy_over_depth(sweeps: Mapping[str, Sweep], choices: pd.DataFrame) -> Figure:
    """Test accuracy over depth, a panel for each data set, a line for each sweep.

    A ring marks the depth in the column margin of `choices`, an upright line that in the column rule; a row a sweep.
    """
    datasets = [name for name in TITLES if any(sweep.dataset == name for sweep in sweeps.values())]
    figure, axes = plt.subplots(1, len(datasets), figsize=(2.9 * len(datasets), 3.0), squeeze=False)
    ring = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "linestyle": "none"}
    for panel, dataset in zip(axes[0], datasets, strict=True):
        for name, sweep in sweeps.items():
            if sweep.dataset == dataset:
                accuracy, style, row = accuracy_by_depth(sweep.records), style_of(sweep), choices.loc[name]
                panel.plot(accuracy, markersize=4, **style)
                panel.plot(row["margin"], accuracy[row["margin"]], color=style["color"], **ring)
                panel.axvline(row["rule"], color=style["color"], linestyle=style["linestyle"], linewidth=1)
        depth_axis(panel, {6, 60, 600}, "", scale="linear")
        panel.set(title=TITLES[dataset], xlim=(5, 800))
    axes[0][0].set_ylabel("test accuracy")
    return close(figure)


def logged_quantities(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """A panel for each quantity of :func:`resperturb.analysis.practice.logged` over training, a line for each run."""
    figure, grid = plt.subplots(2, 3, figsize=(8.4, 4.6), sharex=True)
    for panel, (column, label) in zip(grid.flat, LOGGED.items(), strict=False):
        for style, (name, table) in zip(SERIES, tables.items(), strict=False):
            panel.plot(table["share"], table[column], markersize=4, label=name, **style)
        panel.set_title(label, fontsize="medium")
        panel.set_ylim(min(0, panel.get_ylim()[0]), None)
    last = grid.flat[-1]
    last.axis("off")
    last.legend(*grid.flat[0].get_legend_handles_labels(), loc="center left", frameon=False)
    for panel in (*grid[1][:2], grid[0][2]):
        panel.set_xlabel("share of training")
        panel.tick_params(labelbottom=True)
    return close(figure)
