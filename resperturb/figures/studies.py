"""Figures of one study's record, for its notebook and its chapter alike."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.charts import SECTION_STYLE
from resperturb.figures import (
    BLUE,
    GREEN,
    INK,
    MEASURE_LABEL,
    MOMENT_STYLE,
    ORANGE,
    depth_ticks,
    finished,
    legend_above,
)
from resperturb.studies.kept import StudyRecord

PINK, SKY = "#cc79a7", "#56b4e9"
SCORE_STYLE: dict[str, dict[str, Any]] = {
    "scaled": {"color": BLUE, "marker": "o", "linestyle": "-", "label": "smallest scaled perturbation"},
    "influence": {"color": ORANGE, "marker": "s", "linestyle": "--", "label": "smallest influence"},
    "angular": {"color": GREEN, "marker": "^", "linestyle": "-.", "label": "smallest angle"},
    "added loss": {"color": PINK, "marker": "D", "linestyle": ":", "label": "least loss alone"},
    "random": {"color": INK, "marker": "x", "linestyle": (0, (1, 2)), "label": "at random"},
}
PART_STYLE: dict[str, dict[str, Any]] = {
    "attention": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "mlp": {"color": ORANGE, "marker": "s", "linestyle": "--"},
}


def initial_blocks(record: StudyRecord) -> Figure:
    """Scaled perturbation over the blocks of networks of every depth, as they are drawn."""
    table = record.table("blocks")
    figure, axes = plt.subplots()
    colours = mpl.colormaps["viridis"](np.linspace(0.1, 0.85, table["blocks"].nunique()))
    for colour, (depth, rows) in zip(colours, table.groupby("blocks"), strict=True):
        for section, part in rows.groupby("section"):
            label = f"{depth} blocks" if section == 1 else None
            axes.plot(part["block"], part["scaled"], color=colour, label=label)
    axes.set(xscale="log", xlabel="block $l$", ylabel=MEASURE_LABEL["scaled"])
    if (table["scaled"] > 0).all():
        axes.set_yscale("log")
    legend_above(axes)
    return finished(figure)


def loss_without(record: StudyRecord) -> Figure:
    """The loss that each block's absence adds over its scaled perturbation; a mark for each block."""
    table = record.table("blocks")
    figure, axes = plt.subplots()
    for number, (section, part) in enumerate(table.groupby("section")):
        style = {**SECTION_STYLE[number % len(SECTION_STYLE)], "linestyle": "none"}
        axes.plot(part["scaled"], part["added_loss"], label=f"section {section}", markersize=5, **style)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xscale="log", xlabel=MEASURE_LABEL["scaled"], ylabel="loss that its absence adds (nats)")
    axes.set_yscale("symlog", linthresh=1e-3)
    legend_above(axes)
    return finished(figure)


def pruning(table: pd.DataFrame) -> Figure:
    """Accuracy over the share of blocks that are removed together, a line for each way to choose them.

    Args:
        table: "pruning" of one record, or of several below each other; a line is the mean.
    """
    figure, axes = plt.subplots()
    whole = table.loc[table["way"] == "whole", "accuracy"].mean()
    for way, style in SCORE_STYLE.items():
        rows = table[table["way"] == way].groupby("share")["accuracy"].agg(["mean", "min", "max"])
        axes.plot([0, *rows.index], [whole, *rows["mean"]], markersize=5, **style)
        if way == "random":
            axes.fill_between(rows.index, rows["min"], rows["max"], color=INK, alpha=0.15, linewidth=0)
    axes.set(xlabel="share of blocks removed", ylabel="test accuracy", ylim=(None, 1))
    legend_above(axes, 2)
    return finished(figure)


def directions(record: StudyRecord, column: str) -> Figure:
    """A cosine of :func:`resperturb.studies.path.block_table` over the blocks, before and after training."""
    table = record.table("blocks")
    labels = {"downhill": r"cosine of $f_l$ and $-\nabla_{x_l}$ loss", "successive": MEASURE_LABEL["successive_cosine"]}
    figure, axes = plt.subplots()
    for moment, style in MOMENT_STYLE.items():
        rows = table[table["moment"] == moment]
        marker = {"marker": style["marker"], "markersize": 4} if len(rows) <= 60 else {"marker": ""}
        for section, part in rows.groupby("section"):
            label = style["label"] if section == 1 else None
            line = {"color": style["color"], "linestyle": style["linestyle"]}
            axes.plot(part["block"], part[column], label=label, **line, **marker)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xlabel="block $l$", ylabel=labels[column])
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    legend_above(axes)
    return finished(figure)


def trajectories(record: StudyRecord) -> Figure:
    """Mean states of the classes on their way through the last section, in the plane that holds most of them."""
    table = record.table("plane")
    figure, axes = plt.subplots(figsize=(6.0, 4.6))
    colours = mpl.colormaps["viridis"](np.linspace(0.05, 0.9, table["label"].nunique()))
    for colour, (label, track) in zip(colours, table.groupby("label"), strict=True):
        axes.plot(track["x"], track["y"], color=colour, marker=".", markersize=4, linewidth=1.2)
        end = track.iloc[-1]
        axes.annotate(
            str(label), (end["x"], end["y"]), color=INK, fontsize=11, xytext=(3, 3), textcoords="offset points"
        )
    axes.set(xlabel="first principal component", ylabel="second principal component")
    axes.set_aspect("equal", adjustable="datalim")
    return finished(figure)


def growing(records: list[StudyRecord]) -> Figure:
    """Average scaled perturbation after each phase over the blocks of that phase; a line for each network."""
    figure, axes = plt.subplots()
    styles = dict(zip(sorted({r.parameters["epsilon"] for r in records}), SECTION_STYLE, strict=False))
    depths: set[int] = set()
    seen: set[float] = set()
    for record in records:
        table, epsilon = record.table("phases"), record.parameters["epsilon"]
        label = rf"until below $\epsilon = {epsilon:g}$" if epsilon not in seen else None
        seen.add(epsilon)
        axes.plot(table["blocks"], table["scaled"], label=label, markersize=5, **styles.get(epsilon, {}))
        axes.axhline(epsilon, color=INK, linewidth=0.8, linestyle=":")
        depths |= set(table["blocks"].astype(int))
    axes.set(xscale="log", yscale="log", xlabel="number of blocks $L$", ylabel="average scaled perturbation")
    depth_ticks(axes, sorted(depths))
    legend_above(axes)
    return finished(figure)


def layers(record: StudyRecord) -> Figure:
    """Scaled contribution per token of attention and MLP over the layers, before (faint) and after training."""
    table = record.table("blocks")
    figure, axes = plt.subplots()
    for part, style in PART_STYLE.items():
        for moment, faint in (("initialization", 0.35), ("end", 1.0)):
            rows = table[(table["part"] == part) & (table["moment"] == moment)]
            when = MOMENT_STYLE[moment]["label"]
            axes.plot(rows["layer"], rows["scaled"], alpha=faint, markersize=4, label=f"{part}, {when}", **style)
    axes.set(yscale="log", xlabel="layer", ylabel=MEASURE_LABEL["scaled"])
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    legend_above(axes, 2)
    return finished(figure)


def carrying(record: StudyRecord) -> Figure:
    """Gain of the second batch normalisation and size of the second weights, block by block, at both ends."""
    table = record.table("blocks")
    figure, both = plt.subplots(2, 1, figsize=(6.0, 4.6), sharex=True)
    for axes, column, label in zip(both, ("gain2", "weight2"), ("gain", "weights"), strict=True):
        for moment, style in MOMENT_STYLE.items():
            rows = table[table["moment"] == moment]
            line = {"color": style["color"], "linestyle": style["linestyle"], "marker": style["marker"]}
            axes.plot(rows["block"], rows[column], markersize=3, label=style["label"], **line)
        axes.set(yscale="log", ylabel=label)
    both[1].set(xlabel="block $l$")
    legend_above(both[0])
    return finished(figure)
