"""The prose of the chapters, the claims and the README: plain English, and every number comes from the records."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from conftest import ROOT

from report import readme
from report.claims import CLAIMS

DATED = {"plan"}  # a document of its days, which nobody edits
WORDS, NUMBERS = 32, 3  # the most in a sentence; a number and its interval count as one
ARCHAIC = (
    r"reckon\w*|dearer|nought|thereof|wherein|whereby|hitherto|hence|thus|whilst|amongst|upon|aforesaid|"
    r"as against|holds? up|held up|the like|such as these|that of which|for want of|it is so\b"
)
CHAPTERS = sorted((ROOT / "book").glob("*.md"))
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
PARTS = [[chapter["file"] for chapter in part["chapters"]] for part in TOC["parts"] if part["caption"] != "Appendix"]
PAGES = {path.stem: path for path in CHAPTERS}


def text_of(text: str) -> str:
    """A chapter without front matter, code, mathematics on lines of its own, tables and HTML."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"^:::\{div\} answer\n(.*?)^:::", r"\1", text, flags=re.S | re.M)
    text = re.sub(r"^(```+|:::+).*?^\1", "", text, flags=re.S | re.M)
    text = re.sub(r"^\$\$.*?^\$\$", "", text, flags=re.S | re.M)
    text = re.sub(r"<!--.*?-->|<[a-z/][^>]*>", "", text, flags=re.S)
    return re.sub(r"^(\||Data: |Drawn, ).*$", "", text, flags=re.M)


def prose_of(text: str) -> str:
    """What is left of it without roles, code words and formulas, in which a number is no number of the prose."""
    return re.sub(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$", "", text_of(text))


def sentences(text: str) -> Iterator[str]:
    """The sentences of a chapter; a list item and a heading end one, a number from the records is the word NUMBER."""
    text = re.sub(r"\{glue:text\}`[^`]*`(\s+\(\{glue:text\}`[^`]*/interval`\))?", "NUMBER", text_of(text))
    text = re.sub(r"\{[a-z:]+\}`([^`]*)`|`[^`]*`|\$[^$]*\$", "WORD", text)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.|#+|~) )", text):
        yield from re.split(r"(?<=[.!?])[*_”\")]*\s+(?=[*_“\"(]*[A-Z0-9−])", " ".join(block.split()))


def test_no_number_is_typed_into_the_prose() -> None:
    """Measured values have a decimal point or a percent sign; in prose they come from records, through glue."""
    for chapter in CHAPTERS:
        if chapter.stem in DATED:
            continue
        found = re.findall(r"\d+\.\d+|\d+ ?%", prose_of(chapter.read_text(encoding="utf-8")))
        # Python's version, the level of every interval, the plan's margin, and its bound for a block that is alive.
        allowed = {"3.11", "95 %", "0.1", "2 %"}
        assert set(found) <= allowed, f"{chapter.name}: {sorted(set(found) - allowed)}"


@pytest.mark.parametrize("page", [*PAGES, "README"])
def test_sentences_are_short_plain_and_hold_few_numbers(page: str) -> None:
    if page in DATED:
        pytest.skip("a dated document")
    path = ROOT / "README.md" if page == "README" else PAGES[page]
    text = re.sub(rf"{readme.BEGIN}.*{readme.END}", "", path.read_text(encoding="utf-8"), flags=re.S)
    found = list(sentences(text))
    assert [s for s in found if len(s.split()) > WORDS] == [], "too long"
    assert [s for s in found if s.count("NUMBER") > NUMBERS] == [], "too many numbers"
    assert [s for s in found if re.search(rf"\b({ARCHAIC})\b", s, re.I)] == [], "no plain word"


def test_claims_are_plain_sentences() -> None:
    for claim in CLAIMS:
        assert len(claim.sentence.split()) <= WORDS, claim.sentence
        assert not re.search(rf"\b({ARCHAIC})\b", claim.sentence, re.I), claim.sentence


def test_the_splitter_finds_sentences() -> None:
    number = "{glue:text}`a/b` ({glue:text}`a/b/interval`)"
    text = f"**One?** Two has $x. y$ and {number}. Three\nends.\n\n- four\n- five is {{doc}}`x`. Six."
    assert list(sentences(text)) == [
        "**One?",
        "Two has WORD and NUMBER.",
        "Three ends.",
        "- four",
        "- five is WORD.",
        "Six.",
    ]


def test_the_book_has_five_parts_of_seventeen_chapters() -> None:
    assert len(PARTS) == 5
    assert sum(map(len, PARTS)) <= 17
    appendix = next(part for part in TOC["parts"] if part["caption"] == "Appendix")
    listed = {"index", *(name for part in PARTS for name in part), *(page["file"] for page in appendix["chapters"])}
    assert listed == set(PAGES)


@pytest.mark.parametrize("page", sorted({name for part in PARTS for name in part} - DATED))
def test_a_chapter_opens_with_its_question_and_its_answer(page: str) -> None:
    text = PAGES[page].read_text(encoding="utf-8")
    opening = r"\n# [^\n]*\n(?:\s|```\{code-cell\}.*?\n```\n)*:::\{div\} answer\n(.*?)\n:::"
    found = re.search(opening, text, re.S)
    assert found, "no question and answer under the title"
    assert re.match(r"\*\*[A-Z][^*]+\?\*\* [A-Z]", found[1]), found[1]


def test_every_part_has_three_exercises() -> None:
    for part in PARTS:
        texts = [PAGES[name].read_text(encoding="utf-8") for name in part]
        assert sum(text.count("```{exercise-start}") for text in texts) >= 3, part


def test_the_readmes_results_are_those_of_the_shipped_records() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    sweeps = readme.shipped(ROOT)
    assert readme.with_results(text, sweeps, ROOT) == text, "run make readme"
    for figure in (readme.FIGURE, readme.CARD):
        assert readme.digest(readme.headline_tables(ROOT)).encode() in (ROOT / figure).read_bytes(), figure
