"""Claims about the mechanism: predictions made before their runs, and their reasons."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path

import pandas as pd

from report.claims import HAUSER, HOLDS, NOT, OPEN, OURS, Finding, claim, exponent_is, truth, within
from resperturb.analysis.clock import clock_table, forgetting_table, left_out_errors, steps_effect
from resperturb.analysis.mechanism import (
    ACCOUNT,
    PREDICTION_BARS,
    STRAIGHT,
    load_predictions,
    prediction_table,
    scores,
)
from resperturb.analysis.slope_tests import SMALLEST, fit_runs
from resperturb.analysis.summaries import interval, signed
from resperturb.records.record import Record, records_in

PREDICTIONS = Path(__file__).parents[1] / "predictions.yml"
FIRST, SECOND = "first-round", "mechanism-second"  # rounds of predictions
FIRST_PRESETS = ("mechanism-mnist", "mechanism-cifar10", "cifar10-zero")
BOTH = "zero start, decay on gains and shifts"
EACH = ("zero start, no decay", "decay on gains and shifts")

STILL = 0.05  # smaller effects of the number of steps count as none

claim_clock = partial(claim, shown="decay#what-the-records-say", about="clock-steps")
claim_round = partial(claim, shown="predictions#what-the-records-say", about=(FIRST, SECOND), planned=True)
claim_each = partial(claim, shown="predictions#what-the-records-say", about=("mechanism-mnist", "mechanism-cifar10"))


@cache
def predicted(results: Path) -> pd.DataFrame:
    """Tabulate predicted and measured exponents of all presets."""
    records = {name: [r for r in records_in(results / name) if r.kind == "run"] for name in PREDICTION_BARS}
    return prediction_table(load_predictions(PREDICTIONS), records)


def of_round(results: Path, records: list[Record]) -> pd.DataFrame:
    """Select the predictions of the round of these records."""
    table = predicted(results)
    second = table["preset"] == SECOND
    return table[second if records[0].folder.parent.name == SECOND else ~second]


@claim_round(
    "hits",
    OURS,
    f"Every predicted exponent that was not known before is within {SMALLEST} of the measured one.",
)
def hits(results: Path, records: list[Record]) -> Finding:
    table = of_round(results, records)
    counted = table[table["counts"]]
    good = int(counted["hit"].sum())
    return Finding(f"{good} of {len(counted)}", truth(good == len(counted)))


@claim_round(
    "beats-decay",
    OURS,
    "The account's mean error is smaller than the error of the rival “decay decides”.",
    rival="decay-decides",
)
@claim_round(
    "beats-two-parts",
    OURS,
    "The account's mean error is smaller than the error of the rival “two parts”.",
    rival="two-parts",
)
def beats(results: Path, records: list[Record], rival: str) -> Finding:
    errors = scores(of_round(results, records))
    return Finding(f"{errors[ACCOUNT]:.2f} against {errors[rival]:.2f}", truth(errors[ACCOUNT] < errors[rival]))


@claim(
    "reasons",
    OURS,
    f"Paths stay straight as depth grows (slope of straightness above {STRAIGHT}) where the initial weights of the last"
    " convolutions are gone or were zero, and in no other condition.".replace("-", "−"),
    shown="mechanism#what-the-records-say",
    about=(FIRST, SECOND),
    planned=True,
)
def reasons(results: Path, records: list[Record]) -> Finding | None:
    table = of_round(results, records)
    table = table[table["trained"] & table["straightness_late"].notna()]
    if table.empty:
        return None
    good = int(((table["straightness_late"] > STRAIGHT) == table["straight"]).sum())
    return Finding(f"{good} of {len(table)}", truth(good == len(table), good > len(table) / 2))


@claim_each(
    "both",
    OURS,
    "A zero start, or decay on gains and shifts, each leaves an exponent above −0.75; both bring it to −0.8 or below.",
)
def both_are_needed(results: Path, records: list[Record]) -> Finding | None:
    preset = records[0].folder.parent.name
    table = predicted(results)
    rows = table[table["preset"] == preset].set_index("condition")
    if not {BOTH, *EACH} <= set(rows.index):
        return None
    ends = rows[["measured", "low", "high"]].astype(float).T.to_dict()
    one, other, both = (ends[name] for name in (*EACH, BOTH))
    apart = both["high"] < -0.8 and min(one["low"], other["low"]) > -0.75
    never = both["low"] > -0.8 or max(one["high"], other["high"]) < -0.75
    values = f"{signed(one['measured'])}, {signed(other['measured'])}; both {signed(both['measured'])}"
    return Finding(
        values, HOLDS if apart else NOT if never else OPEN, f"{signed(both['low'])} to {signed(both['high'])}"
    )


@claim_clock(
    "steps",
    OURS,
    "At one T above 0, the number of steps hardly matters: the average goes with it as a power within "
    f"{STILL} of 0 (all runs).",
    planned=True,
)
def steps_do_not_matter(runs: list[Record]) -> Finding:
    effect = steps_effect(clock_table(runs))
    return Finding(signed(effect.exponent), within(effect.low, effect.high, STILL), interval(effect))


@claim_clock(
    "beats-decay", OURS, "T predicts the average of trainings of another length better than the weight decay does."
)
def clock_beats_decay(runs: list[Record]) -> Finding:
    errors = left_out_errors(clock_table(runs))
    return Finding(
        f"{errors['clock']:.2f} against {errors['weight_decay']:.2f}", truth(errors["clock"] < errors["weight_decay"])
    )


@claim_clock(
    "forgotten",
    "this book, after Wan et al. 2021",
    "The part of the initial weights that is left is e^−T, within a tenth of it, at every T.",
)
def forgotten(runs: list[Record]) -> Finding:
    table = forgetting_table(runs).set_index("clock")
    off = (table["memory"] / table["formula"] - 1).abs()
    values = ", ".join(f"{left:.2f} at {clock:g}" for clock, left in table["memory"].items())
    return Finding(values, truth(bool((off <= 0.1).all())))


@claim_clock(
    "exponent-most",
    HAUSER,
    "Gentle trainings: at the largest T that trainings of every length reached, the average is inversely proportional "
    "to the number of blocks.",
    clock=2.4,
)
@claim_clock(
    "exponent-none",
    HAUSER,
    "Gentle trainings: without decay, the average is inversely proportional to the number of blocks.",
    clock=0.0,
)
def gentle_exponent(runs: list[Record], clock: float) -> Finding:
    found = exponent_is(fit_runs(run for run in runs if round(run.clock, 3) == clock), -1.0)
    return Finding(f"{found.value} at T = {clock:g}", found.verdict, found.interval)
