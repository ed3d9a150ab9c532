"""Options, provenance and output that all benchmarks share."""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from resperturb.records.provenance import git_commit, machine, versions

ROOT = Path(__file__).resolve().parent.parent
BENCHMARK_RESULTS = ROOT / "benchmarks" / "results"


def parser_of(name: str, about: str) -> argparse.ArgumentParser:
    """The options every benchmark takes.

    Args:
        name: of the benchmark, and of the file in benchmarks/results/ that it writes.
        about: its docstring; the first line is shown by --help.
    """
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="as small as it can be: a test that it runs")
    parser.add_argument(
        "--output", type=Path, default=BENCHMARK_RESULTS / f"{name}.json", help=f"(benchmarks/results/{name}.json)"
    )
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; numbers of --quick are refused a place among those that are kept."""
    options = parser.parse_args(arguments)
    if options.quick and options.output.resolve() == Path(parser.get_default("output")).resolve():
        parser.error("--quick needs an --output of its own: its numbers are not those to keep")
    return options


def provenance(quick: bool, device: str = "cpu") -> dict[str, Any]:
    """When, on what machine, with what versions and sources. Call it before measuring: it takes the time."""
    return {
        "quick": quick,
        "load": os.getloadavg()[0],  # before it began; the machine should be quiet
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(torch.device(device)),
        "versions": versions(),
        **git_commit(),
    }


def median_and_range(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def write_result(result: dict[str, Any], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"written: {output}")
