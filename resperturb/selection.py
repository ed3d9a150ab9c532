"""The records that a notebook is asked for: its parameters checked, and the sweep found that has them."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from resperturb.errors import ExperimentError
from resperturb.experiment import BLOCK_KINDS, DATASETS, finite, one_of, reject_unknown, whole_number
from resperturb.parameters import given_in
from resperturb.records import Record, RecordError
from resperturb.sweeps import Sweep, main_sweeps, sweeps


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
    found = main_sweeps(sweeps(selection.results))
    for sweep in found.values():
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
    there = ", ".join(f"{sweep.dataset} with block {sweep.block}" for sweep in found.values())
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
