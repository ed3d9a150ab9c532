"""Figures of measured networks, without records."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resperturb.errors import MeasurementError
from resperturb.figures.runs import draw_blocks
from resperturb.figures.style import (
    MEASURE_LABEL,
    MOMENT_STYLE,
    SERIES,
    STYLE,
    block_axis,
    close,
    name_axes,
    panels,
)
from resperturb.records.record import blocks_of


def plot(tables: pd.DataFrame | Mapping[str, pd.DataFrame], axes: Axes | None = None, column: str = "scaled") -> Axes:
    """Plot a column over the blocks of one network or several; over relative positions where depths differ.

    Bands are the 5th to 95th percentile over samples. The vertical axis is logarithmic if all values are positive.

    Args:
        tables: from :func:`~resperturb.measurement.measure.measure`, one or several by name.
        axes: where to draw; None for a new figure, which pyplot keeps open.
        column: column of the tables.

    Returns:
        The axes.

    Raises:
        MeasurementError: tables without names, or none.
    """
    named = {"": tables} if isinstance(tables, pd.DataFrame) else tables
    if not (isinstance(named, Mapping) and named):
        raise MeasurementError("tables must be one table, or a dict of some by name, but got none with a name.")
    blocks = {name: blocks_of(table) for name, table in named.items()}
    axes = plt.subplots()[1] if axes is None else axes
    relative = len({len(each) for each in blocks.values()}) > 1
    for (name, each), style in zip(blocks.items(), itertools.cycle(SERIES), strict=False):
        places = (each["block"] - 0.5) / len(each) if relative else each["block"]
        draw_blocks(axes, each, column, {**style, "label": name or "_"}, places=places)
    if (pd.concat([each[column] for each in blocks.values()]) > 0).all():
        axes.set_yscale("log")
    if relative:
        axes.set(xlabel="relative position of the block", xlim=(0, 1), ylabel=MEASURE_LABEL.get(column, column))
    else:
        block_axis(axes, MEASURE_LABEL.get(column, column))
    if any(blocks):  # above the axes, where no line is
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return axes


def network_panels(networks: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the scaled perturbation over the blocks of networks with random weights, a panel for each.

    Args:
        networks: tables from :func:`resperturb.measure` by network.
    """
    figure, all_axes = panels([f"{name}, {len(blocks_of(table))} blocks" for name, table in networks.items()])
    for axes, table in zip(all_axes, networks.values(), strict=True):
        draw_blocks(axes, blocks_of(table), "scaled", MOMENT_STYLE["initialization"])
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
        axes.set_yticks([0.1, 0.2, 0.5, 1, 2], labels=["0.1", "0.2", "0.5", "1", "2"])
        axes.yaxis.set_minor_formatter("")
    name_axes(figure, "block $l$", MEASURE_LABEL["scaled"])
    return close(figure)


def save_figure(tables: Mapping[str, pd.DataFrame], file: Path | str) -> None:
    """Write :func:`plot` to a file in the book's style; the file's ending sets the format."""
    with mpl.style.context(STYLE):
        figure, axes = plt.subplots()
        plot(tables, axes)
        close(figure).savefig(file, metadata={"Date": None} if str(file).endswith(".svg") else None)
