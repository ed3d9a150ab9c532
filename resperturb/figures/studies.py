"""Figures of studies: of one record, for its notebook, and of all records of a study, for its chapter."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resperturb.analysis.architectures import FURTHEST
from resperturb.analysis.carriers import SIZE_NAMES, SIZES
from resperturb.analysis.study_tables import initial_laws, mean_with_interval
from resperturb.analysis.theory import VARIANTS
from resperturb.figures.style import (
    BLUE,
    GREEN,
    INK,
    MEASURE_LABEL,
    MOMENT_STYLE,
    ORANGE,
    SECTION_STYLE,
    close,
    depth_ticks,
    legend_above,
    legend_of_all,
)
from resperturb.records.record import StudyRecord

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
    return close(figure)


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
    return close(figure)


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
    return close(figure)


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
    return close(figure)


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
    return close(figure)


def growth_phases(records: list[StudyRecord]) -> Figure:
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
    return close(figure)


def text_layers(record: StudyRecord) -> Figure:
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
    return close(figure)


def gains_and_weights(record: StudyRecord) -> Figure:
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
    return close(figure)


VARIANT_STYLE: dict[str, dict[str, Any]] = {
    "batch-norm": {"color": BLUE, "marker": "o"},
    "plain": {"color": INK, "marker": "x"},
    "root": {"color": ORANGE, "marker": "s"},
    "inverse": {"color": GREEN, "marker": "^"},
}


def initial_figure(table: pd.DataFrame) -> Figure:
    """Averages against depth before training, a mark for each variant and depth; lines are what theory gives.

    Args:
        table: :func:`resperturb.analysis.study_tables.initial_averages`.
    """
    figure, axes = plt.subplots(figsize=(6.0, 4.4))
    for name, law in initial_laws(table).items():
        style = VARIANT_STYLE[name]
        part = table[(table["variant"] == name) & table["finite"].astype(bool)]
        means = part.groupby("blocks")[["scaled", "theory"]].mean()
        spread = part.groupby("blocks")["scaled"].agg(["min", "max"])
        reach = [means["scaled"] - spread["min"], spread["max"] - means["scaled"]]
        label = f"{VARIANTS[name].label}: $L^{{{law.exponent:.2f}}}$"
        axes.errorbar(means.index, means["scaled"], yerr=reach, linestyle="none", capsize=2, label=label, **style)
        axes.plot(means.index, means["theory"], color=style["color"], linewidth=1.2)
    axes.set(xscale="log", yscale="log", xlabel="number of blocks $L$", ylabel="average scaled perturbation")
    depth_ticks(axes, sorted(set(table["blocks"])))
    legend_above(axes, 1)
    return close(figure)


def rank_figure(table: pd.DataFrame) -> Figure:
    """Rank correlations against depth, a line for each score.

    Args:
        table: :func:`resperturb.analysis.study_tables.lesion_table`, of one data set.
    """
    figure, axes = plt.subplots()
    for place, (score, part) in enumerate(table.groupby("score", sort=False)):
        style = {**SCORE_STYLE[str(score)], "label": {"scaled": "scaled perturbation"}.get(str(score), str(score))}
        x = part["blocks"] * 1.03 ** (place - 1)
        reach = [part["with added loss"] - part["low"], part["high"] - part["with added loss"]]
        axes.errorbar(x, part["with added loss"], yerr=reach, capsize=3, **style)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set(xscale="log", xlabel="number of blocks $L$", ylabel="rank correlation with added loss")
    depth_ticks(axes, sorted(set(table["blocks"])))
    legend_above(axes)
    return close(figure)


def straightness(sections: pd.DataFrame) -> Figure:
    """Straightness against depth after training, a line for each section; dotted, what random directions would have.

    Args:
        sections: :func:`resperturb.analysis.study_tables.path_sections`.
    """
    figure, axes = plt.subplots()
    end = sections[sections["moment"] == "end"]
    for number, (section, part) in enumerate(end.groupby("section")):
        style = SECTION_STYLE[number % len(SECTION_STYLE)]
        axes.plot(part["blocks"], part["straightness"], label=f"section {section}", **style)
        axes.plot(part["blocks"], part["random_walk"], color=style["color"], linestyle=(0, (1, 2)), linewidth=1)
    axes.set(xscale="log", xlabel="number of blocks $L$", ylabel="straightness", ylim=(0, 1.02))
    depth_ticks(axes, sorted(set(end["blocks"])))
    legend_above(axes)
    return close(figure)


def path_over_depth(table: pd.DataFrame, column: str, label: str, *, level: float | None = None) -> Figure:
    """A column of :func:`resperturb.analysis.study_tables.path_depths` against depth, before and after training."""
    figure, axes = plt.subplots()
    for moment, style in MOMENT_STYLE.items():
        there = table[table["moment"] == moment].groupby("blocks")[column]
        values = pd.DataFrame([mean_with_interval(part) for _, part in there], columns=["mean", "low", "high"])
        reach = np.nan_to_num([values["mean"] - values["low"], values["high"] - values["mean"]])
        axes.errorbar(sorted(there.groups), values["mean"], yerr=reach, capsize=3, **style)
    if level is not None:
        axes.axhline(level, color=INK, linewidth=0.8)
    elif (table[column] > 0).all():
        axes.set_yscale("log")
    axes.set(xscale="log", xlabel="number of blocks $L$", ylabel=label)
    depth_ticks(axes, sorted(set(table["blocks"])))
    legend_above(axes)
    return close(figure)


def text_figure(table: pd.DataFrame) -> Figure:
    """Mean scaled contribution per token against layers: both parts, attention, MLP; faint before training.

    Args:
        table: :func:`resperturb.analysis.study_tables.text_averages`.
    """
    styles = {"both": {"color": PINK, "marker": "D", "linestyle": "-."}, **PART_STYLE}
    figure, axes = plt.subplots(figsize=(6.0, 4.2))
    for part, style in styles.items():
        for moment, faint in (("initialization", 0.35), ("end", 1.0)):
            there = table[(table["part"] == part) & (table["moment"] == moment)]
            means = there.groupby("layers")["scaled"].mean()
            label = f"{part}, {MOMENT_STYLE[moment]['label']}"
            axes.plot(means.index, means, alpha=faint, markersize=5, label=label, **style)
    axes.set(xscale="log", yscale="log", xlabel="layers", ylabel="scaled contribution per token")
    depth_ticks(axes, sorted(set(table["layers"])))
    legend_above(axes, 2)
    return close(figure)


def products_over_clock(table: pd.DataFrame) -> Figure:
    """Depth times average over T, a panel for each depth, a line for each number of epochs; crosses learned little."""
    depths = sorted(set(table["blocks"]))
    columns = min(len(depths), 2)
    rows = -(-len(depths) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(6.6, 2.5 * rows + 0.5), sharex=True, sharey=True, squeeze=False)
    for axes, depth in zip(grid.flat, depths, strict=False):
        at_depth = table[table["blocks"] == depth]
        for style, (epochs, part) in zip(SECTION_STYLE, at_depth.groupby("epochs"), strict=False):
            lost = part[~part["learned"]]
            axes.plot(lost["clock"], lost["product"], "x", color=style["color"], markersize=5)
            means = part[part["learned"]].groupby("clock")["product"].agg(["mean", "min", "max"])
            reach = [means["mean"] - means["min"], means["max"] - means["mean"]]
            axes.errorbar(means.index, means["mean"], yerr=reach, capsize=2, label=f"{epochs} epochs", **style)
        axes.set_title(f"{depth} blocks", fontsize=11)
        axes.set_yscale("log")
    for axes in grid[-1]:
        axes.set(xlabel="time under weight decay $T$")
    for axes in grid[:, 0]:
        axes.set(ylabel=r"$L \times$ average")
    legend_of_all(figure, grid.flat[0], 3)
    return close(figure)


def exponents_over_clock(tables: dict[str, pd.DataFrame], labels: dict[str, str]) -> Figure:
    """The exponent over T, a line for each map and number of epochs; dotted, what is claimed and where it starts."""
    figure, axes = plt.subplots(figsize=(6.0, 4.4))
    faces: dict[str, dict[str, Any]] = {
        "clock": {},
        "clock-postactivation": {"markerfacecolor": "none"},
        "clock-mnist": {"alpha": 0.55},
    }
    for name, table in tables.items():
        for style, (epochs, part) in zip(SECTION_STYLE, table.groupby("epochs"), strict=False):
            draw_exponents(axes, part, {**style, **faces.get(name, {}), "label": f"{labels[name]}, {epochs} epochs"})
    for level in (-0.5, -1.0):
        axes.axhline(level, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel="time under weight decay $T$", ylabel="exponent after training")
    legend_above(axes, 2)
    return close(figure)


def draw_exponents(axes: Axes, part: pd.DataFrame, style: dict[str, Any]) -> None:
    reach = np.clip([part["exponent"] - part["low"], part["high"] - part["exponent"]], 0, None)
    axes.errorbar(part["clock"], part["exponent"], yerr=reach, capsize=2, **style)


def architecture_exponents(table: pd.DataFrame) -> Figure:
    """Exponents before and after training with their intervals, a row for each architecture; far ones as numbers."""
    figure, axes = plt.subplots(figsize=(6.0, 0.5 * len(table) + 1.2))
    for shift, (moment, style) in zip((0.12, -0.12), MOMENT_STYLE.items(), strict=True):
        reach = np.clip([table[moment] - table[f"{moment} low"], table[f"{moment} high"] - table[moment]], 0, None)
        place = np.arange(len(table)) + shift
        axes.errorbar(table[moment], place, xerr=reach, capsize=2, **{**style, "linestyle": "none"})
    for number, value in enumerate(table["end"]):
        if value < FURTHEST:  # beside the others a line of its own would be all that is seen
            words, colour = f"◂ {value:.1f}".replace("-", "−"), MOMENT_STYLE["end"]["color"]
            axes.annotate(words, (FURTHEST, number + 0.25), color=colour, va="center", fontsize=10)
    axes.set_xlim(left=max(FURTHEST, axes.get_xlim()[0]))
    for level in (-0.5, -1.0):
        axes.axvline(level, color=INK, linewidth=1, linestyle=":")
    axes.set_yticks(range(len(table)), labels=[textwrap.fill(words, 26) for words in table["varied"]])
    axes.invert_yaxis()
    axes.set(xlabel="exponent")
    legend_above(axes, 2)
    return close(figure)


CARRIER_STYLE: dict[str, dict[str, Any]] = {
    "absolute": {"color": BLUE, "marker": "o", "linestyle": "-"},
    "gain2": {"color": ORANGE, "marker": "s", "linestyle": "--"},
    "weight2": {"color": GREEN, "marker": "^", "linestyle": "-."},
    "both": {"color": PINK, "marker": "D", "linestyle": ":"},
}


def carrier_sizes(means: pd.DataFrame) -> Figure:
    """Sizes against depth after training, each over what it is in the shallowest network."""
    figure, axes = plt.subplots()
    end = means[means["moment"] == "end"].groupby("blocks")[list(SIZES)].mean()
    for column, style in CARRIER_STYLE.items():
        axes.plot(end.index, end[column] / end[column].iloc[0], label=SIZE_NAMES[column], markersize=5, **style)
    axes.plot(end.index, end.index[0] / end.index, color=INK, linestyle=(0, (1, 1)), linewidth=1, label="slope −1")
    axes.set(xscale="log", yscale="log", xlabel="number of blocks $L$", ylabel="over the shallowest network's")
    depth_ticks(axes, list(end.index))
    legend_above(axes, 2)
    return close(figure)
