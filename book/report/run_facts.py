"""Facts of a record: its title, its parameters beside their defaults, its command, its origin, its results.

Records of runs and of studies are read alike. Defaults and meanings are those of the notebook that made the record:
its parameters cell is read as text, since the studies' classes would need PyTorch.
"""

from __future__ import annotations

import ast
import functools
import io
import json
import shlex
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resperturb.errors import RecordError
from resperturb.experiment.experiment import DATASET_DEFAULTS
from resperturb.records.record import Record, records_in
from resperturb.records.sweeps import TITLES
from resperturb.records.words import choice_words

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WHERE = ("results", "again")  # parameters of a notebook that are none of the record's
UNDECISIVE = ("device", "threads", "checkpointing")  # recorded, but no part of what a record is called
HEADING = ("dataset", "blocks", "layers", "network", "seed")  # what a title always says
STUDY_DATA = {"published": "CIFAR-10", "text": "text"}  # of studies that have no parameter `dataset`


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


def load_folders(results: Path) -> dict[str, list[Record]]:
    """The records of every folder of `results`, in the order of the folders' names; empty folders are left out."""
    folders = sorted(path for path in results.glob("[!.]*") if path.is_dir())
    return {folder.name: found for folder in folders if (found := list(records_in(folder)))}


def notebook_of(record: Record) -> str:
    """The notebook that makes such records, without its ending."""
    return "sweep" if record.kind == "run" else record.kind


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


def parameters_of(record: Record) -> list[Parameter]:
    """Every parameter of a record in the order of its notebook."""
    values, known = record.parameters, declared(notebook_of(record))
    return [
        Parameter(name, json_like(values[name]), json_like(default_of(name, default, values)), meaning)
        for name, (default, meaning) in known.items()
        if name in values and name not in WHERE
    ]


def json_like(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def command_of(record: Record) -> str:
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


def differing(record: Record) -> list[str]:
    """List in words the parameters that differ from the defaults, beside data set, depth and seed."""
    about = ("variant", "epsilon") if record.kind != "run" else ()  # what such a study is about
    return [
        choice_words(parameter.name, parameter.value)
        for parameter in parameters_of(record)
        if parameter.name not in HEADING + UNDECISIVE and (parameter.differs or parameter.name in about)
    ]


def data_of(record: Record) -> str:
    """Name the data set of a record."""
    return TITLES[record.parameters["dataset"]] if "dataset" in record.parameters else STUDY_DATA[record.kind]


def title_of(record: Record) -> str:
    """Name data set, depth and seed, then what differs from the defaults."""
    values = record.parameters
    depth = [f"{values[name]} {name}" for name in ("blocks", "layers", "network") if name in values]
    parts = [data_of(record), *depth, f"seed {values['seed']}", *differing(record)]
    return ", ".join([*parts, "diverged"] if record.run.get("diverged") else parts)


def origin_of(record: Record) -> dict[str, str]:
    """Say where a record comes from and what it cost."""
    run, origin = record.run, record.run["provenance"]
    state = (
        "fresh: the code that decides it is unchanged" if record.fresh else "stale: the code that decides it changed"
    )
    threads = f"{origin['threads']} thread{'s' if origin['threads'] != 1 else ''} on {origin['cores']} cores"
    memory = f", {run['peak_memory_bytes'] / 2**20:.0f} MiB" if run.get("peak_memory_bytes") else ""
    return {
        "record": state,
        "made": f"{origin['started'][:10]}, in {run['wall_seconds']:.0f} s{memory}",
        "machine": f"{origin['gpu'] or origin['processor']}, {threads}, {origin['system']}",
        "commit": commit_of(record) + (" with changes" if origin.get("modified") else ""),
        "versions": ", ".join(f"{name} {number}" for name, number in origin["versions"].items()),
    }


def commit_of(record: Record) -> str:
    return str(record.run["provenance"].get("commit", "unknown"))[:10]


def outcome_of(record: Record) -> dict[str, Any]:
    """Read accuracy, T and the average scaled perturbation at both moments, as far as the record has them."""
    if record.kind != "run":
        try:
            return dict(record.table("network").iloc[0])
        except RecordError:
            return {}
    run = record.run
    averages = {moment: found.get("scaled") for moment, found in run["averages"].items()}
    return {"accuracy": run["accuracy"], "clock": run["training"]["clock"], **averages}
