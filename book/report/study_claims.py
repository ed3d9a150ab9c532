"""Claims about studies: initialisation, text."""

from __future__ import annotations

from functools import partial
from typing import Any

from report.claims import AFTER_DE_SMITH, MISSES, OPEN, OURS, Finding, across, claim, exponent_is, truth
from report.sweep_claims import steeper
from resperturb.analysis import study_tables
from resperturb.analysis.slope_tests import SMALLEST, Slope
from resperturb.analysis.study_tables import fit_column
from resperturb.analysis.theory import VARIANTS, Variant
from resperturb.records.record import Record

POWERS = {0.0: "does not depend on depth", -0.5: "falls as 1/√L", -1.0: "falls as 1/L"}

Records = list[Record]

# ------------------------------------------------------------------------------------------- initialisation

claim_start = partial(claim, shown="initialization#the-exponents", about="initialization")


def falls_as(name: str, variant: Variant, claimed: float) -> None:
    """Claim the theory's exponent for one way to initialise."""

    @claim_start(
        name,
        AFTER_DE_SMITH if variant.norm == "batch" else variant.source,
        f"Before training, in one section ({variant.label}), the average scaled perturbation {POWERS[claimed]}.",
    )
    def initial_exponent(records: Records) -> Finding | None:
        laws = study_tables.initial_laws(study_tables.initial_averages(records))
        return exponent_is(laws[name], claimed) if name in laws else None


for each, way in VARIANTS.items():
    if way.exponent is not None and not way.power:  # a factor on the branch passes its own exponent on
        falls_as(each, way, way.exponent)


# ------------------------------------------------------------------------------------------- text

claim_text = partial(claim, shown="others#transformers", about="text")
claim_long = partial(claim, shown="others#transformers", about="text-long")
TOKENS = "what the blocks of a transformer add to a token, relative to its norm, falls as"
LONG = "In transformers trained ten times as long,"
BAR = 1.6  # the plan's largest held-out loss, nats per character
EXPECTED = {("plain", 0.1): -0.80, ("plain", 0.5): -0.85, ("plain", 2.5): -0.95, ("scaled", 0.1): -0.85}
"""The plan's exponents, by initialisation and weight decay."""


def trained_exponents(records: Records) -> dict[Any, Slope]:
    """The exponents over layers after training, by initialisation and weight decay."""
    ended = study_tables.text_averages(records).query("moment == 'end' and part == 'both'")
    groups = ended.groupby(list(study_tables.TEXT_TRAINING))
    return {way: fit_column(part, "layers", "scaled") for way, part in groups if part["layers"].nunique() > 2}


def reach_bar(records: Records, *ways: tuple[str, float]) -> bool:
    losses = study_tables.text_losses(records).set_index(list(study_tables.TEXT_TRAINING))["loss_high"]
    return max(losses[way] for way in ways) <= BAR


@claim_text("exponent-end", OURS, f"After a short training, {TOKENS} 1/L.", moment="end", claimed=-1.0)
@claim_text("exponent-initialization", OURS, f"Before training, {TOKENS} 1/√L.", moment="initialization", claimed=-0.5)
def text_exponent(records: Records, moment: str, claimed: float) -> Finding:
    table = study_tables.text_averages(records)
    there = table[(table["moment"] == moment) & (table["part"] == "both")]
    return exponent_is(fit_column(there, "layers", "scaled"), claimed)


@claim_text("parts", OURS, "After training, the MLP adds more than attention at every depth.")
def mlp_adds_more(records: Records) -> Finding:
    table = study_tables.text_averages(records)
    end = table[table["moment"] == "end"].groupby(["layers", "part"])["scaled"].mean().unstack()
    return across(end["mlp"] / end["attention"], "{:.2f} times", lambda value: value > 1)


@claim_long("long", OURS, f"{LONG} with the usual decay, the average falls as 1/L.", way=("plain", 0.1))
@claim_long("long-strong", OURS, f"{LONG} with the strongest decay, the average falls as 1/L.", way=("plain", 2.5))
def long_exponent(records: Records, way: tuple[str, float]) -> Finding | None:
    slopes = trained_exponents(records)
    return opened_unless(reach_bar(records, way), exponent_is(slopes[way], -1.0)) if way in slopes else None


@claim_long("long-decay", OURS, f"{LONG} five times the decay makes the exponent steeper by more than {SMALLEST}.")
def decay_makes_steeper(records: Records) -> Finding | None:
    slopes, ways = trained_exponents(records), (("plain", 0.5), ("plain", 0.1))
    if not set(ways) <= set(slopes):
        return None
    return opened_unless(reach_bar(records, *ways), steeper(*(slopes[way] for way in ways)))


@claim_long("long-predicted", OURS, f"{LONG} every exponent is within {SMALLEST} of its prediction.", planned=True)
def predicted_well(records: Records) -> Finding:
    slopes = {way: slope for way, slope in trained_exponents(records).items() if reach_bar(records, way)}
    hits = sum(abs(slope.exponent - EXPECTED[way]) <= SMALLEST for way, slope in slopes.items())
    return Finding(f"{hits} of {len(slopes)}", truth(hits == len(slopes)))


def opened_unless(trained: bool, found: Finding) -> Finding:
    """The finding; its answer is open where the networks miss the plan's bar."""
    return found if trained else Finding(f"{found.value}, {MISSES}", OPEN, found.interval)
