"""What "the average" could mean: the same records under other conventions, and what each does to the exponent.

The paper fixes none of these. Every convention turns a run into one number, and a power law is fitted to those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from resperturb.analysis.bootstrap import Summary
from resperturb.analysis.curves import by_range
from resperturb.analysis.power_law import PowerLaw, fit_power_law
from resperturb.analysis.profiles import section_numbers
from resperturb.analysis.summaries import CLAIMED_EXPONENTS, interval, verdict
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep, sensitivity_sweeps

OUR_CONVENTION = "ours"
REPLICATES = 500


@dataclass(frozen=True)
class Convention:
    """A way from a run to a number; `of` gives None where a record does not hold what it needs."""

    name: str
    says: str
    of: Callable[[Record, str], float | None]


def mean_of(column: str) -> Callable[[Record, str], float | None]:
    """The mean over blocks of one column."""
    return lambda record, moment: float(record.blocks_at(moment)[column].mean())


def ratio_of_means(record: Record, moment: str) -> float:
    table = record.blocks_at(moment)
    return float((table["perturbation_norm"] / table["state_norm"]).mean())


def ratio_of_sums(record: Record, moment: str) -> float:
    table = record.blocks_at(moment)
    return float(table["perturbation_norm"].sum() / table["state_norm"].sum())


def with_transitions(record: Record, moment: str) -> float:
    return float(record.at(moment)["scaled"].mean())


def of_section(section: int) -> Callable[[Record, str], float | None]:
    def value(record: Record, moment: str) -> float | None:
        table = record.blocks_at(moment)
        return float(table.loc[table["section"] == section, "scaled"].mean())

    return value


def apart(record: Record, name: str) -> pd.DataFrame:
    """The blocks in conventions.csv, which holds what was measured another way, at the end alone."""
    table = record.conventions
    return table[(table["convention"] == name) & (table["kind"] == "identity")] if "kind" in table else table[:0]


def measured_apart(name: str, *, means_first: bool = False) -> Callable[[Record, str], float | None]:
    """The mean over blocks of what was measured another way: of the ratios, or of the ratios of mean norms."""

    def value(record: Record, moment: str) -> float | None:
        table = apart(record, name)
        if moment != "end" or table.empty:
            return None
        ratios = table["perturbation_norm"] / table["state_norm"] if means_first else table["scaled"]
        return float(ratios.mean())

    return value


def all_conventions(sweep: Sweep) -> tuple[Convention, ...]:
    """All conventions, ours first; one for every section."""
    return (
        Convention(OUR_CONVENTION, "ratio for each test image, then mean over images and blocks", mean_of("scaled")),
        Convention("ratio of means", "mean norms over images first, then their ratio in each block", ratio_of_means),
        Convention("ratio of sums", "norms summed over images and blocks, then one ratio", ratio_of_sums),
        Convention("median image", "the median over images in place of the mean", mean_of("scaled_q50")),
        Convention("per channel", "ratio for each channel, then mean over channels", measured_apart("per channel")),
        Convention(
            "means per channel",
            "mean norms over channels and images first, then their ratio in each block",
            measured_apart("per channel", means_first=True),
        ),
        Convention("training images", "images that the network was trained on", measured_apart("training images")),
        Convention("step taken", "‖x_(l+1) − x_l‖ in place of ‖f‖: after any activation", mean_of("step_scaled")),
        Convention("with transitions", "transitions count as blocks, their projection as the state", with_transitions),
        *(
            Convention(f"section {section}", f"the blocks of section {section} alone", of_section(section))
            for section in section_numbers(sweep.records)
        ),
    )


def fit_under(convention: Convention, records: Sequence[Record], moment: str) -> tuple[PowerLaw, list[Summary]] | None:
    """The law of a sweep under one convention, and the runs behind it; None where the records do not hold it."""
    runs = []
    for record in records:
        if not record.diverged:
            value = convention.of(record, moment)
            if value is not None:
                runs.append(Summary(record.blocks, value))
    if len({run.blocks for run in runs}) < 2:
        return None
    return fit_power_law(runs, replicates=REPLICATES), runs


def convention_row(sweep: Sweep, name: str, says: str, law: PowerLaw, base: float, word: str) -> dict[str, object]:
    return {
        "sweep": sweep.name,
        "convention": name,
        "what it is": says,
        "depths": len(law.averages.depths),
        "exponent": law.exponent,
        "low": law.low,
        "high": law.high,
        "interval": interval(law),
        "moved by": law.exponent - base,
        "verdict": word,
    }


def convention_table(sweep: Sweep, found: dict[str, Sweep], moment: str = "end") -> pd.DataFrame:
    """A row per convention: the exponent with its interval over seeds and depths, and how far it moved from ours.

    The last rows are of sweeps of `found` that differ from this one in the precision of training alone, fitted on the
    depths that both have; "moved by" compares them with ours on those depths.
    """
    rows: list[dict[str, object]] = []
    base = float("nan")
    for convention in all_conventions(sweep):
        fitted = fit_under(convention, sweep.records, moment)
        if fitted is None:
            continue
        law, runs = fitted
        if convention.name == OUR_CONVENTION:
            base = law.exponent
        ranges = by_range(runs, replicates=2)["exponent"]
        word = verdict(law, CLAIMED_EXPONENTS[moment], ranges)
        rows.append(convention_row(sweep, convention.name, convention.says, law, base, word))
    for other, against, fields in sensitivity_sweeps(found).values():
        if against.name == sweep.name and set(fields) == {"precision"}:
            compared = fit_shared_depths(other, sweep, moment)
            if compared is not None:
                theirs, ours = compared
                given, usual = fields["precision"]
                says = f"networks trained in {given}, not {usual}, on the depths that both have"
                word = verdict(theirs, CLAIMED_EXPONENTS[moment])
                rows.append(convention_row(sweep, f"trained in {given}", says, theirs, ours.exponent, word))
    return pd.DataFrame(rows)


def fit_shared_depths(sweep: Sweep, base: Sweep, moment: str = "end") -> tuple[PowerLaw, PowerLaw] | None:
    """The laws of two sweeps on the depths that both have; None where that is fewer than two."""
    shared = set(sweep.depths) & set(base.depths)
    if len(shared) < 2:
        return None
    first, second = (
        fit_power_law([r for r in s.finished if r.blocks in shared], moment=moment, replicates=REPLICATES)
        for s in (sweep, base)
    )
    return first, second


def largest_shift(table: pd.DataFrame) -> pd.Series:
    """The row of a convention table that moves the exponent furthest."""
    return table.iloc[int(table["moved by"].abs().to_numpy().argmax())]


def empty_channels(sweep: Sweep) -> dict[str, object] | None:
    """The block where the mean of the channels' ratios is furthest above the ratio of their mean norms.

    A mean of ratios far above the ratio of means can only come from channels that carry next to nothing.
    """
    found: list[tuple[float, float, Record, int]] = []
    for record in sweep.finished:
        table = apart(record, "per channel")
        if not table.empty:
            means = (table["perturbation_norm"] / table["state_norm"]).to_numpy()
            ratios = table["scaled"].to_numpy()
            worst = int((ratios / means).argmax())
            found.append((float(ratios[worst]), float(means[worst]), record, int(table["block"].iloc[worst])))
    if not found:
        return None
    ratio, together, record, block = max(found, key=lambda row: row[0] / row[1])
    return {
        "sweep": sweep.name,
        "blocks": record.blocks,
        "seed": record.seed,
        "block": block,
        "mean of ratios": ratio,
        "ratio of means": together,
        "times": ratio / together,
    }
