"""Rows of the ledger in HTML: a line for each statement with a mark for each network, which opens to the full rows.

Chapters show their statements in full; the ledger shows them all, shortened, in one matrix. Nothing needs a script.
"""

from __future__ import annotations

import html
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from report.claims import HAUSER, HOLDS, NOT, OPEN, OURS, ROUGH, LedgerRow
from resperturb.records.sweeps import KINDS, TITLES, display_name

BOOK = Path(__file__).parents[1]
MARKS = {HOLDS: "✓", ROUGH: "≈", NOT: "✗", OPEN: "?"}
CLASSES = {HOLDS: "holds", ROUGH: "roughly", NOT: "not", OPEN: "open"}
OTHERS = "others"
COLUMNS = (*TITLES, *(f"{dataset}-postactivation" for dataset in TITLES), OTHERS)
COLUMN_OF = {"lesion": "digits", "clock-steps": "mnist"}  # subjects without a data set in their names
FEW = 3  # statements that a chapter shows unfolded
THE_PAPER = "What the paper claims"
RUNS_IN_FOLDER = re.compile(r"results/([\w-]+)(?: \((\d+ runs)\))?")

SHORT = {
    "scaling/exponent-end": "After training, the average falls as 1/L",
    "scaling/smaller": "In the deepest networks, training makes the average smaller",
    "decay/more-decay": "With more weight decay, the average falls as 1/L",
    "decay/more-moves": "More weight decay moves the exponent",
    "decay/long": "Five times as long, usual decay: it falls as 1/L",
    "decay/long-moves": "Training five times as long moves the exponent",
    "scaling/inverse": "At full size, the average falls as 1/L",
    "scaling/additions": "With transitions counted, the average falls as 1/L",
    "scaling/harmonic": "The average goes as H_L/L",
    "scaling/expected": "At full size, the exponent is as expected",
    "scaling/smaller-images": "Half-size images and fewer epochs: the same exponent",
    "decay/length": "More T by length is as steep as by decay",
    "decay/usual": "Short trainings, usual decay or none: it falls as 1/L",
    "decay/strong": "Short trainings, strong decay: it falls as 1/L",
    "decay/strong-shared": "Strong decay, shared depths: it falls as 1/L",
    "decay/strong-live": "Strong decay, live blocks alone: it falls as 1/L",
    "decay/exponent-none": "Gentle trainings without decay: it falls as 1/L",
    "decay/exponent-most": "Gentle trainings with most decay: it falls as 1/L",
    "others/exponent": "Four published networks: it falls as 1/L",
    "scaling/one-power": "One power of the depth describes the average",
    "scaling/trained": "The networks are trained as planned",
    "scaling/alive": "Every block is alive",
    "scaling/exponent-initialization": "Before training, the average falls as 1/√L",
    "scaling/initial-curve": "Before training, every average is what theory predicts",
    "scaling/sections": "Every section has the exponent of the whole",
    "scaling/kind": "Both kinds of block have one exponent",
    "scaling/shifted": "c/(L + b) fits as well as a power of L",
    "scaling/digits-used": "Blocks make the network more accurate",
    "scaling/mnist-used": "Blocks make the network more accurate",
    "scaling/cifar10-used": "Blocks make the network more accurate",
    "scaling/digits-used-strong": "They do so under strong decay",
    "scaling/mnist-used-strong": "They do so under strong decay",
    "scaling/cifar10-used-strong": "They do so under strong decay",
    "method/conventions": "No way of averaging moves the exponent",
    "method/sensitivity": "Another choice leaves the exponent where it is",
    "per_block/largest": "Every block of the deepest network is small",
    "per_block/half": "Training concentrates the work in fewer blocks",
    "per_block/idle": "The median block shrinks faster than the mean",
    "per_block/along": "Perturbations point along the state",
    "per_block/successive": "Successive blocks push the same way",
    "per_block/transitions": "Transitions add more than any block",
    "per_block/absolute-after": "The absolute size has the exponent of the scaled one",
    "practice/left-out-beyond": "The stopping rule predicts a depth outside its range",
    "practice/accuracy-beyond": "Beyond the depth it picks, accuracy gains little",
    "practice/validated-10": "The rule at 0.1 picks the depth that accuracy asks for",
    "practice/validated-5": "The rule at 0.05 picks the depth that accuracy asks for",
    "practice/moved": "Decay moves the rule's depth more than the best depth",
    "practice/alive": "Every block is alive",
    "practice/alone": "Nearly every live block can go alone",
    "practice/rank": "The scaled perturbation ranks blocks by their use",
    "practice/place": "It ranks them better than their place does",
    "practice/first": "First blocks of a section matter most",
    "practice/dead": "All dead blocks can go together",
    "practice/half": "The smaller half of the live blocks can go together",
    "practice/random": "Smallest first costs less than a random half",
    "practice/deeper": "Deeper networks can lose a larger share",
    "decay/decay": "The usual decay moves the exponent, main recipe",
    "decay/usual-moves": "The usual decay moves the exponent, short trainings",
    "decay/moves": "Strong decay makes the exponent steeper",
    "decay/strong-shifted": "Strong decay: c/(L + b) fits as well as a power",
    "decay/alive": "Strong decay: every block is alive",
    "decay/accurate": "Networks without decay are as accurate",
    "decay/stopping": "The stopping rule does not depend on the decay",
    "decay/steps": "At one T, the number of steps hardly matters",
    "decay/beats-decay": "T predicts other lengths better than the decay does",
    "decay/forgotten": "Of the initial weights, e^−T is left",
    "predictions/hits": "Every predicted exponent is a hit",
    "predictions/beats-two-parts": "The account beats “two parts”",
    "predictions/beats-decay": "The account beats “decay decides”",
    "mechanism/reasons": "Paths stay straight where the account says so",
    "predictions/both": "Only a zero start and decay together are steep",
    "initialization/batch-norm": "Batch normalisation: the average falls as 1/√L",
    "initialization/plain": "No normalisation: it does not depend on depth",
    "others/exponent-end": "Transformers, trained: it falls as 1/L",
    "others/exponent-initialization": "Transformers, untrained: it falls as 1/√L",
    "others/long": "Transformers, ten times as long: it falls as 1/L",
    "others/long-strong": "Transformers, ten times as long, strong decay: 1/L",
    "others/long-decay": "In transformers, more decay makes the exponent steeper",
    "others/long-predicted": "Transformers: every predicted exponent is a hit",
    "others/parts": "In transformers, the MLP adds more than attention",
    "others/exponent-additions": "Published networks, all additions counted: 1/L",
    "others/counting": "What counts as a block changes little",
    "others/alive": "Published networks: every block is alive",
    "others/responses": "Deeper networks have smaller responses",
}
"""A short sentence by page and name of a claim; those of one theme that share a sentence share a line."""


def short(row: LedgerRow) -> str:
    """The short sentence of a row; its statement where there is none."""
    return SHORT.get(f"{row.page}/{row.name}", row.statement)


def column_of(row: LedgerRow) -> str:
    """The column of the matrix that a row belongs to."""
    words = re.split("[-/]", row.id)
    dataset = COLUMN_OF.get(row.subject) or next((word for word in words if word in TITLES), OTHERS)
    return f"{dataset}-postactivation" if "postactivation" in words else dataset


def title_of_page(page: str) -> str:
    """The title of a chapter; its name where the page is not there, as in a book of some pages."""
    file = BOOK / f"{page}.md"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line[2:] for line in lines if line.startswith("# ")), page.replace("_", " "))


def link(chapter: str) -> str:
    """A page and anchor of the book, as a link in HTML."""
    page, _, anchor = chapter.partition("#")
    return f'<a href="{page}.html{"#" + anchor if anchor else ""}">{html.escape(title_of_page(page))}</a>'


# ----------------------------------------------------------------------------------------------- parts of a line


def mark(row: LedgerRow) -> str:
    """The mark of a row, with its networks and its verdict for those who do not see the sign or its column."""
    where = f'<span class="where">{html.escape(display_name(row.subject))}</span>'
    sign = f'<span aria-hidden="true">{MARKS[row.verdict]}</span>'
    hidden = f'<span class="visually-hidden"> {row.verdict}; </span>'
    return f'<span class="found {CLASSES[row.verdict]}" title="{row.verdict}">{where} {sign}{hidden}</span>'


def links_to_records(records: str) -> str:
    """Folders of results as links into the index of all runs: how many runs, and those that they are compared with."""
    links = [
        f'<a href="runs.html#folder={folder}">{count or "compared with"}</a>'
        for folder, count in RUNS_IN_FOLDER.findall(records)
    ]
    return ", ".join(links)


def full_table(rows: Sequence[LedgerRow], *, records: bool) -> str:
    """A row each: networks, value, interval and verdict; with `records` accuracy and a link to the runs, too."""
    heads = ["networks", "value", "95 % interval", "verdict", *(["accuracy", "runs"] if records else [])]
    parts = ["".join(f'<th scope="col">{head}</th>' for head in heads)]
    for row in rows:
        verdict = f"{MARKS[row.verdict]} {row.verdict}"
        cells = list(map(html.escape, (display_name(row.subject), row.value, row.interval or "–", verdict)))
        cells += [html.escape(row.accuracy or "–"), links_to_records(row.records)] if records else []
        parts.append("".join(f"<td>{cell}</td>" for cell in cells))
    return f'<table class="dataframe">{"".join(f"<tr>{part}</tr>" for part in parts)}</table>'


def opened(rows: Sequence[LedgerRow]) -> str:
    """What a line of the matrix opens to, statement by statement."""
    parts = []
    for statement, group in itertools.groupby(rows, key=lambda row: row.statement):
        found = list(group)
        source = f"{html.escape(found[0].source)}; see {link(found[0].chapter)}"
        parts.append(f"<p>{html.escape(statement)} ({source})</p>{full_table(found, records=True)}")
    return "".join(parts)


# ----------------------------------------------------------------------------------------------- of a chapter


def statements(rows: Iterable[LedgerRow], *, records: bool = False) -> str:
    """The statements of a chapter, each a line with a mark for each network; opened, the values behind the marks. The
    small print names the source if it is not this book, and says where the plan names none of the rows. More than FEW
    statements are folded into one line that counts their verdicts."""
    by_statement: dict[str, list[LedgerRow]] = {}
    given = list(rows)
    for row in given:  # the ledger has one study behind the other
        by_statement.setdefault(row.statement, []).append(row)
    lines = []
    for statement, found in by_statement.items():
        notes = [] if found[0].source == OURS else [found[0].source]
        notes += [] if any(row.planned == "yes" for row in found) else ["exploratory"]
        small = f" <small>({html.escape('; '.join(notes))})</small>" if notes else ""
        said = f'<span class="statement">{html.escape(statement)}{small}</span>'
        marks = f'<span class="marks">{"".join(map(mark, found))}</span>'
        table = full_table(found, records=records)
        lines.append(f'<details class="verdict"><summary>{said}{marks}</summary>{table}</details>')
    if len(lines) <= FEW:
        return f'<div class="verdicts">{"".join(lines)}</div>'
    counts = Counter(row.verdict for row in given)
    words = ", ".join(f"{counts[verdict]} × {MARKS[verdict]} {verdict}" for verdict in MARKS if counts[verdict])
    return f'<details class="verdicts"><summary>{len(lines)} statements: {words}</summary>{"".join(lines)}</details>'


# ----------------------------------------------------------------------------------------------- of the ledger


def themes(rows: Iterable[LedgerRow], order: Sequence[str] = ()) -> dict[str, dict[str, list[LedgerRow]]]:
    """Rows by theme and short sentence: the paper's claims first, then page by page in the order given."""
    found: dict[str, dict[str, list[LedgerRow]]] = {}
    for row in rows:
        theme = THE_PAPER if row.source == HAUSER else row.page
        found.setdefault(theme, {}).setdefault(short(row), []).append(row)
    places = {page: place for place, page in enumerate((THE_PAPER, *order))}
    return {theme: found[theme] for theme in sorted(found, key=lambda theme: places.get(theme, len(places)))}


def pages_in_order(toc: Path = BOOK.parent / "_toc.yml") -> list[str]:
    """The chapters in the order of the table of contents."""
    return re.findall(r"file: (\w+)", toc.read_text(encoding="utf-8"))


def matrix(rows: Iterable[LedgerRow]) -> str:
    """All statements, shortened, by theme, with a column for each data set and kind of block."""
    parts = [heads()]
    for theme, lines in themes(rows, pages_in_order()).items():
        title = theme if theme == THE_PAPER else f'<a href="{theme}.html">{html.escape(title_of_page(theme))}</a>'
        parts.append(f"<h2>{title}</h2>{''.join(line(words, found) for words, found in lines.items())}")
    return f'<div class="matrix">{"".join(parts)}</div>'


def heads() -> str:
    """The names of the columns, for those who see them; each mark names its networks itself."""
    names = [TITLES.get(column.split("-")[0], "others") for column in COLUMNS]
    kinds = "".join(f'<span class="kind">{KINDS[kind]}</span>' for kind in KINDS)
    cells = "".join(f"<span>{html.escape(name)}</span>" for name in names)
    return f'<div class="heads" aria-hidden="true"><span></span>{kinds}<span></span><span></span>{cells}</div>'


def line(words: str, rows: Sequence[LedgerRow]) -> str:
    """One line of the matrix: the sentence, and in each column the marks of its rows."""
    placed = ([row for row in rows if column_of(row) == column] for column in COLUMNS)
    cells = "".join(f'<span class="cell">{"".join(map(mark, found))}</span>' for found in placed)
    said = f'<span class="statement">{html.escape(words)}</span>'
    return f'<details class="verdict"><summary>{said}{cells}</summary>{opened(rows)}</details>'
