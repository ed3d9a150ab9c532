"""Claims about the runs at full size."""

from __future__ import annotations

from functools import partial

import pandas as pd

from report.claims import HAUSER, INVERSE, OURS, Finding, claim, matters, truth, within
from report.comparison_claims import one_exponent
from report.decay import PEOPLE_USE
from report.published_claims import falls_with_depth
from report.sweep_claims import if_trained, inverse_proportion
from resperturb.analysis.published import response_table
from resperturb.analysis.sensitivity import shared_slopes
from resperturb.analysis.slope_tests import SMALLEST, difference, fit_runs
from resperturb.analysis.summaries import interval, signed
from resperturb.records.sweeps import Sweep

EXPECTED = {  # exponents that the plan expects
    "standard-mnist": -0.65,
    "standard-cifar10": -0.70,
    "standard-mnist-postactivation": -0.70,
    "standard-cifar10-postactivation": -0.71,
    "standard-cifar10-no-decay": -0.57,
}
claim_full = partial(claim, shown="scaling#full-size", about="full-size")


@claim_full(
    "inverse", HAUSER, f"At full size, with a weight decay of {PEOPLE_USE:g}, the average is {INVERSE}.", planned=True
)
def inverse_at_full_size(sweep: Sweep, tests: pd.DataFrame) -> Finding | None:
    return inverse_proportion(sweep, tests) if sweep.name in tests.index else None


@claim_full(
    "expected",
    OURS,
    f"The exponent at full size is within {SMALLEST} of the one that the plan expects.",
    planned=True,
)
def as_expected_at_full_size(sweep: Sweep) -> Finding:
    slope, expected = fit_runs(sweep.records), EXPECTED[sweep.name]
    value = f"{signed(slope.exponent)}, expected {signed(expected)}"
    return if_trained(Finding(value, truth(abs(slope.exponent - expected) <= SMALLEST), interval(slope)), sweep)


@claim(
    "decay",
    OURS,
    f"At full size, the usual decay moves the exponent by more than {SMALLEST} compared with none, on the depths of "
    "both (test 4 of the plan).",
    shown="decay#what-the-records-say",
    about="full-size",
    planned=True,
)
def decay_matters_at_full_size(sweep: Sweep, full: dict[str, Sweep]) -> Finding | None:
    usual = full.get(sweep.name.removesuffix("-no-decay"), sweep)
    if usual is sweep or (slopes := shared_slopes(usual, sweep)) is None:
        return None
    return if_trained(matters(*slopes, usual.records[0].clock), usual, sweep)


@claim_full(
    "smaller-images",
    OURS,
    f"Images of half the size, and fewer epochs, move the exponent by less than {SMALLEST}, on the depths of both.",
)
def smaller_recipe_moves_little(sweep: Sweep, sweeps: dict[str, Sweep]) -> Finding | None:
    half = sweeps.get(sweep.name.removeprefix("standard-"))
    if half is None or (slopes := shared_slopes(half, sweep)) is None:
        return None
    moved, low, high = difference(*slopes)
    found = Finding(signed(moved), within(low, high, SMALLEST), f"{signed(low)} to {signed(high)}")
    return if_trained(found, sweep, half)


@claim_full(
    "kind",
    OURS,
    f"At full size, post-activation blocks have the exponent of pre-activation blocks after training, within "
    f"{SMALLEST}.",
)
def kinds_agree_at_full_size(sweep: Sweep, full: dict[str, Sweep]) -> Finding | None:
    usual = full.get(sweep.name.removesuffix("-postactivation"), sweep)
    return one_exponent(sweep, usual) if usual is not sweep else None


@claim(
    "responses",
    "this book, after He et al. 2015",
    "At full size, deeper networks have smaller responses: the root mean square of what their additions add falls with "
    "depth.",
    shown="others#what-the-records-say",
    about="full-size",
)
def smaller_responses_at_full_size(sweep: Sweep) -> Finding | None:
    return falls_with_depth(response_table(sweep.finished)) if sweep.dataset == "cifar10" else None
