"""Figures of measured networks, one or several side by side; no records needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.style import BLUE, GREEN, INK, MEASURE_LABEL, ORANGE, STYLE, close

PURPLE = "#aa4499"  # Okabe and Ito's is too light on white
MARKED_BLOCKS = 60  # blocks whose points can be told apart
SERIES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": ORANGE, "marker": "s", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "linestyle": "-."},
    {"color": PURPLE, "marker": "D", "linestyle": ":"},
)


def side_by_side(tables: Mapping[str, pd.DataFrame], *, measure: str = "scaled") -> Figure:
    """One measure over the blocks of a network, or over their relative position in several networks.

    Vertical lines (bands where blocks are many) run from the 5th to the 95th percentile over samples.

    Args:
        tables: by name, what `resperturb.measure` returned; transitions are left out.
        measure: a key of MEASURE_LABEL.
    """
    figure, axes = plt.subplots()
    for (name, table), style in zip(tables.items(), SERIES * (1 + len(tables) // len(SERIES)), strict=False):
        blocks = table[table["kind"] == "identity"]
        label = name
        for _, part in blocks.groupby("section"):  # a line is broken where the state changes its shape
            place = part["block"] if len(tables) == 1 else (part["block"] - 0.5) / len(blocks)
            axes.plot(place, part[measure], label=label, markersize=4 if len(blocks) <= MARKED_BLOCKS else 0, **style)
            label = "_"  # named once
            if f"{measure}_q05" not in part:
                continue
            low, high = part[f"{measure}_q05"], part[f"{measure}_q95"]
            if len(blocks) <= MARKED_BLOCKS:
                axes.vlines(place, low, high, color=style["color"], alpha=0.4)
            else:
                axes.fill_between(place, low, high, color=style["color"], alpha=0.15, linewidth=0)
    values = pd.concat([table.loc[table["kind"] == "identity", measure] for table in tables.values()])
    if measure == "cosine":
        axes.axhline(0, color=INK, linewidth=0.8)
    elif (values > 0).all():
        axes.set_yscale("log")
    axes.set(ylabel=MEASURE_LABEL[measure])
    if len(tables) == 1:
        axes.set(xlabel="block $l$")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    else:
        axes.set(xlabel="relative position of the block", xlim=(0, 1))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=len(SERIES))  # above, since lines cross all of it
    return close(figure)


def overview(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row per measured network: blocks, transitions, averages over blocks, and how well x + f is the sum."""
    rows = []
    for name, table in tables.items():
        blocks = table[table["kind"] == "identity"]
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
    """Write `side_by_side` to a file, in the book's style; its ending says the format."""
    with mpl.style.context(STYLE):
        side_by_side(tables).savefig(file, metadata={"Date": None} if str(file).endswith(".svg") else None)
