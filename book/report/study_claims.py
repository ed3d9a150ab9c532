"""Claims about studies: initialisation, text."""

from __future__ import annotations

from functools import partial

from report.claims import AFTER_DE_SMITH, OURS, Finding, across, claim, exponent_is
from resperturb.analysis import study_tables
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
TOKENS = "training, what the blocks of a transformer add to a token, relative to its norm, falls as"


@claim_text("exponent-end", OURS, f"After {TOKENS} 1/L.", moment="end", claimed=-1.0)
@claim_text("exponent-initialization", OURS, f"Before {TOKENS} 1/√L.", moment="initialization", claimed=-0.5)
def text_exponent(records: Records, moment: str, claimed: float) -> Finding:
    table = study_tables.text_averages(records)
    there = table[(table["moment"] == moment) & (table["part"] == "both")]
    return exponent_is(fit_column(there, "layers", "scaled"), claimed)


@claim_text("parts", OURS, "After training, the MLP adds more than attention at every depth.")
def mlp_adds_more(records: Records) -> Finding:
    table = study_tables.text_averages(records)
    end = table[table["moment"] == "end"].groupby(["layers", "part"])["scaled"].mean().unstack()
    return across(end["mlp"] / end["attention"], "{:.2f} times", lambda value: value > 1)
