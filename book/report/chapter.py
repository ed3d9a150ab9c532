"""What a chapter needs around its figures: the records, numbers for its prose, data files for its readers."""

from __future__ import annotations

import dataclasses
import html
import itertools
import json
import os
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from resperturb import figures
from resperturb.building import fingerprint
from resperturb.claims import quantities, records_of_all
from resperturb.findings import HOLDS, NOT, OPEN, ROUGH
from resperturb.ledger import MARKS, ledger
from resperturb.statements import Row
from resperturb.studies import told
from resperturb.studies.kept import StudyRecord, load_studies
from resperturb.sweeps import Sweep, in_a_sentence, main_sweeps, spoken, sweeps

RESULTS = Path("../results")  # as seen from book/, where chapters run
BUILT = RESULTS.parent / "_build"
STAMP = 16  # digits of a fingerprint that a file's name has
DATA = Path("_data")  # tables behind the figures, written while the book is built and offered for download


def open_chapter() -> dict[str, Sweep]:
    """Set the figures' style, and hand every quantity of the main sweeps to the prose as {glue:text}`sweep_quantity`.

    {glue:text}`records` names the records of all main sweeps, for what rests on them all.
    """
    from myst_nb import glue

    figures.use_style()
    found = sweeps(RESULTS)
    for name, said in said_of(main_sweeps(found)).items():
        for quantity, text in said.items():
            glue(f"{name}_{quantity}", text, display=False)
    glue("records", records_of_all(main_sweeps(found).values()), display=False)
    return found


def said_of(chosen: dict[str, Sweep]) -> dict[str, dict[str, str]]:
    """The quantities of each sweep, by its name."""
    return {name: once(f"quantities-{name}", partial(quantities, sweep)) for name, sweep in chosen.items()}


def ledger_rows(found: dict[str, Sweep]) -> list[Row]:
    """The ledger of all sweeps."""
    rows = once("ledger", lambda: [dataclasses.asdict(row) for row in ledger(found)])
    return [Row(**row) for row in rows]


def once(what: str, reckon: Callable[[], Any]) -> Any:
    """What `reckon` gives, plain enough for JSON, kept in _build/ until a record or a source changes."""
    file = BUILT / f"{what}-{fingerprint(RESULTS.parent)[:STAMP]}.json"
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        pass  # the first chapter to ask
    reckoned = reckon()
    BUILT.mkdir(exist_ok=True)
    for old in BUILT.glob(f"{what}-{'[0-9a-f]' * STAMP}.json"):  # of this alone: names of sweeps begin alike
        old.unlink(missing_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}")  # chapters are read beside each other
    unfinished.write_text(json.dumps(reckoned), encoding="utf-8")
    unfinished.replace(file)
    return reckoned


def open_study(folder: str) -> tuple[dict[str, Sweep], list[StudyRecord]]:
    """The sweeps, and the records of one study; {glue:text}`study_records` names these in the prose.

    Raises:
        RecordError: the study has no records.
    """
    from myst_nb import glue

    figures.use_style()
    records = load_studies(RESULTS / folder)
    glue("study_records", told.records_of_runs(records), display=False)
    return sweeps(RESULTS), records


def keep(name: str, table: pd.DataFrame) -> None:
    """Write the numbers behind a figure to _data/<name>.csv, which the page offers for download."""
    DATA.mkdir(exist_ok=True)
    table.to_csv(DATA / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")


def stacked(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of several sweeps as one, with the sweep in the first column."""
    return pd.concat([table.assign(sweep=name)[["sweep", *table.columns]] for name, table in tables.items()])


ANSWERS = {HOLDS: "yes on {}", ROUGH: "roughly on {}", NOT: "no on {}", OPEN: "on {} it cannot be told"}


def answer_of(found: dict[str, Sweep]) -> str:
    """The answer to the book's question in one sentence, from the verdicts on the exponent after training."""
    said = said_of(found)
    groups: dict[str, list[str]] = {}
    for name, sweep in found.items():
        groups.setdefault(said[name]["verdict_end"], []).append(in_a_sentence(sweep.dataset))
    parts = [form.format(" and ".join(groups[word])) for word, form in ANSWERS.items() if word in groups]
    return f"On average: {'; '.join(parts)}."


def link(chapter: str) -> str:
    """A page and anchor of the book, as a link in HTML."""
    page, _, anchor = chapter.partition("#")
    return f'<a href="{page}.html{"#" + anchor if anchor else ""}">{page.replace("_", " ")}</a>'


def verdicts(
    found: dict[str, Sweep],
    page: str | None = None,
    names: Collection[str] = (),
    *,
    among: Collection[str] | None = None,
    records: bool = False,
) -> HTML:
    """Rows of the ledger as a chapter prints them: a statement, and below it a row for each sweep.

    Args:
        found: all sweeps.
        page: only rows that this page shows; all, with links to their pages, where it is None.
        names: only statements of these names.
        among: only rows of these sweeps.
        records: name the records of each row.
    """
    heads = ["sweep", "value", "95 % interval", "verdict", *(["records"] if records else [])]
    parts = ["".join(f'<th scope="col">{head}</th>' for head in heads)]
    left = 'style="text-align: left; font-weight: normal; white-space: normal"'
    chosen = [
        row for row in ledger_rows(found) if row.shown(page, names) and (among is None or row.id.split("/")[0] in among)
    ]
    for sentence, group in itertools.groupby(chosen, key=lambda row: row.statement):
        rows = list(group)
        where = f"; {link(rows[0].chapter)}" if page is None else ""
        head = f"<b>{html.escape(sentence)}</b> ({html.escape(rows[0].source)}{where})"
        parts.append(f'<th scope="rowgroup" colspan="{len(heads)}" {left}><div class="statement">{head}</div></th>')
        for row in rows:
            words = [
                spoken(row.id.split("/")[0]),
                row.value,
                row.interval or "–",
                f"{MARKS[row.verdict]} {row.verdict}",
            ]
            cells = [*words, *([row.records] if records else [])]
            parts.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    return HTML(f'<table class="dataframe">{"".join(f"<tr>{part}</tr>" for part in parts)}</table>')
