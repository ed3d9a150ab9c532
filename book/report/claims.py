"""What the records of a sweep say of each statement of the ledger: a value, its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from resperturb import conventions, curves, measures, stream
from resperturb.claims import CLAIMED, ROUGHLY, depth_table, interval, signed, verdict
from resperturb.scaling import PowerLaw, fit_power_law, stopping_depth
from resperturb.sweeps import Sweep

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
    largest = stream.concentration_table(sweep.records)["largest"].iloc[-1]
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
    whole = measures.measure_law(sweep.records, "scaled").exponent
    furthest = max(abs(exponent - whole) for exponent in exponents)
    return listed(exponents), "; ".join(map(interval, laws)), truth(furthest <= ROUGHLY)


def section_laws(sweep: Sweep) -> list[PowerLaw]:
    return [
        fit_power_law(stream.section_runs(sweep.records, section), replicates=500)
        for section in stream.sections_of(sweep.records)
    ]


def concentrated(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    before, after = (stream.concentration_table(sweep.records, m)["half"].iloc[-1] for m in ("initialization", "end"))
    return f"{after:.3g} of {sweep.depths[-1]}; before training {before:.3g}", "", truth(after < before)


def idle_majority(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    laws = spread_exponents(sweep)
    largest, mean, median = laws["largest"], laws["mean"], laws["median"]
    return listed((largest, mean, median)), "", truth(largest > mean > median)


def spread_exponents(sweep: Sweep) -> dict[str, float]:
    """Exponents over depth of the largest, mean and median block after training."""
    table = stream.concentration_table(sweep.records)
    x = np.log(table["blocks"])
    return {name: float(np.polyfit(x, np.log(table[name]), 1)[0]) for name in ("largest", "mean", "median")}


def absolute_level_before(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    law = measures.measure_law(sweep.records, "perturbation_norm", "initialization")
    return signed(law.exponent), interval(law), verdict(law, 0.0)


def absolute_as_scaled_after(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    absolute = measures.measure_law(sweep.records, "perturbation_norm", "end")
    scaled = measures.measure_law(sweep.records, "scaled", "end")
    near = abs(absolute.exponent - scaled.exponent) <= ROUGHLY
    return f"{signed(absolute.exponent)} against {signed(scaled.exponent)}", interval(absolute), truth(near)


def stream_grows_before(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    law = measures.measure_law(sweep.records, "state_norm", "initialization")
    return signed(law.exponent), interval(law), verdict(law, 0.5)


def stream_level_after(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    law = measures.measure_law(sweep.records, "state_norm", "end")
    return signed(law.exponent), interval(law), verdict(law, 0.0)


def less_over_images(moment: str) -> Callable[[Sweep, dict[str, Sweep]], Finding]:
    def finding(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
        runs = [record for record in sweep.finished if record.blocks == sweep.depths[-1]]
        scaled, absolute = (
            float(np.mean([measures.over_images(run, column, moment) for run in runs]))
            for column in ("scaled", "perturbation_norm")
        )
        return f"{scaled:.2f} against {absolute:.2f}", "", truth(scaled < absolute)

    return finding


def in_every_section(column: str) -> Callable[[Sweep, dict[str, Sweep]], Finding | None]:
    def finding(sweep: Sweep, found: dict[str, Sweep]) -> Finding | None:
        table = stream.section_table(sweep.records)
        values = table.loc[table["blocks"] == sweep.depths[-1], column].to_numpy()
        if np.isnan(values).any():
            return None  # the records are older than the measurement
        positive = int((values > 0).sum())
        return listed(values), "", truth(positive == len(values), positive > len(values) / 2)

    return finding


def last_section_leads(sweep: Sweep, found: dict[str, Sweep]) -> Finding:
    table = stream.section_table(sweep.records).pivot(index="blocks", columns="section", values="share")
    leads = int((table.idxmax(axis=1) == table.columns[-1]).sum())
    share = float(table.to_numpy()[-1, -1])
    return f"{share:.0%} at {sweep.depths[-1]}", "", truth(leads == len(table), leads > len(table) / 2)


def transitions_are_large(sweep: Sweep, found: dict[str, Sweep]) -> Finding | None:
    table = stream.transition_table(sweep.records)
    if table.empty:
        return None
    there = table.loc[table["blocks"] == sweep.depths[-1], "scaled"]
    largest = stream.concentration_table(sweep.records)["largest"].iloc[-1]
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
