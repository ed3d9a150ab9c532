"""What `make bench` wrote, as tables, figures and sentences: each number from a file in benchmarks/results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from resperturb.comparisons import network_name
from resperturb.figures import BLUE, ORANGE, finished

# What was aimed at; each verdict in the text compares with these.
MEASURE_AIMS = {"ours": 1.15, "resnet50": 1.5}  # seconds of measuring in plain forward passes, by network
SWEEP_AIM = 1.15  # wall time of a sweep over the work of its runs divided by the cores
IMPORT_AIM = 0.2  # seconds of `import resperturb` beyond torch
HELP_AIM = 0.5  # seconds of `resperturb --help`
GPU_AIM = 5.0  # times the peer's images per second
WIDE_ENOUGH = 0.04  # share of the time axis that the number of blocks needs, written into a bar
USE_FORMATS = {"wall time over work per core": "{:.2f}", "side by side over alone": "{:.2f}"}
WORK = {"notebook": "notebooks, their start counted in", "run": "runs alone, without notebook and imports"}


def source(name: str, record: Mapping[str, Any]) -> str:
    """Where a benchmark's numbers come from, as a sentence begins."""
    machine = record["machine"]
    where = machine["gpu"] or f"{machine['processor']}, {machine['cores']} cores"
    load = f", load average {record['load']:.1f} before it" if "load" in record else ""
    return f"Recorded by `benchmarks/{name}.py` on {where}, torch {record['versions']['torch']}{load}. "


def missing(name: str, before: str = "Not recorded yet") -> str:
    return f"{before}: `python benchmarks/{name}.py` measures it."


def verdict(value: float, aim: float, unit: str = "") -> str:
    """Whether a number that should be small is as small as was aimed at."""
    return f"{'within' if value <= aim else 'above'} the aim of at most {aim:g}{unit}"


# ----------------------------------------------------------------------------------------------- measuring


def measurement_sentence(record: Mapping[str, Any]) -> str:
    parts = []
    for case in record["time"]:
        row, aim = case["ways"]["measure"], MEASURE_AIMS.get(case["network"])
        aimed = f", {verdict(row['ratio'], aim)}" if aim else ""
        spread = f"{row['ratio']:.2f} ({row['ratio_low']:.2f} to {row['ratio_high']:.2f})"
        parts.append(f"{spread} for {network_name(case)}{aimed}")
    return (
        f"{source('measurement', record)}Measuring takes, in plain forward passes, median over rounds and range: "
        f"{'; '.join(parts)}."
    )


# ----------------------------------------------------------------------------------------------- a sweep


def sweep_sentence(record: Mapping[str, Any]) -> str:
    sweep, use = record["sweep"], record["use"]
    notebooks, runs, cores = use["notebook"], use["run"], sweep["cores"]
    ratio = notebooks["wall_over_work_per_core"]
    return (
        f"{source('sweep', record)}The {len(sweep['runs'])} runs of the preset {record['preset']} took "
        f"{sweep['wall_seconds']:.0f} s on {cores} cores. One at a time their notebooks take "
        f"{notebooks['work_seconds']:.0f} s, so shared out {notebooks['work_seconds'] / cores:.0f} s: the sweep takes "
        f"{ratio:.2f} times that, {verdict(ratio, SWEEP_AIM)}. Counting only what the runs themselves do, without "
        f"notebooks and imports, it is {runs['wall_over_work_per_core']:.2f} times. A run beside others takes "
        f"{runs['slowed']:.2f} times as long as alone, its notebook {notebooks['slowed']:.2f} times. Of the time of "
        f"all cores notebooks held {use['busy_share']:.0%}; the first started after "
        f"{use['before_first_seconds']:.1f} s, the last ended {use['after_last_seconds']:.1f} s before the sweep."
    )


def use_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """Wall time of the sweep beside its runs' work, with starting counted in and left out."""
    cores, wall = record["sweep"]["cores"], record["sweep"]["wall_seconds"]
    rows = []
    for kind, words in WORK.items():
        use = record["use"][kind]
        seconds = {
            "seconds of work": use["work_seconds"],
            f"over {cores} cores": use["work_seconds"] / cores,
            "whole runs, longest first": use["longest_first_seconds"],
            "wall time": wall,
        }
        rows.append(
            {
                "work": words,
                **{name: f"{value:.0f}" for name, value in seconds.items()},
                "wall time over work per core": use["wall_over_work_per_core"],
                "side by side over alone": use["slowed"],
            }
        )
    return pd.DataFrame(rows)


def lanes(runs: Iterable[Mapping[str, Any]]) -> list[tuple[int, Mapping[str, Any]]]:
    """Runs in the order of their start, each in the first lane that is free then."""
    ends: list[float] = []
    placed = []
    for run in sorted(runs, key=lambda run: run["start"]):
        lane = next((index for index, end in enumerate(ends) if end <= run["start"]), len(ends))
        ends[lane : lane + 1] = [run["end"]]
        placed.append((lane, run))
    return placed


def sweep_figure(record: Mapping[str, Any]) -> Figure:
    """Which notebooks ran side by side, from the sweep's start to its end."""
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
    return finished(figure)


def threads_sentence(record: Mapping[str, Any]) -> str:
    facts = record["threads"]
    return (
        f"Threads: the training loop of one run ({facts['blocks']} blocks, {facts['dataset']}, {facts['epochs']} "
        "epochs) with one and with two threads, by what else the machine does; median over rounds, lowest to highest."
    )


def threads_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """Seconds of training of one small run, by threads and by what else the machine does."""
    ways = record["threads"]["ways"]
    rows = []
    for beside in dict.fromkeys(way["beside"] for way in ways):
        seconds = {way["threads"]: way["training_seconds"] for way in ways if way["beside"] == beside}
        row: dict[str, Any] = {"beside": beside}
        for threads, spread in sorted(seconds.items()):
            row[f"{threads} thread{'s' * (threads > 1)}"] = (
                f"{spread['median']:.1f} s ({spread['low']:.1f} to {spread['high']:.1f})"
            )
        row["2 threads over 1"] = seconds[2]["median"] / seconds[1]["median"]
        rows.append(row)
    return pd.DataFrame(rows)


# ----------------------------------------------------------------------------------------------- starting


def startup_sentence(record: Mapping[str, Any]) -> str:
    ours = next(r["seconds_beyond_torch"] for r in record["imports"] if r["statement"] == "import resperturb")["median"]
    asked = next(row["seconds"] for row in record["commands"] if row["command"] == "resperturb --help")["median"]
    return (
        f"{source('startup', record)}Medians of {record['rounds']} fresh processes. `import resperturb` adds "
        f"{1000 * ours:.1f} ms to the {record['torch_seconds']['median']:.1f} s of `import torch` "
        f"({verdict(ours, IMPORT_AIM, ' s')}): names are imported when they are first used, so the rows below say "
        f"what each of them costs then. `resperturb --help` takes {asked:.2f} s ({verdict(asked, HELP_AIM, ' s')})."
    )


def startup_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """What statements add to torch's import, and what commands take; seconds."""
    imports = [
        {"what": row["statement"], **row["seconds_beyond_torch"], "brings in": ", ".join(row["brought"]) or "–"}
        for row in record["imports"]
    ]
    commands = [{"what": row["command"], **row["seconds"], "brings in": "–"} for row in record["commands"]]
    rows = [{"what": "import torch", **record["torch_seconds"], "brings in": "–"}, *imports, *commands]
    return pd.DataFrame(rows).rename(columns={"median": "seconds", "low": "lowest", "high": "highest"})


# ----------------------------------------------------------------------------------------------- a GPU


def gpu_sentence(record: Mapping[str, Any]) -> str:
    parts = []
    for case in record["cases"]:
        ratio = case["ratio"]["median"]
        parts.append(
            f"at {case['blocks']} blocks {case['ours']['images_per_second']['median']:.0f} images per second, "
            f"{ratio:.1f} times plain PyTorch ({'as' if ratio >= GPU_AIM else 'not as'} aimed at: at least "
            f"{GPU_AIM:g}), at {case['share_of_matrix_rate']:.1%} of the rate of bfloat16 matrix products"
        )
    rate = record["matrix_flops_per_second"] / 1e12
    return f"{source('gpu', record)}CIFAR-10, training: {'; '.join(parts)}, which is {rate:.0f} Tflop/s there."
