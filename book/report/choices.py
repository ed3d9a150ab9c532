"""What the paper does not say: each open point with our choice, and what a change of it does to the exponent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from resperturb.analysis.conventions import convention_table
from resperturb.analysis.sensitivity import shared_slopes
from resperturb.analysis.summaries import exponent_words
from resperturb.records.sweeps import KINDS, Sweep, base_of, main_sweeps, sensitivity_sweeps

CHOICES_FILE = Path(__file__).parents[1] / "choices.yml"
NOT_RUN = "not run"


@dataclass(frozen=True)
class Choice:
    """A point that the abstract leaves open, as book/choices.yml has it."""

    point: str
    ours: str
    why: str
    fields: tuple[str, ...] = ()
    conventions: tuple[str, ...] = ()
    shown: str = ""


def load_choices() -> list[Choice]:
    return [Choice(**entry) for entry in yaml.safe_load(CHOICES_FILE.read_text(encoding="utf-8"))]


def shifts_by_field(sweeps: dict[str, Sweep]) -> dict[str, list[str]]:
    """The exponent of sweeps that differ in a field, against that of their base, by field."""
    shifts: dict[str, list[str]] = {}
    varied = [(sweep, base, fields) for sweep, base, fields in sensitivity_sweeps(sweeps).values()]
    for sweep in main_sweeps(sweeps).values():
        base = base_of(sweep, sweeps)
        if base is not None:
            varied.append((sweep, base, {"block": (KINDS[sweep.block], KINDS[base.block])}))
    for sweep, base, fields in varied:
        laws = shared_slopes(sweep, base)
        if laws is None:
            continue
        for field, (given, _) in fields.items():
            also = [other for other in fields if other != field]
            words = f"{base.name}, {given}: {' against '.join(map(exponent_words, laws))}"
            shifts.setdefault(field, []).append(words + (f" (with {' and '.join(also)} changed too)" if also else ""))
    return shifts


def shifts_by_convention(sweeps: dict[str, Sweep]) -> dict[str, str]:
    """How far a convention moved the exponents of the sweeps, the least and the most, by convention."""
    table = pd.concat([convention_table(sweep) for sweep in main_sweeps(sweeps).values()])
    ends = table.groupby("convention", sort=False)["moved by"].agg(["min", "max"])
    words = {name: f"{low:+.2f} to {high:+.2f}" for name, low, high in ends.itertuples()}
    return {str(name): word.replace("-", "−") for name, word in words.items()}


def choice_table(sweeps: dict[str, Sweep]) -> pd.DataFrame:
    """A row per open point: what the paper leaves open, our choice, why, and what a change did; "not run" if none was.

    Args:
        sweeps: all sweeps; the choices are printed from the default one's experiment.
    """
    experiment = sweeps["digits"].identity
    by_field, by_convention = shifts_by_field(sweeps), shifts_by_convention(sweeps)
    rows = []
    for choice in load_choices():
        changes = [words for field in choice.fields for words in by_field.get(field, [])]
        changes += [f"{name}: moved by {by_convention[name]}" for name in choice.conventions if name in by_convention]
        rows.append(
            {
                "left open": choice.point,
                "our choice": choice.ours.format_map(experiment),
                "why": choice.why,
                "what a change does to the exponent": "; ".join(changes) or choice.shown or NOT_RUN,
            }
        )
    return pd.DataFrame(rows)
