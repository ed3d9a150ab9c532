"""The sweeps in results/ by folder: what each differs in, and the records that a notebook asks for."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from resperturb.errors import ExperimentError, RecordError
from resperturb.experiment.experiment import BLOCK_KINDS, DATASETS
from resperturb.experiment.parameters import given_in
from resperturb.experiment.presets import BRANCH_SCALES, branch_scale_at, load_preset, sweep_names
from resperturb.experiment.validation import finite, one_of, reject_unknown, whole_number
from resperturb.records.record import Record, load_records

FEWEST_DEPTHS = 3  # a folder with fewer says nothing of depth
TITLES = {"digits": "digits", "mnist": "MNIST", "cifar10": "CIFAR-10"}
KINDS = {"preactivation": "pre-activation", "postactivation": "post-activation"}


def in_a_sentence(dataset: str) -> str:
    """A data set as a sentence names it: the digits, MNIST, CIFAR-10."""
    return TITLES[dataset].replace("digits", "the digits")


def display_name(name: str) -> str:
    """A sweep's name as a reader says it: mnist-postactivation is "MNIST, post-activation". Other names stay."""
    dataset, _, rest = name.partition("-")
    if dataset not in TITLES:
        return name
    return ", ".join(filter(None, [TITLES[dataset], KINDS.get(rest, rest.replace("-", " "))]))


@dataclass(frozen=True)
class Sweep:
    """The records a chapter rests on.

    `shipped` tells that they are those that came with the book, because this checkout has not run the sweep.
    """

    name: str
    records: list[Record]
    shipped: bool

    @property
    def stale(self) -> list[Record]:
        """Records made by sources that have changed since."""
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
        """Where its records lie: results/<sweep>."""
        return f"results/{self.records[0].folder.parent.name}"

    @property
    def dataset(self) -> str:
        return str(self.records[0].run["experiment"]["dataset"])

    @property
    def block(self) -> str:
        return str(self.records[0].run["experiment"]["block"])

    @property
    def label(self) -> str:
        """What a figure's panel is called."""
        return f"{TITLES[self.dataset]}, {KINDS[self.block]}"

    @property
    def preset(self) -> str | None:
        """The preset that runs it again, where there is one of its name."""
        return self.name if self.name in sweep_names() else None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides its runs, beside depth and seed. A branch scale that goes with depth is named by its law."""
        facts = self.records[0].experiment.identity
        law = branch_law({record.blocks: record.experiment.branch_scale for record in self.records})
        return {k: v for k, v in {**facts, "branch_scale": law}.items() if k not in ("blocks", "seed")}


def branch_law(scales: Mapping[int, float]) -> float | str:
    """The branch scale of a sweep, by depth: a number where it is one for all, else the preset's word for it."""
    if len(set(scales.values())) == 1:
        return next(iter(scales.values()))
    for word in BRANCH_SCALES:
        if all(math.isclose(scale, branch_scale_at(word, blocks)) for blocks, scale in scales.items()):
            return word
    return "varied"


def default_sweep(results: Path | str, preset: str = "digits", *, own: bool = True) -> Sweep:
    """The reader's own records of the default sweep where all of them are there, else those that came with the book.

    Args:
        results: the folder of all sweeps.
        preset: the sweep's name.
        own: False for the shipped records in any case.

    Raises:
        RecordError: neither is there.
    """
    folder = Path(results) / preset
    wanted = {experiment.name for experiment in load_preset(preset).experiments()}
    if own and all((folder / name / "run.json").is_file() for name in wanted):
        return Sweep(preset, [record for record in load_records(folder) if record.name in wanted], shipped=False)
    return Sweep(preset, load_records(Path(results) / f"shipped-{preset}"), shipped=True)


def load_sweeps(results: Path | str, *, own: bool = True) -> dict[str, Sweep]:
    """The book's sweeps by name: folders called <data set> or <data set>-<what>, with at least three depths.

    The default sweep comes first and is never left out.
    """
    sweeps = {"digits": default_sweep(results, "digits", own=own)}
    for dataset in DATASETS:
        for folder in sorted(Path(results).glob(f"{dataset}*")):
            if folder.name == "digits" or not (folder.name == dataset or folder.name.startswith(f"{dataset}-")):
                continue
            try:
                sweep = Sweep(folder.name, load_records(folder), shipped=True)
            except RecordError:
                continue
            if len(sweep.depths) >= FEWEST_DEPTHS:
                sweeps[folder.name] = sweep
    return sweeps


def differences(sweep: Sweep, base: Sweep) -> dict[str, tuple[Any, Any]]:
    """The fields that differ between two sweeps, as (in the sweep, in the base); depths and seeds do not count."""
    both = ((name, value, base.identity[name]) for name, value in sweep.identity.items())
    return {name: (value, usual) for name, value, usual in both if value != usual}


def base_of(sweep: Sweep, sweeps: dict[str, Sweep]) -> Sweep | None:
    """The sweep of the same data set that another is compared with, if it is there: the one called as the data set."""
    base = sweeps.get(sweep.dataset)
    return base if base is not None and base.name != sweep.name else None


def main_sweeps(sweeps: dict[str, Sweep]) -> dict[str, Sweep]:
    """The sweeps that carry the results: of each data set, and of each kind of block where that is all that differs."""
    chosen = {}
    for name, sweep in sweeps.items():
        base = base_of(sweep, sweeps)
        if base is None or sweep.block != base.block:
            chosen[name] = sweep
    return chosen


def sensitivity_sweeps(sweeps: dict[str, Sweep]) -> dict[str, tuple[Sweep, Sweep, dict[str, tuple[Any, Any]]]]:
    """Sweeps with the base's kind of block that differ in something else: by name, with the base and what differs."""
    chosen = {}
    for name, sweep in sweeps.items():
        base = base_of(sweep, sweeps)
        if base is not None and sweep.block == base.block and (fields := differences(sweep, base)):
            chosen[name] = (sweep, base, fields)
    return chosen


def stale_words(stale: int) -> str:
    """What a page says of records that are not those of the sources as they are; empty where there are none."""
    return f"{stale} of them stale: made by sources that have changed since" if stale else ""


def records_of(sweep: Sweep) -> str:
    """What a figure rests on: folder, preset, kind of block, runs, and how many of them are stale."""
    preset = f"preset {sweep.preset}" if sweep.preset else ""
    parts = (preset, KINDS[sweep.block], f"{len(sweep.records)} runs", stale_words(len(sweep.stale)))
    return f"{sweep.folder} ({', '.join(filter(None, parts))})"


@dataclass(frozen=True)
class Selection:
    """What a notebook that reads records is asked for.

    Raises:
        ExperimentError: a field has a value outside what is allowed.
    """

    dataset: str = "digits"
    block: str = "preactivation"
    blocks: int | None = None  # depth; None: the deepest there is
    seed: int | None = None  # None: all seeds, or the first where one run is asked for
    shallowest: int = 1  # smaller depths are left out
    epsilon: float = 0.05  # of the stopping rule
    results: str = "results"  # the folder of all sweeps

    def __post_init__(self) -> None:
        one_of("dataset", self.dataset, DATASETS)
        if isinstance(self.block, numbers.Number):
            raise ExperimentError(
                f"block is the kind of block, one of {', '.join(BLOCK_KINDS)}, but got {self.block!r}; the number of "
                f"residual blocks is called blocks: use blocks={self.block!r}."
            )
        one_of("block", self.block, BLOCK_KINDS)
        for name, low in (("blocks", 1), ("seed", 0), ("shallowest", 1)):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, whole_number(name, value, low))
        object.__setattr__(self, "epsilon", finite("epsilon", self.epsilon, above=0.0))
        if not isinstance(self.results, str | Path) or not str(self.results):
            raise ExperimentError(f"results must be the name of a folder, but got {self.results!r}.")


def read_selection(namespace: Mapping[str, Any], *known: str) -> Selection:
    """The selection from ``globals()`` right after the parameters cell.

    Args:
        namespace: names and values; what a kernel defines itself is left out.
        known: the names of the notebook's own parameters, fields of :class:`Selection`.

    Raises:
        ExperimentError: a plain value whose name is no parameter (with the nearest right name), or a bad value.
    """
    given = given_in(namespace)
    reject_unknown(given, known)
    return Selection(**given)


def select_sweep(selection: Selection) -> Sweep:
    """The sweep of the data set and the kind of block, with the seed and the depths that are asked for.

    Raises:
        RecordError: there is none; the message says which there are.
    """
    sweeps = main_sweeps(load_sweeps(selection.results))
    for sweep in sweeps.values():
        if (sweep.dataset, sweep.block) == (selection.dataset, selection.block):
            records = [
                record
                for record in sweep.records
                if record.blocks >= selection.shallowest and selection.seed in (None, record.seed)
            ]
            if not records:
                seeds = sorted({record.seed for record in sweep.records})
                raise RecordError(
                    f"{sweep.folder} has no record with seed {selection.seed} of {selection.shallowest} blocks or "
                    f"more; its seeds are {', '.join(map(str, seeds))}, its depths {', '.join(map(str, sweep.depths))}."
                )
            return Sweep(sweep.name, records, sweep.shipped)
    there = ", ".join(f"{sweep.dataset} with block {sweep.block}" for sweep in sweeps.values())
    raise RecordError(
        f"{selection.results} holds no sweep of {selection.dataset} with block {selection.block}; there is {there}."
    )


def select_record(selection: Selection) -> Record:
    """One run: the depth that is asked for, or the deepest; the seed that is asked for, or the first.

    Raises:
        RecordError: there is none; the message says which depths there are.
    """
    sweep = select_sweep(selection)
    blocks = sweep.depths[-1] if selection.blocks is None and sweep.depths else selection.blocks
    for record in sweep.finished:
        if record.blocks == blocks:
            return record
    raise RecordError(
        f"{sweep.folder} has no finished run of {blocks} blocks; its depths are {', '.join(map(str, sweep.depths))}."
    )
