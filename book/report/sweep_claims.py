"""Claims about sweeps over depth."""

from __future__ import annotations

import numpy as np

from report.claims import HAUSER, HOLDS, NOT, OPEN, OURS, POINT, Finding, claim, exponent_is, listed, truth
from resperturb.analysis import conventions, curves, profiles
from resperturb.analysis.power_law import PowerLaw, fit_power_law, stopping_depth
from resperturb.analysis.summaries import CLAIMED_EXPONENTS, ROUGHLY, SOURCE, depth_table, interval, signed
from resperturb.records.sweeps import Sweep

SMALL = 0.1  # a scaled perturbation below this is small beside the state; the paper names no number
FACTOR = 1.25  # a predicted depth this near the measured one is near it
EPSILON = 0.05  # of the sentences on the stopping rule; the paper names none
SPREAD_SHOWN = "per_block#how-it-is-spread-over-the-blocks"
BOTH = "per_block#both-measures-against-depth"


@claim("depths", HAUSER, "Networks of between 6 and 300 residual blocks.", shown="scaling#depth-by-depth")
def depths(sweep: Sweep) -> Finding:
    low, high = sweep.depths[0], sweep.depths[-1]
    return Finding(f"{low} to {high}", truth(low <= 6 and high >= 300))


@claim(
    "exponent-end",
    HAUSER,
    "After training, the average scaled perturbation is inversely proportional to the number of blocks.",
    shown="scaling#all-exponents",
    moment="end",
)
def exponent(sweep: Sweep, moment: str) -> Finding:
    law = fit_power_law(sweep.records, moment=moment)
    ranges = curves.by_range(sweep.records, moment=moment, replicates=2)["exponent"]
    return exponent_is(law, CLAIMED_EXPONENTS[moment], ranges)


@claim(
    "small",
    HAUSER,
    f"Large enough networks learn a perturbation from identity: the average in the deepest is below {SMALL}.",
    shown="scaling#depth-by-depth",
)
def small_on_average(sweep: Sweep) -> Finding:
    averages = fit_power_law(sweep.records).averages
    low, high = averages.interval()[:, -1]
    word = truth(high < SMALL) if not low < SMALL <= high else OPEN
    return Finding(f"{averages.means[-1]:.2g} at {sweep.depths[-1]}", word, f"{low:.2g} to {high:.2g}")


@claim(
    "left-out-between",
    HAUSER,
    f"The stopping rule decides the depth: one left out between two others is found within a factor of {FACTOR}.",
    shown="stopping_rule#a-depth-left-out",
    how="between",
)
def left_out(sweep: Sweep, how: str) -> Finding:
    table = curves.leave_one_out(sweep.records)
    ratios = table.loc[table["how"] == how, "ratio"]
    near = [1 / FACTOR <= ratio <= FACTOR for ratio in ratios]
    return Finding(f"{ratios.min():.2f} to {ratios.max():.2f} times", truth(all(near), sum(near) > len(near) / 2))


claim(
    "left-out-beyond",
    OURS,
    f"It does so beyond the depths it was given, too (the shallowest and the deepest left out; a factor of {FACTOR}).",
    shown="stopping_rule#a-depth-left-out",
    how="beyond",
)(left_out)

claim(
    "exponent-initialization",
    SOURCE["initialization"],
    "Before training, the average scaled perturbation falls as 1/√L.",
    shown="scaling#all-exponents",
    moment="initialization",
)(exponent)


@claim(
    "product",
    OURS,
    f"Depth times average is level: it varies by less than the depth to the power {ROUGHLY}.",
    shown="scaling#depth-by-depth",
)
def level_product(sweep: Sweep) -> Finding:
    averages = fit_power_law(sweep.records, replicates=2).averages
    product = averages.means * averages.depths
    allowed = (averages.depths[-1] / averages.depths[0]) ** ROUGHLY
    return Finding(f"{product.min():.2f} to {product.max():.2f}", truth(product.max() / product.min() <= allowed))


@claim(
    "curve",
    OURS,
    "Of the curves compared, 1/L describes the averages best (by more than 2 in AICc).",
    shown="scaling#which-curve",
)
def best_curve(sweep: Sweep) -> Finding:
    averages = fit_power_law(sweep.records, replicates=2).averages
    table = curves.compare(averages.depths, averages.means)
    best, weight = str(table["curve"].iloc[0]), float(table["weight"].iloc[0])
    behind = float(table.loc[table["curve"] == "1/L", "difference"].iloc[0])
    clear = best == "1/L" and float(table["difference"].iloc[1]) > 2
    return Finding(f"{best}, weight {weight:.2f}", truth(clear, behind <= 2))


@claim(
    "ranges",
    OURS,
    f"The exponent is the same from whichever depth on it is fitted, within {ROUGHLY}.",
    shown="scaling#does-the-range-of-depths-decide",
)
def one_for_all_ranges(sweep: Sweep) -> Finding:
    table = curves.by_range(sweep.records, replicates=2)
    spread = table["exponent"].max() - table["exponent"].min()
    value = f"{listed(table['exponent'])} from {', '.join(map(str, table['from']))} on"
    return Finding(value, truth(spread <= ROUGHLY))


@claim("sections", OURS, f"It is the same in every section, within {ROUGHLY}.", shown="scaling#section-by-section")
def one_for_all_sections(sweep: Sweep) -> Finding:
    laws = section_laws(sweep)
    exponents = [law.exponent for law in laws]
    whole = profiles.fit_measure(sweep.records, "scaled").exponent
    furthest = max(abs(exponent - whole) for exponent in exponents)
    return Finding(listed(exponents), truth(furthest <= ROUGHLY), "; ".join(map(interval, laws)))


def section_laws(sweep: Sweep) -> list[PowerLaw]:
    """The power law of each section, over the depth of the whole network."""
    return [profiles.fit_measure(sweep.records, section=section) for section in profiles.section_numbers(sweep.records)]


@claim("conventions", OURS, f"No convention moves it by more than {ROUGHLY}.", shown="conventions#one-table")
def conventions_agree(sweep: Sweep, sweeps: dict[str, Sweep]) -> Finding:
    table = conventions.convention_table(sweep, sweeps)
    furthest = conventions.largest_shift(table)
    far = int((table["moved by"].abs() > ROUGHLY).sum())
    value = f"{furthest['moved by']:+.2f} ({furthest['convention']!s})".replace("-", "−")
    return Finding(f"{value}; {far} of {len(table) - 1} by more", truth(far == 0))


@claim(
    "largest", OURS, f"In the deepest network every block is a small perturbation, below {SMALL}.", shown=SPREAD_SHOWN
)
def small_everywhere(sweep: Sweep) -> Finding:
    largest = profiles.concentration_table(sweep.records)["largest"].iloc[-1]
    return Finding(f"{largest:.2g} at {sweep.depths[-1]}", truth(largest < SMALL))


@claim("half", OURS, "Training concentrates it: half of the sum is in fewer blocks than before.", shown=SPREAD_SHOWN)
def concentrated(sweep: Sweep) -> Finding:
    before, after = (profiles.concentration_table(sweep.records, m)["half"].iloc[-1] for m in ("initialization", "end"))
    return Finding(f"{after:.3g} of {sweep.depths[-1]}; before training {before:.3g}", truth(after < before))


@claim(
    "idle",
    OURS,
    "With depth the median block shrinks faster than the mean, and the largest block slower "
    "(exponents: largest, mean, median).",
    shown=SPREAD_SHOWN,
)
def idle_majority(sweep: Sweep) -> Finding:
    table = profiles.concentration_table(sweep.records)
    x = np.log(table["blocks"])
    largest, mean, median = (float(np.polyfit(x, np.log(table[n]), 1)[0]) for n in ("largest", "mean", "median"))
    return Finding(listed((largest, mean, median)), truth(largest > mean > median))


@claim(
    "last-section",
    OURS,
    "At every depth the last section has the largest share of the scaled perturbations.",
    shown="per_block#section-by-section",
)
def last_section_leads(sweep: Sweep) -> Finding:
    table = profiles.section_summary(sweep.records).pivot(index="blocks", columns="section", values="share")
    leads = int((table.idxmax(axis=1) == table.columns[-1]).sum())
    share = float(table.to_numpy()[-1, -1])
    return Finding(f"{share:.0%} at {sweep.depths[-1]}", truth(leads == len(table), leads > len(table) / 2))


@claim(
    "along",
    OURS,
    "After training, perturbations point along the state: the mean cosine is positive in every section of the "
    "deepest networks.",
    shown="per_block#the-direction",
    column="cosine",
)
def in_every_section(sweep: Sweep, column: str) -> Finding | None:
    table = profiles.section_summary(sweep.records)
    values = table.loc[table["blocks"] == sweep.depths[-1], column].to_numpy()
    if np.isnan(values).any():
        return None  # the records are older than the measurement
    positive = int((values > 0).sum())
    return Finding(listed(values), truth(positive == len(values), positive > len(values) / 2))


claim(
    "successive",
    OURS,
    "After training, successive perturbations point the same way: the mean cosine is positive in every section of "
    "the deepest networks.",
    shown="per_block#the-direction",
    column="successive",
)(in_every_section)


@claim(
    "transitions",
    OURS,
    "Transitions add more, beside the state they project, than any block does.",
    shown="per_block#at-the-transitions",
)
def transitions_are_large(sweep: Sweep) -> Finding | None:
    table = profiles.transition_table(sweep.records)
    if table.empty:
        return None
    there = table.loc[table["blocks"] == sweep.depths[-1], "scaled"]
    largest = profiles.concentration_table(sweep.records)["largest"].iloc[-1]
    value = f"{listed(there)}; largest block {largest:.2f}"
    return Finding(value, truth(there.min() > largest, there.max() > largest))


@claim(
    "absolute-before",
    OURS,
    "Before training the absolute perturbation does not depend on depth (exponent 0).",
    shown=BOTH,
)
def absolute_level_before(sweep: Sweep) -> Finding:
    return exponent_is(profiles.fit_measure(sweep.records, "perturbation_norm", "initialization"), 0.0)


@claim(
    "absolute-after",
    OURS,
    f"After training the absolute perturbation falls with depth as the scaled one does, within {ROUGHLY}.",
    shown=BOTH,
)
def absolute_as_scaled_after(sweep: Sweep) -> Finding:
    absolute, scaled = (profiles.fit_measure(sweep.records, c, "end") for c in ("perturbation_norm", "scaled"))
    near = abs(absolute.exponent - scaled.exponent) <= ROUGHLY
    return Finding(f"{signed(absolute.exponent)} against {signed(scaled.exponent)}", truth(near), interval(absolute))


@claim("stream-before", OURS, "Before training the norm of the state grows as √L.", shown=BOTH)
def stream_grows_before(sweep: Sweep) -> Finding:
    return exponent_is(profiles.fit_measure(sweep.records, "state_norm", "initialization"), 0.5)


@claim("stream-after", OURS, "After training the norm of the state does not depend on depth (exponent 0).", shown=BOTH)
def stream_level_after(sweep: Sweep) -> Finding:
    return exponent_is(profiles.fit_measure(sweep.records, "state_norm", "end"), 0.0)


@claim(
    "images-before",
    OURS,
    "Over images the scaled measure varies less than the absolute one, before training.",
    shown=BOTH,
    moment="initialization",
)
def less_over_images(sweep: Sweep, moment: str) -> Finding:
    runs = [record for record in sweep.finished if record.blocks == sweep.depths[-1]]
    scaled, absolute = (
        float(np.mean([profiles.image_variation(run, column, moment) for run in runs]))
        for column in ("scaled", "perturbation_norm")
    )
    return Finding(f"{scaled:.2f} against {absolute:.2f}", truth(scaled < absolute))


claim(
    "images-after",
    OURS,
    "Over images the scaled measure varies less than the absolute one, after training.",
    shown=BOTH,
    moment="end",
)(less_over_images)


@claim(
    "accuracy-beyond",
    OURS,
    f"Beyond the depth at which the average is below {EPSILON}, accuracy gains no more than a point.",
    shown="stopping_rule#is-it-a-good-rule",
)
def no_better_beyond(sweep: Sweep) -> Finding | None:
    answer = stopping_depth(EPSILON, sweep.records)
    accuracy = depth_table(sweep.records).set_index("blocks")["accuracy"]
    if not answer.measured:
        return None
    there, deeper = accuracy[answer.depth], accuracy[accuracy.index > answer.depth]
    if deeper.empty:
        return None
    value = f"{there:.1%} at {answer.depth}, then up to {deeper.max():.1%}"
    return Finding(value, truth(deeper.max() - there <= POINT))


@claim(
    "accuracy",
    OURS,
    "Depth costs no accuracy: the deepest networks are as accurate as the shallowest, within a point.",
    shown="stopping_rule#is-it-a-good-rule",
)
def no_accuracy_lost(sweep: Sweep) -> Finding:
    accuracy = depth_table(sweep.records).set_index("blocks")["accuracy"]
    value = f"{accuracy.iloc[0]:.1%} at {sweep.depths[0]}, {accuracy.iloc[-1]:.1%} at {sweep.depths[-1]}"
    return Finding(value, truth(accuracy.iloc[-1] >= accuracy.iloc[0] - POINT))


@claim(
    "sums",
    OURS,
    "In every block, state plus perturbation is what the network went on with, to a hundred-thousandth.",
    shown="method#measurement",
)
def sums_are_right(sweep: Sweep) -> Finding:
    worst = max(record.perturbations["reconstruction_error"].max() for record in sweep.finished)
    return Finding(f"{worst:.0e}", truth(worst < 1e-5))


@claim(
    "kind",
    OURS,
    f"{{kind}} blocks have the exponent of {{usual}} blocks after training, within {ROUGHLY}.",
    shown="scaling#all-exponents",
    about="kind",
)
@claim(
    "sensitivity",
    OURS,
    f"With {{changes}}, the exponent after training is the same, within {ROUGHLY}.",
    shown="choices#what-a-change-does",
    about="sensitivity",
)
def same_exponent(sweep: Sweep, base: Sweep) -> Finding | None:
    laws = conventions.fit_shared_depths(sweep, base)
    if laws is None:
        return None
    here, there = laws
    moved = here.exponent - there.exponent
    reach = max(here.high - here.exponent, here.exponent - here.low)
    word = HOLDS if abs(moved) <= ROUGHLY else NOT if abs(moved) > ROUGHLY + reach else OPEN
    return Finding(f"{signed(here.exponent)} against {signed(there.exponent)}", word, interval(here))
