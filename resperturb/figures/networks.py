"""Figures of measured networks, without records."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.runs import draw_blocks
from resperturb.figures.style import (
    MEASURE_LABEL,
    MOMENT_STYLE,
    SERIES,
    STYLE,
    block_axis,
    close,
    legend_of_all,
    name_axes,
    panels,
)
from resperturb.records.record import blocks_of


def side_by_side(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Plot the scaled perturbation over the blocks of one network, or over relative positions in several.

    Bands are the 5th to 95th percentile over samples.

    Args:
        tables: from :func:`resperturb.measure`, by name of the network.
    """
    figure, axes = plt.subplots()
    values = []
    for (name, table), style in zip(tables.items(), itertools.cycle(SERIES), strict=False):
        blocks = blocks_of(table)
        values.append(blocks["scaled"])
        places = blocks["block"] if len(tables) == 1 else (blocks["block"] - 0.5) / len(blocks)
        draw_blocks(axes, blocks, "scaled", {**style, "label": name}, places=places)
    if (pd.concat(values) > 0).all():
        axes.set_yscale("log")
    if len(tables) == 1:
        block_axis(axes, MEASURE_LABEL["scaled"])
    else:
        axes.set(xlabel="relative position of the block", xlim=(0, 1), ylabel=MEASURE_LABEL["scaled"])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(SERIES))  # above the axes, where no line is
    return close(figure)


def network_panels(networks: Mapping[str, Mapping[str, pd.DataFrame]]) -> Figure:
    """Plot the scaled perturbation over the blocks, a panel for each network, before and after training.

    Args:
        networks: tables from :func:`resperturb.measure` by network and state, "random weights" or "trained".
    """
    styles = {"random weights": MOMENT_STYLE["initialization"], "trained": MOMENT_STYLE["end"]}
    figure, all_axes = panels(
        [f"{name}, {len(blocks_of(next(iter(states.values()))))} blocks" for name, states in networks.items()]
    )
    for axes, states in zip(all_axes, networks.values(), strict=True):
        for state, table in states.items():
            draw_blocks(axes, blocks_of(table), "scaled", {**styles[state], "label": state})
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
        axes.set_yticks([0.1, 0.2, 0.5, 1, 2], labels=["0.1", "0.2", "0.5", "1", "2"])
        axes.yaxis.set_minor_formatter("")
    name_axes(figure, "block $l$", MEASURE_LABEL["scaled"])
    legend_of_all(figure, all_axes[0], 2)
    return close(figure)


def overview(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tabulate measured networks, one per row: blocks, transitions, averages over blocks and reconstruction error."""
    rows = []
    for name, table in tables.items():
        blocks = blocks_of(table)
        rows.append(
            {
                "network": name,
                "blocks": len(blocks),
                "transitions": len(table) - len(blocks),
                "scaled": blocks["scaled"].mean(),
                "blocks × average": blocks["scaled"].sum(),
                "cosine": blocks["cosine"].mean(),
                "largest reconstruction error": table["reconstruction_error"].max(),
            }
        )
    return pd.DataFrame(rows)


def save_figure(tables: Mapping[str, pd.DataFrame], file: Path | str) -> None:
    """Write :func:`side_by_side` to a file in the book's style; the file's ending sets the format."""
    with mpl.style.context(STYLE):
        side_by_side(tables).savefig(file, metadata={"Date": None} if str(file).endswith(".svg") else None)
