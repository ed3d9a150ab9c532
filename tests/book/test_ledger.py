"""The ledger is what the records say now, and every measured number in the prose is one of its rows."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

from report import claims, ledger, quantities
from report.claims import CLAIMS, HOLDS, NOT, OPEN, ROUGH, Finding, Subject
from report.decay import primary_tests
from resperturb.analysis.slope_tests import Slope
from resperturb.errors import ScalingError
from resperturb.records.sweeps import Sweep, main_sweeps

# What was run, and what a sentence states of runs without a claim that could be false.
FACTS = {"records", "runs", "deepest", "clock", "diverged", "images_measured", "train_size"}
FACTS |= {"accuracy_low", "accuracy_high"}


def test_every_row_is_still_what_the_records_say(rows: dict[str, claims.LedgerRow]) -> None:
    written = ledger.read_ledger(ROOT).to_dict("records")
    now = ledger.ledger_table(rows.values()).to_dict("records")
    changed = [row["id"] for row, old in zip(now, written, strict=False) if row != old]
    assert not changed, f"run make ledger, and read what became of {', '.join(changed)}"
    text = ledger.ledger_table(rows.values()).to_csv(index=False, lineterminator="\n")
    assert text == (ROOT / ledger.FILE).read_text(encoding="utf-8"), "run make ledger"


def test_every_row_has_a_verdict_a_source_and_a_place(rows: dict[str, claims.LedgerRow]) -> None:
    for row in rows.values():
        assert row.verdict in (HOLDS, ROUGH, NOT, OPEN)
        assert row.value
        assert row.source
        page, anchor = row.chapter.split("#")
        text = (ROOT / "book" / f"{page}.md").read_text(encoding="utf-8")
        headings = [re.sub(r"[^a-z0-9]+", "-", h.lower()).strip("-") for h in re.findall(r"^#+ (.*)$", text, re.M)]
        assert anchor in headings, f"{row.id}: {row.chapter}"
        assert re.match(r"results/[\w-]+ \(\d+ runs\)", row.records)


def test_no_statement_is_made_twice_and_each_is_said_of_every_sweep_it_can(rows: dict[str, claims.LedgerRow]) -> None:
    names = [(about, claim.name) for claim in CLAIMS for about in claim.about]
    assert len(names) == len(set(names))
    assert len({claim.sentence for claim in CLAIMS}) == len(CLAIMS)
    assert {"digits", "mnist", "cifar10"} <= {key.split("/")[0] for key in rows}
    for name in ("exponent-end", "trained", "alive", "exponent-initialization", "conventions"):
        assert {f"{sweep}/{name}" for sweep in ("digits", "mnist", "cifar10")} <= set(rows)


def test_networks_below_their_bar_answer_nothing_about_usual_training(rows: dict[str, claims.LedgerRow]) -> None:
    below = {row.subject for row in rows.values() if row.name == "trained" and row.verdict == NOT}
    assert below
    for sweep in below:
        assert {rows[f"{sweep}/{name}"].verdict for name in ("exponent-end", "smaller")} == {OPEN}


def test_the_paper_is_asked_all_that_its_abstract_claims() -> None:
    hauser = {claim.name for claim in CLAIMS if claim.source.startswith("Hauser")}
    assert {"exponent-end", "more-decay", "usual", "strong"} <= hauser


def quoted() -> set[tuple[str, str]]:
    """Page and key of every value that prose quotes from the ledger or from a sweep, its format left out."""
    pages = sorted((ROOT / "book").glob("*.md"))
    texts = {page.stem: page.read_text(encoding="utf-8") for page in pages}
    return {(page, key) for page in texts for key in re.findall(r"\{glue:text\}`([\w-]+/[\w/-]+)", texts[page])}


def test_every_measured_number_in_the_prose_belongs_to_a_row(
    rows: dict[str, claims.LedgerRow], sweeps: dict[str, Sweep]
) -> None:
    there = {f"{row.id}{part}" for row in rows.values() for part in ("", "/short", "/interval" * bool(row.interval))}
    there |= {f"{name}/{fact}" for name in main_sweeps(sweeps) for fact in FACTS}
    assert sorted((page, key) for page, key in quoted() if key not in there) == []
    assert {page for page, _ in quoted()} >= {"per_block", "scaling", "mechanism", "practice"}


def test_facts_are_plain_numbers_of_their_sweep(sweeps: dict[str, Sweep]) -> None:
    for sweep in main_sweeps(sweeps).values():
        numbers = quantities.quantities(sweep)
        assert set(numbers) >= FACTS - {"records"}
        assert all(type(value) in (int, float) for value in numbers.values())  # what a format in the prose can read
        assert numbers["runs"] == len(sweep.records)
        assert numbers["accuracy_low"] <= numbers["accuracy_high"] <= 1


def test_a_row_knows_its_subject_its_page_and_whether_it_was_planned(rows: dict[str, claims.LedgerRow]) -> None:
    row = rows["mnist/exponent-end"]
    assert (row.subject, row.name, row.page, row.planned) == ("mnist", "exponent-end", "scaling", "yes")
    assert rows["digits/exponent-end"].planned == "no"  # a main sweep since its runs were made
    assert rows["mnist/largest"].planned == "no"


def test_a_comparison_of_a_sweep_with_itself_holds(sweeps: dict[str, Sweep]) -> None:
    more = {"sweeps": sweeps, "tests": primary_tests(sweeps, ROOT / "results")}
    subject = ledger.comparison(sweeps["digits"], sweeps["digits"], more, changes="nothing changed")
    (row,) = claims.rows_about("sensitivity", [subject])
    assert row.verdict == HOLDS
    assert row.statement.startswith("With nothing changed, ")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(-0.05, 0.08, HOLDS), (0.12, 0.3, NOT), (-0.3, -0.12, NOT), (0.05, 0.2, OPEN), (-0.3, 0.3, OPEN)],
)
def test_two_numbers_are_alike_if_the_interval_of_their_difference_is(low: float, high: float, word: str) -> None:
    assert claims.within(low, high, 0.1) == word


def test_decay_matters_if_it_moves_the_exponent_beyond_the_margin_either_way() -> None:
    none = Slope(-0.6, 0.01, 10)
    moved = {-0.8: HOLDS, -0.4: HOLDS, -0.62: NOT, -0.7: OPEN}
    assert {p: claims.matters(Slope(p, 0.01, 10), none, 2.0).verdict for p in moved} == moved
    assert claims.matters(Slope(-0.8, 0.01, 10), none, 1.953).value == "−0.20 at T = 1.95"


def test_a_claim_gets_the_arguments_that_its_function_names() -> None:
    def decide(size: float, limit: float) -> Finding | None:
        if size == limit:
            raise ScalingError("nothing to fit")
        return Finding(f"{size}", claims.truth(size < limit, size < 2 * limit)) if size else None

    claim = claims.Claim("small", "us", "{what} is small.", "page#place", ("thing",), decide, {"limit": 5})
    rows = [
        claim.row(Subject("x", "90%", "results/x", {"size": size, "more": 1}, {"what": "It"}))
        for size in (3, 7, 20, 5, 0)
    ]
    assert [row and row.verdict for row in rows] == [HOLDS, ROUGH, NOT, None, None]
    assert rows[0] == claims.LedgerRow(
        "x/small", "us", "It is small.", "3", "", HOLDS, "page#place", "90%", "results/x", "no"
    )
