"""What the benchmarks of training wrote (training, step, precision, depth), as sentences and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from resperturb.benchmarked import source, verdict

# What was aimed at; each verdict in the text compares with these.
SPEED_AIM = 2.0  # times the images per second of plain PyTorch, at least
MATRIX_AIM = 0.5  # share of the rate of bfloat16 matrix products, at least
DEPTH_AIM = 10.5  # times the seconds of a step for ten times the blocks, at most
MEMORY_AIM = 8.0  # GiB with checkpointing, at most
GIB, MIB = 2**30, 2**20
TRAINING_FORMATS = {"plain": "{:.0f}", "ours": "{:.0f}", "× plain": "{:.2f}", "of the matrix rate": "{:.0%}"}
DIGITS_FORMATS = {"images per second": "{:.0f}", "× plain": "{:.2f}"}
PRECISION_FORMATS = dict.fromkeys(("float32", "bfloat16", "deviation over seeds"), "{:.4f}")
DEPTH_FORMATS = {"seconds of a step": "{:.2f}", "peak (GiB)": "{:.2f}", "of which training (GiB)": "{:.2f}"}


def reached(value: float, aim: float) -> str:
    """Whether a number that should be large is as large as was aimed at."""
    return f"{'reaches' if value >= aim else 'misses'} the aim of at least {aim:g}"


def span(spread: Mapping[str, float], digits: int = 2) -> str:
    return f"{spread['low']:.{digits}f} to {spread['high']:.{digits}f}"


# ----------------------------------------------------------------------------------------------- beside plain PyTorch


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


# ----------------------------------------------------------------------------------------------- a step


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


# ----------------------------------------------------------------------------------------------- precision


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


# ----------------------------------------------------------------------------------------------- depth


def depth_sentence(record: Mapping[str, Any]) -> str:
    steps = [
        f"{row['seconds_ratio']['median']:.1f} times ({span(row['seconds_ratio'], 1)}) on {row['dataset']} at batch "
        f"{row['batch']}, {verdict(row['seconds_ratio']['median'], DEPTH_AIM)}"
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
        f"{verdict(peak, MEMORY_AIM, ' GiB')}, and {record['checkpointing_time_ratio']:.2f} times the seconds."
    )


def depth_table(record: Mapping[str, Any]) -> pd.DataFrame:
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
