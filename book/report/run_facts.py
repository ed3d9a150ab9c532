"""Facts of a record of a run or study: title, parameters, command, origin and results.

Defaults and meanings of parameters come from the parameters cell of the record's notebook, read as text, since classes
of studies need PyTorch.
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
WHERE = ("results", "again")  # parameters of a notebook that no record has
NOT_DECIDING = ("device", "threads", "checkpointing")  # recorded, but not part of a title
HEADING = ("dataset", "blocks", "layers", "network", "seed")  # always part of a title
STUDY_DATA = {"published": "CIFAR-10", "text": "text"}  # data of studies without a parameter `dataset`


@dataclass(frozen=True)
class Parameter:
    """A parameter of a record with its default."""

    name: str
    value: Any
    default: Any
    meaning: str

    @property
    def differs(self) -> bool:
        return bool(self.value != self.default)


def load_folders(results: Path) -> dict[str, list[Record]]:
    """Load the records of every folder of `results`, sorted by folder; empty folders are left out."""
    folders = sorted(path for path in results.glob("[!.]*") if path.is_dir())
    return {folder.name: found for folder in folders if (found := records_in(folder))}


def notebook_of(record: Record) -> str:
    """Return the name of the notebook that makes such records, without its ending."""
    return "sweep" if record.kind == "run" else record.kind


@functools.cache
def declared(notebook: str) -> dict[str, tuple[Any, str]]:
    """Read default and meaning of every parameter of a notebook from the cell tagged `parameters`."""
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
    """Return the default of a parameter; if the notebook has None, that of the data set or of other parameters."""
    if given is not None:
        return given
    if name == "sections":
        return min(3, values["blocks"]) or 3
    if name == "threads":
        return 1 if values.get("dataset") == "digits" else "all"
    return DATASET_DEFAULTS.get(values.get("dataset", ""), {}).get(name)


def parameters_of(record: Record) -> list[Parameter]:
    """Return the parameters of a record in the order of its notebook."""
    values, known = record.parameters, declared(notebook_of(record))
    return [
        Parameter(name, json_like(values[name]), json_like(default_of(name, default, values)), meaning)
        for name, (default, meaning) in known.items()
        if name in values and name not in WHERE
    ]


def json_like(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def command_of(record: Record) -> str:
    """Return the papermill command that makes the record again."""
    notebook = notebook_of(record)
    words = ["papermill", f"notebooks/{notebook}.ipynb", "out.ipynb"]
    for parameter in parameters_of(record):
        if parameter.name in NOT_DECIDING or not (parameter.differs or parameter.name in HEADING):
            continue
        if isinstance(parameter.value, list):
            words += ["-y", shlex.quote(json.dumps({parameter.name: parameter.value}))]
        else:
            words += ["-p", parameter.name, shlex.quote(str(parameter.value))]
    return " ".join(words)


def differing(record: Record) -> list[str]:
    """List in words the parameters that differ from their defaults, except data set, depth and seed."""
    about = ("variant",) if record.kind != "run" else ()  # the subject of such a study
    return [
        choice_words(parameter.name, parameter.value)
        for parameter in parameters_of(record)
        if parameter.name not in HEADING + NOT_DECIDING and (parameter.differs or parameter.name in about)
    ]


def data_of(record: Record) -> str:
    """Name the data set of a record."""
    dataset = record.parameters.get("dataset")
    return STUDY_DATA[record.kind] if dataset is None else TITLES.get(dataset, str(dataset))


def title_of(record: Record) -> str:
    """Name data set, depth and seed, then the parameters that differ from their defaults."""
    values = record.parameters
    depth = [f"{values[name]} {name}" for name in ("blocks", "layers", "network") if name in values]
    parts = [data_of(record), *depth, f"seed {values['seed']}", *differing(record)]
    return ", ".join([*parts, "diverged"] if record.run.get("diverged") else parts)


def origin_of(record: Record) -> dict[str, str]:
    """Describe the origin and cost of a record."""
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
    """Return accuracy, T and the averages before and after training of a run; the results of a study."""
    if record.kind != "run":
        try:
            return dict(record.table("network").iloc[0])
        except RecordError:
            return {}
    run = record.run
    averages = {moment: found.get("scaled") for moment, found in run["averages"].items()}
    return {"accuracy": run["accuracy"], "clock": run["training"]["clock"], **averages}
