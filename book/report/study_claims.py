"""What the studies add to the ledger: sentences that can be wrong, each with the value that decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from report.claims import OURS, POINT, Finding, Row, truth
from resperturb.analysis import study_tables
from resperturb.analysis.carriers import carried_means
from resperturb.analysis.clock import (
    ALIKE,
    SATURATED,
    clock_exponents,
    clock_records,
    clock_table,
    collapse,
    that_learned,
)
from resperturb.analysis.power_law import PowerLaw, fit_power_law
from resperturb.analysis.study_tables import law_over, records_of_study
from resperturb.analysis.summaries import ROUGHLY, interval, signed, verdict
from resperturb.analysis.theory import VARIANTS
from resperturb.errors import ScalingError
from resperturb.records.record import Record, StudyRecord

RANKED = 0.5  # a rank correlation from here on ranks
BETTER = 0.1  # and one that is so much higher ranks better
EVEN = 0.25  # steps whose lengths have a coefficient of variation below this are equispaced
DOUBLING = 2.0  # growth doubles the depth, so it cannot be nearer than this

Said = tuple[str, str, str, Finding, str]  # name, source, sentence, (value, interval, verdict), chapter


def across(values: pd.Series, form: str, fits: Callable[[float], bool]) -> Finding:
    """A value for each depth (or threshold): holds where all fit, roughly where most do."""
    good = [fits(value) for value in values]
    said = ", ".join(f"{form.format(value)} at {place:g}" for place, value in values.items()).replace("-", "−")
    return said, "", truth(all(good), sum(good) > len(good) / 2)


def of_law(law: PowerLaw, claimed: float) -> Finding:
    return signed(law.exponent), interval(law), verdict(law, claimed)


def initialization(records: list[StudyRecord], sweep: list[Record]) -> Iterator[Said]:
    table = study_tables.initial_averages(records)
    page = "initialization#the-exponents"
    for name, law in study_tables.initial_laws(table).items():
        variant = VARIANTS[name]
        assert variant.exponent is not None
        power = {0.0: "does not depend on depth", -0.5: "falls as 1/√L", -1.0: "falls as 1/L"}[variant.exponent]
        sentence = f"Before training, in one section ({variant.label}), the average scaled perturbation {power}."
        yield name, variant.source, sentence, of_law(law, variant.exponent), page
    zero = table.loc[table["variant"] == "zero", "scaled"]
    if len(zero):
        sentence = "Branches that start at zero perturb nothing before training, at any depth."
        yield "zero", VARIANTS["zero"].source, sentence, (f"at most {zero.max():g}", "", truth(zero.max() == 0)), page
    plain = table[table["variant"] == "plain"]
    if len(plain):
        lost = plain.loc[~plain["finite"].astype(bool), "blocks"]
        value = f"from {lost.min()} blocks on" if len(lost) else f"not up to {plain['blocks'].max()} blocks"
        sentence = "Without normalisation the state grows until float32 cannot hold it, before 1000 blocks."
        yield "overflow", OURS, sentence, (value, "", truth(bool(len(lost)) and lost.min() <= 1000)), page


def lesion(records: list[StudyRecord], sweep: list[Record]) -> Iterator[Said]:
    page = "lesion#one-block-at-a-time"
    ranks = study_tables.lesion_table(records).pivot(index="blocks", columns="score", values="with added loss")
    sentence = (
        f"The scaled perturbation ranks blocks by the loss their absence adds (rank correlation of {RANKED} or more)."
    )
    yield "rank", OURS, sentence, across(ranks["scaled"], "{:.2f}", lambda value: value >= RANKED), page
    gain = ranks[["influence", "angular"]].max(axis=1) - ranks["scaled"]
    sentence = f"Influence and angle rank them no better: no rank correlation is higher by more than {BETTER}."
    yield "scores", OURS, sentence, across(gain, "{:+.2f}", lambda value: value <= BETTER), page
    page = "lesion#many-together"
    half = study_tables.pruning_table(records).set_index("blocks")
    sentence = "A network without the half of its blocks that perturb least is as accurate, within a point."
    lost = half["whole"] - half["scaled"]
    yield "prune", OURS, sentence, across(lost, "{:.1%} lost", lambda value: value <= POINT), page
    sentence = "To remove the half that perturbs least costs less accuracy than to remove half at random."
    yield "random", OURS, sentence, across(half["scaled"] - half["random"], "{:+.1%}", lambda value: value > 0), page


def growth(records: list[StudyRecord], sweep: list[Record]) -> Iterator[Said]:
    page = "growth#beside-the-sweep"
    table = study_tables.growth_table(records, sweep).set_index("epsilon")
    found, tried = int(table["found"].sum()), int(table["seeds"].sum())
    sentence = "A growing network gets below every epsilon tried."
    yield "found", OURS, sentence, (f"{found} of {tried}", "", truth(found == tried)), page
    sentence = f"It ends at the depth that the sweep gives, within a factor of {DOUBLING:g}."
    ratio = table["depth over the sweep's"]
    yield "depth", OURS, sentence, across(ratio, "{:.2f} times", lambda v: 1 / DOUBLING <= v <= DOUBLING), page
    gap = (table["accuracy"] - table["sweep's accuracy"]).dropna()
    if len(gap):
        sentence = "It is there as accurate as the network that the sweep trained at its depth, within a point."
        yield "accuracy", OURS, sentence, across(gap, "{:+.1%}", lambda value: value >= -POINT), page
    sentence = "It takes less work than to train the depths of the sweep up to its answer."
    yield "work", OURS, sentence, across(table["work over the sweep's"], "{:.2f} times", lambda value: value < 1), page


def path(records: list[StudyRecord], sweep: list[Record]) -> Iterator[Said]:
    depths = study_tables.path_depths(records)
    end = depths[depths["moment"] == "end"]
    means = end.groupby("blocks").mean(numeric_only=True)
    page = "path#is-it-straight"
    sentence = "After training the way through a section is straighter than steps in random directions would make it."
    straight = means["straightness"] / means["random walk"]
    yield "straight", OURS, sentence, across(straight, "{:.2f} times", lambda value: value > 1), page
    sentence = f"States are equispaced: the lengths of the steps of a section vary by less than {EVEN} of their mean."
    even = across(means["evenness"], "{:.2f}", lambda value: value < EVEN)
    yield "even", "Li & Papyan 2023", sentence, even, page
    page = "path#how-long-is-it"
    law = study_tables.law_over(end, "blocks", "relative path")
    sentence = "After training the relative length of the path does not depend on depth (exponent 0)."
    yield "length", OURS, sentence, of_law(law, 0.0), page
    page = "path#does-it-lead-downhill"
    sentence = "After training, perturbations lead downhill: their mean cosine with minus the gradient is positive."
    downhill = across(means["downhill"], "{:.2f}", lambda value: value > 0)
    yield "downhill", "Jastrzebski et al. 2018", sentence, downhill, page


def text(records: list[StudyRecord], sweep: list[Record]) -> Iterator[Said]:
    page = "text#the-average-against-depth"
    table = study_tables.text_averages(records)
    for moment, power, claimed in (("initialization", "1/√L", -0.5), ("end", "1/L", -1.0)):
        there = table[(table["moment"] == moment) & (table["part"] == "both")]
        law = study_tables.law_over(there, "layers", "scaled")
        when = "Before" if moment == "initialization" else "After"
        sentence = f"{when} training, what the blocks of a transformer add to a token, over its norm, falls as {power}."
        yield f"exponent-{moment}", OURS, sentence, of_law(law, claimed), page
    end = table[table["moment"] == "end"].groupby(["layers", "part"])["scaled"].mean().unstack()
    sentence = "After training the MLP adds more than attention does, at every depth."
    ratio = end["mlp"] / end["attention"]
    yield "parts", OURS, sentence, across(ratio, "{:.2f} times", lambda value: value > 1), page


FINDINGS: dict[str, Callable[[list[StudyRecord], list[Record]], Iterator[Said]]] = {
    "initialization": initialization,
    "lesion": lesion,
    "lesion-mnist": lesion,
    "growth": growth,
    "path": path,
    "text": text,
}
"""By folder in results/."""


def study_rows(results: Path | str, sweep: list[Record]) -> list[Row]:
    """The rows of the ledger that rest on studies.

    Args:
        results: the folder of all records.
        sweep: records of the default sweep, for what is compared with them.
    """
    rows = []
    for folder, said in FINDINGS.items():
        records = study_tables.records_of_study(results, folder)
        if not records:
            continue
        where = f"results/{folder} ({len(records)} runs)"
        try:
            for name, source, sentence, finding, chapter in said(records, sweep):
                rows.append(Row(f"{folder}/{name}", source, sentence, *finding, chapter, where))
        except ScalingError:
            continue  # too few depths yet to say anything of depth
    return rows


def clock_rows(results: Path | str) -> list[Row]:
    """The rows of the ledger that rest on these maps."""
    return [row for folder, records in clock_records(results).items() for row in rows_of(folder, records)]


def rows_of(folder: str, records: Sequence[Record]) -> Iterator[Row]:
    where, page = f"results/{folder} ({len(records)} runs)", "clock#the-exponent-over-t"
    exponents, table = clock_exponents(records), clock_table(records)
    if exponents.empty:
        return
    longest = exponents[exponents["epochs"] == exponents["epochs"].max()]
    ends = {"least": longest.iloc[0], "most": longest.iloc[-1]}
    for name, claimed, sentence in (
        ("least", -0.5, "With the least weight decay tried, training leaves the exponent at −1/2."),
        ("most", -1.0, "With the most, it is −1."),
    ):
        end = ends[name]
        runs = [
            record
            for record in that_learned(records)
            if record.experiment.epochs == end["epochs"] and round(record.run["training"]["clock"], 3) == end["clock"]
        ]
        law = fit_power_law(runs, replicates=500)
        value = f"{signed(law.exponent)} at T = {end['clock']:g}, {end['epochs']:.0f} epochs"
        yield Row(f"{folder}/{name}", OURS, sentence, value, interval(law), verdict(law, claimed), page, where)
    late = longest[longest["clock"] >= SATURATED]
    if len(late) > 1:
        moved = late["exponent"].iloc[-1] - late["exponent"].iloc[0]
        word = "holds" if abs(moved) <= ROUGHLY else "does not hold"
        value = f"{moved:+.2f} from T = {late['clock'].iloc[0]:g} to {late['clock'].iloc[-1]:g}".replace("-", "−")
        sentence = f"From T = {SATURATED:g} on the exponent stays where it is, within {ROUGHLY}."
        yield Row(f"{folder}/settles", OURS, sentence, value, "", word, page, where)
    apart = collapse(table[table["clock"] > 0])
    if len(apart):
        near = apart["ratio"] <= ALIKE
        word = "holds" if near.all() else "holds roughly" if near.mean() > 0.5 else "does not hold"
        value = f"{near.sum()} of {len(near)} within; at most {apart['ratio'].max():.2f} times"
        sentence = (
            f"Runs of one T that learned have one average whatever the number of steps, within a factor of {ALIKE}."
        )
        yield Row(f"{folder}/collapse", OURS, sentence, value, "", word, "clock#one-curve", where)


def carried_rows(results: Path | str) -> Iterator[Row]:
    """The rows of the ledger that rest on this study."""
    records = records_of_study(results, "carriers")
    if not records:
        return
    means = carried_means(records)
    end = means[means["moment"] == "end"]
    gain, weight, both, absolute = (law_over(end, "blocks", name) for name in ("gain2", "weight2", "both", "absolute"))
    where, page = f"results/carriers ({len(records)} runs)", "carriers#gains-and-weights"
    for name, law, sentence in (
        ("gains", gain, "After training the gains of the second normalisation fall with depth."),
        ("weights", weight, "After training the second weights fall with depth."),
    ):
        word = "holds" if law.high < 0 else "does not hold" if law.low > 0 else "cannot be told"
        yield Row(f"carriers/{name}", OURS, sentence, signed(law.exponent), interval(law), word, page, where)
    for name, first, second, sentence in (
        ("shared", gain, weight, f"They fall alike: their exponents are within {ROUGHLY} of each other."),
        ("product", both, absolute, f"Their product falls as the absolute perturbation does, within {ROUGHLY}."),
    ):
        word = "holds" if abs(first.exponent - second.exponent) <= ROUGHLY else "does not hold"
        value = f"{signed(first.exponent)} and {signed(second.exponent)}"
        yield Row(f"carriers/{name}", OURS, sentence, value, interval(first), word, page, where)
