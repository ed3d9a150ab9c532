"""What sets the exponent: predictions against measured exponents, and the factors that an exponent is made of.

In a section of n blocks let D be the displacement of the state, S its straightness (D over the length of the path), and
G the mean norm of the state over that at the section's start, ‖x_1‖. A block's average step is then

    r = (D / ‖x_1‖) / (n S G),

so that the slopes over log n add up:  p = slope of D/‖x_1‖  -  1  -  slope of S  -  slope of G.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resperturb.analysis.slope_tests import SMALLEST, fit_runs, fit_slope
from resperturb.errors import RecordError
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.presets import read_yaml
from resperturb.records.record import Record

ACCOUNT, RIVALS = "exponent", ("decay-decides", "two-parts")
BARS = {
    "mechanism-mnist": 0.965,
    "mechanism-second": 0.965,
    "mechanism-cifar10": 0.40,
    "cifar10-zero": 0.83,
}  # accuracy a condition must reach
LATE = (2, 3)  # the sections whose straightness the plan's rule takes
STRAIGHT = -0.2  # slope of straightness above which the plan calls a condition straight
FACTORS = ("displacement", "straightness", "growth")
PRICED = ("all", "normalization")  # what decays, where the gains do


@dataclass(frozen=True)
class Prediction:
    """An exponent predicted before its runs.

    Attributes:
        preset: of its runs.
        name: of the condition, in words.
        fields: of the experiment, where they differ from the preset's own; a learning rate of "1/L" is 0.6 / blocks.
        exponents: by this book's account and by its rivals.
        known: whether it was known from other records, so that it is not scored.
        straight: whether the account expects straight paths: the initial weights are gone, or were zero.
    """

    preset: str
    name: str
    fields: Mapping[str, Any]
    exponents: Mapping[str, float]
    known: bool
    straight: bool

    def wanted(self, name: str, blocks: int) -> Any:
        """The value of a field in its runs at a depth."""
        defaults = {field.name: field.default for field in dataclasses.fields(Experiment)}
        value = self.fields.get(name, defaults[name])
        return round(0.6 / blocks, 9) if value == "1/L" else value


def load_predictions(path: Path) -> list[Prediction]:
    """The predictions in book/predictions.yml, in its order."""
    found = []
    for preset, rows in read_yaml(path).items():
        for row in rows:
            exponents = {name: row[name] for name in (ACCOUNT, *RIVALS)}
            fields = row["fields"]
            found.append(
                Prediction(preset, row["name"], fields, exponents, row.get("known", False), is_straight(preset, fields))
            )
    return found


def is_straight(preset: str, fields: Mapping[str, Any]) -> bool:
    """Whether the last convolutions of branches start at zero, or lose their initial weights to decay at T = 5."""
    if preset == "cifar10-zero" or fields.get("initialization") == "zero":
        return True
    decays = fields.get("clock", Experiment.clock) > 0
    return decays and bool({"all", "weights", "last-convolutions"} & set(fields.get("decayed", "all").split("+")))


def is_priced(fields: Mapping[str, Any]) -> bool:
    """Whether the gains of normalisations decay."""
    return fields.get("clock", Experiment.clock) > 0 and bool(
        set(PRICED) & set(fields.get("decayed", "all").split("+"))
    )


def runs_of(prediction: Prediction, predictions: Iterable[Prediction], records: Iterable[Record]) -> list[Record]:
    """The records of its condition: as it says, and as the preset has it in all that another prediction varies."""
    varied = {name for other in predictions if other.preset == prediction.preset for name in other.fields}
    return [
        record
        for record in records
        if all(getattr(record.experiment, name) == prediction.wanted(name, record.blocks) for name in varied)
    ]


def prediction_table(predictions: Sequence[Prediction], records: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """One row a condition with runs of three depths or more.

    Args:
        records: those of each preset, by its name.

    Returns:
        Columns preset, condition, known; a column of predictions for the account and each rival; measured, low and high
        (95 % interval, a point a run); depths, runs, diverged; accuracy (of the least accurate depth); trained (to the
        plan's bar) and counts (known ones do not); hit; straight (expected); priced (the gains decay); and those of
        :func:`factor_slopes`, NaN where a record has no sections.
    """
    rows = []
    for prediction in predictions:
        runs = runs_of(prediction, predictions, records.get(prediction.preset, ()))
        kept = [run for run in runs if not run.diverged]
        if len({run.blocks for run in kept}) < 3:
            continue
        slope = fit_runs(kept)
        by_depth = pd.DataFrame({"blocks": [r.blocks for r in kept], "accuracy": [r.run["accuracy"] for r in kept]})
        worst = float(by_depth.groupby("blocks")["accuracy"].mean().min())
        trained = worst >= BARS[prediction.preset] and len(kept) == len(runs)
        rows.append(
            {
                "preset": prediction.preset,
                "condition": prediction.name,
                "known": prediction.known,
                **prediction.exponents,
                "measured": slope.exponent,
                "low": slope.low,
                "high": slope.high,
                "depths": len(set(by_depth["blocks"])),
                "runs": len(runs),
                "diverged": len(runs) - len(kept),
                "accuracy": worst,
                "trained": trained,
                "counts": trained and not prediction.known,
                "hit": abs(slope.exponent - prediction.exponents[ACCOUNT]) <= SMALLEST,
                "straight": prediction.straight,
                "priced": is_priced(prediction.fields),
                **factor_slopes(kept),
            }
        )
    return pd.DataFrame(rows)


def scores(table: pd.DataFrame) -> dict[str, float]:
    """Mean absolute error of the account and of each rival, over the conditions that count."""
    counted = table[table["counts"]]
    return {name: float((counted[name] - counted["measured"]).abs().mean()) for name in (ACCOUNT, *RIVALS)}


def paths_of_steps(counts: Iterable[int] = (4, 32)) -> pd.DataFrame:
    """Points of paths from (0, 0) to (1, 0), one row a point: columns kind (aligned or random), steps, x and y.

    All steps of a path have one length. Of many random paths those are taken whose displacement is the typical one,
    the root of the number of steps.
    """
    generator = np.random.default_rng(1)
    parts = []
    for kind in ("aligned", "random"):
        for count in counts:
            angles = generator.uniform(0, 2 * np.pi, (2000, count)) if kind == "random" else np.zeros((1, count))
            ways = np.exp(1j * angles).cumsum(axis=1)  # points of the plane as complex numbers
            way = ways[np.abs(np.abs(ways[:, -1]) / np.sqrt(count) - 1).argmin()]
            points = np.concatenate([[0], way / way[-1]])
            parts.append(pd.DataFrame({"kind": kind, "steps": count, "x": points.real, "y": points.imag}))
    return pd.concat(parts, ignore_index=True)


def section_factors(record: Record, moment: str = "end") -> pd.DataFrame:
    """One row a section at one moment: blocks, displacement (D / ‖x_1‖), straightness, growth (G) and step (r).

    Straightness is the mean displacement over the mean length, so that step = displacement / (blocks straightness
    growth) holds exactly. Empty where the record is older than that table.
    """
    try:
        table = record.table("sections")
    except RecordError:
        return pd.DataFrame()
    table = table[table["moment"] == moment]
    straightness = table["displacement"] / table["length"]
    growth = table["length"] / (table["blocks"] * table["step"]) / table["start"]
    columns = {"displacement": table["displacement"] / table["start"], "straightness": straightness, "growth": growth}
    return table[["section", "blocks", "step", "cosine", "common"]].assign(**columns).reset_index(drop=True)


def factor_slopes(records: Iterable[Record]) -> dict[str, float]:
    """The slope over log depth of the step (section 1 to 3, and their mean, sectional), of each factor (mean over
    sections), and of the straightness of the sections in LATE. sectional = displacement - 1 - straightness - growth."""
    steps = tuple(f"section_{number}" for number in (1, 2, 3))
    names = (*steps, "sectional", *FACTORS, "straightness_late")
    tables = [(record.blocks, section_factors(record)) for record in records]
    if any(table.empty for _, table in tables):
        return dict.fromkeys(names, float("nan"))
    depths = [blocks for blocks, _ in tables]

    def slope(name: str, sections: Iterable[int]) -> float:
        slopes = [
            fit_slope(depths, [table.loc[table["section"] == section, name].item() for _, table in tables]).exponent
            for section in sections
        ]
        return float(np.mean(slopes))

    found = {name: slope("step", (number,)) for number, name in enumerate(steps, start=1)}
    found |= {"sectional": slope("step", (1, 2, 3)), **{name: slope(name, (1, 2, 3)) for name in FACTORS}}
    return {**found, "straightness_late": slope("straightness", LATE)}


def factors_over_training(records: Iterable[Record]) -> pd.DataFrame:
    """One row a snapshot and section, means over records of one condition and depth: epoch, step, displacement,
    straightness, growth, and memory, what is left of the initial weights of the last convolutions."""
    parts = []
    for record in records:
        weights = record.table("weights")
        whole = record.table("sections")
        sections = record.blocks_at("end")["section"].to_numpy()
        for snapshot, rows in whole.groupby("snapshot"):
            at = weights[weights["snapshot"] == snapshot]
            memory = at["memory2"].groupby(sections).mean()
            epoch = record.perturbations.loc[record.perturbations["snapshot"] == snapshot, "epoch"].iloc[0]
            share = epoch / record.experiment.epochs
            parts.append(
                pd.DataFrame(
                    {
                        "share": share,
                        "section": rows["section"].to_numpy(),
                        "straightness": (rows["displacement"] / rows["length"]).to_numpy(),
                        "displacement": (rows["displacement"] / rows["start"]).to_numpy(),
                        "memory": rows["section"].map(memory).to_numpy(),
                    }
                )
            )
    return pd.concat(parts).groupby(["share", "section"], as_index=False).mean()
