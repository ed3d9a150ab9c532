"""Figures of studies: of one record, for its notebook, and of all records of a study, for its chapter."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

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
    INK,
    MEASURE_LABEL,
    MOMENT_STYLE,
    SERIES,
    block_axis,
    close,
    depth_axis,
    draw_intervals,
)
from resperturb.records.record import Record, concat_tables

WAYS = {
    "scaled": "smallest scaled perturbation",
    "influence": "smallest influence",
    "angular": "smallest angle",
    "added loss": "least loss alone",
    "random": "at random",
}
AT_RANDOM: dict[str, Any] = {"color": INK, "marker": "x", "linestyle": (0, (1, 2))}


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


def loss_without(record: Record) -> Figure:
    """The loss that each block's absence adds over its scaled perturbation; a mark for each block."""
    table = record.table("blocks")
    figure, axes = plt.subplots()
    for style, (section, part) in zip(itertools.cycle(SERIES), table.groupby("section"), strict=False):
        look = {**style, "linestyle": "none", "label": f"section {section}"}
        axes.plot(part["scaled"], part["added_loss"], markersize=5, **look)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xscale="log", xlabel=MEASURE_LABEL["scaled"], ylabel="loss that its absence adds (nats)")
    axes.set_yscale("symlog", linthresh=1e-3)
    return close(figure, axes)


def pruning(table: pd.DataFrame) -> Figure:
    """Mean accuracy over the share of blocks that are removed together, a line for each way to choose them.

    The table is that of one record, or of several below each other; the band of random choices spans all draws.
    """
    import seaborn as sns  # here, since importing it takes longer than all else that a chapter imports

    figure, axes = plt.subplots()
    whole = table[table["way"] == "whole"].assign(share=0.0)
    faint = {"alpha": 0.15, "linewidth": 0}
    for (way, label), style in zip(WAYS.items(), (*SERIES, AT_RANDOM), strict=True):
        rows = pd.concat([whole, table[table["way"] == way]])
        look = {"markersize": 5, "markeredgecolor": style["color"], "err_kws": faint, **style}
        spread = ("pi", 100) if way == "random" else None
        sns.lineplot(rows, x="share", y="accuracy", errorbar=spread, label=label, legend=False, ax=axes, **look)
    axes.set(xlabel="share of blocks removed", ylabel="test accuracy", ylim=(None, 1))
    return close(figure, axes, 2)


def growth_phases(records: list[Record]) -> Figure:
    """Average scaled perturbation after each phase over the blocks of that phase; a line for each network."""
    figure, axes = plt.subplots()
    phases = concat_tables(records, "phases", "epsilon")
    for style, (epsilon, rows) in zip(SERIES, phases.groupby("epsilon"), strict=False):
        label = rf"until below $\epsilon = {epsilon:g}$"
        for _, part in rows.groupby("seed"):
            axes.plot(part["blocks"], part["scaled"], markersize=5, label=label, **style)
            label = "_"  # named once
        axes.axhline(rows["epsilon"].iloc[0], color=INK, linewidth=0.8, linestyle=":")
    depth_axis(axes, phases["blocks"], AVERAGE)
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
