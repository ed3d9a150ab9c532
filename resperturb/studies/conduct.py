"""Make a record: return the fresh one, or do the work and write its results, cost and provenance."""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from resperturb.errors import ExperimentError
from resperturb.experiment.cost import BLOCK, PROCESS, check_memory, estimate, machine_memory
from resperturb.experiment.experiment import Experiment
from resperturb.records.freshness import source_hash
from resperturb.records.provenance import git_commit, machine, peak_memory, versions
from resperturb.records.record import FORMAT, Record, check_record, check_writable, read_record, write_record
from resperturb.studies.base import Report, Study, Tables, TrainedStudy
from resperturb.studies.initialization import Initialization
from resperturb.studies.text import TextStudy
from resperturb.training.precision import native

MOST_THREADS = 1024  # PyTorch crashes where it cannot start them
Work = Callable[[], tuple[dict[str, Any], Tables]]
SECONDS_BETWEEN_LOOKS = 0.2  # at the lock of a record that another process makes


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
    there = None if again or leftovers(folder) else fresh_record(folder)
    if there is None:
        if threads > MOST_THREADS:
            raise ExperimentError(f"threads must be at most {MOST_THREADS}, but got {threads}; use one for each core.")
        check_writable(folder.parent)
        with alone(folder, report):
            there = None if again else fresh_record(folder)  # a process that we waited for may have made it
            if there is None:
                run, tables = composed(folder.name, work, kind, threads, device or torch.device("cpu"))
                return write_record(folder, run, tables)
    report(f"{folder.name} is recorded already; nothing was computed (again=True does it once more)")
    return there


def composed(name: str, work: Work, kind: str, threads: int, device: torch.device) -> tuple[dict[str, Any], Tables]:
    """Do the work: all of run.json, and the tables."""
    begun, clock = datetime.now(UTC), time.perf_counter()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        facts, tables = work()
        return {
            "format": FORMAT,
            "name": name,
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
        }, tables
    finally:
        torch.set_num_threads(before)


@contextmanager
def alone(folder: Path, report: Report) -> Iterator[None]:
    """Hold the lock of a record, and remove what processes left that were killed while they made it.

    A second process waits. The system frees the lock of a process that ends, however it ends.
    """
    path, waiting = folder.with_name(f".{folder.name}.lock"), False
    while True:
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink:  # else its holder removed it between our two calls
                break
        except BlockingIOError:
            if not waiting:
                report(f"another process is making {folder.name}; waiting for it")
            waiting = True
            time.sleep(SECONDS_BETWEEN_LOOKS)
        except OSError:  # a file system without locks
            break
        file.close()
    try:
        for left in leftovers(folder):
            if left != path:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        file.close()


def leftovers(folder: Path) -> list[Path]:
    """What stands beside a record while it is being made, or after its process was killed; not its checkpoint."""
    return [path for path in folder.parent.glob(f".{folder.name}*") if path.suffix != ".checkpoint"]


def fresh_record(folder: Path) -> Record | None:
    """The record in a folder, where there is a whole one of code that gives the present numbers."""
    try:
        record = read_record(folder)
        if not record.fresh:
            return None
        check_record(record)
    except (KeyError, TypeError, ValueError):  # damaged; every error of ours is a ValueError
        return None
    return record
