"""Sweeps in results/: their records, names and differences."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from resperturb.errors import RecordError
from resperturb.experiment.experiment import DATASETS, Experiment
from resperturb.experiment.parameters import results_folder
from resperturb.experiment.presets import load_preset, sweep_names
from resperturb.experiment.validation import whole_number
from resperturb.records.record import Record, load_records, records_in

FEWEST_DEPTHS = 3  # a folder with fewer is no sweep over depth
TITLES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}
KINDS = {"preactivation": "pre-activation", "postactivation": "post-activation"}
WORDS = {
    "decay": "short trainings",
    "lesion": "blocks removed",
    "long": "long training",
    "mechanism": "predictions",
    "zero": "zero start",
}
STUDY_TITLES = {  # folders without a data set in their names
    "clock-steps": "MNIST, few images",
    "first-round": "MNIST and CIFAR-10, first predictions",
    "initialization": "untrained networks",
    "lesion": "digits, blocks removed",
    "lesion-strong": "digits, strong decay, blocks removed",
    "mechanism-second": "MNIST, second predictions",
    "published": "four published networks",
    "standard-cifar10": "CIFAR-10, full size",
    "standard-cifar10-no-decay": "CIFAR-10, full size, no decay",
    "standard-cifar10-postactivation": "CIFAR-10, full size, post-activation",
    "standard-mnist": "MNIST, full size",
    "standard-mnist-postactivation": "MNIST, full size, post-activation",
    "text": "transformers",
    "text-long": "transformers, long training",
    "without-blocks": "networks without blocks",
}


def display_name(name: str) -> str:
    """Name a preset for readers: "MNIST, post-activation" for mnist-postactivation. Unlisted words stay."""
    if name in STUDY_TITLES:
        return STUDY_TITLES[name]
    words = name.split("-")
    dataset, kind = (next((word for word in words if word in named), "") for named in (TITLES, KINDS))
    rest = " ".join(word for word in words if word not in (dataset, kind))
    return ", ".join(filter(None, [TITLES.get(dataset), KINDS.get(kind), WORDS.get(rest, rest)]))


@dataclass(frozen=True)
class Sweep:
    """The runs of one folder of results/."""

    name: str
    records: list[Record]

    @property
    def stale(self) -> list[Record]:
        """Records whose deciding code has changed since."""
        return [record for record in self.records if not record.fresh]

    @property
    def finished(self) -> list[Record]:
        """Records of runs that did not diverge."""
        return [record for record in self.records if not record.diverged]

    @property
    def depths(self) -> list[int]:
        """Distinct depths of the runs that did not diverge, increasing."""
        return sorted({record.blocks for record in self.finished})

    @property
    def folder(self) -> str:
        """The folder of its records, results/<sweep>."""
        return f"results/{self.records[0].folder.parent.name}"

    @property
    def dataset(self) -> str:
        return str(self.records[0].run["experiment"]["dataset"])

    @property
    def block(self) -> str:
        return str(self.records[0].run["experiment"]["block"])

    @property
    def label(self) -> str:
        """Name of data set and kind of block, as in "MNIST, post-activation"."""
        return f"{TITLES[self.dataset]}, {KINDS[self.block]}"

    @property
    def preset(self) -> str | None:
        """The preset of this name that runs it again, or None."""
        return self.name if self.name in sweep_names() else None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The fields that decide its runs, except depth and seed."""
        return {k: v for k, v in self.records[0].experiment.identity.items() if k not in ("blocks", "seed")}


def default_sweep(results: Path | str, *, own: bool = True) -> Sweep:
    """Return the complete sweep of the digits in results/digits if there is one and `own`, else the shipped sweep."""
    folder = Path(results) / "digits"
    wanted = {experiment.name for experiment in load_preset("digits").experiments()}
    if own and all((folder / name / "run.json").is_file() for name in wanted):
        return Sweep("digits", [record for record in load_records(folder) if record.name in wanted])
    return Sweep("digits", load_records(Path(results) / "shipped-digits"))


def load_sweeps(results: Path | str, *, own: bool = True) -> dict[str, Sweep]:
    """Load the sweeps by name: folders <data set> or <data set>-<what> with three depths or more, the default first."""
    sweeps = {}
    if records_in(Path(results) / "shipped-digits") or (own and records_in(Path(results) / "digits")):
        sweeps["digits"] = default_sweep(results, own=own)
    for dataset in DATASETS:
        for folder in sorted(Path(results).glob(f"{dataset}*")):
            if folder.name == "digits" or folder.name.partition("-")[0] != dataset:
                continue
            sweep = Sweep(folder.name, [run for run in records_in(folder) if run.kind == "run" and run.blocks])
            if len(sweep.depths) >= FEWEST_DEPTHS:
                sweeps[folder.name] = sweep
    return sweeps


def differences(sweep: Sweep, base: Sweep) -> dict[str, tuple[Any, Any]]:
    """Return the fields that differ between two sweeps except depth and seed, as (value in sweep, value in base)."""

    def of(which: Sweep, name: str) -> Any:
        return which.identity.get(name, getattr(which.records[0].experiment, name))  # later fields only if not default

    both = {name: (of(sweep, name), of(base, name)) for name in (*sweep.identity, *base.identity)}
    return {name: (value, usual) for name, (value, usual) in both.items() if value != usual}


def main_sweeps(sweeps: dict[str, Sweep]) -> dict[str, Sweep]:
    """Select the main sweeps: those named like a data set, and those that differ from one only in the kind of block."""
    chosen = {}
    for name, sweep in sweeps.items():
        named = sweeps.get(sweep.dataset)
        if named is None or name == named.name or set(differences(sweep, named)) == {"block"}:
            chosen[name] = sweep
    return chosen


def base_of(sweep: Sweep, sweeps: dict[str, Sweep]) -> Sweep | None:
    """Return the main sweep to compare a sweep with, or None.

    It has the same data set and kind of block; for a main sweep with another kind of block, it is the one named like
    the data set.
    """
    main = main_sweeps(sweeps)
    if sweep.name in main:
        named = sweeps.get(sweep.dataset)
        return named if named is not None and named.name != sweep.name else None
    alike = (each for each in main.values() if (each.dataset, each.block) == (sweep.dataset, sweep.block))
    return next(alike, None)


def sensitivity_sweeps(sweeps: dict[str, Sweep]) -> dict[str, tuple[Sweep, Sweep, dict[str, tuple[Any, Any]]]]:
    """Select the sweeps that vary a choice: by name, the sweep, its main sweep and their differences."""
    chosen = {}
    for name, sweep in sweeps.items():
        base = base_of(sweep, sweeps)
        if base is not None and name not in main_sweeps(sweeps) and (fields := differences(sweep, base)):
            chosen[name] = (sweep, base, fields)
    return chosen


def records_of(sweep: Sweep) -> str:
    """Name the records of a sweep: folder, preset, kind of block, number of runs and of stale ones."""
    preset = f"preset {sweep.preset}" if sweep.preset else ""
    stale = f"{len(sweep.stale)} of them stale: made by sources that have changed since" if sweep.stale else ""
    parts = (preset, KINDS[sweep.block], f"{len(sweep.records)} runs", stale)
    return f"{sweep.folder} ({', '.join(filter(None, parts))})"


def find_sweep(
    results: Path | str = "results",
    dataset: str = "digits",
    block: str = "preactivation",
    *,
    seed: int | None = None,
    shallowest: int = 1,
) -> Sweep:
    """Find the main sweep of a data set and kind of block.

    Args:
        results: folder of all sweeps.
        dataset, block: as in :class:`resperturb.experiment.Experiment`.
        seed: only runs of this seed; None: all.
        shallowest: only runs of at least this many blocks.

    Raises:
        ExperimentError: a bad value.
        RecordError: no such records.
    """
    Experiment(dataset=dataset, block=block, seed=seed or 0)  # checks values
    shallowest = whole_number("shallowest", shallowest, 1)
    there = main_sweeps(load_sweeps(results_folder(results))).values()
    sweep = next((sweep for sweep in there if (sweep.dataset, sweep.block) == (dataset, block)), None)
    if sweep is None:
        named = ", ".join(f"{sweep.dataset} with block {sweep.block}" for sweep in there) or "another folder"
        raise RecordError(f"{results} has no sweep of {dataset} with block {block}; choose from {named}.")
    records = [r for r in sweep.records if r.blocks >= shallowest and seed in (None, r.seed)]
    if not records:
        seeds = ", ".join(map(str, sorted({record.seed for record in sweep.records})))
        raise RecordError(
            f"{sweep.folder} has no record with seed {seed} of {shallowest} blocks or more; choose from seeds {seeds} "
            f"and depths {', '.join(map(str, sweep.depths))}."
        )
    return Sweep(sweep.name, records)


def find_record(sweep: Sweep, blocks: int | None = None) -> Record:
    """Return the first finished run of a sweep with `blocks` blocks; None: of the deepest network.

    Raises:
        RecordError: no such run.
    """
    wanted = max(sweep.depths, default=0) if blocks is None else whole_number("blocks", blocks, 1)
    for record in sweep.finished:
        if record.blocks == wanted:
            return record
    depths = ", ".join(map(str, sweep.depths))
    raise RecordError(f"{sweep.folder} has no finished run of {wanted} blocks; choose from {depths}.")
