"""Exponents over weight decay: short, usual and gentle trainings, and published networks."""

from __future__ import annotations

import itertools
from pathlib import Path

import pandas as pd

from report.quantities import published_clock
from resperturb.analysis.clock import forgetting_table
from resperturb.analysis.conditions import (
    bar_met,
    condition_table,
    full_size,
    on_shared_depths,
    run_table,
    sweep_conditions,
)
from resperturb.analysis.published import OVER_BLOCKS, published_slopes, published_table
from resperturb.analysis.readings import pooled_slopes, slope_over
from resperturb.analysis.slope_tests import LEVEL, Slope, answer, holm
from resperturb.records.record import Record, load_records, records_in
from resperturb.records.sweeps import FEWEST_DEPTHS, KINDS, TITLES, Sweep, main_sweeps, sensitivity_sweeps

BY = ("dataset", "block", "weight_decay", "epochs", "stem_stride")
VARIED = ({"weight_decay"}, {"epochs"})  # changes of T alone
SHARED = ("depths", "exponent", "low", "high", "bent")  # also computed on shared depths
FULL_SIZE = {"standard-mnist": 96, "standard-cifar10": 108}  # folders, and the deepest networks of their primary tests
PEOPLE_USE = 5e-4  # weight decay
PUBLISHED = "idelbayev"  # schedule of the published networks


def short_trainings(results: Path) -> pd.DataFrame:
    """Tabulate the decay sweeps by data set, kind of block and weight decay, with the plan's tests."""
    return labelled([record for dataset in TITLES for record in load_records(results / f"decay-{dataset}")])


def full_size_sweeps(results: Path, weight_decay: float = PEOPLE_USE) -> dict[str, Sweep]:
    """Load the sweeps at full size by name: those of :func:`full_size_runs` with three depths or more."""
    found = full_size_runs(results, weight_decay).values()
    return {sweep.name: sweep for sweep in found if len(sweep.depths) >= FEWEST_DEPTHS}


def full_size_runs(results: Path, weight_decay: float = PEOPLE_USE) -> dict[str, Sweep]:
    """Load the runs at full size by name: a data set, a kind of block, and one decay; those that have records.

    Networks deeper than those of the primary tests are left out.
    """
    found = {}
    for (folder, deepest), block in itertools.product(FULL_SIZE.items(), KINDS):
        name = folder + f"-{block}" * (block != "preactivation") + "-no-decay" * (weight_decay == 0)
        alike = (r for r in records_in(results / folder) if r.experiment.block == block)
        runs = [r for r in alike if 0 < r.blocks <= deepest and r.weight_decay == weight_decay]
        if runs:
            found[name] = Sweep(name, runs)
    return found


def primary_sweeps(sweeps: dict[str, Sweep], results: Path) -> dict[str, Sweep]:
    """Select the sweeps whose tests of -1 the plan corrects together: the main ones, and full size."""
    return main_sweeps(sweeps) | full_size_sweeps(results)


def primary_tests(sweeps: dict[str, Sweep], results: Path) -> pd.DataFrame:
    """Tabulate the plan's tests of the primary sweeps by name, with p-values corrected over all of them.

    Columns answer_<reading> have the same tests for other readings of the claim.
    """
    primary = primary_sweeps(sweeps, results)
    table = sweep_conditions(primary).set_index("sweep")
    for reading in ("additions", "harmonic"):
        slopes = [slope_over(primary[sweep].records, reading) for sweep in table.index]
        rejected = [p < LEVEL for p in holm([slope.p_value() for slope in slopes])]
        pairs = zip(rejected, slopes, strict=True)
        table[f"answer_{reading}"] = [answer(no, slope.equivalence() < LEVEL, slope.bent) for no, slope in pairs]
    return table


def slopes_with_one_scatter(sweeps: dict[str, Sweep], results: Path, reading: str) -> dict[str, Slope]:
    """Fit the primary sweeps and those that vary *T* alone, if they reach their bar, as if all runs of a data set
    scattered alike; by name."""
    chosen = primary_sweeps(sweeps, results)
    chosen |= {name: sweep for name, (sweep, _, fields) in sensitivity_sweeps(sweeps).items() if set(fields) in VARIED}
    trained = [(name, sweep) for name, sweep in chosen.items() if bar_met(sweep.records)]
    by_dataset = ({name: s.records for name, s in trained if s.dataset == dataset} for dataset in TITLES)
    return {name: slope for groups in by_dataset if groups for name, slope in pooled_slopes(groups, reading).items()}


def usual_trainings(sweeps: dict[str, Sweep], results: Path) -> pd.DataFrame:
    """Tabulate the primary sweeps, and those that vary only decay or only epochs, with the plan's tests.

    Column trained: whether the networks reach their bar of accuracy; full: whether images have full size.
    """
    chosen = [*primary_sweeps(sweeps, results).values(), *full_size_sweeps(results, weight_decay=0.0).values()]
    chosen += [sweep for sweep, _, fields in sensitivity_sweeps(sweeps).values() if set(fields) in VARIED]
    rows = [
        labelled(s.records).assign(trained=bar_met(s.records), full=full_size(s.records[0].experiment)) for s in chosen
    ]
    return pd.concat([row for row in rows if len(row)], ignore_index=True)


def gentle_trainings(results: Path) -> pd.DataFrame:
    """Tabulate the exponent of gentle trainings on MNIST over time under weight decay."""
    return forgetting_table([record for record in load_records(results / "clock-steps") if not record.diverged])


def labelled(records: list[Record]) -> pd.DataFrame:
    """Apply the plan's tests by data set, kind of block, weight decay, epochs and stem; networks names the first two.

    Columns that end in _shared use the depths that all conditions of a data set and kind of block share.
    """
    runs = run_table(records, BY).round({"weight_decay": 6})
    shared = condition_table(on_shared_depths(runs, BY[:2], BY), BY)
    table = condition_table(runs, BY).merge(shared[[*BY, *SHARED]], on=BY, how="left", suffixes=("", "_shared"))
    names = [
        f"{TITLES[dataset]}, {KINDS[block]}" for dataset, block in zip(table["dataset"], table["block"], strict=True)
    ]
    return table.assign(networks=names)


def published_networks(results: Path) -> pd.DataFrame:
    """Tabulate the exponent over identity blocks of the published networks, with *T* by the defaults of their code."""
    slope = published_slopes(published_table(load_records(results / "published", kind=None)))[OVER_BLOCKS]
    return pd.DataFrame([{"clock": published_clock(PUBLISHED), **slope.columns}])
