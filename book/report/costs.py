"""The cost of runs, from their records: a table and a figure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from report.claims import LedgerRow
from report.matrix import RUNS_IN_FOLDER
from resperturb.figures.style import close, depth_axis, legend_of_all, style_of
from resperturb.records.record import load_records
from resperturb.records.sweeps import Sweep

MIB = 2**20


def cost_by_depth(sweeps: Mapping[str, Sweep]) -> pd.DataFrame:
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


def presets(rows: Iterable[LedgerRow], results: Path) -> pd.DataFrame:
    """A row per set of chapters whose claims rest on the same presets: their runs, and the core hours of these."""
    chapters: dict[str, dict[str, None]] = {}
    for row in rows:
        for folder, _ in RUNS_IN_FOLDER.findall(row.records):
            chapters.setdefault(folder, {})[row.page] = None
    costs = []
    for folder, pages in chapters.items():
        seconds = [record.run["wall_seconds"] for record in load_records(results / folder, kind=None)]
        preset = folder.removeprefix("shipped-")
        costs.append((", ".join(pages), preset, len(seconds), sum(seconds) / 3600))
    table = pd.DataFrame(costs, columns=["chapters", "presets", "runs", "core hours"])
    return (
        table.groupby("chapters", sort=False)
        .agg({"presets": ", ".join, "runs": "sum", "core hours": "sum"})
        .reset_index()
    )


def cost_figure(cost: pd.DataFrame, sweeps: Mapping[str, Sweep]) -> Figure:
    """Seconds of a run, and its peak memory, against depth; a line for each sweep."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(4.6, 5.6), sharex=True)
    for name, sweep in sweeps.items():
        rows = cost[cost["sweep"] == name]
        for axes, column in ((upper, "seconds"), (lower, "peak memory (MiB)")):
            axes.plot(rows["blocks"], rows[column], markersize=5, **style_of(sweep))
    depths = set(cost["blocks"])
    depth_axis(upper, depths, "seconds of a run")
    upper.set(xlabel="")
    depth_axis(lower, depths, "peak memory (MiB)", scale="linear")
    lower.set(ylim=(0, None))
    legend_of_all(figure, upper, 2)
    return close(figure)
