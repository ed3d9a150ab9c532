"""Figures of sweeps over depth.

Colour and marker show the data set; line style and filling show the kind of block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from resperturb.analysis.bootstrap import averages_by_depth
from resperturb.analysis.power_law import PowerLaw, StoppingDepth
from resperturb.analysis.slope_tests import fit_runs
from resperturb.analysis.summaries import signed
from resperturb.figures.runs import draw_moments
from resperturb.figures.style import (
    AVERAGE,
    BLUE,
    DEPTH,
    INK,
    MEASURE_LABEL,
    MOMENT_STYLE,
    ORANGE,
    PURPLE,
    WIDTH,
    close,
    depth_axis,
    draw_intervals,
    legend_of_all,
    name_axes,
    name_ends,
    panels,
    slope_lines,
    style_of,
)
from resperturb.records.record import Record
from resperturb.records.sweeps import TITLES, Sweep

TRAINING_STYLE: tuple[dict[str, Any], ...] = (  # before training, after it, after it with strong decay
    *MOMENT_STYLE.values(),
    {"color": PURPLE, "linestyle": "-.", "marker": "D"},
)


def averages_by_sweep(laws: Mapping[str, dict[str, PowerLaw]], sweeps: Mapping[str, Sweep]) -> Figure:
    """Plot averages over depth before and after training, a panel for each sweep, with fits and slopes -1/2 and -1.

    Args:
        laws: by sweep and moment.
        sweeps: by name.
    """
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
        axes.set_xlabel("")
    name_axes(figure, DEPTH, AVERAGE)
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def fall_with_depth(sweeps: Mapping[str, Sweep]) -> Figure:
    """Plot averages after training over depth, relative to the shallowest network, with exponents in the legend."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    depths = sorted({depth for sweep in sweeps.values() for depth in sweep.depths})
    for sweep in sweeps.values():
        averages, style = averages_by_depth(sweep.records), style_of(sweep)
        low, high = averages.interval() / averages.means[0]
        means = averages.means / averages.means[0]
        words = f"{TITLES[sweep.dataset]}, {signed(fit_runs(sweep.records).exponent)}"
        draw_intervals(axes, averages.depths, means, low, high, **{**style, "label": words})
    depth_axis(axes, depths, "average, relative to the shallowest", apart=1.9)
    name_ends(axes, slope_lines(axes, depths[0], depths[-1]))
    axes.legend(title="exponent", loc="lower left", fontsize=11, alignment="left")  # empty below slope -1
    return close(figure)


def blocks_by_sweep(records: Mapping[str, Record], sweeps: Mapping[str, Sweep], columns: int = 2) -> Figure:
    """Plot the scaled perturbation over the blocks before and after training, a panel for a run of each sweep."""
    titles = [f"{sweeps[name].label}, {record.blocks} blocks" for name, record in records.items()]
    figure, all_axes = panels(titles, columns=columns)
    for axes, record in zip(all_axes, records.values(), strict=True):
        draw_moments(axes, record, "scaled")
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    name_axes(figure, "block $l$", MEASURE_LABEL["scaled"])
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def concentration(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Plot the participation ratio as a share of blocks over depth, a panel for each data set, and that of 1/sqrt(l).

    Args:
        tables: from :func:`resperturb.analysis.profiles.concentration_table`, by data set and training.
    """
    figure, all_axes = panels(list(tables), 1.9, sharex=True, columns=1)
    depths = sorted(
        {depth for trainings in tables.values() for table in trainings.values() for depth in table["blocks"]}
    )
    for axes, trainings in zip(all_axes, tables.values(), strict=True):
        for (name, table), style in zip(trainings.items(), TRAINING_STYLE, strict=False):
            axes.plot(table["blocks"], table["shared"], **{**style, "label": name})
        longest = max(trainings.values(), key=lambda table: table["blocks"].max())
        label = r"steps of $1/\sqrt{l}$"
        axes.plot(longest["blocks"], longest["rooted"], color=INK, linestyle=":", linewidth=1.2, label=label)
        depth_axis(axes, depths, "", scale="linear", apart=1.9)
        axes.set(ylim=(0, 1), xlabel="")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    name_axes(figure, DEPTH, "blocks that share the work")
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def stopping_rule(law: PowerLaw, answer: StoppingDepth) -> Figure:
    """Plot the stopping rule: averages over depth, the threshold, and a marker where they cross."""
    figure, axes = plt.subplots(figsize=(6.0, 4.0))
    depths, means = law.averages.depths, law.averages.means
    low, high = law.averages.interval()
    axes.plot(depths, means, **MOMENT_STYLE["end"])
    axes.fill_between(depths, low, high, color=BLUE, alpha=0.15, linewidth=0)
    reach = max(float(depths[-1]), answer.crossing)
    if reach > depths[-1]:
        far = np.geomspace(depths[-1], reach, 20)
        axes.plot(far, law(far), color=BLUE, linestyle=":", label="power law, extrapolated")
    axes.axhline(answer.epsilon, color=INK, linewidth=0.8, linestyle=":")
    left = answer.crossing > math.sqrt(depths[0] * reach)  # on the half away from the curve
    place, side = (depths[0], "left") if left else (reach, "right")
    axes.annotate(rf"$\epsilon = {answer.epsilon:g}$", (place, answer.epsilon), fontsize=10, va="bottom", ha=side)
    face = ORANGE if answer.measured else "none"
    axes.plot(answer.crossing, answer.epsilon, marker="D", color=ORANGE, markerfacecolor=face, linestyle="none")
    depth_axis(axes, depths, AVERAGE)
    return close(figure, axes, 2)
