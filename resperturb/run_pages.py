"""A Sphinx extension: every record in results/ has a page, `runs/<folder>/<name>.html`, with its files beside it.

The pages are no documents of Sphinx: reading, resolving and rendering one with the theme's templates takes some tenths
of a second, and there are hundreds. Everything around the article is the same on all of them, since they lie equally
deep: it is rendered once, and each page is that shell with its own title and article.

Chapters link to the pages by :func:`page_url`, and to the index by :func:`index_url`.
"""

from __future__ import annotations

import hashlib
import html
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from resperturb.runs.addresses import index_url, page_url
from resperturb.runs.facts import AnyRecord, load_folders, title_of
from resperturb.runs.page import Surroundings, body_of, data_files
from resperturb.sweeps import main_sweeps, sensitivity_sweeps, sweeps

__all__ = ["index_url", "page_url", "setup", "write_all"]

TITLE, BODY = "resperturb-title-of-the-run", "<!-- resperturb: the run -->"
SHELL = "runs/folder/shell"  # a page as deep as all of them
OURS = ("runs.js", "runs.css")  # Jupyter Book loads what is in _static on every page
STUDY_CHAPTERS = {"clock": ("clock",), "text": ("transformer", "text")}
MAIN_CHAPTERS = ("per_block", "scaling", "stopping_rule")


def chapters_by_folder(results: Path) -> dict[str, tuple[str, ...]]:
    """The chapters that rest on each folder of sweeps."""
    found = sweeps(results)
    main, varied = main_sweeps(found), sensitivity_sweeps(found)
    chosen: dict[str, tuple[str, ...]] = {Path(sweep.folder).name: MAIN_CHAPTERS for sweep in main.values()}
    chosen |= {"digits": MAIN_CHAPTERS, "shipped-digits": MAIN_CHAPTERS}
    for name, (_, _, fields) in varied.items():
        chosen[name] = ("conventions", "choices") if set(fields) == {"precision"} else ("choices", "architecture")
    return chosen


def chapters_of(folder: str, by_folder: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The names of the chapters that rest on a folder; a study's is called as the study."""
    if folder in by_folder:
        return by_folder[folder]
    study = folder.split("-")[0]
    return STUDY_CHAPTERS.get(study, (study,))


def shell_of(app: Any) -> str:
    """What is around the article of every run's page, rendered once, with marks for title and article."""
    target = Path(app.doctreedir) / "run-shell.html"
    parents = (
        [{"link": "../../runs.html", "title": app.env.titles["runs"].astext()}] if "runs" in app.env.titles else []
    )
    context = {"title": TITLE, "pagetitle": TITLE, "body": BODY, "parents": parents, "prev": None, "next": None}
    app.builder.handle_page(SHELL, context, "page.html", outfilename=str(target))
    return target.read_text(encoding="utf-8")


def write_all(
    results: Path,
    html_folder: Path,
    shell: str,
    *,
    documents: Mapping[str, str],
    stamps: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write the pages that are missing or out of date, and remove those of records that are gone.

    Args:
        results: the folder of all records.
        html_folder: the built site.
        shell: a page with TITLE and BODY in it.
        documents: the titles of the chapters that there are, by name.
        stamps: what the pages were made from, as an earlier call returned it.

    Returns:
        What each page was made from, by its address.
    """
    by_folder, made = chapters_by_folder(results), {}
    sources = digest(*(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("runs/*.py"))))
    before = stamps or {}
    for folder, records in load_folders(results).items():
        chapters = {n: documents[n] for n in chapters_of(folder, by_folder) if n in documents}
        main = by_folder.get(folder) == MAIN_CHAPTERS and "explorer" in documents
        for previous, record, following in in_threes(records):
            address = f"runs/{folder}/{record.name}.html"
            executed = f"runs/{record.name}" in documents and folder != "shipped-digits"
            around = Surroundings(previous, following, chapters, main, executed)
            beside = [neighbour.name for neighbour in (previous, following) if neighbour]
            facts = [f"{path.name} {path.stat().st_mtime_ns}" for path in data_files(record)]
            surroundings = f"{chapters} {main} {executed} {record.fresh}"
            made[address] = digest(shell, sources, *beside, *facts, surroundings)
            page = html_folder / address
            if before.get(address) != made[address] or not page.is_file():
                write_page(page, record, shell, around)
    for gone in set(before) - set(made):
        (html_folder / gone).unlink(missing_ok=True)
        shutil.rmtree((html_folder / gone).with_suffix(""), ignore_errors=True)
    return made


def write_page(page: Path, record: AnyRecord, shell: str, around: Surroundings) -> None:
    """One page, and the record's files in a folder of its name."""
    beside = page.parent / record.name
    beside.mkdir(parents=True, exist_ok=True)
    for path in data_files(record):
        shutil.copyfile(path, beside / path.name)
    filled = shell.replace(TITLE, html.escape(title_of(record))).replace(BODY, body_of(record, around))
    page.write_text(filled, encoding="utf-8")


def in_threes(records: Sequence[AnyRecord]) -> Iterator[tuple[AnyRecord | None, AnyRecord, AnyRecord | None]]:
    """Each record with those before and after it."""
    for place, record in enumerate(records):
        yield (
            records[place - 1] if place else None,
            record,
            records[place + 1] if place + 1 < len(records) else None,
        )


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def collect(app: Any) -> list[Any]:
    """Write all pages when Sphinx asks for pages of extensions; it is given none to render itself."""
    if app.builder.format != "html":
        return []
    kept = Path(app.doctreedir) / "run-pages.json"
    try:
        stamps = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        stamps = {}
    documents = {name: title.astext() for name, title in app.env.titles.items()}
    results, target = Path(app.srcdir).parent / "results", Path(app.outdir)
    made = write_all(results, target, shell_of(app), documents=documents, stamps=stamps)
    kept.write_text(json.dumps(made), encoding="utf-8")
    return []


def only_where_used(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Script and style of these pages, on these pages alone."""
    if page == "runs" or page.startswith("runs/"):
        return
    for kind in ("script_files", "css_files"):
        kept = [
            file for file in context.get(kind, []) if str(getattr(file, "filename", file)).split("/")[-1] not in OURS
        ]
        context[kind] = kept


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.connect("html-collect-pages", collect)
    app.connect("html-page-context", only_where_used, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
