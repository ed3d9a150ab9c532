"""The registry of claims: each sentence is registered with the function that decides it from the records."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pandas as pd

from resperturb.analysis.slope_tests import LEVEL, SMALLEST, Slope, answer, difference
from resperturb.analysis.summaries import SOURCE, clock_words, exponent_words, interval, signed
from resperturb.errors import ScalingError

HOLDS, ROUGH, NOT, OPEN = "holds", "holds roughly", "does not hold", "cannot be told"
ANSWERS = {"yes": HOLDS, "roughly": ROUGH, "no": NOT, "open": OPEN}  # of the plan's question on an exponent
OURS = "this book"
MISSES = "but networks miss their bar"
HAUSER = f"{SOURCE['end']}, abstract"
AFTER_DE_SMITH = f"this book, after {SOURCE['initialization']}"
AFTERWARDS = "digits"  # the plan took up the sweeps of the digits after their runs
INVERSE = "inversely proportional to the number of blocks"
POINT = 0.01  # accuracies that differ by less are alike


@dataclass(frozen=True)
class Finding:
    """The answer of the records to one claim, ready to print; the interval may be empty."""

    value: str
    verdict: str
    interval: str = ""


@dataclass(frozen=True)
class LedgerRow:
    """A claim about one subject, as the ledger has it.

    Attributes:
        id: <subject>/<name>, the same as long as the sentence is the same.
        source: who says so: a paper, or this book.
        statement: the sentence.
        value, interval: ready to print; the interval may be empty.
        verdict: holds, holds roughly, does not hold, or cannot be told.
        chapter: page and anchor of the book.
        accuracy: of the networks on test images, from the least accurate depth to the most; may be empty.
        records: the folder and the number of runs.
        planned: "yes" if the plan names it, else "no": it is exploratory.
    """

    id: str
    source: str
    statement: str
    value: str
    interval: str
    verdict: str
    chapter: str
    accuracy: str
    records: str
    planned: str

    @property
    def subject(self) -> str:
        """The folder of the sweep or study that it is about."""
        return self.id.split("/")[0]

    @property
    def name(self) -> str:
        """The name of the claim."""
        return self.id.split("/")[1]

    @property
    def page(self) -> str:
        """The page of the book that shows it."""
        return self.chapter.split("#")[0]


@dataclass(frozen=True)
class Subject:
    """Something that claims are about: a sweep, two sweeps, or a study.

    Attributes:
        name: its part of a row's id.
        accuracy: of its networks, in words.
        records: the folder and the number of runs.
        data: arguments for the deciding functions, by name.
        words: what the sentence names in braces.
    """

    name: str
    accuracy: str
    records: str
    data: Mapping[str, Any]
    words: Mapping[str, str] = field(default_factory=dict)


Decide = Callable[..., Finding | None]
Decides = TypeVar("Decides", bound=Decide)


@dataclass(frozen=True)
class Claim:
    """A sentence, where the book shows it, and the function that decides it."""

    name: str
    source: str
    sentence: str
    shown: str
    about: tuple[str, ...]
    decide: Decide
    given: Mapping[str, Any]
    planned: bool = False

    def row(self, subject: Subject) -> LedgerRow | None:
        """The row of the ledger; None where the records cannot say."""
        data = {**subject.data, **self.given}
        try:
            finding = self.decide(**{name: data[name] for name in inspect.signature(self.decide).parameters})
        except ScalingError:
            return None
        if finding is None:
            return None
        return LedgerRow(
            id=f"{subject.name}/{self.name}",
            source=self.source,
            statement=self.sentence.format_map(subject.words),
            value=finding.value,
            interval=finding.interval,
            verdict=finding.verdict,
            chapter=self.shown,
            accuracy=subject.accuracy,
            records=subject.records,
            planned="yes" if self.planned and not subject.name.startswith(AFTERWARDS) else "no",
        )


CLAIMS: list[Claim] = []
"""All claims, in the order of the ledger."""


def claim(
    name: str,
    source: str,
    sentence: str,
    *,
    shown: str,
    about: str | tuple[str, ...] = "sweep",
    planned: bool = False,
    **given: Any,
) -> Callable[[Decides], Decides]:
    """Register the function below as the one that decides a sentence.

    The function names what it needs as parameters: data of the subject (`sweep`, `sweeps`, `records`), or what is
    given here. It returns None, or raises ScalingError, where the records cannot say.

    Args:
        name: the second part of a row's id.
        source: who says so.
        sentence: what can be wrong; words in braces are those of the subject.
        shown: page and anchor of the book.
        about: the kind of subject: "sweep", "kind", "sensitivity", "first-round", or folders of a study.
        planned: whether the plan names it; everything else is exploratory.
        given: further arguments of the function.
    """

    def register(decide: Decides) -> Decides:
        folders = (about,) if isinstance(about, str) else about
        CLAIMS.append(Claim(name, source, sentence, shown, folders, decide, given, planned))
        return decide

    return register


def rows_about(about: str, subjects: Iterable[Subject]) -> list[LedgerRow]:
    """The rows of all claims about one kind of subject, claim by claim."""
    everyone = list(subjects)
    rows = [each.row(subject) for each in CLAIMS if about in each.about for subject in everyone]
    return [row for row in rows if row is not None]


def truth(holds: bool, roughly: bool = False) -> str:
    """The verdict on a claim that is no exponent."""
    return HOLDS if holds else ROUGH if roughly else NOT


def listed(values: Iterable[float]) -> str:
    return ", ".join(map(signed, values))


def exponent_is(slope: Slope, claimed: float) -> Finding:
    """The finding on a claimed exponent by the plan's rule, uncorrected."""
    word = answer(slope.p_value(claimed) < LEVEL, slope.equivalence(claimed) < LEVEL, slope.bent)
    return Finding(exponent_words(slope), ANSWERS[word], interval(slope))


def within(low: float, high: float, margin: float) -> str:
    """The verdict on "two numbers differ by at most a margin", from the interval of their difference."""
    if -margin <= low and high <= margin:
        return HOLDS
    return NOT if low > margin or high < -margin else OPEN


def matters(given: Slope, none: Slope, clock: float) -> Finding:
    """The finding on "weight decay matters for the exponent" by the plan's test 4, at one T."""
    moved, low, high = difference(given, none)
    word = {HOLDS: NOT, NOT: HOLDS, OPEN: OPEN}[within(low, high, SMALLEST)]
    return Finding(f"{signed(moved)} at {clock_words(clock)}", word, f"{signed(low)} to {signed(high)}")


def across(values: pd.Series, form: str, fits: Callable[[float], bool]) -> Finding:
    """A value for each depth (or threshold): holds where all fit, roughly where most do."""
    good = [fits(value) for value in values]
    text = ", ".join(f"{form.format(value)} at {place:g}" for place, value in values.items()).replace("-", "−")
    return Finding(text, truth(all(good), sum(good) > len(good) / 2))


def open_unless(trained: bool, found: Finding) -> Finding:
    """Leave a finding open where networks miss their bar of accuracy."""
    return found if trained else Finding(f"{found.value}, {MISSES}", OPEN, found.interval)
