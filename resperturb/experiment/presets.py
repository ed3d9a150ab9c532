"""Presets: named, sized sweeps, one YAML file each in config/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resperturb.errors import ExperimentError, shown
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.validation import one_of, reject_unknown, whole_number

SENSITIVITY = "sensitivity"  # the folder in config/ of presets that vary one choice
KEYS = ("about", "depths", "seeds", "shallow", "experiment")


@dataclass(frozen=True)
class Preset:
    """A sweep: every depth with every seed, all else alike. Depths up to `shallow` are run with `shallow_seeds` too."""

    name: str
    depths: tuple[int, ...]
    seeds: tuple[int, ...]
    experiment: dict[str, Any]
    shallow: int = 0
    shallow_seeds: tuple[int, ...] = ()

    def parameters_at(self, blocks: int, seed: int) -> dict[str, Any]:
        """All that the preset says of one run."""
        return {**self.experiment, "blocks": blocks, "seed": seed}

    def experiment_at(self, blocks: int, seed: int, **changes: Any) -> Experiment:
        return Experiment.from_mapping({**self.parameters_at(blocks, seed), **changes})

    def experiments(self) -> Iterator[Experiment]:
        """All runs of the sweep, the longest first."""
        for blocks in sorted(self.depths, reverse=True):
            for seed in (*self.seeds, *(self.shallow_seeds if blocks <= self.shallow else ())):
                yield self.experiment_at(blocks, seed)


def preset_folder() -> Path:
    """config/ of the checkout, or where an installed package carries it."""
    package = Path(__file__).parent.parent
    inside, beside = package / "config", package.parent / "config"
    return inside if inside.is_dir() else beside


def preset_names(inside: str = "") -> tuple[str, ...]:
    """The presets in config/, or in a folder of it."""
    return tuple(sorted(path.stem for path in (preset_folder() / inside).glob("*.yaml")))


def sweep_names() -> tuple[str, ...]:
    """All presets of sweeps: the main ones, and those that vary one choice."""
    return (*preset_names(), *preset_names(SENSITIVITY))


def load_preset(name: str | Path) -> Preset:
    """The preset called `name`, or the one in the YAML file of that path.

    Raises:
        ExperimentError: there is no such preset, or the file does not describe one.
    """
    path = Path(name)
    if not is_yaml(path):
        if str(name) not in sweep_names():
            one_of("preset", str(name), preset_names())  # the main ones are enough to choose from
        path = preset_folder() / ("" if str(name) in preset_names() else SENSITIVITY) / f"{name}.yaml"
    content = read_yaml(path)
    if not isinstance(content, dict) or not {"depths", "seeds", "experiment"} <= set(content):
        raise ExperimentError(f"the preset {path} must have the keys {', '.join(KEYS)}.")
    reject_unknown(content, KEYS)
    shallow = content.get("shallow", {"deepest": 0, "seeds": []})
    if not isinstance(shallow, dict) or set(shallow) != {"deepest", "seeds"}:
        raise ExperimentError(f"shallow in {path} must have the keys deepest and seeds, but got {shown(shallow)}.")
    if not isinstance(content["experiment"], dict):
        raise ExperimentError(f"experiment in {path} must be a mapping, but got {shown(content['experiment'])}.")
    if of_run := {"blocks", "seed"} & set(content["experiment"]):
        raise ExperimentError(
            f"experiment in {path} must not have {' and '.join(sorted(of_run))}; depths and seeds stand beside it."
        )
    return Preset(
        path.stem,
        whole_numbers(f"depths in {path}", content["depths"], 1),
        whole_numbers(f"seeds in {path}", content["seeds"], 0),
        experiment=content["experiment"],
        shallow=whole_number(f"deepest in {path}", shallow["deepest"], 0),
        shallow_seeds=whole_numbers(f"shallow seeds in {path}", shallow["seeds"], 0) if shallow["seeds"] else (),
    )


def is_yaml(path: Path) -> bool:
    """Whether a preset is named by its file.

    Raises:
        ExperimentError: it is, but the file's name cannot be that of a folder of results.
    """
    if path.suffix not in (".yaml", ".yml"):
        return False
    if not re.fullmatch(r"\w[\w.-]*", path.stem):
        raise ExperimentError(
            f"a preset's file must have a name of letters, digits, -, _ and points, but got {shown(path.name)}; "
            "its records lie in results/ under that name."
        )
    return True


def read_yaml(path: Path) -> Any:
    import yaml  # which measuring does not need

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise ExperimentError(f"the preset {path} cannot be read ({reason}); name a YAML file as in config/.") from None


def whole_numbers(name: str, values: Any, low: int) -> tuple[int, ...]:
    if not isinstance(values, list) or not values:
        raise ExperimentError(f"{name} must be a list of whole numbers, but got {shown(values)}.")
    return tuple(whole_number(name, value, low) for value in values)
