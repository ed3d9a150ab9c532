"""Conduct a study and write its record."""

from __future__ import annotations

import dataclasses
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from resperturb.errors import RecordError
from resperturb.records.freshness import source_hash
from resperturb.records.record import FORMAT, StudyRecord, check_writable, read_study, write_whole

if TYPE_CHECKING:
    from resperturb.studies.base import Report, Study


def keep(study: Study, results: Path | str, *, again: bool = False, report: Report = print) -> StudyRecord:
    """Conduct a study and write its record, or read the record where there is a fresh one.

    Raises:
        ExperimentError: what the study itself raises, or a results folder that cannot be written (RecordError).
    """
    folder = Path(results) / study.name
    if not again:
        try:
            kept = read_study(folder)
        except RecordError:
            kept = None
        if kept is not None and kept.fresh:
            report(f"{folder.name} is recorded already; nothing was computed (again=True does it once more)")
            return kept
    import torch

    from resperturb.records.provenance import git_commit, machine, peak_memory, versions
    from resperturb.training.precision import native

    check_writable(results)
    started, clock = datetime.now(UTC), time.perf_counter()
    threads = torch.get_num_threads()
    torch.set_num_threads(study.threads)
    try:
        tables = study.conduct(report)
        facts = {
            "format": FORMAT,
            "name": study.name,
            "study": study.study,
            "parameters": dataclasses.asdict(study),
            "wall_seconds": time.perf_counter() - clock,
            "peak_memory_bytes": peak_memory(torch.device("cpu")),
            "provenance": {
                "started": started.isoformat(timespec="seconds"),
                "source_hash": source_hash(study.study),
                **git_commit(study.study),
                "device": "cpu",
                "bfloat16": "native" if native(torch.device("cpu")) else "float32, rounded",
                **machine(torch.device("cpu")),
                "versions": versions(),
            },
        }
    finally:
        torch.set_num_threads(threads)
    return read_study(write_whole(folder, facts, tables))
