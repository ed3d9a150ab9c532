"""Claims about studies: initialisation, transformers, networks without blocks."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from report.claims import (
    AFTER_DE_SMITH,
    HOLDS,
    NOT,
    OPEN,
    OURS,
    POINT,
    Finding,
    across,
    claim,
    exponent_is,
    open_unless,
    truth,
)
from report.sweep_claims import steeper
from resperturb.analysis import study_tables
from resperturb.analysis.conditions import accuracy_by_depth, runs_at, strongest
from resperturb.analysis.slope_tests import SMALLEST, Slope, fit_slope, mean_difference
from resperturb.analysis.theory import VARIANTS
from resperturb.records.record import Record, load_records
from resperturb.records.sweeps import TITLES, Sweep

POWERS = {0.0: "does not depend on depth", -0.5: "falls as 1/√L", -1.0: "falls as 1/L"}

Records = list[Record]

# ------------------------------------------------------------------------------------------- initialisation

claim_start = partial(claim, shown="initialization#the-exponents", about="initialization")


def initial_exponent(records: Records, variant: str, claimed: float) -> Finding | None:
    """The finding on the theory's exponent for one way to initialise."""
    laws = study_tables.initial_laws(study_tables.initial_averages(records))
    return exponent_is(laws[variant], claimed) if variant in laws else None


for key, variant in VARIANTS.items():
    if variant.exponent is not None and not variant.power:  # a factor on the branch passes its own exponent on
        power = POWERS[variant.exponent]
        claim_start(
            key,
            AFTER_DE_SMITH if variant.norm == "batch" else variant.source,
            f"Before training, in one section ({variant.label}), the average scaled perturbation {power}.",
            variant=key,
            claimed=variant.exponent,
        )(initial_exponent)


# ------------------------------------------------------------------------------------------- text

claim_text = partial(claim, shown="others#transformers", about="text")
claim_long = partial(claim, shown="others#transformers", about="text-long")
TOKENS = "what the blocks of a transformer add to a token, relative to its norm, falls as"
LONG = "In transformers trained ten times as long,"
LARGEST_LOSS = 1.6  # the plan's largest held-out loss, nats per character
EXPECTED_TEXT = {("plain", 0.1): -0.80, ("plain", 0.5): -0.85, ("plain", 2.5): -0.95, ("scaled", 0.1): -0.85}
"""The plan's exponents, by initialisation and weight decay."""


def trained_exponents(records: Records) -> dict[Any, Slope]:
    """The exponents over layers after training, by initialisation and weight decay."""
    ended = study_tables.text_averages(records).query("moment == 'end' and part == 'both'")
    groups = ended.groupby(list(study_tables.TEXT_TRAINING))
    return {way: fit_slope(part["layers"], part["scaled"]) for way, part in groups if part["layers"].nunique() > 2}


def reach_bar(records: Records, *ways: tuple[str, float]) -> bool:
    losses = study_tables.text_losses(records).set_index(list(study_tables.TEXT_TRAINING))["loss_high"]
    return max(losses[way] for way in ways) <= LARGEST_LOSS


@claim_text("exponent-end", OURS, f"After a short training, {TOKENS} 1/L.", moment="end", claimed=-1.0)
@claim_text("exponent-initialization", OURS, f"Before training, {TOKENS} 1/√L.", moment="initialization", claimed=-0.5)
def text_exponent(records: Records, moment: str, claimed: float) -> Finding:
    table = study_tables.text_averages(records)
    there = table[(table["moment"] == moment) & (table["part"] == "both")]
    return exponent_is(fit_slope(there["layers"], there["scaled"]), claimed)


@claim_text("parts", OURS, "After training, the MLP adds more than attention at every depth.")
def mlp_adds_more(records: Records) -> Finding:
    table = study_tables.text_averages(records)
    end = table[table["moment"] == "end"].groupby(["layers", "part"])["scaled"].mean().unstack()
    return across(end["mlp"] / end["attention"], "{:.2f} times", lambda value: value > 1)


@claim_long("long", OURS, f"{LONG} with the usual decay, the average falls as 1/L.", way=("plain", 0.1))
@claim_long("long-strong", OURS, f"{LONG} with the strongest decay, the average falls as 1/L.", way=("plain", 2.5))
def long_exponent(records: Records, way: tuple[str, float]) -> Finding | None:
    slopes = trained_exponents(records)
    return open_unless(reach_bar(records, way), exponent_is(slopes[way], -1.0)) if way in slopes else None


@claim_long("long-decay", OURS, f"{LONG} five times the decay makes the exponent steeper by more than {SMALLEST}.")
def decay_makes_steeper(records: Records) -> Finding | None:
    slopes, ways = trained_exponents(records), (("plain", 0.5), ("plain", 0.1))
    if not set(ways) <= set(slopes):
        return None
    return open_unless(reach_bar(records, *ways), steeper(*(slopes[way] for way in ways)))


@claim_long("long-predicted", OURS, f"{LONG} every exponent is within {SMALLEST} of its prediction.", planned=True)
def predicted_well(records: Records) -> Finding:
    slopes = {way: slope for way, slope in trained_exponents(records).items() if reach_bar(records, way)}
    hits = sum(abs(slope.exponent - EXPECTED_TEXT[way]) <= SMALLEST for way, slope in slopes.items())
    return Finding(f"{hits} of {len(slopes)}", truth(hits == len(slopes)))


# ------------------------------------------------------------------------------------------ networks without blocks


def worse_without(
    records: Records, results: Path, sweeps: dict[str, Sweep], dataset: str, strong: bool
) -> Finding | None:
    """The finding on "blocks make networks more accurate", by the plan's rule; `strong`: with strong decay."""
    if strong:
        every = load_records(results / f"decay-{dataset}")
        with_blocks = runs_at(every, strongest(every))
    elif dataset in sweeps:
        with_blocks = sweeps[dataset].finished
    else:
        return None
    settings = {**with_blocks[0].experiment.identity, "blocks": 0, "sections": 3, "seed": None}
    bare = [r.accuracy for r in records if {**r.experiment.identity, "seed": None} == settings]
    if not bare:
        return None
    seeds = pd.Series([r.blocks for r in with_blocks]).value_counts()
    repeated = [r for r in with_blocks if seeds[r.blocks] > 1]  # a single run has no interval
    best = accuracy_by_depth(repeated or with_blocks).idxmax()
    deep = [r.accuracy for r in with_blocks if r.blocks == best]
    gained, low, high = mean_difference(deep, bare)
    value = f"{sum(bare) / len(bare):.1%} without, {sum(deep) / len(deep):.1%} at {best}"
    word = NOT if gained <= POINT else HOLDS if low > 0 else OPEN
    ends = f"{100 * low:+.1f} to {100 * high:+.1f} points".replace("-", "−") if low == low else ""
    return Finding(value, word, ends)


for strong in (False, True):
    for dataset, title in TITLES.items():
        where = f"{'the ' * (dataset == 'digits')}{title}{' with strong decay' * strong}"
        claim(
            f"{dataset}-used{'-strong' * strong}",
            OURS,
            f"Depth is used on {where}: the best depth with several seeds is more accurate than no blocks, by more "
            "than a point and the difference's interval.",
            shown="scaling#without-a-block",
            planned=True,
            about="without-blocks",
            dataset=dataset,
            strong=strong,
        )(worse_without)
