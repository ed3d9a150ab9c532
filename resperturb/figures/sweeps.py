"""Figures of sweeps: what changes with depth, in one sweep or in several side by side.

A data set has a colour and a marker; a kind of block has a line and a filling: no two series differ by colour alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.analysis.bootstrap import averages_by_depth
from resperturb.analysis.power_law import PowerLaw, StoppingDepth
from resperturb.figures.runs import draw_moments
from resperturb.figures.style import (
    AVERAGE,
    BLUE,
    INK,
    MEASURE_LABEL,
    MOMENT_STYLE,
    ORANGE,
    SERIES,
    close,
    depth_axis,
    draw_intervals,
    legend_of_all,
    panels,
    style_of,
)
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep


def averages_by_sweep(laws: Mapping[str, dict[str, PowerLaw]], sweeps: Mapping[str, Sweep]) -> Figure:
    """The average against depth before and after training, a panel for each sweep, with fits and lines of slope -1/2
    and -1; laws by sweep and moment."""
    figure, all_axes = panels([sweeps[name].label for name in laws])
    for axes, fitted in zip(all_axes, laws.values(), strict=True):
        for (moment, law), height in zip(fitted.items(), (0.9, 0.8), strict=False):
            averages, style = law.averages, MOMENT_STYLE[moment]
            points = {**style, "linestyle": "none"}
            draw_intervals(axes, averages.depths, averages.means, *averages.interval(), **points)
            axes.plot(averages.depths, law(averages.depths), color=style["color"], linestyle=style["linestyle"])
            words = rf"$L^{{{law.exponent:.2f}}}$"
            axes.annotate(words, (0.98, height), xycoords="axes fraction", ha="right", color=style["color"])
        depths, start = fitted["end"].averages.depths, fitted["end"].averages.means[0]
        for power, dots, label in ((-1.0, (1, 1), "slope −1 (claimed)"), (-0.5, (1, 4), "slope −1/2")):
            line = start * (depths / depths[0]) ** power
            axes.plot(depths, line, color=INK, linestyle=(0, dots), linewidth=1, label=label)
        depth_axis(axes, depths, "", apart=1.9)
    all_axes[0].set(ylabel=AVERAGE)
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def blocks_by_sweep(records: Mapping[str, Record], sweeps: Mapping[str, Sweep]) -> Figure:
    """The scaled perturbation over the blocks before and after training, a panel for a finished run of each sweep."""
    figure, all_axes = panels([f"{sweeps[name].label}, {record.blocks}" for name, record in records.items()])
    for axes, record in zip(all_axes, records.values(), strict=True):
        draw_moments(axes, record, "scaled")
        axes.set(xlabel="block $l$", yscale="log")
    all_axes[0].set(ylabel=MEASURE_LABEL["scaled"])
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def product_against_depth(sweeps: Mapping[str, Sweep]) -> Figure:
    """Blocks times average after training, which is level where the average is inversely proportional to depth."""
    figure, axes = plt.subplots(figsize=(6.0, 4.0))
    for sweep in sweeps.values():
        averages = averages_by_depth(sweep.records)
        ends = averages.interval() * averages.depths
        draw_intervals(axes, averages.depths, averages.depths * averages.means, *ends, **style_of(sweep))
    depths = [depth for sweep in sweeps.values() for depth in sweep.depths]
    depth_axis(axes, depths, r"$L \times$ average", scale="linear")
    axes.set_ylim(bottom=0)
    return close(figure, axes, 2)


def section_shares(tables: Mapping[str, pd.DataFrame], sweeps: Mapping[str, Sweep], column: str = "share") -> Figure:
    """One column of :func:`resperturb.analysis.profiles.section_summary` against depth: a line a section."""
    labels = {"share": "share of the sum", "scaled": "average in the section"}
    figure, all_axes = panels([sweeps[name].label for name in tables])
    for axes, table in zip(all_axes, tables.values(), strict=True):
        for style, (section, part) in zip(itertools.cycle(SERIES), table.groupby("section"), strict=False):
            axes.plot(part["blocks"], part[column], label=f"section {section}", **style)
        depth_axis(axes, table["blocks"], "", scale="log" if column == "scaled" else "linear", apart=1.9)
        if column != "scaled":
            axes.set_ylim(0, 1)
    all_axes[0].set(ylabel=labels[column])
    legend_of_all(figure, all_axes[0], 3)
    return close(figure)


def concentration(table: pd.DataFrame) -> Figure:
    """Mean, median and largest block against depth, from :func:`resperturb.analysis.profiles.concentration_table`."""
    figure, axes = plt.subplots()
    labels = {"mean": "mean", "largest": "largest block", "median": "median block"}
    for (column, label), style in zip(labels.items(), SERIES, strict=False):
        axes.plot(table["blocks"], table[column], label=label, **style)
    depth_axis(axes, table["blocks"], MEASURE_LABEL["scaled"])
    return close(figure, axes)


def stopping_rule(law: PowerLaw, answers: Iterable[StoppingDepth]) -> Figure:
    """The rule as a picture: thresholds across the curve of averages, a mark where each is crossed."""
    figure, axes = plt.subplots(figsize=(6.0, 4.0))
    depths, means = law.averages.depths, law.averages.means
    low, high = law.averages.interval()
    axes.plot(depths, means, **MOMENT_STYLE["end"])
    axes.fill_between(depths, low, high, color=BLUE, alpha=0.15, linewidth=0)
    answers = list(answers)
    reach = max([float(depths[-1]), *(answer.crossing for answer in answers)])
    far = np.geomspace(depths[-1], reach, 20)
    if reach > depths[-1]:
        axes.plot(far, law(far), color=BLUE, linestyle=":", label="power law, extrapolated")
    for answer in answers:
        axes.axhline(answer.epsilon, color=INK, linewidth=0.8, linestyle=":")
        left = answer.crossing > math.sqrt(depths[0] * reach)  # the half of the line that the curve is not near
        place, side = (depths[0], "left") if left else (reach, "right")
        label = rf"$\epsilon = {answer.epsilon:g}$"
        axes.annotate(label, (place, answer.epsilon), fontsize=10, va="bottom", ha=side)
        face = ORANGE if answer.measured else "none"
        axes.plot(answer.crossing, answer.epsilon, marker="D", color=ORANGE, markerfacecolor=face, linestyle="none")
    depth_axis(axes, depths, AVERAGE)
    return close(figure, axes, 2)


def rule_over_epsilons(tables: Mapping[str, pd.DataFrame], sweeps: Mapping[str, Sweep]) -> Figure:
    """Depth against epsilon with its interval, and the accuracy at that depth below, from
    :func:`resperturb.analysis.summaries.stopping_table`; where a line has no markers it is extrapolated."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6.0, 5.4), sharex=True, height_ratios=(3, 2))
    for name, table in tables.items():
        style = style_of(sweeps[name])
        colour = style["color"]
        upper.plot(table["epsilon"], table["crossing"], color=colour, linestyle=style["linestyle"], label="_")
        ends = table[["low", "high"]].clip(upper=1e5)
        upper.fill_between(table["epsilon"], ends["low"], ends["high"], color=colour, alpha=0.15, linewidth=0)
        measured = table[table["how"] == "measured"]
        upper.plot(measured["epsilon"], measured["crossing"], **{**style, "linestyle": "none"})
        there = table.dropna(subset=["accuracy there"])
        lower.plot(there["epsilon"], there["accuracy there"], **style)
    upper.set(xscale="log", yscale="log", ylabel="depth of crossing")
    lower.set(xlabel=r"$\epsilon$", ylabel="accuracy there")
    return close(figure, upper, 2)


def depths_left_out(tables: Mapping[str, pd.DataFrame], sweeps: Mapping[str, Sweep]) -> Figure:
    """Depths predicted without their own runs over true ones, of :func:`resperturb.analysis.curves.leave_one_out`."""
    figure, axes = plt.subplots(figsize=(6.0, 3.6))
    for name, table in tables.items():
        axes.plot(table["blocks"], table["ratio"], **style_of(sweeps[name]))
    axes.axhline(1, color=INK, linewidth=1, linestyle=":")
    depth_axis(axes, pd.concat(tables)["blocks"], "predicted / true depth")
    axes.set(xlabel="depth left out")
    ticks = (0.5, 2 / 3, 0.8, 1, 1.25, 1.5, 2)
    low, high = axes.get_ylim()
    inside = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(inside, labels=[f"{tick:.2g}" for tick in inside])
    axes.yaxis.set_minor_formatter("")
    return close(figure, axes, 2)


def exponents_by_convention(table: pd.DataFrame, sweeps: Mapping[str, Sweep], claimed: float) -> Figure:
    """The exponent under each convention with its interval, sweeps side by side, from
    :func:`resperturb.analysis.conventions.convention_table`."""
    table = table.reset_index(drop=True)
    place = table.groupby("sweep").cumcount().groupby(table["convention"]).max()  # some have rows that others lack
    names = place.sort_values(kind="stable").index.tolist()
    kept = [name for name in sweeps if name in set(table["sweep"])]
    figure, axes = plt.subplots(figsize=(6.0, 0.36 * len(names) + 0.14 * len(names) * (len(kept) - 1) + 0.9))
    for number, sweep_name in enumerate(kept):
        part = table[table["sweep"] == sweep_name]
        rows = np.array([names.index(name) for name in part["convention"]])
        height = rows + 0.7 * ((number + 0.5) / len(kept) - 0.5)
        style = {**style_of(sweeps[sweep_name]), "linestyle": "none"}
        draw_intervals(axes, height, part["exponent"], part["low"], part["high"], across=True, **style)
    axes.axvline(claimed, color=INK, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(names)), labels=names)
    axes.invert_yaxis()
    axes.set(xlabel="exponent")
    return close(figure, axes, 2)
