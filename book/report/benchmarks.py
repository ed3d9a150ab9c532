"""What `make bench` wrote, as tables: each number is from a file in benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from report.costs import MIB

Benchmark = Mapping[str, Any]


def recorded(name: str, folder: Path | str = "../benchmarks/results") -> dict[str, Any] | None:
    """What a benchmark wrote, as seen from book/; None where it has not been run."""
    file = Path(folder) / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


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
