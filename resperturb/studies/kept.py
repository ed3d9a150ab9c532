"""What a study leaves in results/<study>/<name>/: run.json (parameters, cost, provenance) beside a CSV file a table."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from resperturb.definitions import is_fresh, source_hash
from resperturb.records import FORMAT, RecordError, check_writable, write_whole

if TYPE_CHECKING:
    from resperturb.studies.base import Report, Study  # which needs PyTorch; a chapter reads records without


@dataclass(frozen=True)
class StudyRecord:
    """One study, read back."""

    folder: Path
    run: dict[str, Any]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def parameters(self) -> dict[str, Any]:
        return dict(self.run["parameters"])

    @property
    def fresh(self) -> bool:
        """Whether the sources that decide the result are those it was made with, or were shown to be equivalent."""
        return is_fresh(self.run["provenance"]["source_hash"], self.folder.parent.parent, self.run["study"])

    def table(self, name: str) -> pd.DataFrame:
        """The table of that name.

        Raises:
            RecordError: the record has none of that name.
        """
        try:
            return pd.read_csv(self.folder / f"{name}.csv")
        except FileNotFoundError:
            there = ", ".join(sorted(path.stem for path in self.folder.glob("*.csv")))
            raise RecordError(f"{self.folder} has no table {name}; it has {there}.") from None


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

    from resperturb.precision import native
    from resperturb.provenance import git_commit, machine, peak_memory, versions

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


def read_study(folder: Path | str) -> StudyRecord:
    """Read the record of one study.

    Raises:
        RecordError: there is none, or its run.json is damaged or no study's.
    """
    path = Path(folder) / "run.json"
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise RecordError(f"{path} is no readable record ({error}); run it again.") from None
    if run.get("format") != FORMAT or "study" not in run:
        raise RecordError(f"{path} is no record of a study in format {FORMAT}; run it again.")
    return StudyRecord(Path(folder), run)


def load_studies(folder: Path | str) -> list[StudyRecord]:
    """All records of a study, by name.

    Raises:
        RecordError: the folder is missing or holds none.
    """
    records = [read_study(path.parent) for path in sorted(Path(folder).glob("[!.]*/run.json"))]
    if not records:
        raise RecordError(
            f"{folder} holds no records of a study; make some with `make sweep PRESET={Path(folder).name}`."
        )
    return records


def gathered(records: Iterable[StudyRecord], table: str, *parameters: str) -> pd.DataFrame:
    """One table of several records below each other, with some of their parameters as first columns."""
    parts = []
    for record in records:
        part = record.table(table)
        for position, name in enumerate(("seed", *parameters)):
            if name not in part:
                part = part.copy()
                part.insert(min(position, len(part.columns)), name, record.parameters[name])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
