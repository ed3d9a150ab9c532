"""What runs and studies cost: tables, a figure and sentences, all from the records."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.figures.style import close, depth_ticks, legend_of_all, style_of
from resperturb.records.record import Record, StudyRecord
from resperturb.records.sweeps import Sweep
from resperturb.studies.plan import load_plan, study_names

MIB = 2**20


def by_depth(records: Iterable[Record]) -> dict[int, list[Record]]:
    """Runs that did not diverge, by number of blocks, shallow first."""
    found: dict[int, list[Record]] = {}
    for record in sorted(records, key=lambda record: (record.blocks, record.seed)):
        if not record.diverged:
            found.setdefault(record.blocks, []).append(record)
    return found


def ladder(found: Mapping[str, Sweep]) -> pd.DataFrame:
    """A row per sweep and depth: medians over its runs of seconds and images per second, the largest peak of memory."""
    rows = []
    for name, sweep in found.items():
        for blocks, records in by_depth(sweep.records).items():
            runs = [record.run for record in records]
            seconds = [run["wall_seconds"] for run in runs]
            row = {
                "sweep": name,
                "blocks": blocks,
                "runs": len(runs),
                "seconds": statistics.median(seconds),
                "lowest": min(seconds),
                "highest": max(seconds),
                "training": median_of(runs, lambda run: run["training"]["seconds"]),
                "measuring": median_of(runs, lambda run: run["measurement_seconds"]),
                "images per second": median_of(runs, lambda run: run["training"]["images_per_second"]),
                "peak memory (MiB)": max(run["peak_memory_bytes"] for run in runs) / MIB,
            }
            provenances = [run["provenance"] for run in runs]
            row["threads"] = ", ".join(sorted({str(where["threads"]) for where in provenances}))
            row["processor"] = ", ".join(sorted({where["gpu"] or where["processor"] for where in provenances}))
            rows.append(row)
    return pd.DataFrame(rows)


def median_of(runs: Iterable[Mapping[str, Any]], value: Callable[[Mapping[str, Any]], float]) -> float:
    return statistics.median(map(value, runs))


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


def ladder_figure(cost: pd.DataFrame, found: Mapping[str, Sweep]) -> Figure:
    """Seconds of a run, and its peak memory, against depth; a line for each sweep."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 3.4))
    for name, sweep in found.items():
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
    """Where the time of a run goes, for the shallowest and the deepest of each sweep: shares of its seconds."""
    ends = cost.groupby("sweep", sort=False)["blocks"].agg(["min", "max"])
    at_ends = cost[[blocks in set(ends.loc[name]) for name, blocks in zip(cost["sweep"], cost["blocks"], strict=True)]]
    table = at_ends[["sweep", "blocks", "seconds"]].copy()
    for part in ("training", "measuring"):
        table[part] = at_ends[part] / at_ends["seconds"]
    table["the rest"] = 1 - table["training"] - table["measuring"]
    return table.reset_index(drop=True)


def ladder_sentence(cost: pd.DataFrame) -> str:
    """How seconds grow from the shallowest to the deepest of each sweep, and where the records were made."""
    parts = []
    for name, rows in cost.groupby("sweep", sort=False):
        first, last = rows.iloc[0], rows.iloc[-1]
        depth, seconds = last["blocks"] / first["blocks"], last["seconds"] / first["seconds"]
        parts.append(f"{name} {seconds:.1f} times the seconds for {depth:.0f} times the blocks")
    where = "; ".join(sorted(set(cost["processor"])))
    threads = ", ".join(sorted(set(cost["threads"])))
    return (
        f"Medians of seconds, largest peaks of memory, from the records of the runs ({where}; threads of a run: "
        f"{threads}). How many ran side by side is not recorded. From the shallowest to the deepest: "
        f"{'; '.join(parts)}."
    )


def machine_time(records: Sequence[Record | StudyRecord]) -> str:
    """What runs took in all, on how many threads, and on which processors."""
    minutes = sum(record.run["wall_seconds"] for record in records) / 60
    threads = sorted({record.run["provenance"]["threads"] for record in records})
    processors = sorted({record.run["provenance"]["processor"] for record in records})
    each = f"{', '.join(map(str, threads))} {'thread' if threads == [1] else 'threads'} a run"
    return f"{len(records)} runs took {minutes:.1f} minutes in all ({each}; {', '.join(processors)})."


def cost_of(records: Sequence[StudyRecord]) -> str:
    """What the runs took in all, in Markdown, with the command that makes them again."""
    folder, said = records[0].folder.parent.name, machine_time(records)
    if folder not in study_names():
        return said
    plan = load_plan(folder)
    words = " ".join(f"-p {name} {value}" for name, value in plan.runs[-1].parameters.items())
    return (
        f"{said} All of them again: `make sweep PRESET={folder}`. One of them: "
        f"`papermill notebooks/{plan.notebook}.ipynb out.ipynb {words}`."
    )
