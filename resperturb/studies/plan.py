"""What Snakemake is to run: every run of a sweep's preset, or of a study's, with its notebook and its parameters.

A study's preset is a YAML file in config/studies: the notebook (a study's, or sweep for runs of networks), parameters
that all runs share, and lists of those that are varied, every value of one with every value of the others. Several
such grids, as a list, follow each other.
"""

from __future__ import annotations

import importlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resperturb.errors import ExperimentError, shown
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.presets import (
    Preset,
    is_yaml,
    load_preset,
    preset_folder,
    preset_names,
    read_yaml,
    sweep_names,
)
from resperturb.experiment.validation import one_of, reject_unknown
from resperturb.records.freshness import deciding_files

if TYPE_CHECKING:
    from resperturb.studies.base import Study  # which needs PyTorch; a sweep is planned without

STUDIES = {
    "initialization": "Initialization",
    "lesion": "Lesion",
    "published": "Published",
    "text": "TextStudy",
}
"""Notebook and module of each study, and the class in it."""
STUDY_KEYS = ("about", "notebook", "parameters", "vary")
MOST_RUNS = 10_000


@dataclass(frozen=True)
class PlannedRun:
    """One run: what its record is called, what papermill is given, and its number of blocks (longer runs go first)."""

    name: str
    parameters: dict[str, Any]
    blocks: int


@dataclass(frozen=True)
class Plan:
    """All runs of one preset."""

    name: str
    notebook: str  # in notebooks/, without its ending
    sources: tuple[Path, ...]  # files that decide the results
    runs: tuple[PlannedRun, ...]


def study_class(notebook: str) -> type[Study]:
    """The study that a notebook conducts."""
    one_of("notebook", notebook, ("sweep", *STUDIES))
    return getattr(importlib.import_module(f"resperturb.studies.{notebook}"), STUDIES[notebook])


def study_names() -> tuple[str, ...]:
    """The presets in config/studies."""
    return preset_names("studies")


def load_plan(name: str | Path) -> Plan:
    """The plan of a preset by its name, or of the YAML file of that path."""
    path = Path(name)
    if not is_yaml(path):
        if str(name) not in study_names():
            one_of("preset", str(name), (*sweep_names(), *study_names()))
            return plan_of_sweep(load_preset(name))
        path = preset_folder() / "studies" / f"{name}.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict) or "notebook" not in content:
        return plan_of_sweep(load_preset(path))
    reject_unknown(content, STUDY_KEYS)
    kind = Experiment if content["notebook"] == "sweep" else study_class(content["notebook"])
    runs = []
    for parameters in parameter_grid(path, content.get("parameters") or {}, content.get("vary") or {}):
        run = kind.from_mapping(parameters)
        runs.append(PlannedRun(run.name, parameters, int(getattr(run, "blocks", 0))))
    runs.sort(key=lambda run: -run.blocks)
    sources = deciding_files(getattr(kind, "kind", "run"))
    return Plan(path.stem, content["notebook"], sources, tuple(runs))


def parameter_grid(path: Path, parameters: Any, vary: Any) -> Iterator[dict[str, Any]]:
    """Every combination of the lists in `vary`, with the shared parameters."""
    grids = vary if isinstance(vary, list) else [vary]
    if not isinstance(parameters, dict) or not all(isinstance(grid, dict) for grid in grids):
        raise ExperimentError(
            f"parameters and vary in {path} must be mappings, but got {shown(parameters)} and {shown(vary)}."
        )
    for grid in grids:
        for name, values in grid.items():
            if not isinstance(values, list) or not values:
                raise ExperimentError(f"{name} under vary in {path} must be a list of values, but got {shown(values)}.")
        if (count := math.prod(map(len, grid.values()))) > MOST_RUNS:
            raise ExperimentError(f"vary in {path} must give at most {MOST_RUNS} runs, but gives {count}; vary less.")
        for values in itertools.product(*grid.values()):
            yield {**parameters, **dict(zip(grid, values, strict=True))}


def plan_of_sweep(preset: Preset) -> Plan:
    runs = [
        PlannedRun(experiment.name, preset.parameters_at(experiment.blocks, experiment.seed), experiment.blocks)
        for experiment in preset.experiments()
    ]
    return Plan(preset.name, "sweep", deciding_files(), tuple(runs))
