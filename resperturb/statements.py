"""What the paper and the book state of a sweep: sentences that can be wrong, each with the function that decides it.

Where a sentence is not about an exponent, the rule for its verdict is named in the sentence itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from resperturb import findings
from resperturb.averages import ScalingError
from resperturb.claims import ROUGHLY, SOURCE
from resperturb.findings import EPSILON, FACTOR, SMALL, Finding
from resperturb.sweeps import Sweep

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
    Statement(
        "depths", HAUSER, "Networks of between 6 and 300 residual blocks.", "scaling#depth-by-depth", findings.depths
    ),
    Statement(
        "exponent-end",
        HAUSER,
        "After training, the average scaled perturbation is inversely proportional to the number of blocks.",
        "scaling#all-exponents",
        findings.exponent("end"),
    ),
    Statement(
        "small",
        HAUSER,
        f"Large enough networks learn a perturbation from identity: the average in the deepest is below {SMALL}.",
        "scaling#depth-by-depth",
        findings.small_on_average,
    ),
    Statement(
        "left-out-between",
        HAUSER,
        f"The stopping rule decides the depth: one left out between two others is found within a factor of {FACTOR}.",
        "stopping_rule#a-depth-left-out",
        findings.left_out("between"),
    ),
    Statement(
        "left-out-beyond",
        OURS,
        "It does so beyond the depths it was given, too (the shallowest and the deepest left out; a factor "
        f"of {FACTOR}).",
        "stopping_rule#a-depth-left-out",
        findings.left_out("beyond"),
    ),
    Statement(
        "exponent-initialization",
        SOURCE["initialization"],
        "Before training, the average scaled perturbation falls as 1/√L.",
        "scaling#all-exponents",
        findings.exponent("initialization"),
    ),
    Statement(
        "product",
        OURS,
        f"Depth times average is level: it varies by less than the depth to the power {ROUGHLY}.",
        "scaling#depth-by-depth",
        findings.level_product,
    ),
    Statement(
        "curve",
        OURS,
        "Of the curves compared, 1/L describes the averages best (by more than 2 in AICc).",
        "scaling#which-curve",
        findings.best_curve,
    ),
    Statement(
        "ranges",
        OURS,
        f"The exponent is the same from whichever depth on it is fitted, within {ROUGHLY}.",
        "scaling#does-the-range-of-depths-decide",
        findings.one_for_all_ranges,
    ),
    Statement(
        "sections",
        OURS,
        f"It is the same in every section, within {ROUGHLY}.",
        "scaling#section-by-section",
        findings.one_for_all_sections,
    ),
    Statement(
        "conventions",
        OURS,
        f"No convention moves it by more than {ROUGHLY}.",
        "conventions#one-table",
        findings.conventions_agree,
    ),
    Statement(
        "largest",
        OURS,
        f"In the deepest network every block is a small perturbation, below {SMALL}.",
        "per_block#how-it-is-spread-over-the-blocks",
        findings.small_everywhere,
    ),
    Statement(
        "half",
        OURS,
        "Training concentrates it: half of the sum is in fewer blocks than before.",
        "per_block#how-it-is-spread-over-the-blocks",
        findings.concentrated,
    ),
    Statement(
        "idle",
        OURS,
        "With depth the median block shrinks faster than the mean, and the largest block slower "
        "(exponents: largest, mean, median).",
        "per_block#how-it-is-spread-over-the-blocks",
        findings.idle_majority,
    ),
    Statement(
        "last-section",
        OURS,
        "At every depth the last section has the largest share of the scaled perturbations.",
        "per_block#section-by-section",
        findings.last_section_leads,
    ),
    Statement(
        "along",
        OURS,
        "After training, perturbations point along the state: the mean cosine is positive in every section "
        "of the deepest networks.",
        "per_block#the-direction",
        findings.in_every_section("cosine"),
    ),
    Statement(
        "successive",
        OURS,
        "After training, successive perturbations point the same way: the mean cosine is positive in every "
        "section of the deepest networks.",
        "per_block#the-direction",
        findings.in_every_section("successive"),
    ),
    Statement(
        "transitions",
        OURS,
        "Transitions add more, beside the state they project, than any block does.",
        "per_block#at-the-transitions",
        findings.transitions_are_large,
    ),
    Statement(
        "absolute-before",
        OURS,
        "Before training the absolute perturbation does not depend on depth (exponent 0).",
        "per_block#both-measures-against-depth",
        findings.absolute_level_before,
    ),
    Statement(
        "absolute-after",
        OURS,
        f"After training the absolute perturbation falls with depth as the scaled one does, within {ROUGHLY}.",
        "per_block#both-measures-against-depth",
        findings.absolute_as_scaled_after,
    ),
    Statement(
        "stream-before",
        OURS,
        "Before training the norm of the state grows as √L.",
        "per_block#both-measures-against-depth",
        findings.stream_grows_before,
    ),
    Statement(
        "stream-after",
        OURS,
        "After training the norm of the state does not depend on depth (exponent 0).",
        "per_block#both-measures-against-depth",
        findings.stream_level_after,
    ),
    Statement(
        "images-before",
        OURS,
        "Over images the scaled measure varies less than the absolute one, before training.",
        "per_block#both-measures-against-depth",
        findings.less_over_images("initialization"),
    ),
    Statement(
        "images-after",
        OURS,
        "Over images the scaled measure varies less than the absolute one, after training.",
        "per_block#both-measures-against-depth",
        findings.less_over_images("end"),
    ),
    Statement(
        "accuracy-beyond",
        OURS,
        f"Beyond the depth at which the average is below {EPSILON}, accuracy gains no more than a point.",
        "stopping_rule#is-it-a-good-rule",
        findings.no_better_beyond,
    ),
    Statement(
        "accuracy",
        OURS,
        "Depth costs no accuracy: the deepest networks are as accurate as the shallowest, within a point.",
        "stopping_rule#is-it-a-good-rule",
        findings.no_accuracy_lost,
    ),
    Statement(
        "sums",
        OURS,
        "In every block, state plus perturbation is what the network went on with, to a hundred-thousandth.",
        "method#measurement",
        findings.sums_are_right,
    ),
)
