"""Figures of the mechanism: paths, factors of the exponent, predicted against measured exponents."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import MaxNLocator

from resperturb.analysis.mechanism import FACTORS
from resperturb.analysis.slope_tests import SMALLEST
from resperturb.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SERIES,
    WIDTH,
    close,
    draw_intervals,
    legend_of_all,
)

ACCOUNTS = {"exponent": "This book's account", "decay-decides": "Rival: decay decides", "two-parts": "Rival: two parts"}
OUTCOME_STYLE: dict[str, dict[str, Any]] = {
    "hit": {"color": BLUE, "markersize": 5},
    "miss": {"color": ORANGE, "marker": "X", "markersize": 8},
    "not counted": {"color": INK, "markersize": 5, "markerfacecolor": "none"},
}
PRESET_STYLE = {
    "mechanism-mnist": {"marker": "o", "label": "MNIST, first round"},
    "mechanism-second": {"marker": "s", "label": "MNIST, second round"},
    "mechanism-cifar10": {"marker": "^", "label": "CIFAR-10"},
    "cifar10-zero": {"marker": "D", "label": "CIFAR-10, main recipe"},
}


def paths_of_steps(paths: pd.DataFrame) -> Figure:
    """Draw few and many steps to one displacement, aligned and in random directions, at one scale.
    From :func:`resperturb.analysis.mechanism.paths_of_steps`."""
    figure, axes = plt.subplots(figsize=(WIDTH, 5.0))
    heights = {"aligned": (1.3, 1.1), "random": (0.6, 0.0)}
    titles = {"aligned": r"aligned: steps of $D/n$", "random": r"random: steps of about $D/\sqrt{n}$"}
    for kind, title in titles.items():
        drawn = paths[paths["kind"] == kind].groupby("steps")
        axes.text(-0.45, heights[kind][0] + 0.12, title)
        for height, style, (count, path) in zip(heights[kind], SERIES, drawn, strict=False):
            color = style["color"]
            axes.plot(path["x"], path["y"] + height, color=color, marker=".", markersize=5, linewidth=1.2)
            axes.plot([0, 1], [height, height], "o", color=INK, markersize=6, markerfacecolor="none")
            axes.annotate(f"{count} steps", (1, height), (10, -4), textcoords="offset points", color=color)
    axes.set(xlabel="way from start to end", yticks=[], xticks=[0, 1], xticklabels=["0", "$D$"], ylim=(None, 1.55))
    axes.set_aspect("equal")
    axes.spines["left"].set_visible(False)
    return close(figure)


def predicted_against_measured(table: pd.DataFrame) -> Figure:
    """Plot measured over predicted exponents with a band of hits, for the account and its rivals.

    Misses are crosses, named for the account; conditions that do not count are open. Equal predictions are drawn side
    by side. From :func:`resperturb.analysis.mechanism.prediction_table`."""
    figure = plt.figure(figsize=(4.8, 7.4), layout="constrained")
    rows: list[Any] = [["exponent"] * 13 + ["names"] * 11, ["decay-decides"] * 12 + ["two-parts"] * 12]
    places = figure.subplot_mosaic(rows, height_ratios=(1.6, 1))
    names = places.pop("names")
    table = table.sort_values("measured", ignore_index=True)
    span, heights = np.array([-1.08, -0.42]), (-1.35, -0.35)
    for name, axes in places.items():
        axes.plot(span, span, color=INK, linewidth=1)
        axes.fill_between(span, span - SMALLEST, span + SMALLEST, color=INK, alpha=0.2, linewidth=0)
        alike = table.groupby(name)[name]
        aside = alike.cumcount() - (alike.transform("size") - 1) / 2
        place = table[name] + aside * np.minimum(0.012, 0.1 / alike.transform("size"))
        outcome = outcomes(table, name)
        for preset, style in PRESET_STYLE.items():
            for word, look in OUTCOME_STYLE.items():
                those = (table["preset"] == preset) & (outcome == word)
                if those.any():
                    part = table[those]
                    marker = {"marker": style["marker"], "linestyle": "none", "elinewidth": 0.8, **look}
                    draw_intervals(axes, place[those], part["measured"], part["low"], part["high"], **marker)
        axes.set(title=ACCOUNTS[name], xlabel="predicted", xlim=span, ylim=heights)
        if name == "exponent":
            table["place"] = place
            name_misses(axes, names, table[outcome == "miss"])
    places["exponent"].set_ylabel("measured")
    places["decay-decides"].set_ylabel("measured")
    places["two-parts"].tick_params(labelleft=False)
    shapes = [style for preset, style in PRESET_STYLE.items() if (table["preset"] == preset).any()]
    looks = [{"marker": "o", **look, "label": word} for word, look in OUTCOME_STYLE.items()]
    looks += [{"color": INK, **style} for style in shapes]
    figure.legend(
        handles=[Line2D([], [], linestyle="none", **look) for look in looks], loc="outside upper left", ncols=2
    )
    plt.close(figure)
    return figure


def name_misses(axes: Axes, beside: Axes, misses: pd.DataFrame) -> None:
    """Write the conditions of misses beside their panel, in order of measured exponents, with lines to the points."""
    beside.set(xlim=(0, 1), ylim=axes.get_ylim())
    beside.axis("off")
    color = OUTCOME_STYLE["miss"]["color"]
    places = ("CIFAR-10: " if "cifar10" in preset else "" for preset in misses["preset"])  # the others are of MNIST
    words = [textwrap.fill(place + name, 22) for place, name in zip(places, misses["condition"], strict=True)]
    sizes = np.array([0.02 + 0.05 * (1 + text.count("\n")) for text in words])
    heights = spread_out(misses["measured"].to_numpy(), sizes / max(1, sizes.sum()))
    for place, measured, height, text in zip(misses["place"], misses["measured"], heights, words, strict=True):
        line = ConnectionPatch((place, measured), (0, height), "data", "data", axesA=axes, axesB=beside, color=color)
        line.set(linewidth=0.6, alpha=0.6)
        line.set_in_layout(False)
        beside.add_artist(line)
        beside.text(0.02, height, text, color=color, fontsize=10, va="center", linespacing=1).set_in_layout(False)


def outcomes(table: pd.DataFrame, account: str) -> pd.Series:
    """Classify the predictions of one account: "hit", "miss" or "not counted"."""
    near = (table[account] - table["measured"]).abs() <= SMALLEST
    return near.map({True: "hit", False: "miss"}).where(table["counts"].astype(bool), "not counted")


def spread_out(heights: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Move sorted boxes, given by middles and sizes, apart until none overlap; their mean stays."""
    moved = heights.astype(float).copy()
    for place in range(1, len(moved)):
        moved[place] = max(moved[place], moved[place - 1] + (sizes[place - 1] + sizes[place]) / 2)
    return moved - (moved - heights).mean() if len(moved) else moved


def factor_slopes(table: pd.DataFrame) -> Figure:
    """Plot the mean exponent of the sections for every condition, and the slopes of its factors over log depth.

    Rings are exponents of the average over all blocks. From :func:`resperturb.analysis.mechanism.prediction_table`."""
    columns = {"sectional": "exponent", **dict(zip(FACTORS, FACTORS, strict=True))}
    figure, all_axes = plt.subplots(1, 4, figsize=(WIDTH, 0.36 * len(table) + 1.1), sharey=True)
    rows = np.arange(len(table)) + 0.22  # below the names
    groups = {"displacement": ("priced", "gains decay", "gains do not decay")}
    for axes, (name, title) in zip(all_axes, columns.items(), strict=True):
        by, yes, no = groups.get(name, ("straight", "weights gone or zero", "weights kept"))
        colors = (GREEN, PURPLE) if name in groups else (BLUE, ORANGE)
        dot: dict[str, Any] = {"marker": "o", "linestyle": "none", "clip_on": False}
        for color, label, whether in zip(colors, (yes, no), (True, False), strict=True):
            those = (table[by] == whether).to_numpy(dtype=bool)
            axes.plot(table.loc[those, name], rows[those], color=color, label=label, markersize=5, **dot)
        if name == "sectional":
            ring = {"color": INK, "markerfacecolor": "none", "markersize": 7, "label": "all blocks"}
            axes.plot(table["measured"], rows, **dot, **ring)
        axes.vlines([-1 if name == "sectional" else 0] * len(rows), rows - 0.22, rows + 0.22, color=INK, linewidth=1)
        axes.hlines(rows + 0.28, 0, 1, transform=axes.get_yaxis_transform(), color=INK, alpha=0.3, linewidth=0.6)
        axes.set_title(title, fontsize=10)
        axes.set(yticks=[], ylim=(len(rows) - 0.5, -0.5))
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(2))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "−"))
    first = all_axes[0].get_yaxis_transform()
    for row, condition in zip(rows, table["condition"], strict=True):
        all_axes[0].text(0, row - 0.44, condition, transform=first, fontsize=10, va="center").set_in_layout(False)
    figure.supxlabel("slope", fontsize=12, y=0)
    found = [axes.get_legend_handles_labels() for axes in all_axes[:2]]
    handles, labels = ([item for pair in found for item in pair[place]] for place in (0, 1))
    figure.legend(handles, labels, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return close(figure)


def factors_over_training(tables: dict[str, pd.DataFrame]) -> Figure:
    """Plot straightness, displacement and memory of the last section over training, a line for each condition.

    Args:
        tables: from :func:`resperturb.analysis.mechanism.factors_over_training`, by label.
    """
    names = {"straightness": "straightness", "displacement": "displacement", "memory": "initial weights left"}
    figure, all_axes = plt.subplots(3, 1, figsize=(WIDTH, 5.8), sharex=True)
    colors = (BLUE, ORANGE, GREEN, PURPLE)
    for axes, (name, title) in zip(all_axes, names.items(), strict=True):
        for (label, table), color, style in zip(tables.items(), colors, SERIES, strict=False):
            last = table[table["section"] == table["section"].max()]
            axes.plot(last["share"], last[name], **{**style, "color": color, "label": label, "markersize": 4})
        axes.set_title(title)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    all_axes[-1].set_xlabel("share of training")
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)
