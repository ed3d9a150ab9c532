"""Claims about the runs at full size."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from report.claims import HAUSER, INVERSE, OURS, Finding, claim, truth, within
from report.decay import FULL_SIZE, PEOPLE_USE, full_size_name, full_size_sweeps
from report.published_claims import falls_with_depth
from report.study_claims import Records
from report.sweep_claims import if_trained, inverse_proportion
from resperturb.analysis.conditions import (
    at_depths_of,
)
from resperturb.analysis.published import response_table
from resperturb.analysis.slope_tests import SMALLEST, difference, fit_runs
from resperturb.analysis.summaries import interval, signed
from resperturb.records.sweeps import KINDS, Sweep

FULL_EXPECTED = {  # exponents that the plan expects
    "standard-mnist": -0.65,
    "standard-cifar10": -0.70,
    "standard-mnist-postactivation": -0.70,
    "standard-cifar10-postactivation": -0.71,
}


def full_sweep(records: Records, results: Path, block: str) -> Sweep | None:
    return full_size_sweeps(results).get(full_size_name(records[0].folder.parent.name, block))


def inverse_at_full_size(records: Records, results: Path, tests: pd.DataFrame, block: str) -> Finding | None:
    sweep = full_sweep(records, results, block)
    return inverse_proportion(sweep, tests) if sweep else None


def as_expected_at_full_size(records: Records, results: Path, block: str) -> Finding | None:
    sweep = full_sweep(records, results, block)
    if sweep is None:
        return None
    slope, expected = fit_runs(sweep.records), FULL_EXPECTED[sweep.name]
    value = f"{signed(slope.exponent)}, expected {signed(expected)}"
    return if_trained(Finding(value, truth(abs(slope.exponent - expected) <= SMALLEST), interval(slope)), sweep)


def smaller_recipe_moves_little(
    records: Records, results: Path, sweeps: dict[str, Sweep], block: str
) -> Finding | None:
    full = full_sweep(records, results, block)
    half = sweeps.get(full.name.removeprefix("standard-")) if full else None
    if full is None or half is None:
        return None
    both = at_depths_of(full.finished, half.finished), at_depths_of(half.finished, full.finished)
    moved, low, high = difference(*map(fit_runs, both))
    found = Finding(signed(moved), within(low, high, SMALLEST), f"{signed(low)} to {signed(high)}")
    return if_trained(found, full, half)


for block, kind in KINDS.items():
    suffix, blocks, networks = "", "", ""
    if block != "preactivation":
        suffix, blocks, networks = f"-{block}", f" and {kind} blocks", f" of {kind} networks"
    claim_full = partial(claim, shown="scaling#full-size", about=tuple(FULL_SIZE), block=block)
    claim_full(
        f"inverse{suffix}",
        HAUSER,
        f"At full size, with a weight decay of {PEOPLE_USE:g}{blocks}, the average is {INVERSE}.",
        planned=True,
    )(inverse_at_full_size)
    claim_full(
        f"expected{suffix}",
        OURS,
        f"The exponent{networks} at full size is within {SMALLEST} of the one that the plan expects.",
        planned=True,
    )(as_expected_at_full_size)
    claim_full(
        f"smaller-images{suffix}",
        OURS,
        f"Images of half the size, and fewer epochs, move the exponent{networks} by less than {SMALLEST}, on the "
        "depths of both.",
    )(smaller_recipe_moves_little)


@claim(
    "responses",
    "this book, after He et al. 2015",
    "At full size, deeper networks have smaller responses: the root mean square of what their additions add falls with "
    "depth.",
    shown="others#what-the-records-say",
    about="standard-cifar10",
)
def smaller_responses_at_full_size(records: Records, results: Path) -> Finding | None:
    sweep = full_size_sweeps(results).get("standard-cifar10")
    return falls_with_depth(response_table(sweep.finished)) if sweep else None
