"""The same numbers: reruns on this machine, and reruns of records on file."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import ROOT

from faults import trials
from faults.kills import kept_checkpoint
from faults.trials import Facts, Forked, Place, by_command, by_papermill, in_fork, wait
from resperturb.experiment.experiment import Experiment
from resperturb.records.record import Record, records_in
from resperturb.studies.conduct import conduct
from resperturb.studies.plan import study_class
from resperturb.studies.run import run

GROUPS = ("shipped-digits", "digits-*", "initialization", "decay-mnist")  # with cheap records, of two processors


def by_function(place: Place, *options: str) -> trials.Call:
    """`run` called from Python."""
    threads = int(options[-1]) if options else None

    def work() -> int:
        run(Experiment(**trials.TINY, threads=threads), place.results)  # type: ignore[arg-type]
        return 0

    return Forked(work, place.log)


def same_here(place: Place, threads: int, quick: bool) -> list[dict[str, Any]]:
    """A row per way to make one record with some threads: whether it equals that of the first way bit for bit."""
    options = ("--threads", str(threads))

    def resumed(place: Place) -> trials.Call:
        kept_checkpoint(place, *options)
        return in_fork(place, *options)

    ways: dict[str, Callable[[Place], trials.Call]] = {
        "resperturb run": lambda place: in_fork(place, *options),
        "the same again": lambda place: in_fork(place, *options),
        "resumed from a checkpoint": resumed,
        "a process of its own": lambda place: by_command(place, *options),
        "Python": lambda place: by_function(place, *options),
        "papermill": lambda place: by_papermill(place, "-p", "threads", str(threads)),
    }
    if quick:
        ways = dict(list(ways.items())[:3])
    rows: list[dict[str, Any]] = []
    first: Facts = {}
    for number, (way, start) in enumerate(ways.items()):
        own = replace(place, root=place.root / f"{threads}-{number}")
        own.root.mkdir(parents=True)
        status = wait(start(own))
        found = own.facts() if status == 0 else {}
        first = first or found
        rows.append({"threads": threads, "way": way, "same": bool(found) and found == first})
    return rows


def cheapest(results: Path, count: int) -> list[Record]:
    """The records that took the least time, of each group and each processor."""
    chosen: dict[tuple[str, str], list[Record]] = {}
    for group in GROUPS:
        records = [record for folder in results.glob(group) for record in records_in(folder) if not record.diverged]
        for record in sorted(records, key=lambda record: record.run["wall_seconds"]):
            chosen.setdefault((group, record.run["provenance"]["processor"]), []).append(record)
    return [record for records in chosen.values() for record in records[:count]]


def rerun(record: Record, results: Path) -> dict[str, Any]:
    """Make a record on file again; how many digits of its averages agree, at initialisation and after training."""
    shutil.rmtree(results, ignore_errors=True)
    if record.kind == "run":
        again = run(record.experiment, results, report=lambda line: None)
    else:
        study = study_class(record.kind).from_mapping(record.parameters)
        again = conduct(study, results, report=lambda line: None)
    made = record.run["provenance"]
    agreeing = {
        moment: min(digits(*pair) for pair in zip(values, averages(again)[moment], strict=True))
        for moment, values in averages(record).items()
    }
    return {
        "record": f"{record.folder.parent.name}/{record.name}",
        "processor": made["processor"],
        "here": again.run["provenance"]["processor"],
        "torch": made["versions"]["torch"],
        "torch_here": again.run["provenance"]["versions"]["torch"],
        "digits": agreeing,
    }


def averages(record: Record) -> dict[str, list[float]]:
    """The average scaled perturbations of a record that are numbers, by moment."""
    if record.kind == "run":
        return {moment: [values["scaled"]] for moment, values in record.run["averages"].items()}
    return {"initialization": record.table("averages")["scaled"].dropna().tolist()}


def digits(old: float, new: float) -> float:
    """The log relative error: in about how many decimal digits two numbers agree, 16 where they are equal."""
    return 16.0 if old == new else min(16.0, max(0.0, -math.log10(abs(old - new) / abs(old))))


def all_numbers(place: Place, quick: bool) -> dict[str, Any]:
    """Reruns on this machine with one thread and with two, and reruns of the cheapest records on file."""
    return {
        "here": [row for threads in (1, 2)[: 1 if quick else 2] for row in same_here(place, threads, quick)],
        "filed": [rerun(record, place.root / "filed") for record in cheapest(ROOT / "results", 0 if quick else 2)],
    }
