"""Records of runs and studies in results/<sweep>/<run>/, written whole or not at all. The files of a run:

====================  =====================================================================================
run.json              the experiment, accuracy, loss, averages, cost, and where all of it comes from
perturbations.csv     a row per residual addition and snapshot, as :func:`resperturb.measure` gives it
samples.csv           a row per measured image: its scaled perturbation averaged over blocks, per snapshot
history.csv           a row per epoch of training
conventions.csv       the trained network measured by other conventions: on training images, with norms per channel
weights.csv           a row per block and snapshot: sizes of gains, shifts, filters and the variances normalised by
SHA256SUMS            a checksum of every other file, as `sha256sum --check` reads it
====================  =====================================================================================

A study's has run.json, with its parameters, cost and provenance, and the tables that the study names. What is read is
compared with its checksum; records from before there were any have none, and are read as they are.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resperturb.errors import ExperimentError, RecordError, shown
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.validation import one_of
from resperturb.records.freshness import DECIDING_BESIDE, is_fresh, settings_hash

FORMAT = 1
CHECKSUMS = "SHA256SUMS"
RUN_PARTS, STUDY_PARTS = ("experiment", "averages", "training", "provenance"), ("parameters", "provenance")
"""What run.json has by name, each with facts below it."""


@dataclass(frozen=True)
class Record:
    """One run or study, read back. Tables are read when first asked for."""

    folder: Path
    run: dict[str, Any]  # run.json

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def kind(self) -> str:
        """ "run", or the name of the study."""
        return str(self.run.get("study", "run"))

    @property
    def parameters(self) -> dict[str, Any]:
        """The fields of the experiment or of the study."""
        return dict(self.run["experiment" if self.kind == "run" else "parameters"])

    @functools.cached_property
    def experiment(self) -> Experiment:
        """The experiment of a run."""
        return Experiment.from_mapping(self.parameters)

    @property
    def blocks(self) -> int:
        return int(self.parameters["blocks"])

    @property
    def seed(self) -> int:
        return int(self.parameters["seed"])

    @property
    def diverged(self) -> bool:
        return bool(self.run.get("diverged", False))

    @property
    def accuracy(self) -> float:
        """The accuracy on test images after training; None where the run diverged."""
        return self.run["accuracy"]

    @property
    def weight_decay(self) -> float:
        """The weight decay used, also where T sets it."""
        return float(self.run["training"]["weight_decay"])

    @property
    def clock(self) -> float:
        """Time under weight decay T."""
        return float(self.run["training"]["clock"])

    def average(self, moment: str = "end") -> float:
        """The average scaled perturbation at "initialization" or "end"; None without blocks."""
        one_of("moment", moment, tuple(self.run["averages"]))
        return self.run["averages"][moment]["scaled"]

    @property
    def settings(self) -> dict[str, Any]:
        """The parameters that choose a way through the code."""
        return self.experiment.settings if self.kind == "run" else self.parameters

    @property
    def fresh(self) -> bool:
        """Whether it was made with the present code, or with code shown to give the same numbers for its settings."""
        recorded, results = self.run["provenance"]["source_hash"], self.folder.parent.parent
        return is_fresh(recorded, results, self.kind, settings_hash(self.settings))

    def table(self, name: str) -> pd.DataFrame:
        try:
            return pd.read_csv(io.BytesIO(read_file(self.folder / f"{name}.csv")))
        except FileNotFoundError:
            there = ", ".join(sorted(path.stem for path in self.folder.glob("*.csv")))
            raise RecordError(f"{self.folder} has no table {name}; it has {there}.") from None
        except RecordError:
            raise
        except (OSError, ValueError) as error:
            raise RecordError(f"{self.folder / name}.csv is no readable table ({error}); run it again.") from None

    @functools.cached_property
    def perturbations(self) -> pd.DataFrame:
        return self.table("perturbations")

    @functools.cached_property
    def history(self) -> pd.DataFrame:
        return self.table("history")

    @functools.cached_property
    def samples(self) -> pd.DataFrame:
        return self.table("samples")

    @functools.cached_property
    def conventions(self) -> pd.DataFrame:
        """Empty where the run diverged."""
        try:
            return self.table("conventions")
        except RecordError:
            return pd.DataFrame(columns=["convention"])

    def scaled_per_sample(self, moment: str = "end") -> np.ndarray:
        """Scaled perturbation averaged over the blocks at "initialization" or "end", for each measured image."""
        one_of("moment", moment, ("initialization", "end"))
        column = {"initialization": "snapshot_0", "end": self.samples.columns[-1]}[moment]
        return self.samples[column].to_numpy()

    def at(self, moment: str) -> pd.DataFrame:
        """The rows of `perturbations` at "initialization" or "end"; shared, so copy to change it."""
        return self._by_moment.get(moment, self.perturbations[:0])

    def blocks_at(self, moment: str) -> pd.DataFrame:
        """The rows of :meth:`at` that are blocks, transitions left out; shared, so copy to change it."""
        return self._blocks_by_moment.get(moment, self.perturbations[:0])

    @functools.cached_property  # a chapter asks for the same rows hundreds of times
    def _by_moment(self) -> dict[str, pd.DataFrame]:
        groups = self.perturbations.groupby("moment", sort=False)
        return {str(moment): rows.reset_index(drop=True) for moment, rows in groups}

    @functools.cached_property
    def _blocks_by_moment(self) -> dict[str, pd.DataFrame]:
        return {moment: blocks_of(rows) for moment, rows in self._by_moment.items()}


def write_record(target: Path, run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Record:
    """Write run.json, a CSV file for each table and their checksums into the folder `target`, all of them or none.

    They are written into a temporary folder beside it and renamed; an older record in `target` goes.
    """
    check_writable(target.parent)
    try:
        with tempfile.TemporaryDirectory(
            prefix=f".{target.name}-", dir=target.parent, ignore_cleanup_errors=True
        ) as place:
            new, old = Path(place, "new"), Path(place, "old")
            new.mkdir()
            for name, table in tables.items():
                table.to_csv(new / f"{name}.csv", index=False, float_format="%.5g", lineterminator="\n")
            text = json.dumps(run, indent=1, allow_nan=False)
            (new / "run.json").write_text(text + "\n", encoding="utf-8")
            write_checksums(new)
            if target.exists():
                target.rename(old)  # a folder cannot be renamed onto one that is not empty
            new.rename(target)
    except OSError as error:
        raise RecordError(f"the record {target} cannot be written ({error.strerror or error}).") from None
    return read_record(target)


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files of a record that is being made."""
    lines = [f"{checksum(path.read_bytes())}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def checksum(content: bytes) -> str:
    """SHA-256, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_file(path: Path) -> bytes:
    """The bytes of a file of a record, if they are those that were written.

    Raises:
        RecordError: its checksum is not that in SHA256SUMS. A record without this file is older, and not checked.
    """
    content = path.read_bytes()
    sums = path.with_name(CHECKSUMS)
    if sums.exists() and f"{checksum(content)}  {path.name}".encode() not in sums.read_bytes().splitlines():
        raise RecordError(f"{path} is damaged: its checksum is not the one in {CHECKSUMS}; run it again.")
    return content


def check_writable(results: Path | str) -> None:
    """Make the results folder and try it, before an hour is spent on what could not be kept."""
    try:
        Path(results).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results):
            pass
    except OSError as error:
        raise RecordError(
            f"the results folder {results} cannot be written ({error.strerror or error}); name another one."
        ) from None


def read_record(folder: Path | str) -> Record:
    path = Path(folder) / "run.json"
    try:
        run = json.loads(read_file(path))
    except RecordError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} is no readable record ({error}); run it again.") from None
    found = run.get("format") if isinstance(run, dict) else None
    if found != FORMAT:
        raise RecordError(f"{path} has record format {shown(found)}, this version reads {FORMAT}; run it again.")
    record = Record(Path(folder), run)
    one_of(f"study in {path}", record.kind, tuple(DECIDING_BESIDE))
    for part in RUN_PARTS if record.kind == "run" else STUDY_PARTS:
        if not isinstance(run.get(part), dict):
            raise RecordError(f"{path} must have {part}, by name, but got {shown(run.get(part))}; run it again.")
    try:
        _ = record.experiment if record.kind == "run" else None  # which checks it
    except ExperimentError as error:
        raise RecordError(f"{path} holds no experiment: {error}") from None
    return record


def check_record(record: Record) -> None:
    """Compare all files of a record with their checksums, where it has any.

    Raises:
        RecordError: one is damaged or missing.
    """
    sums = record.folder / CHECKSUMS
    listed = sums.read_text(encoding="utf-8", errors="replace").split()[1::2] if sums.exists() else []
    for name in {*listed, *(path.name for path in record.folder.glob("*.csv"))}:
        try:
            read_file(record.folder / name)
        except OSError as error:
            raise RecordError(f"{record.folder / name} cannot be read ({error.strerror}); run it again.") from None


def load_records(folder: Path | str, kind: str | None = "run") -> list[Record]:
    """All records of a folder, diverged runs among them: runs by depth and seed, studies by name.

    Args:
        folder: results/<sweep>.
        kind: "run", or the name of a study; None: whatever there is.

    Raises:
        RecordError: the folder is missing, or holds no record, a damaged one or one of another kind.
    """
    for sums in Path(folder).glob(f"[!.]*/{CHECKSUMS}"):
        if sums.exists() and not (sums.parent / "run.json").exists():  # not while it is being replaced
            raise RecordError(f"{sums.parent} has no run.json, so its record is damaged; run it again or remove it.")
    records = [read_record(path.parent) for path in Path(folder).glob("[!.]*/run.json")]
    if not records:
        raise RecordError(f"{folder} holds no records; make some with `make sweep` or resperturb run.")
    for record in records:
        if kind not in (None, record.kind):
            raise RecordError(
                f"{record.folder} is the record of a {record.kind} and of no {kind}; name another folder."
            )
    return sorted(records, key=lambda r: (r.blocks, r.seed, r.name) if r.kind == "run" else (0, 0, r.name))


def records_in(folder: Path) -> list[Record]:
    """The records of a folder; none where there are none."""
    return load_records(folder, kind=None) if any(folder.glob("[!.]*/run.json")) else []


def summary(records: Iterable[Record]) -> pd.DataFrame:
    """One row per run: what was trained, how well, its averages at both ends, and its cost."""
    rows = []
    for record in records:
        run, experiment = record.run, record.run["experiment"]
        ends = {moment: run["averages"].get(moment, {}) for moment in ("initialization", "end")}
        rows.append(
            {
                "run": record.name,
                "dataset": experiment["dataset"],
                "block": experiment["block"],
                "blocks": record.blocks,
                "seed": record.seed,
                "diverged": record.diverged,
                "accuracy": run["accuracy"],
                "loss": run["loss"],
                **{f"{name}_{moment}": ends[moment].get(name) for name in ("scaled", "absolute") for moment in ends},
                "clock": run["training"]["clock"],
                "images_per_second": run["training"]["images_per_second"],
                "wall_seconds": run["wall_seconds"],
                "peak_memory_bytes": run["peak_memory_bytes"],
            }
        )
    return pd.DataFrame(rows)


def blocks_of(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a measured table that are blocks, transitions left out."""
    return table[table["kind"] == "identity"]


def concat_tables(records: Iterable[Record], table: str, *parameters: str) -> pd.DataFrame:
    """One table of several records below each other, with some of their parameters as first columns."""
    parts = []
    for record in records:
        part = record.table(table)
        for name in reversed(("seed", *parameters)):
            if name not in part:
                part.insert(0, name, record.parameters[name])
        parts.append(part)
    return pd.concat(parts, ignore_index=True)
