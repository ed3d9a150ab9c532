"""Parameters of an experiment or a study: what they are called in a record, and how a notebook gives them.

papermill only warns of a parameter it does not know; `read_parameters` refuses it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from resperturb.errors import ExperimentError, shown
from resperturb.experiment.validation import reject_unknown

# What a kernel itself defines; names with a leading underscore are left out anyway.
KERNEL = ("In", "Out", "exit", "quit", "open", "get_ipython")
P = TypeVar("P", bound="Parameters")


class Parameters:
    """A frozen dataclass of parameters.

    Fields marked with ``decides=False`` are recorded but are no part of the name. Fields marked with ``later=True``
    came after the first records: at their default they are no part of the name either, so those records keep theirs.
    """

    name_fields: ClassVar[tuple[str, ...]]  # fields that the name of a record spells out

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from names and values; a name that is no field is refused, with the nearest right one."""
        reject_unknown(values, cls.field_names())
        return cls(**values)

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that decide the result."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if field.metadata.get("decides", True)
            and not (field.metadata.get("later", False) and getattr(self, field.name) == field.default)
        }

    @property
    def name(self) -> str:
        """The name of the record: some fields to read, then six digits that stand for all the rest."""
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:6]
        return "-".join([*(slug(name, getattr(self, name)) for name in (*self.name_fields, "seed")), digest])


def slug(name: str, value: Any) -> str:
    """A field as part of a file's name: a word for itself, a number after the field's name."""
    if isinstance(value, str):
        return value
    number = f"{value:03d}" if name == "blocks" else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{name}-{number}"


def read_parameters(kind: type[P], namespace: Mapping[str, Any]) -> tuple[P, Path, bool]:
    """The parameters, the folder of the records and `again`, from ``globals()`` right after the parameters cell."""
    given = notebook_parameters(namespace, *kind.field_names(), "results", "again")
    results, again = results_folder(given.pop("results", None)), given.pop("again", False)
    if not isinstance(again, bool):
        raise ExperimentError(f"again must be True or False, but got {shown(again)}.")
    return kind.from_mapping(given), results, again


def results_folder(value: Any) -> Path:
    if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
        raise ExperimentError(f"results must be the name of a folder, but got {shown(value)}.")
    return Path(value)


def notebook_parameters(namespace: Mapping[str, Any], *known: str) -> dict[str, Any]:
    """The plain values that a notebook has defined so far, by name; one that is not `known` is refused."""
    given = {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and name not in KERNEL and is_plain(value)
    }
    reject_unknown(given, known)
    return given


def is_plain(value: Any) -> bool:
    """Whether a parameter could hold it: papermill passes numbers, words, lists and mappings; a Path names a folder."""
    return value is None or isinstance(value, bool | int | float | str | list | tuple | dict | Path)
