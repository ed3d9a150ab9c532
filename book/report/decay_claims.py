"""Claims about short trainings, with weight decay as an axis."""

from __future__ import annotations

from functools import partial

import pandas as pd

from report.claims import ANSWERS, HAUSER, INVERSE, OPEN, OURS, POINT, Finding, claim, exponent_is, matters, truth
from report.decay import PEOPLE_USE
from report.study_claims import Records
from report.sweep_claims import all_alive, as_good_as_a_power, steeper
from resperturb.analysis.conditions import (
    accuracy_by_depth,
    alive,
    at_depths_of,
    condition_table,
    run_table,
    runs_at,
    strongest,
)
from resperturb.analysis.power_law import stopping_depth
from resperturb.analysis.slope_tests import SMALLEST, fit_runs, fit_slope
from resperturb.analysis.summaries import clock_words, exponent_words, interval
from resperturb.records.sweeps import TITLES, Sweep

DECAY = ("block", "weight_decay")
USUAL = 2e-3  # the largest weight decay that counts as little
STRONG = "the decay that takes T to 5"
EPSILON = 0.05  # of the stopping rule; the paper names none
FOLDERS = tuple(f"decay-{dataset}" for dataset in TITLES)
claim_decay = partial(claim, shown="decay#what-the-records-say", about=FOLDERS)


def by_decay(records: Records) -> pd.DataFrame:
    """The plan's tests of each decay with pre-activation blocks, strongest decay last."""
    table = condition_table(run_table(records, DECAY), DECAY)
    return table[table["block"] == "preactivation"].sort_values("weight_decay", ignore_index=True)


@claim_decay(
    "usual",
    HAUSER,
    f"In short trainings with little weight decay or none (up to {USUAL:g}), the average is {INVERSE}.",
)
def usual_decay(records: Records) -> Finding:
    table = by_decay(records)
    table = table[table["weight_decay"] <= USUAL]
    words = set(table["answer"])
    slopes = [fit_runs(runs_at(records, decay)) for decay in table["weight_decay"]]
    value = ", ".join(f"{exponent_words(s)} at {clock_words(t)}" for s, t in zip(slopes, table["clock"], strict=True))
    return Finding(value, ANSWERS[words.pop()] if len(words) == 1 else OPEN, "; ".join(map(interval, slopes)))


@claim_decay("strong", HAUSER, f"In short trainings with {STRONG}, the average is {INVERSE}.")
def strong_decay(records: Records) -> Finding:
    last = by_decay(records).iloc[-1]
    slope = fit_runs(runs_at(records, last["weight_decay"]))
    return Finding(exponent_words(slope), ANSWERS[last["answer"]], interval(slope))


@claim_decay(
    "strong-shared", HAUSER, f"With {STRONG}, on the depths that were also run without decay, the average is {INVERSE}."
)
def strong_decay_on_shared_depths(records: Records) -> Finding:
    return exponent_is(fit_runs(at_depths_of(runs_at(records, 0.0), runs_at(records, strongest(records)))), -1.0)


@claim_decay(
    "strong-shifted",
    OURS,
    f"With {STRONG}, a shifted inverse c/(L + b) describes the averages as well as a power of L does.",
)
def strong_decay_shifted(records: Records) -> Finding | None:
    return as_good_as_a_power(runs_at(records, strongest(records)))


@claim_decay("moves", OURS, f"Compared with none, {STRONG} makes the exponent steeper by more than {SMALLEST}.")
def decay_moves_it(records: Records) -> Finding:
    strong, none = (runs_at(records, decay) for decay in (strongest(records), 0.0))
    return steeper(fit_runs(at_depths_of(none, strong)), fit_runs(none))


@claim_decay(
    "usual-moves",
    OURS,
    f"In short trainings, a decay of {PEOPLE_USE:g} moves the exponent by more than {SMALLEST} compared with none "
    "(test 4 of the plan).",
    planned=True,
)
def usual_decay_moves_it(records: Records, sweeps: dict[str, Sweep]) -> Finding | None:
    usual, none = runs_at(records, PEOPLE_USE), runs_at(records, 0.0)
    if none and none[0].experiment.dataset == "digits":  # their short training is the main recipe
        usual = at_depths_of(none, sweeps["digits"].finished)
    return matters(fit_runs(usual), fit_runs(none), usual[0].clock) if usual else None


@claim_decay("strong-live", HAUSER, f"With {STRONG}, the average over live blocks alone is {INVERSE}.")
def strong_decay_over_live_blocks(records: Records) -> Finding:
    runs = runs_at(records, strongest(records))
    averages = [record.blocks_at("end")["scaled"][alive(record.blocks_at("end"))].mean() for record in runs]
    return exponent_is(fit_slope([record.blocks for record in runs], averages), -1.0)


@claim_decay("alive", OURS, f"With {STRONG}, every block adds something that depends on the image.")
def alive_under_strong_decay(records: Records) -> Finding:
    return all_alive(by_decay(records)["alive"].iloc[-1])


@claim_decay("accurate", OURS, f"At every depth, networks without decay are at least as accurate as with {STRONG}.")
def as_accurate_without(records: Records) -> Finding:
    strong = accuracy_by_depth(runs_at(records, strongest(records)))
    gained = (accuracy_by_depth(runs_at(records, 0.0)) - strong).dropna()
    value = f"{100 * gained.min():+.1f} to {100 * gained.max():+.1f} points".replace("-", "−")
    return Finding(value, truth(bool((gained >= 0).all()), bool((gained >= -POINT).all())))


@claim_decay(
    "stopping",
    OURS,
    f"The stopping rule measures the task, not the decay: the average falls below {EPSILON} at the same depth with and "
    "without decay, within a factor of 2.",
)
def stops_alike(records: Records) -> Finding:
    depths = [stopping_depth(EPSILON, runs_at(records, decay), replicates=200) for decay in (strongest(records), 0.0)]
    words = [f"{found.depth}{'' if found.measured else ' (extrapolated)'}" for found in depths]
    ratio = depths[1].crossing / depths[0].crossing
    return Finding(f"{words[0]} with, {words[1]} without", truth(0.5 <= ratio <= 2))
