"""The mechanism behind the exponent: predicted and measured exponents, and the factors of an exponent.

In a section of n blocks, D is the displacement of the state, S the straightness of its path (D over the path's length)
and G the growth (mean norm of the state over its norm ‖x_1‖ at the section's start). The average step of a block is

    r = (D / ‖x_1‖) / (n S G),

so slopes over log n add up to the exponent:  p = slope of D/‖x_1‖  -  1  -  slope of S  -  slope of G.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resperturb.analysis.bootstrap import finished
from resperturb.analysis.conditions import accuracy_by_depth
from resperturb.analysis.slope_tests import SMALLEST, fit_runs, fit_slope
from resperturb.errors import RecordError
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.presets import read_yaml
from resperturb.records.record import Record

ACCOUNT, RIVALS = "exponent", ("decay-decides", "two-parts")
# Accuracy that a condition must reach, by preset.
PREDICTION_BARS = {"mechanism-mnist": 0.965, "mechanism-second": 0.965, "mechanism-cifar10": 0.40, "cifar10-zero": 0.83}
LATE = (2, 3)  # the sections of the plan's rule about straightness
STRAIGHT = -0.2  # the plan calls a condition straight if its slope of straightness is above this
FACTORS = ("displacement", "straightness", "growth")


@dataclass(frozen=True)
class Prediction:
    """An exponent that was predicted before its runs.

    Attributes:
        preset: preset of the runs.
        name: the condition in words.
        fields: fields of the experiment that differ from the preset; a learning rate of "1/L" is 0.6 / blocks.
        exponents: predicted exponents, by name of the account and its rivals.
        known: whether other records showed the exponent before; then it is not scored.
        straight: whether the account expects straight paths.
    """

    preset: str
    name: str
    fields: Mapping[str, Any]
    exponents: Mapping[str, float]
    known: bool
    straight: bool

    def wanted(self, name: str, blocks: int) -> Any:
        """Return the value of a field in the runs at one depth."""
        defaults = {field.name: field.default for field in dataclasses.fields(Experiment)}
        value = self.fields.get(name, defaults[name])
        return round(0.6 / blocks, 9) if value == "1/L" else value


def load_predictions(path: Path) -> list[Prediction]:
    """Read the predictions from book/predictions.yml, in order."""
    found = []
    for preset, rows in read_yaml(path).items():
        for row in rows:
            exponents = {name: row[name] for name in (ACCOUNT, *RIVALS)}
            fields = row["fields"]
            found.append(
                Prediction(preset, row["name"], fields, exponents, row.get("known", False), is_straight(preset, fields))
            )
    return found


def decayed_parts(fields: Mapping[str, Any]) -> set[str]:
    """Return which parameters decay; empty without decay."""
    return set(fields.get("decayed", "all").split("+")) if fields.get("clock", Experiment.clock) > 0 else set()


def is_straight(preset: str, fields: Mapping[str, Any]) -> bool:
    """Whether the last convolutions of branches start at zero or lose their initial weights to decay."""
    zero = preset == "cifar10-zero" or fields.get("initialization") == "zero"
    return zero or bool({"all", "weights", "last-convolutions"} & decayed_parts(fields))


def runs_of(prediction: Prediction, predictions: Iterable[Prediction], records: Iterable[Record]) -> list[Record]:
    """Return the records of a prediction; fields that only other predictions of the preset vary have their defaults."""
    varied = {name for other in predictions if other.preset == prediction.preset for name in other.fields}
    return [
        record
        for record in records
        if all(getattr(record.experiment, name) == prediction.wanted(name, record.blocks) for name in varied)
    ]


def prediction_table(predictions: Sequence[Prediction], records: Mapping[str, Sequence[Record]]) -> pd.DataFrame:
    """Tabulate predictions whose runs have three depths or more, one condition per row.

    Args:
        predictions: all predictions.
        records: records by name of their preset.

    Returns:
        Columns preset, condition, known; a predicted exponent for the account and each rival; measured, low and high
        (95 % interval over runs); bent (then measured is a mean slope); depths, runs, diverged; accuracy (lowest over
        depths); trained (reaches the plan's bar); counts (trained and not known before); hit; straight (expected);
        priced (gains decay); and the columns of :func:`factor_slopes`.
    """
    rows = []
    for prediction in predictions:
        runs = runs_of(prediction, predictions, records.get(prediction.preset, ()))
        kept = finished(runs)
        if len({run.blocks for run in kept}) < 3:
            continue
        slope = fit_runs(kept)
        accuracy = accuracy_by_depth(kept)
        worst = float(accuracy.min())
        trained = worst >= PREDICTION_BARS[prediction.preset] and len(kept) == len(runs)
        rows.append(
            {
                "preset": prediction.preset,
                "condition": prediction.name,
                "known": prediction.known,
                **prediction.exponents,
                "measured": slope.exponent,
                "low": slope.low,
                "high": slope.high,
                "bent": slope.bent,
                "depths": len(accuracy),
                "runs": len(runs),
                "diverged": len(runs) - len(kept),
                "accuracy": worst,
                "trained": trained,
                "counts": trained and not prediction.known,
                "hit": abs(slope.exponent - prediction.exponents[ACCOUNT]) <= SMALLEST,
                "straight": prediction.straight,
                "priced": bool({"all", "normalization"} & decayed_parts(prediction.fields)),
                **factor_slopes(kept),
            }
        )
    return pd.DataFrame(rows)


def scores(table: pd.DataFrame) -> dict[str, float]:
    """Return the mean absolute error of the account and of each rival over the conditions that count."""
    counted = table[table["counts"]]
    return {name: float((counted[name] - counted["measured"]).abs().mean()) for name in (ACCOUNT, *RIVALS)}


def paths_of_steps() -> pd.DataFrame:
    """Draw paths of 4 and of 32 steps of equal length from (0, 0) to (1, 0), aligned or in random directions.

    The random path shown is the one of 2000 whose displacement is nearest to the typical √n steps.

    Returns:
        One row a point: columns kind (aligned or random), steps, x and y.
    """
    generator = np.random.default_rng(1)
    parts = []
    for kind in ("aligned", "random"):
        for count in (4, 32):
            angles = generator.uniform(0, 2 * np.pi, (2000, count)) if kind == "random" else np.zeros((1, count))
            ways = np.exp(1j * angles).cumsum(axis=1)  # points of the plane as complex numbers
            way = ways[np.abs(np.abs(ways[:, -1]) / np.sqrt(count) - 1).argmin()]
            points = np.concatenate([[0], way / way[-1]])
            parts.append(pd.DataFrame({"kind": kind, "steps": count, "x": points.real, "y": points.imag}))
    return pd.concat(parts, ignore_index=True)


def factors_of(sections: pd.DataFrame) -> pd.DataFrame:
    """Add displacement (D / ‖x_1‖), straightness and growth (G) to rows of sections.csv.

    Straightness is the mean displacement over the mean length, so that step = displacement / (blocks * straightness *
    growth) holds exactly.
    """
    growth = sections["length"] / (sections["blocks"] * sections["step"]) / sections["start"]
    straightness = sections["displacement"] / sections["length"]
    return sections.assign(
        displacement=sections["displacement"] / sections["start"], straightness=straightness, growth=growth
    )


def section_factors(record: Record) -> pd.DataFrame:
    """Tabulate the factors of each section after training; empty if the record has no sections.csv.

    Returns:
        Columns section, blocks, step (r), cosine, common, displacement, straightness, growth.
    """
    try:
        table = factors_of(record.table("sections").query("moment == 'end'"))
    except RecordError:
        return pd.DataFrame()
    return table[["section", "blocks", "step", "cosine", "common", *FACTORS]].reset_index(drop=True)


def factor_slopes(records: Iterable[Record]) -> dict[str, float]:
    """Fit the slopes over log depth of steps and their factors, means over sections; NaN if a record has no sections.

    Returns:
        section_1 to section_3 (slope of the step), sectional (their mean), displacement, straightness, growth, and
        straightness_late (sections in LATE). sectional = displacement - 1 - straightness - growth.
    """
    every = (1, 2, 3)
    means: dict[str, tuple[str, tuple[int, ...]]] = {f"section_{number}": ("step", (number,)) for number in every}
    means |= {"sectional": ("step", every), **{name: (name, every) for name in FACTORS}}
    means["straightness_late"] = ("straightness", LATE)
    tables = [section_factors(record).assign(depth=record.blocks) for record in records]
    if any(table.empty for table in tables):
        return dict.fromkeys(means, float("nan"))
    stacked = pd.concat(tables)

    def slope(name: str, section: int) -> float:
        rows = stacked[stacked["section"] == section]
        return fit_slope(rows["depth"].to_numpy(), rows[name].to_numpy()).exponent

    return {key: float(np.mean([slope(name, s) for s in sections])) for key, (name, sections) in means.items()}


def factors_over_training(records: Iterable[Record]) -> pd.DataFrame:
    """Tabulate factors by snapshot and section, means over records of one condition and depth.

    Returns:
        Columns share (of the epochs), section, straightness, displacement and memory (remaining part of the initial
        weights of the last convolutions).
    """
    parts = []
    for record in records:
        weights, every = record.table("weights"), factors_of(record.table("sections"))
        sections = record.blocks_at("end")["section"].to_numpy()
        for snapshot, rows in every.groupby("snapshot"):
            memory = weights.loc[weights["snapshot"] == snapshot, "memory2"].groupby(sections).mean()
            epoch = record.perturbations.loc[record.perturbations["snapshot"] == snapshot, "epoch"].iloc[0]
            facts = {"share": epoch / record.experiment.epochs, "memory": rows["section"].map(memory)}
            parts.append(rows[["section", "straightness", "displacement"]].assign(**facts))
    return pd.concat(parts).groupby(["share", "section"], as_index=False).mean()
