"""What `make bench` wrote, as tables and figures: each number is from a file in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from report.costs import MIB
from resperturb.figures.style import BLUE, ORANGE, close

Benchmark = Mapping[str, Any]

MEASURE_AIMS = {"ours": 1.15, "resnet50": 1.5}  # seconds of measuring in plain forward passes, by network
IMPORT_AIM = 0.2  # seconds of `import resperturb` beyond torch
HELP_AIM = 0.5  # seconds of `resperturb --help`
WIDE_ENOUGH = 0.04  # share of the time axis that the number of blocks needs, written into a bar
GIB = 2**30


def recorded(name: str, folder: Path | str = "../benchmarks/results") -> dict[str, Any] | None:
    """What a benchmark wrote, as seen from book/; None where it has not been run."""
    file = Path(folder) / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


# ----------------------------------------------------------------------------------------------- aims


def measured_against_aims(records: Mapping[str, Benchmark | None]) -> Iterator[tuple[str, str, float, str, float]]:
    """Yield benchmark, quantity, measured value, "most" or "least", and the bound, of the benchmarks that were run."""
    if record := records.get("measurement"):
        for case in record["time"]:
            quantity = f"measuring {network_name(case)}, over a plain forward pass"
            yield "measurement", quantity, case["ways"]["measure"]["ratio"], "most", MEASURE_AIMS[case["network"]]
    for name, bound in (("training", 2.0), ("gpu", 5.0)):
        for case in (records.get(name) or {"cases": ()})["cases"]:
            network = f"{case.get('dataset', 'cifar10')}, {case['blocks']} blocks"
            yield name, f"images per second over plain PyTorch, {network}", case["ratio"]["median"], "least", bound
            if name == "training":
                yield name, f"share of the matrix rate, {network}", case["share_of_matrix_rate"], "least", 0.5
    if record := records.get("training"):
        yield "training", "images per second on digits, best way over plain's", best_over_best(record), "least", 2.0
    if record := records.get("depth"):
        for step in record["steps"]:
            quantity = f"seconds of a step for ten times the blocks, {step['dataset']}"
            yield "depth", quantity, step["seconds_ratio"]["median"], "most", 10.5
        saved = record["checkpointing"][0]
        quantity = f"GiB to train {saved['blocks']} blocks with checkpointing"
        yield "depth", quantity, saved["peak_bytes"]["median"] / GIB, "most", 8.0
    if record := records.get("sweep"):
        wall = record["use"]["notebook"]["wall_over_work_per_core"]
        yield "sweep", "wall time over the work shared out to the cores", wall, "most", 1.15
    if record := records.get("startup"):
        imported = record["imports"][0]["seconds_beyond_torch"]["median"]
        yield "startup", "seconds that the import adds to torch's", imported, "most", IMPORT_AIM
        yield "startup", "seconds of resperturb --help", record["commands"][0]["seconds"]["median"], "most", HELP_AIM


def aim_table(records: Mapping[str, Benchmark | None]) -> pd.DataFrame:
    """A row per aim of the benchmarks that were run: measured, aim, and whether it is reached."""
    rows = []
    for benchmark, quantity, value, way, bound in measured_against_aims(records):
        reached = "yes" if (value <= bound if way == "most" else value >= bound) else "no"
        row = {"benchmark": benchmark, "what": quantity, "measured": value, "aim": f"at {way} {bound:g}"}
        rows.append({**row, "reached": reached})
    return pd.DataFrame(rows)


def best_over_best(record: Benchmark) -> float:
    """Our best way to share out the cores on digits over the best way of the peer."""
    ways = columns(record["digits"]["ways"], {"way": "way", "images_per_second.median": "rate"})
    best = ways.groupby("way")["rate"].max()
    return float(best["ours"] / best["peer"])


# ----------------------------------------------------------------------------------------------- tables


def columns(rows: Any, names: Mapping[str, str], spread: str = "", form: str = "{:.2f}") -> pd.DataFrame:
    """Nested rows as a table.

    Args:
        rows: as a benchmark wrote them.
        names: the fields to show by their dotted paths, with the names of the columns.
        spread: a field with a lowest and a highest value, shown as the column "range".
        form: of the ends of that range.
    """
    table = pd.json_normalize(rows)
    chosen = table[list(names)].rename(columns=dict(names))
    if spread:
        ends = zip(table[f"{spread}.low"], table[f"{spread}.high"], strict=True)
        chosen["range"] = [f"{form.format(low)} to {form.format(high)}" for low, high in ends]
    return chosen


def origin_table(records: Mapping[str, Benchmark | None]) -> pd.DataFrame:
    """A row per benchmark: machine, version of torch, and the load before it began."""
    rows = [{"benchmark": name, "load": None, **record} for name, record in records.items() if record]
    names = {"benchmark": "benchmark", "machine.processor": "processor", "machine.cores": "cores"}
    return columns(rows, {**names, "machine.gpu": "GPU", "versions.torch": "torch", "load": "load average before"})


def convolution_table(record: Benchmark) -> pd.DataFrame:
    """A row per network: how much of our step is convolution, and how near that is to the machine's rate."""
    table = columns(record["cases"], {"dataset": "images", "blocks": "blocks"})
    seconds = pd.DataFrame([case["seconds"]["ours"] for case in record["cases"]])
    table["convolutions"] = (seconds["convolutions"] + seconds["convolutions backwards"]) / seconds.sum(axis=1)
    table["at, of the matrix rate"] = [case["convolutions_share_of_matrix_rate"] for case in record["cases"]]
    return table.assign(**{"faster with convolutions alone": 1 / table["convolutions"]})


def cost_of_measuring(record: Benchmark) -> pd.DataFrame:
    """Times of benchmarks/measurement.py: a row per network and way, beside the plain forward pass."""
    rows = [
        {
            "network": network_name(case),
            "images": f"{case['batch']} of {case['side']}×{case['side']}",
            "way": way,
            **row,
        }
        for case in record["time"]
        for way, row in case["ways"].items()
    ]
    names = {name: name for name in ("network", "images", "way", "seconds")}
    return columns(rows, {**names, "ratio": "× plain", "ratio_low": "lowest", "ratio_high": "highest"})


def memory_of_measuring(record: Benchmark) -> pd.DataFrame:
    """Memory in benchmarks/measurement.py: a row per case, MiB above the plain forward pass for every way."""
    rows = []
    for case in record["memory"]:
        above = {way: row["above_plain_bytes"] / MIB for way, row in case["ways"].items() if way != "plain"}
        rows.append(
            {
                "network": network_name(case),
                "images": f"{case['batches']} × {case['batch']}",
                "allocator": case["allocator"],
                "plain": case["ways"]["plain"]["peak_bytes"] / MIB,
                "one state": (case["state_bytes"] or float("nan")) / MIB,
                **above,
                "measure, highest": case["ways"]["measure"]["highest_above_plain_bytes"] / MIB,
            }
        )
    return pd.DataFrame(rows)


def network_name(case: Benchmark) -> str:
    return f"ours, {case['blocks']} blocks" if case["network"] == "ours" else str(case["network"])


# ----------------------------------------------------------------------------------------------- a sweep


def lanes(runs: Iterable[Benchmark]) -> list[tuple[int, Benchmark]]:
    """Runs in the order of their start, each in the first lane that is free then."""
    ends: list[float] = []
    placed = []
    for run in sorted(runs, key=lambda run: run["start"]):
        lane = next((index for index, end in enumerate(ends) if end <= run["start"]), len(ends))
        ends[lane : lane + 1] = [run["end"]]
        placed.append((lane, run))
    return placed


def sweep_figure(record: Benchmark) -> Figure:
    """Draw which notebooks ran side by side, from the sweep's start to its end."""
    sweep = record["sweep"]
    placed = lanes(sweep["runs"])
    count = 1 + max(lane for lane, _ in placed)
    figure, axes = plt.subplots(figsize=(6.6, 1.0 + 0.5 * count))
    for lane, run in placed:
        length = run["end"] - run["start"]
        axes.barh(lane, length, left=run["start"], height=0.7, facecolor="none", edgecolor=BLUE, linewidth=1.2)
        if length > WIDE_ENOUGH * sweep["wall_seconds"]:
            axes.text(run["start"] + length / 2, lane, str(run["blocks"]), ha="center", va="center", fontsize=9)
    axes.axvline(sweep["wall_seconds"], color=ORANGE, linestyle="--", linewidth=1.2)
    axes.set(xlabel="seconds since the sweep's start", xlim=(0, None), ylim=(-0.6, count - 0.4))
    axes.set_yticks(range(count), labels=[f"slot {lane + 1}" for lane in range(count)])
    return close(figure)
