"""From a notebook's names to an experiment. papermill only warns of a parameter it does not know; this refuses it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resperturb.errors import ExperimentError
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.validation import reject_unknown

# Parameters of a run's notebook that say where and whether, not what.
BESIDES = ("results", "again")
# What a kernel itself defines; names with a leading underscore are left out anyway.
KERNEL = ("In", "Out", "exit", "quit", "open", "get_ipython")


def given_in(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The plain values that a notebook has defined so far, by name."""
    return {
        name: value
        for name, value in namespace.items()
        if not name.startswith("_") and name not in KERNEL and is_plain(value)
    }


def read_parameters(namespace: Mapping[str, Any]) -> tuple[Experiment, Path, bool]:
    """The experiment, the results folder and `again`, from ``globals()`` right after the parameters cell.

    Raises:
        ExperimentError: a plain value whose name is no parameter (with the nearest right name), or a bad value.
    """
    given = given_in(namespace)
    known = [*Experiment.field_names(), *BESIDES]
    reject_unknown(given, known)
    results, again = given.pop("results", "results/runs"), given.pop("again", False)
    if not isinstance(results, str | Path) or not str(results):
        raise ExperimentError(f"results must be the name of a folder, but got {results!r}.")
    if not isinstance(again, bool):
        raise ExperimentError(f"again must be True or False, but got {again!r}.")
    return with_threads(Experiment.from_mapping(given)), Path(results), again


def with_threads(experiment: Experiment) -> Experiment:
    """The experiment with its number of threads chosen, where that was left open: one for digits, else all (None).

    Operations on 8x8 images are too small to share out, and threads that share cores with other work wait for each
    other; benchmarks/sweep.py measures both.
    """
    if experiment.threads is None and experiment.dataset == "digits":
        return dataclasses.replace(experiment, threads=1)
    return experiment


def is_plain(value: Any) -> bool:
    """Whether a parameter could hold it: papermill passes numbers, words, lists and mappings; a Path names a folder."""
    return value is None or isinstance(value, bool | int | float | str | list | tuple | dict | Path)
