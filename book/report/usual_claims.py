"""Claims about weight decay, published networks, and networks without blocks."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from report.claims import (
    ANSWERS,
    HAUSER,
    HOLDS,
    NOT,
    OPEN,
    OURS,
    POINT,
    Finding,
    claim,
    exponent_is,
    matters,
    truth,
    within,
)
from report.decay import FULL_SIZE, PEOPLE_USE, full_size_name, full_size_sweeps
from report.study_claims import Records
from report.sweep_claims import all_alive, as_good_as_a_power, if_trained, inverse_proportion, steeper
from resperturb.analysis.conditions import accuracy_by_depth, alive, condition_table, run_table
from resperturb.analysis.power_law import stopping_depth
from resperturb.analysis.published import COUNTS, published_slopes, published_table, response_table
from resperturb.analysis.slope_tests import SMALLEST, difference, fit_runs, fit_slope, mean_difference
from resperturb.analysis.summaries import clock_words, exponent_words, interval, signed
from resperturb.records.record import load_records
from resperturb.records.sweeps import KINDS, TITLES, Sweep

DECAY = ("block", "weight_decay")
USUAL = 2e-3  # the largest weight decay that counts as little
STRONG = "the decay that takes T to 5"
INVERSE = "inversely proportional to the number of blocks"
EPSILON = 0.05  # of the stopping rule; the paper names none


# ------------------------------------------------------------------------------------------- published networks

claim_published = partial(claim, shown="others#what-the-records-say", about="published")


@claim_published(
    "exponent-additions",
    OURS,
    "In four published networks, with transitions counted and averaged as blocks, the average is inversely "
    "proportional to the number of additions.",
    way="additions, averaged over all additions",
)
@claim_published(
    "exponent",
    HAUSER,
    "In four published networks, the average over blocks is inversely proportional to their number.",
    way="blocks, averaged over blocks",
)
def published_exponent(records: Records, way: str) -> Finding:
    return exponent_is(published_slopes(published_table(records))[way], -1.0)


@claim_published(
    "counting", OURS, f"What counts as a block moves the exponent of these networks by less than {SMALLEST}."
)
def counting_moves_little(records: Records) -> Finding:
    exponents = [published_slopes(published_table(records))[way].exponent for way in COUNTS]
    return Finding(
        f"{signed(min(exponents))} to {signed(max(exponents))}", truth(max(exponents) - min(exponents) < SMALLEST)
    )


@claim_published("alive", OURS, "Every block of these networks is alive: what it adds depends on the image.")
def published_alive(records: Records) -> Finding:
    return all_alive(published_table(records)["alive"].min())


@claim_published(
    "responses",
    "this book, after He et al. 2015",
    "Deeper networks have smaller responses: the root mean square of what their additions add falls with depth.",
)
def smaller_responses(records: Records) -> Finding:
    return falls_with_depth(response_table(records))


def falls_with_depth(responses: pd.DataFrame) -> Finding:
    """The finding on "deeper networks have smaller responses", from :func:`response_table`."""
    means = responses.groupby("blocks")["response"].mean()
    value = ", ".join(f"{mean:.2f} at {blocks}" for blocks, mean in means.items())
    return Finding(value, truth(bool(means.is_monotonic_decreasing)))


# ------------------------------------------------------------------------------------------- decay as an axis

FOLDERS = tuple(f"decay-{dataset}" for dataset in TITLES)
claim_decay = partial(claim, shown="decay#what-the-records-say", about=FOLDERS)


def by_decay(records: Records) -> pd.DataFrame:
    """The plan's tests of each decay with pre-activation blocks, strongest decay last."""
    table = condition_table(run_table(records, DECAY), DECAY)
    return table[table["block"] == "preactivation"].sort_values("weight_decay", ignore_index=True)


def runs_at(records: Records, decay: float) -> Records:
    """The runs of one decay with pre-activation blocks."""
    there = (r for r in records if r.run["training"]["weight_decay"] == decay)
    return [r for r in there if r.experiment.block == "preactivation"]


def at_depths_of(others: Records, records: Records) -> Records:
    """The runs at the depths of others."""
    depths = {other.blocks for other in others}
    return [record for record in records if record.blocks in depths]


def strongest(records: Records) -> float:
    return max(record.run["training"]["weight_decay"] for record in records)


@claim_decay(
    "usual",
    HAUSER,
    f"In short trainings with little weight decay or none (up to {USUAL:g}), the average is inversely proportional to "
    "the number of blocks.",
)
def usual_decay(records: Records) -> Finding:
    table = by_decay(records)
    table = table[table["weight_decay"] <= USUAL]
    words = set(table["answer"])
    slopes = [fit_runs(runs_at(records, decay)) for decay in table["weight_decay"]]
    value = ", ".join(f"{exponent_words(s)} at {clock_words(t)}" for s, t in zip(slopes, table["clock"], strict=True))
    return Finding(value, ANSWERS[words.pop()] if len(words) == 1 else OPEN, "; ".join(map(interval, slopes)))


@claim_decay("strong", HAUSER, f"In short trainings with {STRONG}, the average is {INVERSE}.")
def strong_decay(records: Records) -> Finding:
    last = by_decay(records).iloc[-1]
    slope = fit_runs(runs_at(records, last["weight_decay"]))
    return Finding(exponent_words(slope), ANSWERS[last["answer"]], interval(slope))


@claim_decay(
    "strong-shared", HAUSER, f"With {STRONG}, on the depths that were also run without decay, the average is {INVERSE}."
)
def strong_decay_on_shared_depths(records: Records) -> Finding:
    return exponent_is(fit_runs(at_depths_of(runs_at(records, 0.0), runs_at(records, strongest(records)))), -1.0)


@claim_decay(
    "strong-shifted",
    OURS,
    f"With {STRONG}, a shifted inverse c/(L + b) describes the averages as well as a power of L does.",
)
def strong_decay_shifted(records: Records) -> Finding | None:
    return as_good_as_a_power(runs_at(records, strongest(records)))


@claim_decay("moves", OURS, f"Compared with none, {STRONG} makes the exponent steeper by more than {SMALLEST}.")
def decay_moves_it(records: Records) -> Finding:
    strong, none = (runs_at(records, decay) for decay in (strongest(records), 0.0))
    return steeper(fit_runs(at_depths_of(none, strong)), fit_runs(none))


@claim_decay(
    "usual-moves",
    OURS,
    f"In short trainings, a decay of {PEOPLE_USE:g} moves the exponent by more than {SMALLEST} compared with none "
    "(test 4 of the plan).",
    planned=True,
)
def usual_decay_moves_it(records: Records, sweeps: dict[str, Sweep]) -> Finding | None:
    usual, none = runs_at(records, PEOPLE_USE), runs_at(records, 0.0)
    if none and none[0].experiment.dataset == "digits":  # their short training is the main recipe
        usual = at_depths_of(none, sweeps["digits"].finished)
    return matters(fit_runs(usual), fit_runs(none), usual[0].run["training"]["clock"]) if usual else None


@claim_decay("strong-live", HAUSER, f"With {STRONG}, the average over live blocks alone is {INVERSE}.")
def strong_decay_over_live_blocks(records: Records) -> Finding:
    runs = runs_at(records, strongest(records))
    averages = [record.blocks_at("end")["scaled"][alive(record.blocks_at("end"))].mean() for record in runs]
    return exponent_is(fit_slope([record.blocks for record in runs], averages), -1.0)


@claim_decay("alive", OURS, f"With {STRONG}, every block adds something that depends on the image.")
def alive_under_strong_decay(records: Records) -> Finding:
    return all_alive(by_decay(records)["alive"].iloc[-1])


@claim_decay("accurate", OURS, f"At every depth, networks without decay are at least as accurate as with {STRONG}.")
def as_accurate_without(records: Records) -> Finding:
    strong = accuracy_by_depth(runs_at(records, strongest(records)))
    gained = (accuracy_by_depth(runs_at(records, 0.0)) - strong).dropna()
    value = f"{100 * gained.min():+.1f} to {100 * gained.max():+.1f} points".replace("-", "−")
    return Finding(value, truth(bool((gained >= 0).all()), bool((gained >= -POINT).all())))


@claim_decay(
    "stopping",
    OURS,
    f"The stopping rule measures the task, not the decay: the average falls below {EPSILON} at the same depth with and "
    "without decay, within a factor of 2.",
)
def stops_alike(records: Records) -> Finding:
    depths = [stopping_depth(EPSILON, runs_at(records, decay), replicates=200) for decay in (strongest(records), 0.0)]
    words = [f"{found.crossing:.0f}{'' if found.measured else ' (extrapolated)'}" for found in depths]
    ratio = depths[1].crossing / depths[0].crossing
    return Finding(f"{words[0]} with, {words[1]} without", truth(0.5 <= ratio <= 2))


# ------------------------------------------------------------------------------------------- full size

FULL_EXPECTED = {  # exponents that the plan expects
    "standard-mnist": -0.65,
    "standard-cifar10": -0.70,
    "standard-mnist-postactivation": -0.70,
    "standard-cifar10-postactivation": -0.71,
}


def full_sweep(records: Records, results: Path, block: str) -> Sweep | None:
    return full_size_sweeps(results).get(full_size_name(records[0].folder.parent.name, block))


def inverse_at_full_size(records: Records, results: Path, tests: pd.DataFrame, block: str) -> Finding | None:
    sweep = full_sweep(records, results, block)
    return inverse_proportion(sweep, tests) if sweep else None


def as_expected_at_full_size(records: Records, results: Path, block: str) -> Finding | None:
    sweep = full_sweep(records, results, block)
    if sweep is None:
        return None
    slope, expected = fit_runs(sweep.records), FULL_EXPECTED[sweep.name]
    value = f"{signed(slope.exponent)}, expected {signed(expected)}"
    return if_trained(Finding(value, truth(abs(slope.exponent - expected) <= SMALLEST), interval(slope)), sweep)


def smaller_recipe_moves_little(
    records: Records, results: Path, sweeps: dict[str, Sweep], block: str
) -> Finding | None:
    full = full_sweep(records, results, block)
    if full is None:
        return None
    half = sweeps[full.name.removeprefix("standard-")]
    both = at_depths_of(full.finished, half.finished), at_depths_of(half.finished, full.finished)
    moved, low, high = difference(*map(fit_runs, both))
    found = Finding(signed(moved), within(moved, low, high, SMALLEST), f"{signed(low)} to {signed(high)}")
    return if_trained(found, full, half)


for block, kind in KINDS.items():
    suffix, blocks, networks = "", "", ""
    if block != "preactivation":
        suffix, blocks, networks = f"-{block}", f" and {kind} blocks", f" of {kind} networks"
    claim_full = partial(claim, shown="scaling#full-size", about=tuple(FULL_SIZE), block=block)
    claim_full(
        f"inverse{suffix}",
        HAUSER,
        f"At full size, with a weight decay of {PEOPLE_USE:g}{blocks}, the average is {INVERSE}.",
        planned=True,
    )(inverse_at_full_size)
    claim_full(
        f"expected{suffix}",
        OURS,
        f"The exponent{networks} at full size is within {SMALLEST} of the one that the plan expects.",
        planned=True,
    )(as_expected_at_full_size)
    claim_full(
        f"smaller-images{suffix}",
        OURS,
        f"Images of half the size, and fewer epochs, move the exponent{networks} by less than {SMALLEST}, on the "
        "depths of both.",
    )(smaller_recipe_moves_little)


@claim(
    "responses",
    "this book, after He et al. 2015",
    "At full size, deeper networks have smaller responses: the root mean square of what their additions add falls with "
    "depth.",
    shown="others#what-the-records-say",
    about="standard-cifar10",
)
def smaller_responses_at_full_size(records: Records, results: Path) -> Finding | None:
    sweep = full_size_sweeps(results).get("standard-cifar10")
    return falls_with_depth(response_table(sweep.finished)) if sweep else None


# ------------------------------------------------------------------------------------------- no blocks at all


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
    bare = [r.run["accuracy"] for r in records if {**r.experiment.identity, "seed": None} == settings]
    seeds = pd.Series([r.blocks for r in with_blocks]).value_counts()
    repeated = [r for r in with_blocks if seeds[r.blocks] > 1]  # a single run has no interval
    best = accuracy_by_depth(repeated or with_blocks).idxmax()
    deep = [r.run["accuracy"] for r in with_blocks if r.blocks == best]
    if not bare:
        return None
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
