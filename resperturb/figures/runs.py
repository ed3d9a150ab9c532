"""Figures and tables of one run or one sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from resperturb.analysis.power_law import PowerLaw
from resperturb.figures.style import (
    BLUE,
    INK,
    MARKED_BLOCKS,
    MEASURE_LABEL,
    MOMENT_STYLE,
    ORANGE,
    SIGNED,
    block_axis,
    close,
)
from resperturb.records.record import Record


def training_curve(record: Record) -> Figure:
    """Plot loss and accuracy over epochs, on training and test images."""
    history = record.history
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 3.0))
    for axes, column, label in ((left, "loss", "cross-entropy (nats)"), (right, "accuracy", "share correct")):
        for part, style in (("train", {"color": ORANGE, "linestyle": "--"}), ("test", {"color": BLUE})):
            axes.plot(history["epoch"], history[f"{part}_{column}"], marker=".", label=f"{part} images", **style)
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    left.set_yscale("log")
    return close(figure, left, 2)


def per_block(record: Record, *, measure: str = "scaled") -> Figure:
    """Plot one measure of MEASURE_LABEL over the blocks before and after training, with its spread over images."""
    figure, axes = plt.subplots()
    draw_moments(axes, record, measure)
    if measure == "scaled":
        line = np.arange(1, record.blocks + 1)
        axes.plot(line, line**-0.5, color=INK, linestyle=(0, (1, 2)), linewidth=1.2, label=r"$1/\sqrt{l}$")
    block_axis(axes, MEASURE_LABEL[measure])
    if measure in SIGNED:
        axes.axhline(0, color=INK, linewidth=0.8)
    else:
        axes.set_yscale("log")
    return close(figure, axes)


def draw_moments(axes: Axes, record: Record, measure: str) -> None:
    """Draw one measure over the blocks before and after training, with dotted lines between sections."""
    for moment, style in MOMENT_STYLE.items():
        draw_blocks(axes, record.blocks_at(moment), measure, style)  # empty at the end of a diverged run
    for first in record.blocks_at("initialization").groupby("section")["block"].min().iloc[1:]:
        axes.axvline(first - 0.5, color=INK, linestyle=":", linewidth=1)


def draw_blocks(
    axes: Axes, table: pd.DataFrame, column: str, style: Mapping[str, Any], *, places: pd.Series | None = None
) -> None:
    """Draw a column over the blocks, one line per section, with a band between its 5 % and 95 % quantiles.

    Args:
        axes, table, column, style: where and what to draw.
        places: horizontal positions, with the index of the table; None: block numbers.
    """
    places = table["block"] if places is None else places
    unmarked = {"marker": ""} if len(table) > MARKED_BLOCKS and "markevery" not in style else {}
    label: dict[str, str] = {}
    for _, part in table.groupby("section"):  # the line breaks where the state changes shape
        axes.plot(places[part.index], part[column], **{"markersize": 4, **style, **unmarked, **label})
        label = {"label": "_"}  # one entry in the legend
        if f"{column}_q05" in part:
            low, high = part[f"{column}_q05"], part[f"{column}_q95"]
            axes.fill_between(places[part.index], low, high, color=style["color"], alpha=0.15, linewidth=0)


def averages_data(laws: dict[str, PowerLaw]) -> pd.DataFrame:
    """Tabulate the numbers of :func:`resperturb.figures.averages_by_sweep` by moment and depth."""
    parts = []
    for moment, law in laws.items():
        averages, (low, high) = law.averages, law.averages.interval()
        columns = {"blocks": averages.depths, "average": averages.means, "low": low, "high": high}
        parts.append(pd.DataFrame({"moment": moment, **columns, "runs": averages.runs}))
    return pd.concat(parts, ignore_index=True)


def averages_table(record: Record) -> pd.DataFrame:
    """Tabulate averages over the blocks of one run, at initialisation and after training."""
    names = {
        "scaled": "average scaled perturbation",
        "absolute": "average absolute perturbation",
        "state": "average norm of the state",
        "cosine": "average cosine of f(x) and x",
    }
    averages = pd.DataFrame(record.run["averages"]).rename(index=names)
    averages.loc["blocks x average scaled"] = record.blocks * averages.loc[names["scaled"]]
    return averages.rename(columns={"initialization": "at initialisation", "end": "after training"}).round(4)


def cost_table(record: Record) -> Styler:
    """Tabulate accuracy, time, memory and provenance of one run, with text in full."""
    run, provenance = record.run, record.run["provenance"]
    rows = {
        "test accuracy": "diverged" if record.diverged else f"{run['accuracy']:.4f}",
        "test loss (nats)": "diverged" if record.diverged else f"{run['loss']:.4f}",
        "time under weight decay T": f"{run['training']['clock']:.2f}",
        "weight decay": f"{run['training']['weight_decay']:.3g}",
        "parameters": f"{run['parameters']:,}",
        "images per second in training": f"{run['training']['images_per_second']:.0f}",
        "wall time (s)": f"{run['wall_seconds']:.1f}",
        "of which measuring (s)": f"{run['measurement_seconds']:.1f}",
        "peak memory of the process (MiB)": f"{run['peak_memory_bytes'] / 2**20:.0f}",
        "processor": provenance["gpu"] or provenance["processor"],
        "threads": str(provenance["threads"]),
        "versions": ", ".join(f"{name} {number}" for name, number in provenance["versions"].items()),
        "commit": provenance.get("commit", "not a checkout") + (" (modified)" if provenance.get("modified") else ""),
        "sources": provenance["source_hash"],
        "started": provenance["started"],
    }
    styled = pd.DataFrame({"value": rows}).style.hide(axis="columns").format(escape="html")
    return styled.set_table_attributes('class="dataframe"')
