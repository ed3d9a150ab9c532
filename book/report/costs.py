"""The cost of runs, from their records: tables and a figure."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.style import close, depth_ticks, legend_of_all, style_of
from resperturb.records.sweeps import Sweep

MIB = 2**20


def ladder(sweeps: Mapping[str, Sweep]) -> pd.DataFrame:
    """A row per sweep and depth: medians over its runs of seconds and images per second, the largest peak of memory."""
    rows = [
        {"sweep": name, "blocks": record.blocks, **record.run}
        for name, sweep in sweeps.items()
        for record in sorted(sweep.finished, key=lambda record: record.blocks)
    ]
    table = pd.json_normalize(rows, max_level=1).groupby(["sweep", "blocks"], sort=False)
    columns = {
        "runs": ("wall_seconds", "size"),
        "seconds": ("wall_seconds", "median"),
        "lowest": ("wall_seconds", "min"),
        "highest": ("wall_seconds", "max"),
        "training": ("training.seconds", "median"),
        "measuring": ("measurement_seconds", "median"),
        "images per second": ("training.images_per_second", "median"),
        "peak memory (MiB)": ("peak_memory_bytes", "max"),
    }
    return table.agg(**columns).reset_index().assign(**{"peak memory (MiB)": lambda t: t["peak memory (MiB)"] / MIB})


def ladder_table(cost: pd.DataFrame) -> pd.DataFrame:
    """:func:`ladder` as a page shows it: a row per depth, seconds and memory of a run for each sweep."""
    cells = cost.assign(
        cell=[
            f"{seconds:.0f} s, {memory:.0f} MiB"
            for seconds, memory in zip(cost["seconds"], cost["peak memory (MiB)"], strict=True)
        ]
    )
    table = cells.pivot(index="blocks", columns="sweep", values="cell")[list(dict.fromkeys(cost["sweep"]))]
    return table.reset_index().rename_axis(columns=None)


def ladder_figure(cost: pd.DataFrame, sweeps: Mapping[str, Sweep]) -> Figure:
    """Seconds of a run, and its peak memory, against depth; a line for each sweep."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 3.4))
    for name, sweep in sweeps.items():
        rows = cost[cost["sweep"] == name]
        for axes, column in ((left, "seconds"), (right, "peak memory (MiB)")):
            axes.plot(rows["blocks"], rows[column], markersize=5, **style_of(sweep))
    left.set(xscale="log", yscale="log", xlabel="number of blocks $L$", ylabel="seconds of a run")
    right.set(xscale="log", ylim=(0, None), xlabel="number of blocks $L$", ylabel="peak memory of a run (MiB)")
    for axes in (left, right):
        depth_ticks(axes, sorted(set(cost["blocks"])), apart=2.2)
    legend_of_all(figure, left, 2)
    return close(figure)


def shares(cost: pd.DataFrame) -> pd.DataFrame:
    """Seconds of the shallowest and the deepest run of each sweep, and the shares of training and measuring in them."""
    ends = cost.groupby("sweep", sort=False)["blocks"].agg(["min", "max"])
    at_ends = cost[[blocks in set(ends.loc[name]) for name, blocks in zip(cost["sweep"], cost["blocks"], strict=True)]]
    table = at_ends[["sweep", "blocks", "seconds"]].copy()
    table["times the shallowest"] = table["seconds"] / table.groupby("sweep")["seconds"].transform("first")
    for part in ("training", "measuring"):
        table[part] = at_ends[part] / at_ends["seconds"]
    table["the rest"] = 1 - table["training"] - table["measuring"]
    return table.reset_index(drop=True)
