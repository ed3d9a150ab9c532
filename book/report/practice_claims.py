"""Claims about practice: which blocks can be removed, and how deep to go."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from report.claims import OURS, POINT, Finding, across, claim, truth
from report.decay_claims import FOLDERS
from report.study_claims import Records
from report.sweep_claims import claim_depth
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

LESIONS = ("lesion", "lesion-mnist", "lesion-cifar10", "lesion-strong")
claim_lesion = partial(claim, source=OURS, shown="practice#which-blocks-can-go", about=LESIONS)


def across_depths(
    records: Records, column: str, minus: str, form: str, fits: Callable[[float], bool]
) -> Finding | None:
    """The finding on a column of :func:`lesion_depths`, less another one if `minus` is given, that has to fit."""
    depths = lesion_depths(records, POINT)
    values = (depths[column] - depths[minus] if minus else depths[column]).dropna()
    return across(values, form, fits) if len(values) else None


for name, column, minus, form, fits, sentence in (
    ("alive", "alive", "", "{:.0%}", lambda share: share == 1, "Before any block is removed, every block is alive."),
    (
        "alone", "alone", "", "{:.0%}", lambda share: share >= MOST,
        f"At least {MOST:.0%} of the live blocks can each be removed alone for at most a point of accuracy.",
    ),
    (
        "rank", "rank", "", "{:.2f}", lambda correlation: correlation >= RANKED,
        "The scaled perturbation ranks live blocks by the loss that removing them adds (rank correlation of "
        f"{RANKED} or more).",
    ),
    (
        "place", "rank", "place", "{:+.2f}", lambda apart: apart >= BETTER,
        "The scaled perturbation ranks live blocks better than their place does, earlier ones first, by "
        f"{BETTER} or more (asked after the runs were seen).",
    ),
    (
        "first", "first", "", "{:.0%} of sections", lambda share: share == 1,
        "Removing the first block of a section adds more loss than removing its median live block.",
    ),
    (
        "dead", "dead", "", "{:.1%} lost", lambda lost: lost <= POINT,
        "All dead blocks can be removed together for at most a point of accuracy.",
    ),
    (
        "half", "half", "", "{:.1%} lost", lambda lost: lost <= POINT,
        "The half of the live blocks with the smallest perturbations can be removed together for at most a point of "
        "accuracy.",
    ),
    (
        "random", "half_random", "half", "{:+.1%}", lambda saved: saved > 0,
        "Removing the half of the live blocks with the smallest perturbations costs less than removing a random half.",
    ),
):  # fmt: skip
    claim_lesion(name, sentence=sentence, column=column, minus=minus, form=form, fits=fits)(across_depths)


@claim_lesion(
    "deeper",
    sentence="The deeper the network, the larger the share of live blocks that can be removed together, smallest "
    "perturbation first, for at most a point of accuracy.",
)
def deeper_networks_spare_more(records: Records) -> Finding:
    shares = lesion_depths(records, POINT)["together"]
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
