"""What `make bench` wrote, as tables, figures and sentences: each number from a file in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from report.costs import MIB
from resperturb.figures.style import BLUE, ORANGE, close

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


def against_aim(value: float, aim: float, unit: str = "") -> str:
    """Whether a number that should be small is as small as was aimed at."""
    return f"{'within' if value <= aim else 'above'} the aim of at most {aim:g}{unit}"


# ----------------------------------------------------------------------------------------------- measuring


def measurement_sentence(record: Mapping[str, Any]) -> str:
    parts = []
    for case in record["time"]:
        row, aim = case["ways"]["measure"], MEASURE_AIMS.get(case["network"])
        aimed = f", {against_aim(row['ratio'], aim)}" if aim else ""
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
        f"{ratio:.2f} times that, {against_aim(ratio, SWEEP_AIM)}. Counting only what the runs themselves do, without "
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
    return close(figure)


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
        f"({against_aim(ours, IMPORT_AIM, ' s')}): names are imported when they are first used, so the rows below say "
        f"what each of them costs then. `resperturb --help` takes {asked:.2f} s ({against_aim(asked, HELP_AIM, ' s')})."
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


# What was aimed at; each verdict in the text compares with these.
SPEED_AIM = 2.0  # times the images per second of plain PyTorch, at least


MATRIX_AIM = 0.5  # share of the rate of bfloat16 matrix products, at least


DEPTH_AIM = 10.5  # times the seconds of a step for ten times the blocks, at most


MEMORY_AIM = 8.0  # GiB with checkpointing, at most


GIB = 2**30


TRAINING_FORMATS = {"plain": "{:.0f}", "ours": "{:.0f}", "× plain": "{:.2f}", "of the matrix rate": "{:.0%}"}


DIGITS_FORMATS = {"images per second": "{:.0f}", "× plain": "{:.2f}"}


PRECISION_FORMATS = dict.fromkeys(("float32", "bfloat16", "deviation over seeds"), "{:.4f}")


DEPTH_FORMATS = {"seconds of a step": "{:.2f}", "peak (GiB)": "{:.2f}", "of which training (GiB)": "{:.2f}"}


def reached(value: float, aim: float) -> str:
    """Whether a number that should be large is as large as was aimed at."""
    return f"{'reaches' if value >= aim else 'misses'} the aim of at least {aim:g}"


def span(spread: Mapping[str, float], digits: int = 2) -> str:
    return f"{spread['low']:.{digits}f} to {spread['high']:.{digits}f}"


def training_sentence(record: Mapping[str, Any]) -> str:
    """Where the numbers come from, and the smallest of each kind beside what was aimed at."""
    ratio = min(case["ratio"]["median"] for case in record["cases"])
    share = min(case["share_of_matrix_rate"] for case in record["cases"])
    small = best_on_digits(record)
    return (
        f"{source('training', record)}Images per second, medians over rounds in which both take turns. The least gain "
        f"over plain PyTorch, {ratio:.2f} times, {reached(ratio, SPEED_AIM)}; the least share of the rate of bfloat16 "
        f"matrix products, {share:.2f}, {reached(share, MATRIX_AIM)}. On digits, {record['digits']['blocks']} blocks, "
        f"the best way ({small['precision']}, {shared(small)}) is {small['ratio']['median']:.2f} times the peer as it "
        f"comes and {best_over_best(record):.2f} times the peer's best way, which "
        f"{reached(best_over_best(record), SPEED_AIM)}."
    )


def training_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """A row per network: images per second of plain PyTorch and ours, and what of the machine's rate that is."""
    return pd.DataFrame(
        [
            {
                "images": f"{case['dataset']}, {case['side']}×{case['side']}",
                "blocks": case["blocks"],
                "batch": case["batch"],
                "plain": case["peer"]["images_per_second"]["median"],
                "ours": case["ours"]["images_per_second"]["median"],
                "× plain": case["ratio"]["median"],
                "range": span(case["ratio"]),
                "of the matrix rate": case["share_of_matrix_rate"],
            }
            for case in record["cases"]
        ]
    )


def shared(way: Mapping[str, Any]) -> str:
    """How a way shares out the cores."""
    count, threads = way["processes"], way["threads"]
    return f"{count} process{'es' * (count > 1)} of {threads} thread{'s' * (threads > 1)}"


def best_on_digits(record: Mapping[str, Any], way: str = "ours") -> dict[str, Any]:
    ways = [row for row in record["digits"]["ways"] if row["way"] == way]
    return dict(max(ways, key=lambda row: row["images_per_second"]["median"]))


def best_over_best(record: Mapping[str, Any]) -> float:
    """Our best way on digits over the best way of the peer."""
    fast, plain = (best_on_digits(record, way)["images_per_second"]["median"] for way in ("ours", "peer"))
    return float(fast / plain)


def digits_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """Digits, where dispatch and not arithmetic costs: every way to share out the cores."""
    return pd.DataFrame(
        [
            {
                "way": "plain" if row["way"] == "peer" else "ours",
                "precision": row["precision"],
                "cores": shared(row),
                "images per second": row["images_per_second"]["median"],
                "× plain": row["ratio"]["median"],
                "range": span(row["ratio"]),
            }
            for row in record["digits"]["ways"]
        ]
    )


def step_sentence(record: Mapping[str, Any]) -> str:
    """How much of a step is convolution, and how near that is to the machine's rate."""
    shares = [convolving(case["seconds"]["ours"]) for case in record["cases"]]
    rates = [case["convolutions_share_of_matrix_rate"] for case in record["cases"]]
    return (
        f"{source('step', record)}Seconds that operations spend in themselves, a step. Of ours, convolutions take "
        f"{min(shares):.0%} to {max(shares):.0%}, at {min(rates):.0%} to {max(rates):.0%} of the rate of bfloat16 "
        f"matrix products: with nothing but its convolutions to do, a step would be {least_gain(record):.2f} to "
        f"{least_gain(record, max):.2f} times as fast."
    )


def convolving(seconds: Mapping[str, float]) -> float:
    """Share of the convolutions, forwards and backwards, in the seconds of a step."""
    return (seconds["convolutions"] + seconds["convolutions backwards"]) / sum(seconds.values())


def least_gain(record: Mapping[str, Any], which: Callable[[list[float]], float] = min) -> float:
    """How many times as fast a step of convolutions alone would be: of the networks the least, or another."""
    return which([1 / convolving(case["seconds"]["ours"]) for case in record["cases"]])


def step_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """Milliseconds of a step by kind of operation, plain and ours, for each network."""
    columns = {
        f"{case['dataset']}, {case['blocks']} blocks, {name}": {
            part: 1000 * seconds for part, seconds in case["seconds"][way].items()
        }
        for case in record["cases"]
        for way, name in (("peer", "plain"), ("ours", "ours"))
    }
    return pd.DataFrame(columns).rename_axis("milliseconds").reset_index()


def precision_sentence(record: Mapping[str, Any]) -> str:
    """Whether bfloat16 ends where float32 does, beside what another seed changes."""
    exponent, facts = record["exponent"], record["experiment"]
    rows = [row for row in record["depths"] if row["deviations"] is not None]
    worst = max(rows, key=lambda row: row["deviations"])
    name = worst["quantity"].replace("_", " ")
    apart = sum(row["low"] > 0 or row["high"] < 0 for row in rows)
    return (
        f"{source('precision', record)}{len(facts['seeds'])} seeds on {facts['dataset']}, trained in both precisions. "
        f"The exponent in bfloat16 less that in float32 is {exponent['difference']:+.3f} (95 % interval "
        f"{exponent['low']:+.3f} to {exponent['high']:+.3f}). Of {len(rows)} losses, accuracies and averages, {apart} "
        f"differ by more than their own 95 % interval; the largest mean difference, {name} "
        f"at {worst['blocks']} blocks, is {worst['deviations']:.1f} standard deviations over seeds."
    )


def precision_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """What both precisions end with, by depth."""
    return pd.DataFrame(
        [
            {
                "blocks": row["blocks"],
                "quantity": row["quantity"].replace("_", " "),
                "float32": row["float32"],
                "bfloat16": row["bfloat16"],
                "difference": f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})",
                "deviation over seeds": row["deviation_over_seeds"],
            }
            for row in record["depths"]
        ]
    )


def depth_sentence(record: Mapping[str, Any]) -> str:
    steps = [
        f"{row['seconds_ratio']['median']:.1f} times ({span(row['seconds_ratio'], 1)}) on {row['dataset']} at batch "
        f"{row['batch']}, {against_aim(row['seconds_ratio']['median'], DEPTH_AIM)}"
        for row in record["steps"]
    ]
    first, last = record["steps"][0]["depths"][0]["blocks"], record["steps"][0]["depths"][-1]["blocks"]
    slope, thrifty = record["slope"], record["checkpointing"][0]
    peak = thrifty["peak_bytes"]["median"] / GIB
    return (
        f"{source('depth', record)}From {first} to {last} blocks a step takes {'; '.join(steps)}. Memory of training "
        f"grows by {slope['bytes_per_block'] / MIB:.1f} MiB a block (CIFAR-10 at batch {thrifty['batch']}, "
        f"{thrifty['precision']}) along a line that no depth is further from than "
        f"{slope['largest_residual_share']:.1%}. With checkpointing {thrifty['blocks']} blocks take {peak:.2f} GiB, "
        f"{against_aim(peak, MEMORY_AIM, ' GiB')}, and {record['checkpointing_time_ratio']:.2f} times the seconds."
    )


def depth_cost_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """Memory and seconds of a training step by depth, with and without checkpointing."""
    return pd.DataFrame(
        [
            {
                "blocks": row["blocks"],
                "precision": row["precision"],
                "checkpointing": "yes" if row["checkpointing"] else "no",
                "peak (GiB)": row["peak_bytes"]["median"] / GIB,
                "of which training (GiB)": row["above_start_bytes"]["median"] / GIB,
                "seconds of a step": row["step_seconds"]["median"],
            }
            for row in [*record["memory"], *record["checkpointing"]]
        ]
    )


def recorded(name: str, folder: Path | str = "../benchmarks/results") -> dict[str, Any] | None:
    """What a benchmark wrote, as seen from book/; None where it has not been run."""
    file = Path(folder) / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def cost_of_measuring(record: Mapping[str, Any]) -> pd.DataFrame:
    """Times of benchmarks/measurement.py: a row per network and way, beside the plain forward pass."""
    rows = []
    for case in record["time"]:
        for way, row in case["ways"].items():
            rows.append(
                {
                    "network": network_name(case),
                    "images": f"{case['batch']} of {case['side']}×{case['side']}",
                    "way": way,
                    "seconds": row["seconds"],
                    "× plain": row["ratio"],
                    "lowest": row["ratio_low"],
                    "highest": row["ratio_high"],
                }
            )
    return pd.DataFrame(rows)


def memory_of_measuring(record: Mapping[str, Any]) -> pd.DataFrame:
    """Memory in benchmarks/measurement.py: a row per case, MiB above the plain forward pass for every way."""
    rows = []
    for case in record["memory"]:
        above = {way: row["above_plain_bytes"] / 2**20 for way, row in case["ways"].items() if way != "plain"}
        rows.append(
            {
                "network": network_name(case),
                "images": f"{case['batches']} × {case['batch']}",
                "allocator": case["allocator"],
                "plain": case["ways"]["plain"]["peak_bytes"] / 2**20,
                "one state": (case["state_bytes"] or float("nan")) / 2**20,
                **above,
                "measure, highest": case["ways"]["measure"]["highest_above_plain_bytes"] / 2**20,
            }
        )
    return pd.DataFrame(rows)


def network_name(case: Mapping[str, Any]) -> str:
    return f"ours, {case['blocks']} blocks" if case["network"] == "ours" else str(case["network"])
