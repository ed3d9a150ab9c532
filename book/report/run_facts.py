"""What a record says of itself: its title, its parameters beside their defaults, its command, its results.

Records of runs and of studies are read alike. Defaults and meanings are those of the notebook that made the record:
its parameters cell is read as text, since the studies' classes would need PyTorch.
"""

from __future__ import annotations

import ast
import csv
import functools
import io
import json
import math
import shlex
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resperturb.experiment.experiment import DATASET_DEFAULTS
from resperturb.records.record import Record, StudyRecord, records_in
from resperturb.records.sweeps import KINDS, TITLES

AnyRecord = Record | StudyRecord
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WHERE = ("results", "again")  # parameters of a notebook that are none of the record's
UNDECISIVE = ("device", "threads", "checkpointing")  # recorded, but no part of what a record is called
HEADING = ("dataset", "blocks", "layers", "seed")  # what a title always says


@dataclass(frozen=True)
class Parameter:
    """One parameter of a record beside its default."""

    name: str
    value: Any
    default: Any
    meaning: str

    @property
    def differs(self) -> bool:
        return bool(self.value != self.default)


def load_folders(results: Path) -> dict[str, list[AnyRecord]]:
    """The records of every folder of `results`, in the order of the folders' names; empty folders are left out."""
    folders = sorted(path for path in results.glob("[!.]*") if path.is_dir())
    return {folder.name: found for folder in folders if (found := list(records_in(folder)))}


def notebook_of(record: AnyRecord) -> str:
    """The notebook that makes such records, without its ending."""
    return str(record.run["study"]) if isinstance(record, StudyRecord) else "sweep"


def parameter_values(record: AnyRecord) -> dict[str, Any]:
    return dict(record.run["parameters"] if isinstance(record, StudyRecord) else record.run["experiment"])


@functools.cache
def declared(notebook: str) -> dict[str, tuple[Any, str]]:
    """Default and meaning of every parameter of a notebook, in its order, from the cell tagged `parameters`."""
    cells = json.loads((NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    source = next("".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", ()))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            found[node.target.id] = (ast.literal_eval(node.value), said.get(node.lineno, ""))
    return found


def default_of(name: str, given: Any, values: dict[str, Any]) -> Any:
    """The default of a parameter, where the notebook leaves it open that of the data set or of its neighbours."""
    if given is not None:
        return given
    if name == "sections":
        return min(3, values["blocks"])
    if name == "threads":
        return 1 if values.get("dataset") == "digits" else "all"
    return DATASET_DEFAULTS.get(values.get("dataset", ""), {}).get(name)


def parameters_of(record: AnyRecord) -> list[Parameter]:
    """Every parameter of a record in the order of its notebook."""
    values, known = parameter_values(record), declared(notebook_of(record))
    return [
        Parameter(name, json_like(values[name]), json_like(default_of(name, default, values)), meaning)
        for name, (default, meaning) in known.items()
        if name in values and name not in WHERE
    ]


def json_like(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def written(value: Any) -> str:
    """A value as a reader would write it."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(written, value))
    return str(value)


def command_of(record: AnyRecord) -> str:
    """The papermill command that makes the record again: data set, depth and seed, and what differs from defaults."""
    notebook = notebook_of(record)
    words = ["papermill", f"notebooks/{notebook}.ipynb", "out.ipynb"]
    for parameter in parameters_of(record):
        if parameter.name in UNDECISIVE or not (parameter.differs or parameter.name in HEADING):
            continue
        if isinstance(parameter.value, list):
            words += ["-y", shlex.quote(json.dumps({parameter.name: parameter.value}))]
        else:
            words += ["-p", parameter.name, shlex.quote(str(parameter.value))]
    return " ".join(words)


PHRASES: dict[str, Callable[[Any], str]] = {
    "block": lambda v: KINDS.get(v, v),
    "clock": lambda v: f"T = {v:g}",
    "initialization": lambda v: f"{v} initialisation",
    "normalization": lambda v: "no normalisation" if v == "none" else f"{v} normalisation",
    "precision": str,
    "variant": str,
    "sections": lambda v: f"{v} section" + ("s" if v != 1 else ""),
    "epochs": lambda v: f"{v} epoch" + ("s" if v != 1 else ""),
    "augmentation": lambda v: "no augmentation" if v == "none" else f"{v} augmentation",
}


def differing(record: AnyRecord) -> list[str]:
    """What differs from the defaults beside data set, depth and seed, each in a few words."""
    phrases = []
    for parameter in parameters_of(record):
        name, value = parameter.name, parameter.value
        spelled = isinstance(record, StudyRecord) and name in ("variant", "epsilon")  # what such a study is about
        if name in HEADING + UNDECISIVE or not (parameter.differs or spelled):
            continue
        phrases.append(PHRASES[name](value) if name in PHRASES else f"{name.replace('_', ' ')} {written(value)}")
    return phrases


def title_of(record: AnyRecord) -> str:
    """Data set, depth and seed, then what differs from the defaults; of a study its name first."""
    values = parameter_values(record)
    blocks = values.get("blocks")
    parts = [
        TITLES.get(values.get("dataset", ""), ""),
        f"{blocks} block{'' if blocks == 1 else 's'}" if blocks is not None else "",
        f"{values['layers']} layers" if "layers" in values else "",
        f"seed {values['seed']}",
        *differing(record),
    ]
    said = ", ".join(filter(None, parts))
    if isinstance(record, StudyRecord):
        return f"{str(record.run['study']).capitalize()}: {said}"
    return f"{said}: diverged" if record.diverged else said


def network_row(record: StudyRecord) -> dict[str, float]:
    """The numbers of a study's table `network`, which has one row; empty where it has no such table."""
    try:
        with (record.folder / "network.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return {}
    return {name: number for name, text in rows[0].items() if (number := as_number(text)) is not None} if rows else {}


def as_number(text: str | None) -> float | None:
    """A cell of a table as a finite number; None where it is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def outcome_of(record: AnyRecord) -> dict[str, float | None]:
    """Accuracy, loss, T reached and the averages at both moments; None where the record does not have them."""
    if isinstance(record, StudyRecord):
        row = network_row(record)
        return {name: row.get(name) for name in ("accuracy", "loss", "clock")}
    run = record.run
    averages = {
        f"{measure}_{moment}": run["averages"].get(moment, {}).get(measure)
        for measure in ("scaled", "absolute")
        for moment in ("initialization", "end")
    }
    return {"accuracy": run["accuracy"], "loss": run["loss"], "clock": run["training"]["clock"], **averages}
