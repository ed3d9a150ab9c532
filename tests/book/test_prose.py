"""The prose of the chapters and of the README: every number comes from the records."""

from __future__ import annotations

import re

from conftest import ROOT

from report import readme


def prose_of(text: str) -> str:
    """A chapter without what is not prose: front matter, code, mathematics, roles, links, HTML tags."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"^(```+|:::+).*?^\1", "", text, flags=re.S | re.M)
    text = re.sub(r"<[a-z/][^>]*>", "", text)
    text = re.sub(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$", "", text)
    return text


def test_no_number_is_typed_into_the_prose() -> None:
    """Measured values have a decimal point or a percent sign; in prose they come from records, through glue.

    The numbers of the plan are settings and bounds, fixed before the runs.
    """
    for chapter in sorted({*(ROOT / "book").glob("*.md")} - {ROOT / "book/plan.md"}):
        found = re.findall(r"\d+\.\d+|\d+ ?%", prose_of(chapter.read_text(encoding="utf-8")))
        # Python's version, the level of every interval, the plan's margin, and its bound for a block that is alive.
        allowed = {"3.11", "95 %", "0.1", "2 %"}
        assert set(found) <= allowed, f"{chapter.name}: {sorted(set(found) - allowed)}"


def test_the_readmes_results_are_those_of_the_shipped_records() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    sweeps = readme.shipped(ROOT)
    assert readme.with_results(text, sweeps, ROOT) == text, "run make readme"
    assert readme.digest(readme.headline_tables(ROOT)) in (ROOT / readme.FIGURE).read_text(encoding="utf-8")
