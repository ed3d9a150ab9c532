"""Points that the paper leaves open, with our choice and the exponent under another choice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import yaml

from resperturb.analysis.conditions import bar_met
from resperturb.analysis.sensitivity import shared_slopes
from resperturb.analysis.summaries import signed
from resperturb.records.sweeps import Sweep, base_of, display_name, main_sweeps, sensitivity_sweeps
from resperturb.records.words import choice_words

CHOICES_FILE = Path(__file__).parents[1] / "choices.yml"
NOT_RUN = "not run"


def other_choices(sweeps: dict[str, Sweep]) -> Iterator[tuple[str, str, str]]:
    """Yield each varied field of a sweep, its choice in words, and both exponents on shared depths."""
    for sweep, base, fields in compared(sweeps):
        slopes = shared_slopes(sweep, base)
        if slopes is None:
            continue
        there, usual = (signed(slope.exponent) + " (mean slope)" * slope.bent for slope in slopes)
        words = " and ".join(choice_words(field, given) for field, (given, _) in fields.items())
        missed = "" if bar_met(sweep.records) else ", below the bar of accuracy"
        for field in fields:
            yield field, words, f"{there} instead of {usual} ({display_name(base.name)}{missed})"


def compared(sweeps: dict[str, Sweep]) -> Iterator[tuple[Sweep, Sweep, dict[str, tuple[object, object]]]]:
    """Yield each sweep with the main sweep it is compared with and the fields that differ."""
    for sweep in main_sweeps(sweeps).values():
        if (base := base_of(sweep, sweeps)) is not None:
            yield sweep, base, {"block": (sweep.block, base.block)}
    yield from sensitivity_sweeps(sweeps).values()


def choice_table(sweeps: dict[str, Sweep]) -> pd.DataFrame:
    """Tabulate the open points: our choice (of the default sweep), the reason, and exponents with other choices."""
    experiment, changes = sweeps["digits"].identity, list(other_choices(sweeps))
    rows = []
    for choice in yaml.safe_load(CHOICES_FILE.read_text(encoding="utf-8")):
        found: dict[str, list[str]] = {}
        for field, words, exponents in changes:
            if field in choice.get("fields", ()):
                found.setdefault(words, []).append(exponents)
        cell = "; ".join(f"{words}: {', '.join(exponents)}" for words, exponents in found.items())
        rows.append(
            {
                "left open": choice["point"],
                "our choice": choice["ours"].format_map(experiment),
                "why": choice["why"],
                "exponent with another choice": cell or NOT_RUN,
            }
        )
    return pd.DataFrame(rows)
