"""Claims about sweeps over depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from report.claims import (
    AFTER_DE_SMITH,
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
    listed,
    open_unless,
    truth,
    within,
)
from resperturb.analysis import conventions, curves, profiles
from resperturb.analysis.conditions import BARS, accuracy_by_depth, bar_met, run_table
from resperturb.analysis.power_law import fit_power_law, stopping_depth
from resperturb.analysis.slope_tests import LEVEL, SMALLEST, Slope, difference, fit_runs
from resperturb.analysis.summaries import depth_table, exponent_words, interval, signed
from resperturb.analysis.theory import VARIANTS, theory_ratios
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep

FEWEST_RUNS = 8  # fewer runs are too few to conclude from a test that rejects nothing
SMALL_PUSH = 0.1  # scaled perturbations below this are small; the paper names no number
FACTOR = 1.25  # a prediction is near if it is off by at most this factor

claim_scaling = partial(claim, source=OURS, shown="scaling#what-the-records-say")
claim_blocks = partial(claim, source=OURS, shown="per_block#what-the-records-say")
claim_depth = partial(claim, source=OURS, shown="practice#how-deep-to-go")


def if_trained(found: Finding, *sweeps: Sweep) -> Finding:
    """The finding; open where networks miss the bar of accuracy of their data set."""
    return open_unless(all(bar_met(sweep.records) for sweep in sweeps), found)


@claim_scaling(
    "exponent-end",
    planned=True,
    source=HAUSER,
    sentence="After training, the average scaled perturbation is inversely proportional to the number of blocks.",
)
def inverse_proportion(sweep: Sweep, tests: pd.DataFrame) -> Finding:
    slope, word = fit_runs(sweep.records), tests["answer"][sweep.name]
    return if_trained(Finding(exponent_words(slope), ANSWERS[word], interval(slope)), sweep)


@claim_scaling(
    "one-power",
    planned=True,
    sentence=f"After training, one power of the depth describes the averages: of {FEWEST_RUNS} runs or more, tests at "
    f"{LEVEL:.0%} find no bend and no lack of fit.",
)
def one_power(sweep: Sweep, tests: pd.DataFrame) -> Finding | None:
    found = {"bend": tests["p_curvature"][sweep.name], "lack of fit": tests["p_fit"][sweep.name]}
    known = {name: p for name, p in found.items() if not math.isnan(p)}
    value = ", ".join(f"{name} p = {p:.2g}" for name, p in known.items())
    if not known:
        return None
    rejected = min(known.values()) < LEVEL
    return Finding(value, NOT if rejected else OPEN if len(sweep.finished) < FEWEST_RUNS else HOLDS)


@claim_scaling(
    "trained",
    planned=True,
    sentence="The networks are trained as the plan asks: accurate enough at every depth, hardly less accurate when "
    "deeper, and no depth is lost to divergence.",
)
def trained_as_planned(sweep: Sweep) -> Finding:
    accuracy = accuracy_by_depth(sweep.records)
    ends = f"{accuracy.min():.1%} to {accuracy.max():.1%}, bar {BARS[sweep.dataset]:.1%}"
    diverged = sum(record.diverged for record in sweep.records)
    value = f"{ends}, {diverged} of {len(sweep.records)} runs diverged"
    return Finding(value, truth(bar_met(sweep.records)))


@claim_scaling("alive", planned=True, sentence="Every block is alive: what it adds depends on the image.")
def every_block_alive(sweep: Sweep, tests: pd.DataFrame) -> Finding:
    return all_alive(tests["alive"][sweep.name])


def all_alive(share: float) -> Finding:
    """The finding on "every block is alive", from the smallest share of live blocks in a network."""
    return Finding(f"at least {share:.0%}" if share < 1 else "100%", truth(share == 1))


@claim_scaling("smaller", sentence="In the deepest network, training makes the average smaller.")
def smaller_than_before(sweep: Sweep) -> Finding:
    deepest = depth_table(sweep.records).iloc[-1]
    before, after = deepest["scaled_initialization"], deepest["scaled_end"]
    found = Finding(f"{after:.3f} after {before:.3f} at {sweep.depths[-1]}", truth(after < before))
    return if_trained(found, sweep)


@claim_scaling(
    "exponent-initialization",
    source=AFTER_DE_SMITH,
    sentence="Before training, the average scaled perturbation falls as 1/√L.",
)
def root_before_training(sweep: Sweep) -> Finding:
    return exponent_is(fit_runs(sweep.records, "initialization"), -0.5)


@claim_scaling(
    "initial-curve",
    sentence="Before training, the average at every depth is within a tenth of what theory predicts from the first "
    "block.",
)
def initial_curve(sweep: Sweep) -> Finding | None:
    if sweep.block != "preactivation":
        return None  # the theory holds where nothing but blocks changes the stream
    ratios = []
    for record in sweep.finished:
        blocks = record.blocks_at("initialization")["scaled"].to_numpy()
        ratios.append(blocks.mean() / theory_ratios(VARIANTS["batch-norm"], len(blocks), blocks[0]).mean())
    return Finding(f"{min(ratios):.2f} to {max(ratios):.2f} times", truth(0.9 <= min(ratios) <= max(ratios) <= 1.1))


@claim_scaling("sections", sentence=f"Every section has the exponent of the whole network, within {SMALLEST}.")
def one_for_all_sections(sweep: Sweep) -> Finding:
    slopes, whole = section_slopes(sweep), fit_runs(sweep.records)
    words = {within(*difference(slope, whole)[1:], SMALLEST) for slope in slopes}
    word = NOT if NOT in words else OPEN if OPEN in words else words.pop()
    return Finding(", ".join(map(exponent_words, slopes)), word, "; ".join(map(interval, slopes)))


def section_slopes(sweep: Sweep) -> list[Slope]:
    """The exponent of each section, over the depth of the whole network."""
    return [profiles.fit_measure(sweep.records, section=section) for section in profiles.section_numbers(sweep.records)]


@claim(
    "conventions",
    OURS,
    f"No way of averaging moves the exponent by more than {SMALLEST}.",
    shown="method#does-the-way-of-averaging-decide",
)
def conventions_agree(sweep: Sweep) -> Finding:
    table = conventions.convention_table(sweep)
    furthest = conventions.largest_shift(table)
    far = int((table["moved by"].abs() > SMALLEST).sum())
    value = f"{furthest['moved by']:+.2f} ({furthest['convention']!s})".replace("-", "−")
    return Finding(f"{value}; {far} of {len(table) - 1} by more", truth(far == 0))


@claim_blocks(
    "largest", sentence=f"In the deepest network every block adds less than {SMALL_PUSH} of the size of its state."
)
def small_everywhere(sweep: Sweep) -> Finding:
    largest = profiles.concentration_table(sweep.records)["largest"].iloc[-1]
    return Finding(f"{largest:.2g} at {sweep.depths[-1]}", truth(largest < SMALL_PUSH))


@claim_blocks(
    "half", sentence="Training concentrates the work: half of the sum over blocks comes from fewer blocks than before."
)
def concentrated(sweep: Sweep) -> Finding:
    before, after = (profiles.concentration_table(sweep.records, m)["half"].iloc[-1] for m in ("initialization", "end"))
    return Finding(f"{after:.3g} of {sweep.depths[-1]}; before training {before:.3g}", truth(after < before))


@claim_blocks(
    "idle",
    sentence="With depth, the median block shrinks faster than the mean, and the largest block more slowly "
    "(exponents: largest, mean, median).",
)
def idle_majority(sweep: Sweep) -> Finding:
    table = profiles.concentration_table(sweep.records)
    x = np.log(table["blocks"])
    largest, mean, median = (float(np.polyfit(x, np.log(table[n]), 1)[0]) for n in ("largest", "mean", "median"))
    return Finding(listed((largest, mean, median)), truth(largest > mean > median))


@claim_blocks(
    "along",
    sentence="After training, perturbations point along the state: their mean cosine is positive in every section of "
    "the deepest networks.",
    column="cosine",
)
def in_every_section(sweep: Sweep, column: str) -> Finding:
    table = profiles.section_summary(sweep.records)
    values = table.loc[table["blocks"] == sweep.depths[-1], column].to_numpy()
    positive = int((values > 0).sum())
    return Finding(listed(values), truth(positive == len(values), positive > len(values) / 2))


claim_blocks(
    "successive",
    sentence="After training, successive blocks push the same way: the mean cosine is positive in every section of the "
    "deepest networks.",
    column="successive",
)(in_every_section)


@claim_blocks("transitions", sentence="Relative to the state, transitions add more than any block does.")
def transitions_are_large(sweep: Sweep) -> Finding | None:
    table = profiles.transition_table(sweep.records)
    if table.empty:
        return None
    there = table.loc[table["blocks"] == sweep.depths[-1], "scaled"]
    largest = profiles.concentration_table(sweep.records)["largest"].iloc[-1]
    value = f"{listed(there)}; largest block {largest:.2f}"
    return Finding(value, truth(there.min() > largest, there.max() > largest))


@claim_blocks(
    "absolute-after",
    sentence=f"After training, the absolute perturbation has the exponent of the scaled one, within {SMALLEST}.",
)
def absolute_as_scaled_after(sweep: Sweep) -> Finding:
    absolute, scaled = (profiles.fit_measure(sweep.records, column) for column in ("perturbation_norm", "scaled"))
    word = within(*difference(absolute, scaled)[1:], SMALLEST)
    return Finding(f"{signed(absolute.exponent)} against {signed(scaled.exponent)}", word, interval(absolute))


@claim_depth(
    "left-out-beyond",
    sentence="From the other depths, the stopping rule predicts the shallowest and the deepest one, within a factor of "
    f"{FACTOR}.",
)
def left_out(sweep: Sweep) -> Finding:
    table = curves.leave_one_out(sweep.records)
    ratios = table.loc[table["how"] == "beyond", "ratio"]
    near = [1 / FACTOR <= ratio <= FACTOR for ratio in ratios]
    return Finding(f"{ratios.min():.2f} to {ratios.max():.2f} times", truth(all(near), sum(near) > len(near) / 2))


@claim_depth(
    "accuracy-beyond",
    sentence="The stopping rule can decide the depth: once the average is half of the shallowest network's, more "
    "blocks gain no more than a point of accuracy.",
)
def no_better_beyond(sweep: Sweep) -> Finding | None:
    averages = fit_power_law(sweep.records, replicates=2).averages
    answer = stopping_depth(float(averages.means[0] / 2), sweep.records, replicates=2)
    accuracy = accuracy_by_depth(sweep.records)
    deeper = accuracy[accuracy.index > answer.depth]
    if not answer.measured or deeper.empty:
        return None
    there = accuracy[answer.depth]
    if 1 - there <= POINT:
        return None  # no network could gain more
    value = f"{there:.1%} at {answer.depth}, then up to {deeper.max():.1%}"
    return Finding(value, truth(deeper.max() - there <= POINT))


@claim_scaling(
    "shifted",
    sentence="A shifted inverse c/(L + b), which becomes 1/L in deep networks, describes the averages as well as a "
    "power of L does (AICc larger by less than 2).",
)
def shifted_inverse(sweep: Sweep) -> Finding | None:
    return as_good_as_a_power(sweep.finished)


def as_good_as_a_power(records: Sequence[Record]) -> Finding | None:
    """The finding on "c/(L + b) describes the averages as well as a power"; None with too few runs for AICc."""
    runs = run_table(records)
    table = curves.compare_curves(runs["blocks"].to_numpy(), runs["after"].to_numpy()).set_index("curve")
    criterion, shift = table["aicc"].to_dict(), table["shift"].to_dict()["c/(L+b)"]
    if not math.isfinite(criterion["c/(L+b)"]):
        return None
    apart = criterion["c/(L+b)"] - criterion["power of L"]
    return Finding(f"AICc {apart:+.1f} beside a power, b = {shift:.1f}".replace("-", "−"), truth(apart < 2))


def steeper(slope: Slope, other: Slope) -> Finding:
    """The finding on "the first exponent is steeper than the second by more than the smallest difference"."""
    moved, low, high = difference(slope, other)
    word = HOLDS if high < -SMALLEST else NOT if low > -SMALLEST else OPEN
    return Finding(signed(moved), word, f"{signed(low)} to {signed(high)}")
