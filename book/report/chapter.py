"""What a chapter needs around its figures: the records, numbers for its prose, data files for its readers."""

from __future__ import annotations

import dataclasses
import html
import itertools
from collections.abc import Collection
from functools import partial
from pathlib import Path

import pandas as pd
from IPython.display import HTML

from report.cache import RESULTS, once
from report.claims import HOLDS, NOT, OPEN, ROUGH, LedgerRow
from report.ledger import MARKS, ledger
from report.quantities import quantities, records_of_all, records_of_runs
from resperturb import figures
from resperturb.records.record import StudyRecord, load_studies
from resperturb.records.sweeps import Sweep, display_name, in_a_sentence, main_sweeps, sweeps

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


def ledger_rows(found: dict[str, Sweep]) -> list[LedgerRow]:
    """The ledger of all sweeps."""
    rows = once("ledger", lambda: [dataclasses.asdict(row) for row in ledger(found)])
    return [LedgerRow(**row) for row in rows]


def open_study(folder: str) -> tuple[dict[str, Sweep], list[StudyRecord]]:
    """The sweeps, and the records of one study; {glue:text}`study_records` names these in the prose.

    Raises:
        RecordError: the study has no records.
    """
    from myst_nb import glue

    figures.use_style()
    records = load_studies(RESULTS / folder)
    glue("study_records", records_of_runs(records), display=False)
    return sweeps(RESULTS), records


def save_table(name: str, table: pd.DataFrame) -> None:
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
                display_name(row.id.split("/")[0]),
                row.value,
                row.interval or "–",
                f"{MARKS[row.verdict]} {row.verdict}",
            ]
            cells = [*words, *([row.records] if records else [])]
            parts.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
    return HTML(f'<table class="dataframe">{"".join(f"<tr>{part}</tr>" for part in parts)}</table>')
