"""Claims about practice: which blocks can be removed, and how deep to go."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from report.claims import OURS, POINT, Finding, across, claim, truth
from report.decay_claims import FOLDERS
from report.study_claims import Records
from resperturb.analysis.conditions import runs_at, strongest
from resperturb.analysis.practice import depth_choices, lesion_depths
from resperturb.records.sweeps import Sweep

RANKED = 0.5  # rank correlation that counts as a ranking
BETTER = 0.1  # difference of rank correlations that counts as better
MOST = 0.9  # share of live blocks
EPSILONS = (0.1, 0.05)  # thresholds of the stopping rule; the paper names none
HALF_POINT = 0.005  # accuracy that a shallower network may lose
DOUBLE = 2.0  # depths agree within this factor

# ------------------------------------------------------------------------------------------- removed blocks

STUDIES = ("lesion", "lesion-mnist", "lesion-cifar10", "lesion-strong")
claim_lesion = partial(claim, source=OURS, shown="practice#which-blocks-can-go", about=STUDIES)
claim_depth = partial(claim, source=OURS, shown="practice#how-deep-to-go")


def by_depth(records: Records) -> pd.DataFrame:
    return lesion_depths(records, POINT)


@claim_lesion("alive", sentence="Before any block is removed, every block is alive.")
def every_block_lives(records: Records) -> Finding:
    return across(by_depth(records)["alive"], "{:.0%}", lambda value: value == 1)


@claim_lesion(
    "alone",
    sentence=f"At least {MOST:.0%} of the live blocks can each be removed alone for at most a point of accuracy.",
)
def each_can_go(records: Records) -> Finding:
    return across(by_depth(records)["alone"], "{:.0%}", lambda value: value >= MOST)


@claim_lesion(
    "rank",
    sentence="The scaled perturbation ranks live blocks by the loss that removing them adds "
    f"(rank correlation of {RANKED} or more).",
)
def ranks_live_blocks(records: Records) -> Finding:
    return across(by_depth(records)["rank"], "{:.2f}", lambda value: value >= RANKED)


@claim_lesion(
    "place",
    sentence="The scaled perturbation ranks live blocks better than their place does, earlier ones first, by "
    f"{BETTER} or more (asked after the runs were seen).",
)
def better_than_place(records: Records) -> Finding:
    depths = by_depth(records)
    return across(depths["rank"] - depths["place"], "{:+.2f}", lambda value: value >= BETTER)


@claim_lesion(
    "first", sentence="Removing the first block of a section adds more loss than removing its median live block."
)
def first_blocks_matter(records: Records) -> Finding:
    return across(by_depth(records)["first"], "{:.0%} of sections", lambda value: value == 1)


@claim_lesion("dead", sentence="All dead blocks can be removed together for at most a point of accuracy.")
def dead_blocks_can_go(records: Records) -> Finding | None:
    lost = by_depth(records)["dead"].dropna()
    return across(lost, "{:.1%} lost", lambda value: value <= POINT) if len(lost) else None


@claim_lesion(
    "half",
    sentence="The half of the live blocks with the smallest perturbations can be removed together for at most a point "
    "of accuracy.",
)
def half_can_go(records: Records) -> Finding:
    return across(by_depth(records)["half"], "{:.1%} lost", lambda value: value <= POINT)


@claim_lesion(
    "random",
    sentence="Removing the half of the live blocks with the smallest perturbations costs less than removing a random "
    "half.",
)
def better_than_random(records: Records) -> Finding:
    depths = by_depth(records)
    return across(depths["half_random"] - depths["half"], "{:+.1%}", lambda value: value > 0)


@claim_lesion(
    "deeper",
    sentence="The deeper the network, the larger the share of live blocks that can be removed together, smallest "
    "perturbation first, for at most a point of accuracy.",
)
def deeper_networks_spare_more(records: Records) -> Finding:
    shares = by_depth(records)["together"]
    text = ", ".join(f"{share:.0%} at {blocks}" for blocks, share in shares.items())
    return Finding(text, truth(bool(shares.is_monotonic_increasing) and shares.iloc[-1] > shares.iloc[0]))


# ------------------------------------------------------------------------------------------- how deep


def rule_agrees(sweep: Sweep, epsilon: float) -> Finding | None:
    row = depth_choices(sweep.records, [epsilon], HALF_POINT)
    rule, wanted = row[f"rule {epsilon:g}"], row["margin"]
    if math.isnan(float(rule)):  # type: ignore[arg-type]
        return None
    how = "" if row[f"measured {epsilon:g}"] else " (extrapolated)"
    return Finding(f"{rule}{how} against {wanted}", truth(1 / DOUBLE <= rule / wanted <= DOUBLE))  # type: ignore[operator]


for each in EPSILONS:
    claim_depth(
        f"validated-{100 * each:g}",
        sentence=f"With a threshold of {each:g}, the stopping rule is within a factor of {DOUBLE:g} of the validated "
        "depth: the smallest within half a point of the best accuracy.",
        epsilon=each,
    )(rule_agrees)


@claim_depth(
    "moved",
    sentence="Strong decay instead of none moves the depth of the stopping rule by a larger factor than the validated "
    "depth.",
    about=FOLDERS,
)
def decay_moves_the_rule(records: Records) -> Finding:
    rows = [depth_choices(runs_at(records, decay), EPSILONS[1:], HALF_POINT) for decay in (0.0, strongest(records))]
    rule, wanted = (apart(*(float(row[name]) for row in rows)) for name in (f"rule {EPSILONS[1]:g}", "margin"))  # type: ignore[arg-type]
    return Finding(f"{rule:.1f} times against {wanted:.1f} times", truth(rule > wanted))


def apart(one: float, other: float) -> float:
    """Return the ratio of two positive numbers, larger over smaller."""
    return max(one / other, other / one)
