"""The statements of the ledger about sweeps, and what the records say of each: value, interval, verdict."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np

from resperturb.analysis import conventions, curves, profiles
from resperturb.analysis.power_law import PowerLaw, fit_power_law, stopping_depth
from resperturb.analysis.summaries import CLAIMED, ROUGHLY, SOURCE, depth_table, interval, signed, verdict
from resperturb.errors import ScalingError
from resperturb.records.sweeps import Sweep

SMALL = 0.1  # a scaled perturbation below this is small beside the state; the paper names no number
FACTOR = 1.25  # a predicted depth this near the measured one is near it
POINT = 0.01  # accuracies that differ by less are alike
EPSILON = 0.05  # of the sentences on the stopping rule; the paper names none
HOLDS, ROUGH, NOT, OPEN = "holds", "holds roughly", "does not hold", "cannot be told"

Finding = tuple[str, str, str]  # value, interval, verdict


def truth(holds: bool, roughly: bool = False) -> str:
    return HOLDS if holds else ROUGH if roughly else NOT


def listed(values: Iterable[float]) -> str:
    return ", ".join(signed(value) for value in values)


def exponent(moment: str) -> Callable[[Sweep, dict[str, Sweep]], Finding]:
    def finding(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
        law = fit_power_law(sweep.records, moment=moment)
        ranges = curves.by_range(sweep.records, moment=moment, replicates=2)["exponent"]
        return signed(law.exponent), interval(law), verdict(law, CLAIMED[moment], ranges)

    return finding


def depths(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    low, high = sweep.depths[0], sweep.depths[-1]
    return f"{low} to {high}", "", truth(low <= 6 and high >= 300)


def small_on_average(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    averages = fit_power_law(sweep.records).averages
    low, high = averages.interval()[:, -1]
    word = truth(high < SMALL) if not low < SMALL <= high else OPEN
    return f"{averages.means[-1]:.2g} at {sweep.depths[-1]}", f"{low:.2g} to {high:.2g}", word


def small_everywhere(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    largest = profiles.concentration_table(sweep.records)["largest"].iloc[-1]
    return f"{largest:.2g} at {sweep.depths[-1]}", "", truth(largest < SMALL)


def level_product(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    averages = fit_power_law(sweep.records, replicates=2).averages
    product = averages.means * averages.depths
    allowed = (averages.depths[-1] / averages.depths[0]) ** ROUGHLY
    return f"{product.min():.2f} to {product.max():.2f}", "", truth(product.max() / product.min() <= allowed)


def best_curve(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    averages = fit_power_law(sweep.records, replicates=2).averages
    table = curves.compare(averages.depths, averages.means)
    best, weight = str(table["curve"].iloc[0]), float(table["weight"].iloc[0])
    behind = float(table.loc[table["curve"] == "1/L", "difference"].iloc[0])
    clear = best == "1/L" and float(table["difference"].iloc[1]) > 2
    return f"{best}, weight {weight:.2f}", "", truth(clear, behind <= 2)


def one_for_all_ranges(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    table = curves.by_range(sweep.records, replicates=2)
    spread = table["exponent"].max() - table["exponent"].min()
    return f"{listed(table['exponent'])} from {', '.join(map(str, table['from']))} on", "", truth(spread <= ROUGHLY)


def one_for_all_sections(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    laws = section_laws(sweep)
    exponents = [law.exponent for law in laws]
    whole = profiles.measure_law(sweep.records, "scaled").exponent
    furthest = max(abs(exponent - whole) for exponent in exponents)
    return listed(exponents), "; ".join(map(interval, laws)), truth(furthest <= ROUGHLY)


def section_laws(sweep: Sweep) -> list[PowerLaw]:
    return [
        fit_power_law(profiles.section_runs(sweep.records, section), replicates=500)
        for section in profiles.sections_of(sweep.records)
    ]


def concentrated(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    before, after = (profiles.concentration_table(sweep.records, m)["half"].iloc[-1] for m in ("initialization", "end"))
    return f"{after:.3g} of {sweep.depths[-1]}; before training {before:.3g}", "", truth(after < before)


def idle_majority(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    laws = spread_exponents(sweep)
    largest, mean, median = laws["largest"], laws["mean"], laws["median"]
    return listed((largest, mean, median)), "", truth(largest > mean > median)


def spread_exponents(sweep: Sweep) -> dict[str, float]:
    """Exponents over depth of the largest, mean and median block after training."""
    table = profiles.concentration_table(sweep.records)
    x = np.log(table["blocks"])
    return {name: float(np.polyfit(x, np.log(table[name]), 1)[0]) for name in ("largest", "mean", "median")}


def absolute_level_before(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    law = profiles.measure_law(sweep.records, "perturbation_norm", "initialization")
    return signed(law.exponent), interval(law), verdict(law, 0.0)


def absolute_as_scaled_after(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    absolute = profiles.measure_law(sweep.records, "perturbation_norm", "end")
    scaled = profiles.measure_law(sweep.records, "scaled", "end")
    near = abs(absolute.exponent - scaled.exponent) <= ROUGHLY
    return f"{signed(absolute.exponent)} against {signed(scaled.exponent)}", interval(absolute), truth(near)


def stream_grows_before(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    law = profiles.measure_law(sweep.records, "state_norm", "initialization")
    return signed(law.exponent), interval(law), verdict(law, 0.5)


def stream_level_after(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    law = profiles.measure_law(sweep.records, "state_norm", "end")
    return signed(law.exponent), interval(law), verdict(law, 0.0)


def less_over_images(moment: str) -> Callable[[Sweep, dict[str, Sweep]], Finding]:
    def finding(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
        runs = [record for record in sweep.finished if record.blocks == sweep.depths[-1]]
        scaled, absolute = (
            float(np.mean([profiles.over_images(run, column, moment) for run in runs]))
            for column in ("scaled", "perturbation_norm")
        )
        return f"{scaled:.2f} against {absolute:.2f}", "", truth(scaled < absolute)

    return finding


def in_every_section(column: str) -> Callable[[Sweep, dict[str, Sweep]], Finding | None]:
    def finding(sweep: Sweep, found: dict[str, Sweep]) -> Finding | None:
        table = profiles.section_table(sweep.records)
        values = table.loc[table["blocks"] == sweep.depths[-1], column].to_numpy()
        if np.isnan(values).any():
            return None  # the records are older than the measurement
        positive = int((values > 0).sum())
        return listed(values), "", truth(positive == len(values), positive > len(values) / 2)

    return finding


def last_section_leads(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    table = profiles.section_table(sweep.records).pivot(index="blocks", columns="section", values="share")
    leads = int((table.idxmax(axis=1) == table.columns[-1]).sum())
    share = float(table.to_numpy()[-1, -1])
    return f"{share:.0%} at {sweep.depths[-1]}", "", truth(leads == len(table), leads > len(table) / 2)


def transitions_are_large(sweep: Sweep, found: dict[str, Sweep]) -> Finding | None:
    table = profiles.transition_table(sweep.records)
    if table.empty:
        return None
    there = table.loc[table["blocks"] == sweep.depths[-1], "scaled"]
    largest = profiles.concentration_table(sweep.records)["largest"].iloc[-1]
    return f"{listed(there)}; largest block {largest:.2f}", "", truth(there.min() > largest, there.max() > largest)


def conventions_agree(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    table = conventions.convention_table(sweep, found)
    furthest = conventions.largest_shift(table)
    far = int((table["moved by"].abs() > ROUGHLY).sum())
    value = f"{furthest['moved by']:+.2f} ({furthest['convention']!s})".replace("-", "−")
    return f"{value}; {far} of {len(table) - 1} by more", "", truth(far == 0)


def left_out(how: str) -> Callable[[Sweep, dict[str, Sweep]], Finding]:
    def finding(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
        table = curves.leave_one_out(sweep.records)
        ratios = table.loc[table["how"] == how, "ratio"]
        near = [1 / FACTOR <= ratio <= FACTOR for ratio in ratios]
        value = f"{ratios.min():.2f} to {ratios.max():.2f} times"
        return value, "", truth(all(near), sum(near) > len(near) / 2)

    return finding


def no_better_beyond(sweep: Sweep, found: dict[str, Sweep]) -> Finding | None:
    answer = stopping_depth(EPSILON, sweep.records)
    accuracy = depth_table(sweep.records).set_index("blocks")["accuracy"]
    if not answer.measured:
        return None
    there, deeper = accuracy[answer.depth], accuracy[accuracy.index > answer.depth]
    if deeper.empty:
        return None
    value = f"{there:.1%} at {answer.depth}, then up to {deeper.max():.1%}"
    return value, "", truth(deeper.max() - there <= POINT)


def no_accuracy_lost(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    accuracy = depth_table(sweep.records).set_index("blocks")["accuracy"]
    value = f"{accuracy.iloc[0]:.1%} at {sweep.depths[0]}, {accuracy.iloc[-1]:.1%} at {sweep.depths[-1]}"
    return value, "", truth(accuracy.iloc[-1] >= accuracy.iloc[0] - POINT)


def sums_are_right(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    worst = max(record.perturbations["reconstruction_error"].max() for record in sweep.finished)
    return f"{worst:.0e}", "", truth(worst < 1e-5)


OURS = "this book"


@dataclass(frozen=True)
class Row:
    """A sentence, what the records say of it, and where the book shows it.

    Attributes:
        id: <sweep>/<name>, the same as long as the sentence is the same.
        source: who says so: a paper, or this book.
        statement: the sentence.
        value, interval: ready to print; the interval may be empty.
        verdict: holds, holds roughly, does not hold, or cannot be told.
        chapter: page and anchor of the book.
        records: the folder and the number of runs.
    """

    id: str
    source: str
    statement: str
    value: str
    interval: str
    verdict: str
    chapter: str
    records: str

    def shown(self, page: str | None, names: Collection[str]) -> bool:
        """Whether this page of the book shows it, and the statement is one of these names; None and () take all."""
        return (page is None or self.chapter.split("#")[0] == page) and (not names or self.id.split("/")[1] in names)


@dataclass(frozen=True)
class Statement:
    """A sentence about a sweep. `finding` raises ScalingError or gives None where the records cannot say."""

    name: str
    source: str
    sentence: str
    chapter: str
    finding: Callable[[Sweep, dict[str, Sweep]], Finding | None]

    def row(self, sweep: Sweep, found: dict[str, Sweep]) -> Row | None:
        try:
            finding = self.finding(sweep, found)
        except ScalingError:
            return None
        if finding is None:
            return None
        where = f"{sweep.folder} ({len(sweep.records)} runs)"
        return Row(f"{sweep.name}/{self.name}", self.source, self.sentence, *finding, self.chapter, where)


HAUSER = f"{SOURCE['end']}, abstract"


STATEMENTS: tuple[Statement, ...] = (
    Statement("depths", HAUSER, "Networks of between 6 and 300 residual blocks.", "scaling#depth-by-depth", depths),
    Statement(
        "exponent-end",
        HAUSER,
        "After training, the average scaled perturbation is inversely proportional to the number of blocks.",
        "scaling#all-exponents",
        exponent("end"),
    ),
    Statement(
        "small",
        HAUSER,
        f"Large enough networks learn a perturbation from identity: the average in the deepest is below {SMALL}.",
        "scaling#depth-by-depth",
        small_on_average,
    ),
    Statement(
        "left-out-between",
        HAUSER,
        f"The stopping rule decides the depth: one left out between two others is found within a factor of {FACTOR}.",
        "stopping_rule#a-depth-left-out",
        left_out("between"),
    ),
    Statement(
        "left-out-beyond",
        OURS,
        "It does so beyond the depths it was given, too (the shallowest and the deepest left out; a factor "
        f"of {FACTOR}).",
        "stopping_rule#a-depth-left-out",
        left_out("beyond"),
    ),
    Statement(
        "exponent-initialization",
        SOURCE["initialization"],
        "Before training, the average scaled perturbation falls as 1/√L.",
        "scaling#all-exponents",
        exponent("initialization"),
    ),
    Statement(
        "product",
        OURS,
        f"Depth times average is level: it varies by less than the depth to the power {ROUGHLY}.",
        "scaling#depth-by-depth",
        level_product,
    ),
    Statement(
        "curve",
        OURS,
        "Of the curves compared, 1/L describes the averages best (by more than 2 in AICc).",
        "scaling#which-curve",
        best_curve,
    ),
    Statement(
        "ranges",
        OURS,
        f"The exponent is the same from whichever depth on it is fitted, within {ROUGHLY}.",
        "scaling#does-the-range-of-depths-decide",
        one_for_all_ranges,
    ),
    Statement(
        "sections",
        OURS,
        f"It is the same in every section, within {ROUGHLY}.",
        "scaling#section-by-section",
        one_for_all_sections,
    ),
    Statement(
        "conventions",
        OURS,
        f"No convention moves it by more than {ROUGHLY}.",
        "conventions#one-table",
        conventions_agree,
    ),
    Statement(
        "largest",
        OURS,
        f"In the deepest network every block is a small perturbation, below {SMALL}.",
        "per_block#how-it-is-spread-over-the-blocks",
        small_everywhere,
    ),
    Statement(
        "half",
        OURS,
        "Training concentrates it: half of the sum is in fewer blocks than before.",
        "per_block#how-it-is-spread-over-the-blocks",
        concentrated,
    ),
    Statement(
        "idle",
        OURS,
        "With depth the median block shrinks faster than the mean, and the largest block slower "
        "(exponents: largest, mean, median).",
        "per_block#how-it-is-spread-over-the-blocks",
        idle_majority,
    ),
    Statement(
        "last-section",
        OURS,
        "At every depth the last section has the largest share of the scaled perturbations.",
        "per_block#section-by-section",
        last_section_leads,
    ),
    Statement(
        "along",
        OURS,
        "After training, perturbations point along the state: the mean cosine is positive in every section "
        "of the deepest networks.",
        "per_block#the-direction",
        in_every_section("cosine"),
    ),
    Statement(
        "successive",
        OURS,
        "After training, successive perturbations point the same way: the mean cosine is positive in every "
        "section of the deepest networks.",
        "per_block#the-direction",
        in_every_section("successive"),
    ),
    Statement(
        "transitions",
        OURS,
        "Transitions add more, beside the state they project, than any block does.",
        "per_block#at-the-transitions",
        transitions_are_large,
    ),
    Statement(
        "absolute-before",
        OURS,
        "Before training the absolute perturbation does not depend on depth (exponent 0).",
        "per_block#both-measures-against-depth",
        absolute_level_before,
    ),
    Statement(
        "absolute-after",
        OURS,
        f"After training the absolute perturbation falls with depth as the scaled one does, within {ROUGHLY}.",
        "per_block#both-measures-against-depth",
        absolute_as_scaled_after,
    ),
    Statement(
        "stream-before",
        OURS,
        "Before training the norm of the state grows as √L.",
        "per_block#both-measures-against-depth",
        stream_grows_before,
    ),
    Statement(
        "stream-after",
        OURS,
        "After training the norm of the state does not depend on depth (exponent 0).",
        "per_block#both-measures-against-depth",
        stream_level_after,
    ),
    Statement(
        "images-before",
        OURS,
        "Over images the scaled measure varies less than the absolute one, before training.",
        "per_block#both-measures-against-depth",
        less_over_images("initialization"),
    ),
    Statement(
        "images-after",
        OURS,
        "Over images the scaled measure varies less than the absolute one, after training.",
        "per_block#both-measures-against-depth",
        less_over_images("end"),
    ),
    Statement(
        "accuracy-beyond",
        OURS,
        f"Beyond the depth at which the average is below {EPSILON}, accuracy gains no more than a point.",
        "stopping_rule#is-it-a-good-rule",
        no_better_beyond,
    ),
    Statement(
        "accuracy",
        OURS,
        "Depth costs no accuracy: the deepest networks are as accurate as the shallowest, within a point.",
        "stopping_rule#is-it-a-good-rule",
        no_accuracy_lost,
    ),
    Statement(
        "sums",
        OURS,
        "In every block, state plus perturbation is what the network went on with, to a hundred-thousandth.",
        "method#measurement",
        sums_are_right,
    ),
)
