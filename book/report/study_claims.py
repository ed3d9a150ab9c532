"""Claims about studies: initialisation, lesions, growth, paths, text, maps over time under weight decay, carriers."""

from __future__ import annotations

from functools import partial

import pandas as pd

from report.claims import HOLDS, NOT, OPEN, OURS, POINT, Finding, across, claim, exponent_is, truth
from resperturb.analysis import clock, study_tables
from resperturb.analysis.power_law import PowerLaw, fit_power_law
from resperturb.analysis.study_tables import carrier_averages, fit_column
from resperturb.analysis.summaries import ROUGHLY, interval, signed
from resperturb.analysis.theory import VARIANTS, Variant
from resperturb.records.record import Record

RANKED = 0.5  # a rank correlation from here on ranks
BETTER = 0.1  # and one that is so much higher ranks better
EVEN = 0.25  # steps whose lengths have a coefficient of variation below this are equispaced
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
    if way.exponent is not None:
        falls_as(each, way, way.exponent)


@claim_start(
    "zero", VARIANTS["zero"].source, "Branches that start at zero perturb nothing before training, at any depth."
)
def zero_perturbs_nothing(records: Records) -> Finding | None:
    table = study_tables.initial_averages(records)
    zero = table.loc[table["variant"] == "zero", "scaled"]
    return Finding(f"at most {zero.max():g}", truth(zero.max() == 0)) if len(zero) else None


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

claim_growth = partial(claim, shown="growth#beside-the-sweep", about="growth")


@claim_growth("found", OURS, "A growing network gets below every epsilon tried.")
def gets_below(records: Records, digits: list[Record]) -> Finding:
    table = study_tables.growth_table(records, digits)
    found, tried = int(table["found"].sum()), int(table["seeds"].sum())
    return Finding(f"{found} of {tried}", truth(found == tried))


@claim_growth("depth", OURS, f"It ends at the depth that the sweep gives, within a factor of {DOUBLING:g}.")
def ends_at_the_depth(records: Records, digits: list[Record]) -> Finding:
    ratio = study_tables.growth_table(records, digits).set_index("epsilon")["depth over the sweep's"]
    return across(ratio, "{:.2f} times", lambda value: 1 / DOUBLING <= value <= DOUBLING)


@claim_growth(
    "accuracy", OURS, "It is there as accurate as the network that the sweep trained at its depth, within a point."
)
def as_accurate(records: Records, digits: list[Record]) -> Finding | None:
    table = study_tables.growth_table(records, digits).set_index("epsilon")
    gap = (table["accuracy"] - table["sweep's accuracy"]).dropna()
    return across(gap, "{:+.1%}", lambda value: value >= -POINT) if len(gap) else None


@claim_growth("work", OURS, "It takes less work than to train the depths of the sweep up to its answer.")
def less_work(records: Records, digits: list[Record]) -> Finding:
    work = study_tables.growth_table(records, digits).set_index("epsilon")["work over the sweep's"]
    return across(work, "{:.2f} times", lambda value: value < 1)


# ------------------------------------------------------------------------------------------- paths

claim_path = partial(claim, about="path")
STRAIGHT = "path#is-it-straight"


def after_training(records: Records) -> pd.DataFrame:
    depths = study_tables.path_depths(records)
    return depths[depths["moment"] == "end"]


def means_by_depth(records: Records) -> pd.DataFrame:
    return after_training(records).groupby("blocks").mean(numeric_only=True)


@claim_path(
    "straight",
    OURS,
    "After training the way through a section is straighter than steps in random directions would make it.",
    shown=STRAIGHT,
)
def straighter_than_random(records: Records) -> Finding:
    means = means_by_depth(records)
    return across(means["straightness"] / means["random walk"], "{:.2f} times", lambda value: value > 1)


@claim_path(
    "even",
    "Li & Papyan 2023",
    f"States are equispaced: the lengths of the steps of a section vary by less than {EVEN} of their mean.",
    shown=STRAIGHT,
)
def equispaced(records: Records) -> Finding:
    return across(means_by_depth(records)["evenness"], "{:.2f}", lambda value: value < EVEN)


@claim_path(
    "length",
    OURS,
    "After training the relative length of the path does not depend on depth (exponent 0).",
    shown="path#how-long-is-it",
)
def length_is_level(records: Records) -> Finding:
    return exponent_is(fit_column(after_training(records), "blocks", "relative path"), 0.0)


@claim_path(
    "downhill",
    "Jastrzebski et al. 2018",
    "After training, perturbations lead downhill: their mean cosine with minus the gradient is positive.",
    shown="path#does-it-lead-downhill",
)
def leads_downhill(records: Records) -> Finding:
    return across(means_by_depth(records)["downhill"], "{:.2f}", lambda value: value > 0)


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

claim_clock = partial(claim, about=clock.FOLDERS)
EXPONENTS = "clock#the-exponent-over-t"


def longest_runs(runs: list[Record]) -> pd.DataFrame:
    """Exponents of the runs with most epochs, by T; empty where too few depths learned."""
    exponents = clock.clock_exponents(runs)
    return exponents if exponents.empty else exponents[exponents["epochs"] == exponents["epochs"].max()]


@claim_clock("most", OURS, "With the most, it is −1.", shown=EXPONENTS, place=-1, claimed=-1.0)
@claim_clock(
    "least",
    OURS,
    "With the least weight decay tried, training leaves the exponent at −1/2.",
    shown=EXPONENTS,
    place=0,
    claimed=-0.5,
)
def exponent_at_the_end(runs: list[Record], place: int, claimed: float) -> Finding | None:
    longest = longest_runs(runs)
    if longest.empty:
        return None
    end = longest.iloc[place]
    chosen = [
        record
        for record in clock.trained_well(runs)
        if record.experiment.epochs == end["epochs"] and round(record.run["training"]["clock"], 3) == end["clock"]
    ]
    finding = exponent_is(fit_power_law(chosen, replicates=500), claimed)
    where = f"at T = {end['clock']:g}, {end['epochs']:.0f} epochs"
    return Finding(f"{finding.value} {where}", finding.verdict, finding.interval)


@claim_clock(
    "settles",
    OURS,
    f"From T = {clock.SATURATED:g} on the exponent stays where it is, within {ROUGHLY}.",
    shown=EXPONENTS,
)
def settles(runs: list[Record]) -> Finding | None:
    longest = longest_runs(runs)
    late = longest[longest["clock"] >= clock.SATURATED] if len(longest) else longest
    if len(late) < 2:
        return None
    moved = late["exponent"].iloc[-1] - late["exponent"].iloc[0]
    value = f"{moved:+.2f} from T = {late['clock'].iloc[0]:g} to {late['clock'].iloc[-1]:g}".replace("-", "−")
    return Finding(value, truth(abs(moved) <= ROUGHLY))


@claim_clock(
    "collapse",
    OURS,
    f"Runs of one T that learned have one average whatever the number of steps, within a factor of {clock.ALIKE}.",
    shown="clock#one-curve",
)
def one_curve(runs: list[Record]) -> Finding | None:
    table = clock.clock_table(runs)
    apart = clock.collapse(table[table["clock"] > 0])
    if apart.empty:
        return None
    near = apart["ratio"] <= clock.ALIKE
    value = f"{near.sum()} of {len(near)} within; at most {apart['ratio'].max():.2f} times"
    return Finding(value, truth(bool(near.all()), bool(near.mean() > 0.5)))


# ------------------------------------------------------------------------------------------- carriers

claim_carriers = partial(claim, shown="carriers#gains-and-weights", about="carriers")


def carrier_law(records: Records, size: str) -> PowerLaw:
    """The exponent over depth of one size after training."""
    means = carrier_averages(records)
    return fit_column(means[means["moment"] == "end"], "blocks", size)


@claim_carriers("weights", OURS, "After training the second weights fall with depth.", size="weight2")
@claim_carriers("gains", OURS, "After training the gains of the second normalisation fall with depth.", size="gain2")
def falls(records: Records, size: str) -> Finding:
    law = carrier_law(records, size)
    return Finding(signed(law.exponent), HOLDS if law.high < 0 else NOT if law.low > 0 else OPEN, interval(law))


@claim_carriers(
    "product",
    OURS,
    f"Their product falls as the absolute perturbation does, within {ROUGHLY}.",
    sizes=("both", "absolute"),
)
@claim_carriers(
    "shared", OURS, f"They fall alike: their exponents are within {ROUGHLY} of each other.", sizes=("gain2", "weight2")
)
def fall_alike(records: Records, sizes: tuple[str, str]) -> Finding:
    first, second = (carrier_law(records, size) for size in sizes)
    near = abs(first.exponent - second.exponent) <= ROUGHLY
    return Finding(f"{signed(first.exponent)} and {signed(second.exponent)}", truth(near), interval(first))
