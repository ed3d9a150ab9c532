"""What `make bench` wrote, as tables: each number is from a file in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from report.costs import MIB

Benchmark = Mapping[str, Any]

# Seconds of measuring in plain forward passes, by network.
MEASURE_AIMS = {"ours": 1.10, "resnet50": 1.15, "GPT-2": 1.15}
IMPORT_AIM = 0.2  # seconds of `import resperturb` beyond torch
HELP_AIM = 0.5  # seconds of `resperturb --help`
GIB = 2**30


def recorded(name: str, folder: Path | str = "../benchmarks/results") -> dict[str, Any] | None:
    """What a benchmark wrote, as seen from book/; None where it has not been run."""
    file = Path(folder) / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


# ----------------------------------------------------------------------------------------------- aims


def measured_against_aims(records: Mapping[str, Benchmark | None]) -> Iterator[tuple[str, str, float, str, float]]:
    """Yield quantity, case, measured value, "most" or "least", and the bound, of the benchmarks that were run."""
    if record := records.get("measurement"):
        for case in record["time"]:
            if case["allocator"] != "default":
                continue
            quantity = f"time of measuring over a forward pass, {network_name(case)}"
            yield quantity, "", case["ways"]["measure"]["ratio"], "most", MEASURE_AIMS[case["network"]]
    for name, bound in (("training", 2.0), ("gpu", 5.0)):
        place = " on a GPU" if name == "gpu" else ""
        for case in (records.get(name) or {"cases": ()})["cases"]:
            network = f"{case.get('dataset', 'cifar10')}, {case['blocks']} blocks"
            yield f"training speed over that of plain PyTorch{place}", network, case["ratio"]["median"], "least", bound
            if name == "training":
                quantity = "training speed over that of matrix products"
                yield quantity, network, case["share_of_matrix_rate"], "least", 0.5
    if record := records.get("training"):
        yield "training speed over that of plain PyTorch, digits", "", best_over_best(record), "least", 2.0
    if record := records.get("depth"):
        for step in record["steps"]:
            quantity = "time of a step for ten times the blocks"
            yield quantity, step["dataset"], step["seconds_ratio"]["median"], "most", 10.5
    if record := records.get("sweep"):
        wall = record["use"]["notebook"]["wall_over_work_per_core"]
        yield "time of a sweep over its work per core", "", wall, "most", 1.15
    if record := records.get("startup"):
        imported = record["imports"][0]["seconds_beyond_torch"]["median"]
        yield "seconds that the import adds to that of torch", "", imported, "most", IMPORT_AIM
        yield "seconds of resperturb --help", "", record["commands"][0]["seconds"]["median"], "most", HELP_AIM


def aim_table(records: Mapping[str, Benchmark | None]) -> pd.DataFrame:
    """A row per case of each aim of the benchmarks that were run: measured, aim, and whether it is reached."""
    rows = []
    for quantity, case, value, way, bound in measured_against_aims(records):
        reached = value <= bound if way == "most" else value >= bound
        rows.append(
            {"what": quantity, "case": case, "measured": value, "aim": f"at {way} {bound:g}", "reached": reached}
        )
    return pd.DataFrame(rows)


def aims_in_short(table: pd.DataFrame) -> pd.DataFrame:
    """A row per aim of :func:`aim_table`: the range over its cases, and in how many it is reached."""
    rows = []
    for (quantity, aim), part in table.groupby(["what", "aim"], sort=False):
        ends = dict.fromkeys(f"{value:.3g}" for value in (part["measured"].min(), part["measured"].max()))
        count = f"{part['reached'].sum()} of {len(part)}"
        reached = "yes" if part["reached"].all() else "no" if len(part) == 1 else count
        rows.append({"what": quantity, "measured": " to ".join(ends), "aim": aim, "reached": reached})
    return pd.DataFrame(rows)


def best_over_best(record: Benchmark) -> float:
    """Our best way to share out the cores on digits over the best way of the peer."""
    ways = columns(record["digits"]["ways"], {"way": "way", "images_per_second.median": "rate"})
    best = ways.groupby("way")["rate"].max()
    return float(best["ours"] / best["peer"])


# ----------------------------------------------------------------------------------------------- tables


def columns(rows: Any, names: Mapping[str, str]) -> pd.DataFrame:
    """Nested rows as a benchmark wrote them as a table: the fields by their dotted paths, with the names of columns."""
    return pd.json_normalize(rows)[list(names)].rename(columns=dict(names))


def origin_table(records: Mapping[str, Benchmark | None]) -> pd.DataFrame:
    """A row per benchmark: machine, version of torch, and the load before it began."""
    rows = [{"benchmark": name, "load": None, **record} for name, record in records.items() if record]
    names = {"benchmark": "benchmark", "machine.processor": "processor", "machine.cores": "cores"}
    return columns(rows, {**names, "machine.gpu": "GPU", "versions.torch": "torch", "load": "load average before"})


def cost_of_measuring(record: Benchmark) -> pd.DataFrame:
    """Times of benchmarks/measurement.py: a row per network, allocator and way, beside the plain forward pass."""
    rows = [
        {
            "network": network_name(case),
            "batch": f"{case['batch']} of {case.get('side') or case['tokens']}",
            "allocator": case["allocator"],
            "way": way,
            **row,
        }
        for case in record["time"]
        for way, row in case["ways"].items()
    ]
    names = {name: name for name in ("network", "batch", "allocator", "way", "seconds")}
    return columns(rows, {**names, "ratio": "× plain", "ratio_low": "lowest", "ratio_high": "highest"})


def tool_table(record: Benchmark) -> pd.DataFrame:
    """A row per tool of benchmarks/other_tools.py: over its networks, medians of lines, time and memory, and errors."""
    rows = []
    for tool, part in pd.DataFrame(record["cases"]).groupby("tool", sort=False):
        rows.append(
            {
                "by": tool,
                "lines": round(part["lines"].median()),
                "right in": f"{part['right'].sum()} of {len(part)}",
                "largest error": part["error"].max(),
                "time, × plain": part["ratio"].median(),
                "memory, MiB": part["above_plain_bytes"].median() / MIB,
            }
        )
    return pd.DataFrame(rows)


def network_name(case: Benchmark) -> str:
    return f"ours, {case['blocks']} blocks" if case["network"] == "ours" else str(case["network"])


def rerun_table(record: Benchmark) -> pd.DataFrame:
    """A row per record on file that was made again: both processors, and in how many digits the averages agree."""
    rows = pd.json_normalize(record["same"]["filed"])
    names = {"record": "record", "processor": "made on", "here": "again on"}
    digits = {"digits.initialization": "digits, untrained", "digits.end": "digits, trained"}
    return rows[[*names, *digits]].rename(columns={**names, **digits})
