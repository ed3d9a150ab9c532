"""Claims about studies: initialisation, lesions, growth, text, maps over time under weight decay."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from report.claims import OURS, POINT, Finding, across, claim, exponent_is, truth, within
from resperturb.analysis import clock, study_tables
from resperturb.analysis.bootstrap import finished
from resperturb.analysis.study_tables import fit_column
from resperturb.analysis.summaries import signed
from resperturb.analysis.theory import VARIANTS, Variant
from resperturb.records.record import Record, load_records

STILL = 0.05  # an effect of the number of steps below this is none
RANKED = 0.5  # a rank correlation from here on ranks
BETTER = 0.1  # and one that is so much higher ranks better
DOUBLING = 2.0  # growth doubles the depth, so it cannot be nearer than this
POWERS = {0.0: "does not depend on depth", -0.5: "falls as 1/√L", -1.0: "falls as 1/L"}

Records = list[Record]

# ------------------------------------------------------------------------------------------- initialisation

claim_start = partial(claim, shown="initialization#the-exponents", about="initialization")


def falls_as(name: str, variant: Variant, claimed: float) -> None:
    """Claim the theory's exponent for one way to initialise."""

    @claim_start(
        name,
        variant.source,
        f"Before training, in one section ({variant.label}), the average scaled perturbation {POWERS[claimed]}.",
    )
    def initial_exponent(records: Records) -> Finding | None:
        laws = study_tables.initial_laws(study_tables.initial_averages(records))
        return exponent_is(laws[name], claimed) if name in laws else None


for each, way in VARIANTS.items():
    if way.exponent is not None and not way.power:  # a factor on the branch passes its own exponent on
        falls_as(each, way, way.exponent)


@claim_start(
    "overflow", OURS, "Without normalisation the state grows until float32 cannot hold it, before 1000 blocks."
)
def overflow(records: Records) -> Finding | None:
    table = study_tables.initial_averages(records)
    plain = table[table["variant"] == "plain"]
    if plain.empty:
        return None
    lost = plain.loc[~plain["finite"].astype(bool), "blocks"]
    value = f"from {lost.min()} blocks on" if len(lost) else f"not up to {plain['blocks'].max()} blocks"
    return Finding(value, truth(bool(len(lost)) and lost.min() <= 1000))


# ------------------------------------------------------------------------------------------- lesions

claim_lesion = partial(claim, about=("lesion", "lesion-mnist"))
ALONE, TOGETHER = "lesion#one-block-at-a-time", "lesion#many-together"


def rank_correlations(records: Records) -> pd.DataFrame:
    return study_tables.lesion_table(records).pivot(index="blocks", columns="score", values="with added loss")


@claim_lesion(
    "rank",
    OURS,
    f"The scaled perturbation ranks blocks by the loss their absence adds (rank correlation of {RANKED} or more).",
    shown=ALONE,
)
def ranks_blocks(records: Records) -> Finding:
    return across(rank_correlations(records)["scaled"], "{:.2f}", lambda value: value >= RANKED)


@claim_lesion(
    "scores",
    OURS,
    f"Influence and angle rank them no better: no rank correlation is higher by more than {BETTER}.",
    shown=ALONE,
)
def others_rank_no_better(records: Records) -> Finding:
    ranks = rank_correlations(records)
    gain = ranks[["influence", "angular"]].max(axis=1) - ranks["scaled"]
    return across(gain, "{:+.2f}", lambda value: value <= BETTER)


@claim_lesion(
    "prune",
    OURS,
    "A network without the half of its blocks that perturb least is as accurate, within a point.",
    shown=TOGETHER,
)
def half_can_go(records: Records) -> Finding:
    half = study_tables.pruning_table(records).set_index("blocks")
    return across(half["whole"] - half["scaled"], "{:.1%} lost", lambda value: value <= POINT)


@claim_lesion(
    "random",
    OURS,
    "To remove the half that perturbs least costs less accuracy than to remove half at random.",
    shown=TOGETHER,
)
def better_than_random(records: Records) -> Finding:
    half = study_tables.pruning_table(records).set_index("blocks")
    return across(half["scaled"] - half["random"], "{:+.1%}", lambda value: value > 0)


# ------------------------------------------------------------------------------------------- growth


def strong_digits(results: Path) -> list[Record]:
    """The sweep that growth is compared with: the digits, pre-activation, at the decay that takes T to 5."""
    runs = finished(load_records(results / "decay-digits"))
    return [r for r in runs if r.experiment.weight_decay is None and r.experiment.block == "preactivation"]


claim_growth = partial(claim, shown="growth#beside-the-sweep", about="growth")


@claim_growth("found", OURS, "A growing network gets below every epsilon tried.")
def gets_below(records: Records, results: Path) -> Finding:
    table = study_tables.growth_table(records, strong_digits(results))
    found, tried = int(table["found"].sum()), int(table["seeds"].sum())
    return Finding(f"{found} of {tried}", truth(found == tried))


@claim_growth("depth", OURS, f"It ends at the depth that the sweep gives, within a factor of {DOUBLING:g}.")
def ends_at_the_depth(records: Records, results: Path) -> Finding:
    ratio = study_tables.growth_table(records, strong_digits(results)).set_index("epsilon")["depth over the sweep's"]
    return across(ratio, "{:.2f} times", lambda value: 1 / DOUBLING <= value <= DOUBLING)


@claim_growth(
    "accuracy", OURS, "It is there as accurate as the network that the sweep trained at its depth, within a point."
)
def as_accurate(records: Records, results: Path) -> Finding | None:
    table = study_tables.growth_table(records, strong_digits(results)).set_index("epsilon")
    gap = (table["accuracy"] - table["sweep's accuracy"]).dropna()
    return across(gap, "{:+.1%}", lambda value: value >= -POINT) if len(gap) else None


@claim_growth("work", OURS, "It takes less work than to train the depths of the sweep up to its answer.")
def less_work(records: Records, results: Path) -> Finding:
    work = study_tables.growth_table(records, strong_digits(results)).set_index("epsilon")["work over the sweep's"]
    return across(work, "{:.2f} times", lambda value: value < 1)


# ------------------------------------------------------------------------------------------- text

claim_text = partial(claim, shown="text#the-average-against-depth", about="text")
TOKENS = "training, what the blocks of a transformer add to a token, over its norm, falls as"


@claim_text("exponent-end", OURS, f"After {TOKENS} 1/L.", moment="end", claimed=-1.0)
@claim_text("exponent-initialization", OURS, f"Before {TOKENS} 1/√L.", moment="initialization", claimed=-0.5)
def text_exponent(records: Records, moment: str, claimed: float) -> Finding:
    table = study_tables.text_averages(records)
    there = table[(table["moment"] == moment) & (table["part"] == "both")]
    return exponent_is(fit_column(there, "layers", "scaled"), claimed)


@claim_text("parts", OURS, "After training the MLP adds more than attention does, at every depth.")
def mlp_adds_more(records: Records) -> Finding:
    table = study_tables.text_averages(records)
    end = table[table["moment"] == "end"].groupby(["layers", "part"])["scaled"].mean().unstack()
    return across(end["mlp"] / end["attention"], "{:.2f} times", lambda value: value > 1)


# ------------------------------------------------------------------------------------------- time under weight decay

claim_clock = partial(claim, about=("clock", "clock-mnist"))


@claim_clock(
    "steps",
    OURS,
    f"T alone counts: at one T of {clock.DECAYING:g} or more the number of steps does not move the average "
    f"(d log average / d log steps within {STILL} of 0; all runs).",
    shown="clock#is-it-a-clock",
    learned=False,
)
@claim_clock(
    "steps-learned",
    OURS,
    "So it is among runs that learned (this filter was chosen after the runs were seen).",
    shown="clock#is-it-a-clock",
    learned=True,
)
def steps_do_not_matter(runs: list[Record], learned: bool) -> Finding:
    table = clock.clock_table(runs)
    slope, low, high = clock.steps_effect(table[table["learned"]] if learned else table)
    return Finding(signed(slope), within(slope, low, high, STILL), f"{signed(low)} to {signed(high)}")
