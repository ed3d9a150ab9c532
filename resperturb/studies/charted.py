"""Figures over the records of a study: what changes with depth, with a variant, with a threshold."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from resperturb.charts import SECTION_STYLE
from resperturb.figures import BLUE, GREEN, INK, MOMENT_STYLE, ORANGE, depth_ticks, finished, legend_above
from resperturb.studies.compared import initial_laws, mean_and_reach
from resperturb.studies.drawn import PART_STYLE, PINK, SCORE_STYLE
from resperturb.studies.variants import VARIANTS

VARIANT_STYLE: dict[str, dict[str, Any]] = {
    "batch-norm": {"color": BLUE, "marker": "o"},
    "plain": {"color": INK, "marker": "x"},
    "root": {"color": ORANGE, "marker": "s"},
    "inverse": {"color": GREEN, "marker": "^"},
}


def initial_figure(table: pd.DataFrame) -> Figure:
    """Averages against depth before training, a mark for each variant and depth; lines are what theory gives.

    Args:
        table: :func:`resperturb.studies.compared.initial_averages`.
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
    return finished(figure)


def rank_figure(table: pd.DataFrame) -> Figure:
    """Rank correlations against depth, a line for each score.

    Args:
        table: :func:`resperturb.studies.compared.lesion_table`, of one data set.
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
    return finished(figure)


def straightness(sections: pd.DataFrame) -> Figure:
    """Straightness against depth after training, a line for each section; dotted, what random directions would have.

    Args:
        sections: :func:`resperturb.studies.compared.path_sections`.
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
    return finished(figure)


def over_depth(table: pd.DataFrame, column: str, label: str, *, level: float | None = None) -> Figure:
    """A column of :func:`resperturb.studies.compared.path_depths` against depth, before and after training."""
    figure, axes = plt.subplots()
    for moment, style in MOMENT_STYLE.items():
        there = table[table["moment"] == moment].groupby("blocks")[column]
        values = pd.DataFrame([mean_and_reach(part) for _, part in there], columns=["mean", "low", "high"])
        reach = np.nan_to_num([values["mean"] - values["low"], values["high"] - values["mean"]])
        axes.errorbar(sorted(there.groups), values["mean"], yerr=reach, capsize=3, **style)
    if level is not None:
        axes.axhline(level, color=INK, linewidth=0.8)
    elif (table[column] > 0).all():
        axes.set_yscale("log")
    axes.set(xscale="log", xlabel="number of blocks $L$", ylabel=label)
    depth_ticks(axes, sorted(set(table["blocks"])))
    legend_above(axes)
    return finished(figure)


def text_figure(table: pd.DataFrame) -> Figure:
    """Mean scaled contribution per token against layers: both parts, attention, MLP; faint before training.

    Args:
        table: :func:`resperturb.studies.compared.text_averages`.
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
    return finished(figure)
