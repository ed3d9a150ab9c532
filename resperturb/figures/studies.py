"""Figures of studies: of one record, for its notebook, and of all records of a study, for its chapter."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resperturb.analysis.study_tables import initial_laws
from resperturb.analysis.theory import VARIANTS
from resperturb.figures.runs import draw_blocks
from resperturb.figures.style import (
    AVERAGE,
    MEASURE_LABEL,
    MOMENT_STYLE,
    SERIES,
    block_axis,
    close,
    depth_axis,
    draw_intervals,
)
from resperturb.records.record import Record


def initial_blocks(record: Record) -> Figure:
    """Scaled perturbation over the blocks of networks of every depth before training."""
    table = record.table("blocks")[["blocks", "section", "block", "scaled"]]
    figure, axes = plt.subplots()
    colours = mpl.colormaps["viridis"](np.linspace(0.1, 0.85, table["blocks"].nunique()))
    for colour, (depth, rows) in zip(colours, table.groupby("blocks"), strict=True):
        draw_blocks(axes, rows, "scaled", {"color": colour, "marker": "", "label": f"{depth} blocks"})
    axes.set(xscale="log", xlabel="block $l$", ylabel=MEASURE_LABEL["scaled"])
    if (table["scaled"] > 0).all():
        axes.set_yscale("log")
    return close(figure, axes)


def text_layers(record: Record) -> Figure:
    """Scaled contribution per token of attention and MLP over the layers, before (faint) and after training."""
    figure, axes = plt.subplots()
    draw_parts(axes, record.table("blocks"), "layer", ("attention", "mlp"))
    block_axis(axes, MEASURE_LABEL["scaled"])
    axes.set(yscale="log", xlabel="layer")
    return close(figure, axes, 2)


def draw_parts(axes: Axes, table: pd.DataFrame, over: str, parts: Sequence[str]) -> None:
    """Draw the mean scaled contribution of parts of a transformer over a column: before (faint) and after training."""
    for part, style in zip(parts, SERIES, strict=False):
        for moment, faint in (("initialization", 0.35), ("end", 1.0)):
            there = table[(table["part"] == part) & (table["moment"] == moment)]
            label = f"{part}, {MOMENT_STYLE[moment]['label']}"
            axes.plot(there.groupby(over)["scaled"].mean(), alpha=faint, markersize=5, label=label, **style)


def initial_figure(table: pd.DataFrame) -> Figure:
    """Averages against depth before training, a mark for each variant and depth of
    :func:`resperturb.analysis.study_tables.initial_averages`; lines are what theory gives."""
    figure, axes = plt.subplots(figsize=(6.0, 4.4))
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


def text_figure(table: pd.DataFrame) -> Figure:
    """Mean scaled contribution per token against layers: attention, MLP, both parts; faint before training."""
    figure, axes = plt.subplots(figsize=(6.0, 4.2))
    draw_parts(axes, table, "layers", ("attention", "mlp", "both"))
    depth_axis(axes, table["layers"], "scaled contribution per token")
    axes.set(xlabel="layers")
    return close(figure, axes, 2)


def responses(table: pd.DataFrame) -> Figure:
    """The root mean square of what each addition adds, a line for each network of others, from
    :func:`resperturb.analysis.published.response_table`."""
    figure, axes = plt.subplots(figsize=(6.0, 3.8))
    for style, (network, part) in zip(SERIES, table.groupby("network", sort=False), strict=False):
        mean = f"{part['response'].mean():.2f}"
        axes.plot(part["addition"], part["response"], **{**style, "markersize": 3}, label=f"{network}, mean {mean}")
    axes.set(xlabel="addition, from input to output", ylabel="root mean square of $f$", yscale="log")
    return close(figure, axes, 2)
