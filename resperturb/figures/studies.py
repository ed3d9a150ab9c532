"""Figures of studies: of one record for its notebook, and of all records for the chapter."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.analysis.slope_tests import fit_slope
from resperturb.analysis.study_tables import initial_laws
from resperturb.analysis.summaries import signed
from resperturb.analysis.theory import VARIANTS
from resperturb.figures.runs import draw_blocks
from resperturb.figures.style import (
    AVERAGE,
    MEASURE_LABEL,
    MOMENT_STYLE,
    SERIES,
    WIDTH,
    block_axis,
    close,
    depth_axis,
    draw_intervals,
    name_axes,
    name_end,
    name_ends,
    panels,
    slope_lines,
)
from resperturb.records.record import Record


def initial_blocks(record: Record) -> Figure:
    """Plot the scaled perturbation over the blocks of networks of every depth before training."""
    table = record.table("blocks")[["blocks", "section", "block", "scaled"]]
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    colours = mpl.colormaps["viridis"](np.linspace(0.1, 0.85, table["blocks"].nunique()))
    for colour, (depth, rows) in zip(colours, table.groupby("blocks"), strict=True):
        draw_blocks(axes, rows, "scaled", {"color": colour, "marker": "", "label": f"{depth} blocks"})
    axes.set(xscale="log", xlabel="block $l$", ylabel=MEASURE_LABEL["scaled"])
    if (table["scaled"] > 0).all():
        axes.set_yscale("log")
    return close(figure, axes)


def text_layers(record: Record) -> Figure:
    """Plot the scaled perturbation per token of attention and MLP over layers, before (faint) and after training."""
    table, (figure, axes) = record.table("blocks"), plt.subplots()
    for part, style in zip(("attention", "mlp"), SERIES, strict=False):
        for moment, faint in (("initialization", 0.35), ("end", 1.0)):
            there = table[(table["part"] == part) & (table["moment"] == moment)]
            label = f"{part}, {MOMENT_STYLE[moment]['label']}"
            axes.plot(there.groupby("layer")["scaled"].mean(), alpha=faint, markersize=5, label=label, **style)
    block_axis(axes, MEASURE_LABEL["scaled"])
    axes.set(yscale="log", xlabel="layer")
    return close(figure, axes, 2)


def initial_figure(table: pd.DataFrame) -> Figure:
    """Plot averages over depth before training, a marker for each variant and depth; lines are the theory.
    From :func:`resperturb.analysis.study_tables.initial_averages`."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.2))
    for (name, law), style in zip(initial_laws(table).items(), SERIES, strict=False):
        part = table[(table["variant"] == name) & table["finite"].astype(bool)]
        theory = part.groupby("blocks")["theory"].mean()
        spread = part.groupby("blocks")["scaled"].agg(["mean", "min", "max"])
        label = f"{VARIANTS[name].label}: $L^{{{law.exponent:.2f}}}$"
        ends = spread["mean"], spread["min"], spread["max"]
        draw_intervals(axes, spread.index, *ends, **{**style, "linestyle": "none", "label": label})
        axes.plot(theory, color=style["color"], linewidth=1.2)
    depth_axis(axes, table["blocks"], AVERAGE)
    return close(figure, axes, 1)


def text_figure(table: pd.DataFrame, lines: Mapping[str, tuple[str, str, float]]) -> Figure:
    """Draw the mean scaled contribution per token over layers, relative to the shallowest transformer, between lines of
    slope -1/2 and -1.

    Args:
        table: from :func:`resperturb.analysis.study_tables.text_averages`.
        lines: moment, initialization and weight decay of each line, by its name.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    both, names = table[table["part"] == "both"], []
    for (name, chosen), style in zip(lines.items(), SERIES, strict=False):
        part = both[(both[["moment", "initialization", "weight_decay"]] == list(chosen)).all(axis=1)]
        means = part.groupby("layers")["scaled"].mean()
        means /= means.iloc[0]
        axes.plot(means, **style)
        words = f"{name}  {signed(fit_slope(part['layers'], part['scaled']).exponent)}"
        names.append((words, (means.index[-1], means.iloc[-1]), style["color"]))
    depth_axis(axes, both["layers"], "contribution, relative to the shallowest", apart=1.9)
    name_ends(axes, [*names, *slope_lines(axes, both["layers"].min(), both["layers"].max())])
    axes.set(xlabel="layers")
    return close(figure)


def counted_blocks(table: pd.DataFrame) -> Figure:
    """Plot the average of published networks over depth, relative to the shallowest, with two ways to count blocks.
    From :func:`resperturb.analysis.published.published_table`."""
    figure, axes = plt.subplots(figsize=(WIDTH, 4.6))
    counts = (
        ("identity\nblocks", "blocks", "scaled", (7, 0)),
        ("transitions too", "additions", "scaled_all", (-12, -1)),
    )
    for (name, depth, average, offset), style in zip(counts, SERIES, strict=False):
        places, means = table[depth] / table[depth].min(), table[average] / table[average].iloc[0]
        axes.plot(places, means, **style)
        words = f"{name}\n{signed(fit_slope(table[depth], table[average]).exponent)}"
        name_end(axes, (places.iloc[-1], means.iloc[-1]), words, style["color"], offset)
    axes.set(xscale="log", xlabel="depth, relative to the shallowest", ylabel="average, relative to the shallowest")
    axes.set_xticks([1, 2, 3], labels=["1", "2", "3"])
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    name_ends(axes, slope_lines(axes, 1, (table["blocks"] / table["blocks"].min()).max()))
    return close(figure)


def responses(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the root mean square response over additions, a panel for each title and a line for each network.
    From :func:`resperturb.analysis.published.response_table`."""
    figure, all_axes = panels(list(tables), 3.6, columns=1)
    for axes, table in zip(all_axes, tables.values(), strict=True):
        names = []
        for style, (network, part) in zip(itertools.cycle(SERIES), table.groupby("network", sort=False), strict=False):
            mean = part.groupby("addition")["response"].mean()  # over seeds
            axes.plot(mean.index, mean, **{**style, "markersize": 3})
            names.append((str(network), (mean.index[-1], mean.iloc[-1]), style["color"]))
        axes.set_yscale("log")
        axes.set_yticks([0.1, 0.3, 1], labels=["0.1", "0.3", "1"])
        axes.yaxis.set_minor_locator(mpl.ticker.NullLocator())
        name_ends(axes, names)
    name_axes(figure, "addition, from input to output", "root mean square of $f$")
    return close(figure)
