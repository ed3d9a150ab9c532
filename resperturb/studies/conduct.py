"""Compose a record: the fresh one there is, or the work, its cost and where it comes from, written whole."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from resperturb.errors import ExperimentError, RecordError
from resperturb.experiment.cost import BLOCK, PROCESS, check_memory, estimate, machine_memory
from resperturb.experiment.experiment import Experiment
from resperturb.records.freshness import source_hash
from resperturb.records.provenance import git_commit, machine, peak_memory, versions
from resperturb.records.record import FORMAT, Record, check_writable, read_record, write_record
from resperturb.studies.base import Report, Study, Tables, TrainedStudy
from resperturb.studies.initialization import Initialization
from resperturb.studies.text import TextStudy
from resperturb.training.precision import native

MOST_THREADS = 1024  # PyTorch crashes where it cannot start them
Work = Callable[[], tuple[dict[str, Any], Tables]]


def conduct(study: Study, results: Path | str, *, again: bool = False, report: Report = print) -> Record:
    """Conduct a study and write its record, or read the record where there is a fresh one."""

    def work() -> tuple[dict[str, Any], Tables]:
        check_memory(study, memory_of(study), machine_memory())
        return {"study": study.kind, "parameters": dataclasses.asdict(study)}, study.conduct(report)

    return compose(Path(results) / study.name, work, kind=study.kind, threads=study.threads, again=again, report=report)


def memory_of(study: Study) -> float:
    """Bytes at the peak, estimated: of the run that a study begins with, or of its largest network."""
    if isinstance(study, TrainedStudy):
        return estimate(study.experiment).memory + 8.0 * getattr(study, "draws", 0) * study.blocks
    if isinstance(study, Initialization):
        fields = {name: getattr(study, name) for name in ("dataset", "sections", "width")}
        return estimate(Experiment(**fields, blocks=max(study.depths), batch_size=2)).memory
    if isinstance(study, TextStudy):
        sequence = study.context * (8 * study.width + study.heads * study.context)  # values that an addition stores
        stored = study.batch_size * sequence * study.blocks + study.measured_sequences * sequence
        return PROCESS + BLOCK * study.blocks + 16.0 * 12 * study.width**2 * study.layers + 4.0 * stored
    return PROCESS


def compose(
    folder: Path,
    work: Work,
    *,
    kind: str,
    threads: int,
    device: torch.device | None = None,
    again: bool = False,
    report: Report = print,
) -> Record:
    """Read the record in `folder` where it is fresh; else, or if it is wanted again, do the work and write its record.

    `work` gives what run.json is to hold of it, and the tables; `kind` is "run", or the name of a study.
    """
    if not again and (there := fresh_record(folder)) is not None:
        report(f"{folder.name} is recorded already; nothing was computed (again=True does it once more)")
        return there
    if threads > MOST_THREADS:
        raise ExperimentError(f"threads must be at most {MOST_THREADS}, but got {threads}; use one for each core.")
    check_writable(folder.parent)
    device = device or torch.device("cpu")
    begun, clock = datetime.now(UTC), time.perf_counter()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        facts, tables = work()
        run = {
            "format": FORMAT,
            "name": folder.name,
            **facts,
            "wall_seconds": time.perf_counter() - clock,
            "peak_memory_bytes": peak_memory(device),
            "provenance": {
                "started": begun.isoformat(timespec="seconds"),
                "source_hash": source_hash(kind),
                **git_commit(kind),
                "device": device.type,
                "bfloat16": "native" if native(device) else "float32, rounded",
                **machine(device),
                "versions": versions(),
            },
        }
    finally:
        torch.set_num_threads(before)
    return write_record(folder, run, tables)


def fresh_record(folder: Path) -> Record | None:
    """The record in a folder, where there is a readable one of code that gives the present numbers."""
    try:
        record = read_record(folder)
    except RecordError:
        return None
    return record if record.fresh else None
