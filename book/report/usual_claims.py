"""Claims about networks trained as people train them: usual decay, networks of others, and networks without blocks."""

from __future__ import annotations

from functools import partial

import pandas as pd

from report.claims import HAUSER, HOLDS, NOT, OPEN, OURS, POINT, ROUGH, Finding, claim, truth
from report.study_claims import Records
from resperturb.analysis.conditions import condition_table, run_table
from resperturb.analysis.published import COUNTS, published_slopes, published_table
from resperturb.analysis.slope_tests import LEVEL, SMALLEST, Slope, answer
from resperturb.analysis.summaries import signed
from resperturb.records.sweeps import TITLES, Sweep

VERDICTS = {"yes": HOLDS, "roughly": ROUGH, "no": NOT, "open": OPEN}  # of the plan's answers
DECAY = ("weight_decay",)


def ends(slope: Slope) -> str:
    return " to ".join(map(signed, slope.interval()))


def is_claimed(slope: Slope) -> Finding:
    """The plan's answer, of a line whose bend the few networks cannot show."""
    word = answer(slope.p_value() < LEVEL, slope.equivalence() < LEVEL, bent=False)
    return Finding(signed(slope.exponent), VERDICTS[word], ends(slope))


# ------------------------------------------------------------------------------------------- networks of others

claim_published = partial(claim, shown="usual#networks-that-others-trained", about="published")


@claim_published(
    "exponent-additions",
    OURS,
    "It is so with transitions counted and averaged as if they were blocks.",
    way="additions, averaged over all additions",
)
@claim_published(
    "exponent",
    HAUSER,
    "In four networks that others trained, the average over their blocks is inversely proportional to their number.",
    way="blocks, averaged over blocks",
)
def published_exponent(records: Records, way: str) -> Finding:
    return is_claimed(published_slopes(published_table(records))[way])


@claim_published("counting", OURS, f"What counts as a block moves their exponent by less than {SMALLEST}.")
def counting_moves_little(records: Records) -> Finding:
    exponents = [published_slopes(published_table(records))[way].exponent for way in COUNTS]
    return Finding(
        f"{signed(min(exponents))} to {signed(max(exponents))}", truth(max(exponents) - min(exponents) < SMALLEST)
    )


@claim_published("alive", OURS, "Every block of these networks adds something that depends on the image.")
def published_alive(records: Records) -> Finding:
    share = published_table(records)["alive"].min()
    return Finding(f"{share:.0%}", truth(share == 1))


@claim_published("explicit", OURS, "The measurement agrees with a forward pass written out in float64, within 1e-4.")
def published_agrees(records: Records) -> Finding:
    apart = published_table(records)["apart"].max()
    return Finding(f"within {apart:.0e}" if apart else "in all five digits on file", truth(apart < 1e-4))


# ------------------------------------------------------------------------------------------- decay as an axis

claim_decay = partial(claim, shown="usual#weight-decay-as-an-axis", about="decay-mnist")


def by_decay(records: Records) -> pd.DataFrame:
    return condition_table(run_table(records, DECAY), DECAY)


@claim_decay(
    "exponent",
    HAUSER,
    "With no weight decay, or one that people use, the average after training is inversely proportional to the number "
    "of blocks.",
)
def usual_decay(records: Records) -> Finding:
    table = by_decay(records)
    words = set(table["answer"])
    rows = table[["weight_decay", "exponent", "low", "high"]].to_numpy(dtype=float)
    value = ", ".join(f"{signed(exponent)} at {decay:g}" for decay, exponent, _, _ in rows)
    ranges = "; ".join(f"{signed(low)} to {signed(high)}" for _, _, low, high in rows)
    return Finding(value, VERDICTS[words.pop()] if len(words) == 1 else OPEN, ranges)


@claim_decay(
    "accurate", OURS, "Networks with that little decay are as accurate as those with T = 5, or more, at every depth."
)
def as_accurate_without(records: Records, sweeps: dict[str, Sweep]) -> Finding:
    usual = run_table(records, DECAY).groupby("blocks")["accuracy"].mean()
    strong = run_table(sweeps["mnist"].records, DECAY).groupby("blocks")["accuracy"].mean()
    gained = (usual - strong).dropna()
    value = f"{100 * gained.min():+.1f} to {100 * gained.max():+.1f} points".replace("-", "−")
    return Finding(value, truth(bool((gained >= 0).all()), bool((gained >= -POINT).all())))


# ------------------------------------------------------------------------------------------- no blocks at all


def depth_is_used(dataset: str) -> None:
    """Claim that the blocks of a main sweep make it more accurate."""

    @claim(
        f"{dataset}-used",
        OURS,
        f"Depth is used on {TITLES[dataset]}: at T = 5 the network without blocks is more than a point less accurate "
        "than the best depth.",
        shown="usual#without-a-block",
        about="without-blocks",
        dataset=dataset,
    )
    def worse_without(records: Records, sweeps: dict[str, Sweep], dataset: str) -> Finding:
        without = [
            record.run["accuracy"]
            for record in records
            if record.experiment.dataset == dataset and record.run["training"]["clock"] > 0
        ]
        depths = run_table(sweeps[dataset].records, ("dataset",)).groupby("blocks")["accuracy"].mean()
        bare, best = sum(without) / len(without), depths.max()
        value = f"{bare:.1%} without, {best:.1%} at {depths.idxmax()}"
        return Finding(value, truth(best - bare > POINT))


for each in TITLES:
    depth_is_used(each)
