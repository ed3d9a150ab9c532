"""Time under weight decay: the average over depth as a function of T and of the number of steps, from runs of networks.

T = sum over steps of learning rate * weight decay / (1 - momentum). Runs reach the same T with few steps and much decay
or with many and little; if T is the clock, they end alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resperturb.averages import ScalingError
from resperturb.charts import SECTION_STYLE, legend_of_all
from resperturb.claims import ROUGHLY, interval, signed, verdict
from resperturb.figures import INK, finished, legend_above
from resperturb.records import Record, RecordError, load_records
from resperturb.scaling import fit_power_law
from resperturb.statements import OURS, Row

LABELS = {"clock": "digits", "clock-postactivation": "digits, post-activation", "clock-mnist": "MNIST"}
FOLDERS = tuple(LABELS)
ALIKE = 1.25  # averages within this factor of each other are alike
FEWEST = 3  # depths an exponent is fitted to
LEARNED = 0.05  # accuracy a run may fall short of the best of its depth by; below, it is a network that learned little
SATURATED = 5.0  # T from which on the effect is said to have saturated


def clock_records(results: Path | str) -> dict[str, list[Record]]:
    """The runs of each map that is there, by folder, diverged ones left out."""
    found = {}
    for folder in FOLDERS:
        try:
            records = load_records(Path(results) / folder)
        except RecordError:
            continue
        found[folder] = [record for record in records if not record.diverged]
    return found


def clock_table(records: Sequence[Record]) -> pd.DataFrame:
    """A row per run: what it was given, and where it ended.

    Columns: epochs, clock (T), weight_decay, blocks, seed, accuracy, start and scaled (the average at initialisation
    and at the end), product (blocks times the latter), learned (accuracy within LEARNED of the best of its depth).
    """
    rows = []
    for record in records:
        run = record.run
        rows.append(
            {
                "epochs": record.experiment.epochs,
                "clock": round(run["training"]["clock"], 3),
                "weight_decay": run["training"]["weight_decay"],
                "blocks": record.blocks,
                "seed": record.seed,
                "accuracy": run["accuracy"],
                "start": run["averages"]["initialization"]["scaled"],
                "scaled": run["averages"]["end"]["scaled"],
                "product": record.blocks * run["averages"]["end"]["scaled"],
            }
        )
    table = pd.DataFrame(rows).sort_values(["epochs", "clock", "blocks", "seed"], ignore_index=True)
    best = table.groupby("blocks")["accuracy"].transform("max")
    return table.assign(learned=table["accuracy"] >= best - LEARNED)


def that_learned(records: Sequence[Record]) -> list[Record]:
    """Those whose accuracy is within LEARNED of the best of their depth: much decay in few steps destroys a network."""
    best: dict[int, float] = {}
    for record in records:
        best[record.blocks] = max(best.get(record.blocks, 0.0), record.run["accuracy"])
    return [record for record in records if record.run["accuracy"] >= best[record.blocks] - LEARNED]


def clock_exponents(records: Sequence[Record]) -> pd.DataFrame:
    """A row per number of epochs and T at which networks of at least three depths learned: the exponent over those
    depths at the end, with its interval, and mean accuracy."""
    groups: dict[tuple[int, float], list[Record]] = {}
    for record in that_learned(records):
        key = (int(record.experiment.epochs or 0), round(record.run["training"]["clock"], 3))
        groups.setdefault(key, []).append(record)
    rows = []
    for (epochs, clock), runs in sorted(groups.items()):
        try:
            law = fit_power_law(runs, replicates=500)
        except ScalingError:
            continue
        if len(law.averages.depths) < FEWEST:
            continue
        rows.append(
            {
                "epochs": epochs,
                "clock": clock,
                "depths": len(law.averages.depths),
                "runs": len(runs),
                "exponent": law.exponent,
                "low": law.low,
                "high": law.high,
                "accuracy": float(np.mean([run.run["accuracy"] for run in runs])),
            }
        )
    return pd.DataFrame(rows)


def collapse(table: pd.DataFrame) -> pd.DataFrame:
    """A row per T and depth: how far the averages of runs with different numbers of epochs lie apart, if they learned.

    `ratio` is the largest over the smallest of their means over seeds; `steps` how many times the shortest's steps the
    longest has.
    """
    rows = []
    for (clock, blocks), part in table[table["learned"]].groupby(["clock", "blocks"]):
        means = part.groupby("epochs")["scaled"].mean()
        if len(means) > 1:
            steps = means.index.max() / means.index.min()
            rows.append({"clock": clock, "blocks": blocks, "ratio": means.max() / means.min(), "steps": steps})
    return pd.DataFrame(rows, columns=["clock", "blocks", "ratio", "steps"])


def products_figure(table: pd.DataFrame) -> Figure:
    """Depth times average over T, a panel for each depth, a line for each number of epochs; crosses learned little."""
    depths = sorted(set(table["blocks"]))
    columns = min(len(depths), 2)
    rows = -(-len(depths) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(6.6, 2.5 * rows + 0.5), sharex=True, sharey=True, squeeze=False)
    for axes, depth in zip(grid.flat, depths, strict=False):
        at_depth = table[table["blocks"] == depth]
        for style, (epochs, part) in zip(SECTION_STYLE, at_depth.groupby("epochs"), strict=False):
            lost = part[~part["learned"]]
            axes.plot(lost["clock"], lost["product"], "x", color=style["color"], markersize=5)
            means = part[part["learned"]].groupby("clock")["product"].agg(["mean", "min", "max"])
            reach = [means["mean"] - means["min"], means["max"] - means["mean"]]
            axes.errorbar(means.index, means["mean"], yerr=reach, capsize=2, label=f"{epochs} epochs", **style)
        axes.set_title(f"{depth} blocks", fontsize=11)
        axes.set_yscale("log")
    for axes in grid[-1]:
        axes.set(xlabel="time under weight decay $T$")
    for axes in grid[:, 0]:
        axes.set(ylabel=r"$L \times$ average")
    legend_of_all(figure, grid.flat[0], 3)
    return finished(figure)


def exponents_figure(tables: dict[str, pd.DataFrame], labels: dict[str, str]) -> Figure:
    """The exponent over T, a line for each map and number of epochs; dotted, what is claimed and where it starts."""
    figure, axes = plt.subplots(figsize=(6.0, 4.4))
    faces: dict[str, dict[str, Any]] = {
        "clock": {},
        "clock-postactivation": {"markerfacecolor": "none"},
        "clock-mnist": {"alpha": 0.55},
    }
    for name, table in tables.items():
        for style, (epochs, part) in zip(SECTION_STYLE, table.groupby("epochs"), strict=False):
            draw_exponents(axes, part, {**style, **faces.get(name, {}), "label": f"{labels[name]}, {epochs} epochs"})
    for level in (-0.5, -1.0):
        axes.axhline(level, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel="time under weight decay $T$", ylabel="exponent after training")
    legend_above(axes, 2)
    return finished(figure)


def draw_exponents(axes: Axes, part: pd.DataFrame, style: dict[str, Any]) -> None:
    reach = np.clip([part["exponent"] - part["low"], part["high"] - part["exponent"]], 0, None)
    axes.errorbar(part["clock"], part["exponent"], yerr=reach, capsize=2, **style)


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


def clock_answer(results: Path | str) -> str:
    """The answer in one sentence, of every map that is there."""
    parts = []
    for folder, records in clock_records(results).items():
        exponents, apart = clock_exponents(records), collapse(clock_table(records))
        longest = exponents[exponents["epochs"] == exponents["epochs"].max()]
        ends = longest.iloc[[0, -1]].itertuples()
        said = " and ".join(f"{signed(row.exponent)} at T = {row.clock:g}" for row in ends)
        under = apart[apart["clock"] > 0]
        agreed = (
            f", where runs of one T with up to {under['steps'].max():g} times the steps end within a factor of "
            f"{under['ratio'].median():.2f} of each other in the median and of {under['ratio'].max():.2f} at most"
            if len(under)
            else ""
        )
        parts.append(f"{said} after {longest['epochs'].iloc[0]} epochs on {LABELS[folder]}{agreed}")
    return f"The exponent is {'; '.join(parts)}."
