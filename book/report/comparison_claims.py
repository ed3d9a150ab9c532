"""Claims that compare a sweep with the main sweep of its data set: another kind of block, or another choice."""

from __future__ import annotations

from functools import partial

from report.claims import HAUSER, HOLDS, INVERSE, NOT, OPEN, OURS, Finding, claim, exponent_is, matters, within
from report.quantities import quantities
from report.sweep_claims import claim_scaling, if_trained
from resperturb.analysis.sensitivity import shared_slopes
from resperturb.analysis.slope_tests import CLAIMED, SMALLEST, difference, fit_runs
from resperturb.analysis.summaries import clock_words, exponent_words, signed
from resperturb.records.sweeps import Sweep, differences

LONGER = 5  # times as many epochs
NO_DECAY, MORE_DECAY, LONG, ANOTHER = "no decay", "more decay", "longer", "another"
MORE = "decay#more-decay-in-the-same-number-of-steps"
TEST = f"moves the exponent by more than {SMALLEST}"

claim_change = partial(claim, about="sensitivity", planned=True)


def change_of(sweep: Sweep, base: Sweep) -> str:
    """What a sweep changes in its main sweep: weight decay alone, the epochs of CIFAR-10 alone, or something else."""
    fields, usual = differences(sweep, base), base.identity
    if fields.keys() == {"weight_decay"}:
        decay = sweep.identity["weight_decay"]
        return NO_DECAY if not decay else MORE_DECAY if decay > usual["weight_decay"] else ANOTHER
    longer = {"epochs": (LONGER * usual["epochs"], usual["epochs"])}
    return LONG if sweep.dataset == "cifar10" and fields == longer else ANOTHER


@claim_scaling(
    "kind",
    sentence=f"{{kind}} blocks have the exponent of {{usual}} blocks after training, within {SMALLEST}.",
    about="kind",
)
@claim(
    "sensitivity",
    OURS,
    f"With {{changes}}, the exponent after training stays the same, within {SMALLEST}.",
    shown="method#do-our-choices-decide",
    about="sensitivity",
)
def same_exponent(sweep: Sweep, base: Sweep) -> Finding | None:
    return one_exponent(sweep, base) if change_of(sweep, base) == ANOTHER else None


def one_exponent(sweep: Sweep, base: Sweep) -> Finding | None:
    """The finding on "two sweeps have one exponent", on the depths of both."""
    slopes = shared_slopes(sweep, base)
    if slopes is None:
        return None
    _, low, high = difference(*slopes)
    value = " against ".join(map(exponent_words, slopes))
    ends = f"moved by {low:+.2f} to {high:+.2f}".replace("-", "−")
    return if_trained(Finding(value, within(low, high, SMALLEST), ends), sweep, base)


def change_matters(sweep: Sweep, base: Sweep, change: str) -> Finding | None:
    """Test 4 of the plan, on the depths of both; less decay is taken as the base."""
    slopes = shared_slopes(sweep, base)
    if slopes is None or change_of(sweep, base) != change:
        return None
    more, less = reversed(slopes) if change == NO_DECAY else slopes
    clock = quantities(base if change == NO_DECAY else sweep)["clock"]
    return if_trained(matters(more, less, clock), sweep, base)


def inverse_after_change(sweep: Sweep, base: Sweep, change: str) -> Finding | None:
    """Test 1 and 2 of the plan, with the time under weight decay."""
    if change_of(sweep, base) != change:
        return None
    found = exponent_is(fit_runs(sweep.records), CLAIMED)
    value = f"{found.value} at {clock_words(quantities(sweep)['clock'])}"
    return if_trained(Finding(value, found.verdict, found.interval), sweep)


@claim_change(
    "length",
    sentence="Of two ways to more time under weight decay in the main recipe, longer training leads to a fall at least "
    "as steep as more decay does where its T is larger.",
    source=OURS,
    shown="decay#longer-training",
    planned=False,
)
def as_steep_by_length(sweep: Sweep, base: Sweep, sweeps: dict[str, Sweep]) -> Finding | None:
    """The finding that *T* alone sets the exponent, which would be steeper the larger *T* is."""
    stronger = [s for s in sweeps.values() if s.dataset == sweep.dataset and change_of(s, base) == MORE_DECAY]
    if change_of(sweep, base) != LONG or not stronger or (slopes := shared_slopes(sweep, stronger[0])) is None:
        return None
    moved, low, high = difference(*slopes)
    clocks = " against ".join(clock_words(quantities(s)["clock"]) for s in (sweep, stronger[0]))
    verdict = HOLDS if high <= 0 else NOT if low > 0 else OPEN
    return if_trained(Finding(f"{signed(moved)} at {clocks}", verdict, f"{signed(low)} to {signed(high)}"), sweep)


claim_change(
    "decay",
    OURS,
    f"In the main recipe, the usual decay {TEST} compared with none, on the depths of both (test 4 of the plan).",
    shown="decay#what-the-records-say",
    change=NO_DECAY,
)(change_matters)
claim_change(
    "more-decay",
    HAUSER,
    f"With more weight decay in the main recipe, the average is {INVERSE}.",
    shown=MORE,
    change=MORE_DECAY,
)(inverse_after_change)
claim_change(
    "more-moves",
    OURS,
    f"More decay in the main recipe {TEST} compared with the usual decay, on the depths of both (test 4 of the plan).",
    shown=MORE,
    change=MORE_DECAY,
)(change_matters)
claim_change(
    "long",
    HAUSER,
    f"In CIFAR-10 trainings five times as long, with the usual decay, the average is {INVERSE}.",
    shown="decay#longer-training",
    change=LONG,
)(inverse_after_change)
claim_change(
    "long-moves",
    OURS,
    f"Training five times as long {TEST}, on the depths of both (test 4 of the plan).",
    shown="decay#longer-training",
    change=LONG,
)(change_matters)
