"""Figures for practice: removed blocks, the stopping rule beside validation, quantities worth logging."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.analysis.conditions import accuracy_by_depth
from resperturb.analysis.power_law import PowerLaw
from resperturb.analysis.practice import LOGGED
from resperturb.figures.style import (
    DEPTH,
    INK,
    MEASURE_LABEL,
    SERIES,
    WIDTH,
    close,
    depth_axis,
    legend_of_all,
    name_axes,
    panels,
    style_of,
)
from resperturb.records.sweeps import TITLES, Sweep

ORDERS = {"scaled": "smallest scaled perturbation", "added loss": "least loss alone", "random": "at random"}
AT_RANDOM: dict[str, Any] = {"color": INK, "marker": "x", "linestyle": (0, (1, 2))}


def loss_without(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the loss that removing a block adds over its scaled perturbation; open markers are dead blocks.

    Args:
        tables: the table "blocks" of lesion records, by title of the panel.
    """
    figure, axes = panels(list(tables), 2.4)
    for panel, table in zip(axes, tables.values(), strict=True):
        for style, (section, part) in zip(itertools.cycle(SERIES), table.groupby("section"), strict=False):
            look = {**style, "linestyle": "none", "markersize": 5}
            live, dead = part[part["alive"]], part[~part["alive"]]
            panel.plot(live["scaled"], live["added_loss"], label=f"section {section}", **look)
            panel.plot(dead["scaled"], dead["added_loss"], markerfacecolor="none", **look)
        panel.axhline(0, color=INK, linewidth=0.8)
        panel.set_xscale("log")
        low, high = panel.get_xlim()
        panel.set_xlim(min(low, 0.08), max(high, 1.2))  # so that the axis has a power of ten
        panel.set_yscale("symlog", linthresh=1e-3)
    name_axes(figure, MEASURE_LABEL["scaled"], "loss added by removal")
    axes[0].plot([], [], "o", color=INK, markerfacecolor="none", label="dead")
    legend_of_all(figure, axes[0], 4)
    return close(figure)


def pruning(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot accuracy over the share of live blocks removed together, a line for each order of removal.

    The band of random orders spans all draws.

    Args:
        tables: the table "pruning" of lesion records, by title of the panel.
    """
    import seaborn as sns  # a slow import

    figure, axes = panels(list(tables), 2.4)
    faint = {"alpha": 0.15, "linewidth": 0}
    for panel, table in zip(axes, tables.values(), strict=True):
        whole = table[table["way"] == "whole"].assign(share=0.0)
        for (way, label), style in zip(ORDERS.items(), (*SERIES[:2], AT_RANDOM), strict=True):
            rows = pd.concat([whole, table[table["way"] == way]])
            look = {"markersize": 5, "markeredgecolor": style["color"], "err_kws": faint, **style}
            spread = ("pi", 100) if way == "random" else None
            sns.lineplot(rows, x="share", y="accuracy", errorbar=spread, label=label, legend=False, ax=panel, **look)
        panel.set(xlabel="", ylabel="", ylim=(0, 1.02))
    name_axes(figure, "share of live blocks removed", "test accuracy")
    legend_of_all(figure, axes[0], 2)
    return close(figure)


def rule_beside_validation(
    sweeps: Mapping[str, Sweep], choices: pd.DataFrame, laws: Mapping[str, PowerLaw], epsilon: float
) -> Figure:
    """Plot test accuracy and the average scaled perturbation over depth, a column for each sweep.

    Rings mark the validated depth, diamonds the depth of the stopping rule; open diamonds are extrapolated.

    Args:
        sweeps, laws: by name.
        choices: rows by name, with columns margin (validated depth) and rule.
        epsilon: threshold of the stopping rule.
    """
    figure, grid = plt.subplots(2, len(sweeps), figsize=(WIDTH, 4.4), sharex=True, squeeze=False)
    curves = {name: 100 * accuracy_by_depth(sweep.records) for name, sweep in sweeps.items()}
    span = 1.4 * max(curve.max() - curve.min() for curve in curves.values())  # one scale in all columns
    ring = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "markeredgecolor": INK}
    beside = {"textcoords": "offset points", "va": "top"}
    for (upper, lower), (name, sweep) in zip(grid.T, sweeps.items(), strict=True):
        curve, law, row = curves[name], laws[name], choices.loc[name]
        style = {**style_of(sweep), "markersize": 4}
        upper.plot(curve, **style)
        top = min((curve.min() + curve.max() + span) / 2, 100)
        upper.set(title=TITLES[sweep.dataset], ylim=(top - span, top))
        depth = row["margin"]
        upper.plot(depth, curve[depth], **ring)
        upper.plot([depth] * 2, [top - span, curve[depth]], color=INK, linewidth=1, linestyle=":")
        upper.annotate(f"{depth} blocks", (depth, top - span), (4, 14), **beside)
        lower.plot(law.averages.depths, law.averages.means, **style)
        reach = np.geomspace(law.averages.depths[-1], max(row["rule"], law.averages.depths[-1]), 9)
        lower.plot(reach, law(reach), color=style["color"], linestyle=":")
        lower.axhline(epsilon, color=INK, linewidth=1, linestyle="--")
        face = style["color"] if row["rule"] in law.averages.depths else "none"
        lower.plot(row["rule"], epsilon, "D", color=style["color"], markersize=8, markerfacecolor=face)
        lower.annotate(f"{row['rule']:.0f}", (row["rule"], epsilon), (0, -9), ha="center", **beside)
        depth_axis(lower, {6, 600}, "")
        lower.set(xlim=(4, 1500), ylim=(0.02, 1), xlabel="")
        lower.set_yticks([0.05, 0.1, 0.5], labels=["0.05", "0.1", "0.5"])
        lower.yaxis.set_minor_formatter("")
    grid[1][len(sweeps) // 2].set_xlabel(DEPTH)
    grid[0][0].set_ylabel("test accuracy (%)")
    grid[1][0].set_ylabel("average scaled\nperturbation")
    return close(figure)


def logged_quantities(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the quantities of :func:`resperturb.analysis.practice.logged` over training, a line for each run."""
    figure, grid = plt.subplots(3, 2, figsize=(WIDTH, 6.4), sharex=True)
    for panel, (column, label) in zip(grid.flat, LOGGED.items(), strict=False):
        for style, (name, table) in zip(SERIES, tables.items(), strict=False):
            panel.plot(table["share"], table[column], markersize=4, label=textwrap.fill(name, 20), **style)
        panel.set_title(textwrap.fill(label, 22))
        panel.set_ylim(min(0, panel.get_ylim()[0]), None)
    last = grid.flat[-1]
    last.axis("off")
    last.legend(*grid.flat[0].get_legend_handles_labels(), loc="center left", frameon=False)
    for panel in (grid[2][0], grid[1][1]):
        panel.set(xlabel="share of training", xticks=[0, 0.5, 1])
        panel.tick_params(labelbottom=True)
    return close(figure)
