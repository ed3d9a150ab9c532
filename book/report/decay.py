"""Exponents over weight decay for the headline: short trainings, usual trainings and published networks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from resperturb.analysis.clock import forgetting_table
from resperturb.analysis.conditions import bar_met, condition_table, on_shared_depths, run_table
from resperturb.analysis.published import published_slopes, published_table
from resperturb.records.record import Record, load_records
from resperturb.records.sweeps import KINDS, TITLES, Sweep, main_sweeps, sensitivity_sweeps

BY = ("dataset", "block", "weight_decay", "epochs")
VARIED = ({"weight_decay"}, {"epochs"})  # changes of T alone
SHARED = ("depths", "exponent", "low", "high", "bent")  # also computed on shared depths
PUBLISHED_DECAY = 1e-4  # of the published networks
COUNTED = "blocks, averaged over blocks"


def short_trainings(results: Path) -> pd.DataFrame:
    """Tabulate the decay sweeps by data set, kind of block and weight decay, with the plan's tests."""
    return labelled([record for dataset in TITLES for record in load_records(results / f"decay-{dataset}")])


def usual_trainings(sweeps: dict[str, Sweep]) -> pd.DataFrame:
    """Tabulate the main sweeps, and those that vary only weight decay or only epochs, with the plan's tests.

    The column trained says whether the networks reach their bar of accuracy.
    """
    chosen = list(main_sweeps(sweeps).values())
    chosen += [sweep for sweep, _, fields in sensitivity_sweeps(sweeps).values() if set(fields) in VARIED]
    rows = [labelled(sweep.records).assign(trained=bar_met(sweep.records)) for sweep in chosen]
    return pd.concat([row for row in rows if len(row)], ignore_index=True)


def gentle_trainings(results: Path) -> pd.DataFrame:
    """Tabulate the exponent of gentle trainings on MNIST over time under weight decay."""
    return forgetting_table([record for record in load_records(results / "clock-steps") if not record.diverged])


def labelled(records: list[Record]) -> pd.DataFrame:
    """Apply the plan's tests by data set, kind of block, weight decay and epochs; networks names the first two.

    Columns that end in _shared use the depths that all conditions of a data set and kind of block share.
    """
    runs = run_table(records, BY).round({"weight_decay": 6})
    shared = condition_table(on_shared_depths(runs, BY[:2], BY), BY)
    table = condition_table(runs, BY).merge(shared[[*BY, *SHARED]], on=BY, how="left", suffixes=("", "_shared"))
    names = [
        f"{TITLES[dataset]}, {KINDS[block]}" for dataset, block in zip(table["dataset"], table["block"], strict=True)
    ]
    return table.assign(networks=names)


def published_networks(results: Path) -> tuple[float, float, float, float]:
    """Return weight decay, exponent over identity blocks, and the ends of its interval, of the published networks."""
    slope = published_slopes(published_table(load_records(results / "published", kind=None)))[COUNTED]
    return PUBLISHED_DECAY, slope.exponent, *slope.interval()
