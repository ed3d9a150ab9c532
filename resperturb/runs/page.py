"""The page of one record, as HTML: what it was given, where it comes from, what came out, and its files."""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from resperturb.records import Record
from resperturb.runs.charts import Curve, chart
from resperturb.runs.facts import (
    AnyRecord,
    command_of,
    outcome_of,
    parameters_of,
    title_of,
    values_of,
    written,
)
from resperturb.studies.kept import StudyRecord

ROOT = "../../"  # every page of a run lies two folders deep
SHORT = 12  # rows of a study's table that are shown
MOMENTS = (("initialization", "first", "at initialisation"), ("end", "second", "after training"))
OUTCOMES = {
    "accuracy": ("test accuracy", "{:.4f}"),
    "loss": ("test loss (nats)", "{:.4f}"),
    "clock": ("time under weight decay T, reached", "{:.3g}"),
    "scaled_initialization": ("average scaled perturbation at initialisation", "{:.4f}"),
    "scaled_end": ("average scaled perturbation after training", "{:.4f}"),
    "absolute_initialization": ("average absolute perturbation at initialisation", "{:.4g}"),
    "absolute_end": ("average absolute perturbation after training", "{:.4g}"),
}


@dataclass(frozen=True)
class Surroundings:
    """What a page links to that the record does not know."""

    previous: AnyRecord | None = None  # of the same folder
    following: AnyRecord | None = None
    chapters: Mapping[str, str] = None  # type: ignore[assignment]  # title by name of the document
    explorer: bool = False  # whether the explorer shows this run
    executed: bool = False  # whether the executed notebook has a page


def body_of(record: AnyRecord, around: Surroundings) -> str:
    """The article of a record's page."""
    study = isinstance(record, StudyRecord)
    parts = [
        f"<h1>{html.escape(title_of(record))}</h1>",
        f'<p class="run-name">{badge(record.fresh)} <code>results/{folder_of(record)}/{record.name}</code></p>',
        "" if record.fresh else stale_words(),
        links(record, around),
        section("parameters", "Parameters", parameters_card(record)),
        section("command", "Command", command_block(command_of(record))),
        section("outcome", "What came out", outcome_table(record)),
        section("tables", "Tables", tables(record)) if study else section("figures", "Figures", figures(record)),  # type: ignore[arg-type]
        section("origin", "Where it comes from", facts_table(origin_of(record))),
        section("data", "Data", files(record)),
        neighbours(around),
    ]
    return '<section class="run-page">' + "\n".join(filter(None, parts)) + "</section>"


def folder_of(record: AnyRecord) -> str:
    return record.folder.parent.name


def section(name: str, heading: str, content: str) -> str:
    return f'<section id="{name}"><h2>{heading}</h2>{content}</section>'


def badge(fresh: bool) -> str:
    return '<span class="run-badge fresh">✓ fresh</span>' if fresh else '<span class="run-badge stale">! stale</span>'


def stale_words() -> str:
    return (
        '<div class="admonition warning"><p class="admonition-title">Stale</p><p>The sources that decide a result have '
        "changed since this record was made. The command below makes it anew.</p></div>"
    )


def links(record: AnyRecord, around: Surroundings) -> str:
    """To the index, to the chapters that rest on the record, to the explorer and to the executed notebook."""
    folder = folder_of(record)
    items = [f'<a href="{ROOT}runs.html#folder={folder}">All runs of {html.escape(folder)}</a>']
    items += [
        f'<a href="{ROOT}{name}.html">{html.escape(title)}</a>' for name, title in (around.chapters or {}).items()
    ]
    if around.explorer:
        values = values_of(record)
        state = "&amp;".join(f"{name}={values[name]}" for name in ("dataset", "block", "seed", "blocks"))
        items.append(f'<a href="{ROOT}explorer.html#{state}">This run in the explorer</a>')
    if around.executed:
        items.append(f'<a href="../{record.name}.html">The executed notebook</a>')
    return '<ul class="run-links">' + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def parameters_card(record: AnyRecord) -> str:
    """Every parameter beside its default. Those that differ are marked by a sign, by weight and by a word."""
    found = parameters_of(record)
    count = sum(parameter.differs for parameter in found)
    said = f"{count} of {len(found)} differ from the defaults, marked ≠." if count else "All are the defaults."
    rows = []
    for parameter in found:
        mark = '<span aria-hidden="true">≠ </span><span class="visually-hidden">differs: </span>'
        value = html.escape(written(parameter.value))
        rows.append(
            f'<tr{" class=differs" if parameter.differs else ""}><th scope="row"><code>{parameter.name}</code></th>'
            f"<td>{mark if parameter.differs else ''}{value}</td><td>{html.escape(written(parameter.default))}</td>"
            f"<td>{html.escape(parameter.meaning)}</td></tr>"
        )
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("parameter", "this run", "default", "what it is"))
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="run-card"><p>{said}</p>{scrolling(table, "Parameters beside their defaults")}</div>'


def scrolling(table: str, label: str) -> str:
    """A table that scrolls inside itself, by keyboard too."""
    return f'<div class="run-scroll" tabindex="0" role="region" aria-label="{html.escape(label)}">{table}</div>'


def command_block(command: str) -> str:
    """In the markup of a highlighted listing, to which the book's copy button attaches itself."""
    return (
        '<div class="highlight-bash notranslate"><div class="highlight"><pre tabindex="0">'
        f"{html.escape(command, quote=False)}\n</pre></div></div>"
    )


def facts_table(rows: Mapping[str, str]) -> str:
    cells = "".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f'<table class="run-facts"><tbody>{cells}</tbody></table>'


def outcome_table(record: AnyRecord) -> str:
    rows = {}
    if isinstance(record, Record) and record.diverged:
        rows["training"] = "diverged: there is no trained network to measure"
    for name, value in outcome_of(record).items():
        if value is not None and math.isfinite(value):
            words, form = OUTCOMES[name]
            rows[words] = form.format(value)
    return facts_table(rows) if rows else "<p>What the study found is in its tables.</p>"


def origin_of(record: AnyRecord) -> dict[str, str]:
    """Commit, versions, machine and cost."""
    run, origin = record.run, record.run["provenance"]
    commit = origin.get("commit", "not a checkout") + (" (sources modified)" if origin.get("modified") else "")
    rows = {
        "made": origin["started"].replace("T", " "),
        "commit": commit,
        "sources": f"{origin['source_hash']}, {'as now' if record.fresh else 'changed since'}",
        "wall time": f"{run['wall_seconds']:.1f} s",
        "peak memory of the process": f"{run['peak_memory_bytes'] / 2**20:.0f} MiB",
        "processor": origin.get("gpu") or origin["processor"],
        "cores, threads": f"{origin['cores']}, {origin['threads']}",
        "system": origin["system"],
        "versions": ", ".join(f"{name} {number}" for name, number in origin["versions"].items()),
    }
    if isinstance(record, Record):
        training = run["training"]
        rows["images per second in training"] = f"{training['images_per_second']:.0f}"
        rows["weight decay, steps"] = f"{training['weight_decay']:.3g}, {training['steps']}"
        rows["parameters of the network"] = f"{run['parameters']:,}"
    return rows


def figures(record: Record) -> str:
    """Scaled perturbation per block at both moments; loss and accuracy over epochs."""
    if not (record.folder / "perturbations.csv").read_text(encoding="utf-8").strip():
        return "<p>Activations were no finite numbers from the start: there is nothing to draw.</p>"
    blocks, depth = chart_of_blocks(record), record.blocks
    drawn = [
        (
            blocks,
            "Scaled perturbation of each block at initialisation and after training, mean over images; bands from the "
            "5th to the 95th percentile of the images. Dotted lines part the sections.",
        )
    ]
    history = record.history
    for column, label in (("loss", "cross-entropy (nats)"), ("accuracy", "share correct")):
        curves = [
            Curve(style, f"{part} images", [list(zip(history["epoch"], history[f"{part}_{column}"], strict=True))])
            for part, style in (("train", "first"), ("test", "second"))
        ]
        last = history[f"test_{column}"].iloc[-1] if len(history) else float("nan")
        alt = (
            f"{label.capitalize()} on training and on test images over {len(history)} epochs, {depth} blocks; "
            f"on test images {last:.3g} in the end."
        )
        words = "Cross-entropy" if column == "loss" else "Share of right answers"
        drawn.append(
            (
                chart(curves, x="epoch", y=label, alt=alt, logarithmic=column == "loss"),
                f"{words} over epochs, on training and on test images.",
            )
        )
    items = "".join(f"<figure>{image}<figcaption>{words}</figcaption></figure>" for image, words in drawn)
    return f'<div class="run-figures">{items}</div>'


def chart_of_blocks(record: Record) -> str:
    columns = ["moment", "kind", "section", "block", "scaled", "scaled_q05", "scaled_q95"]
    table = pd.read_csv(record.folder / "perturbations.csv", usecols=columns)
    blocks = table.loc[table["kind"] == "identity", columns]
    rows = list(blocks.itertuples(index=False, name=None))
    curves, starts, said = [], [], []
    for moment, style, label in MOMENTS:
        sections: dict[int, list[tuple[int, float, float, float]]] = {}
        for when, _, number, block, scaled, low, high in rows:
            if when == moment:
                sections.setdefault(number, []).append((block, scaled, low, high))
        if not sections:
            continue  # a diverged run has no end
        parts = [[(block, scaled) for block, scaled, _, _ in part] for part in sections.values()]
        bands = [[(block, low, high) for block, _, low, high in part] for part in sections.values()]
        curves.append(Curve(style, label, parts, bands))
        starts = [part[0][0] - 0.5 for part in list(sections.values())[1:]]
        finite = [scaled for part in parts for _, scaled in part if math.isfinite(scaled)]
        if finite:
            said.append(f"{label} from {min(finite):.3g} to {max(finite):.3g}")
    alt = f"Scaled perturbation over {record.blocks} blocks on a logarithmic axis: {', '.join(said) or 'no numbers'}."
    return chart(curves, x="block l", y="scaled perturbation ‖f(x)‖ / ‖x‖", alt=alt, marks=starts)


def tables(record: StudyRecord) -> str:
    """A study's tables: whole where they are short, else their first rows and a link."""
    parts = []
    for path in sorted(record.folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = list(csv.reader(file))
        label = f"{path.stem.replace('_', ' ').capitalize()}"
        heads = "".join(f'<th scope="col">{html.escape(name.replace("_", " "))}</th>' for name in head)
        lines = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell) or '–'}</td>" for cell in row) + "</tr>" for row in rows[:SHORT]
        )
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
        rest = len(rows) - SHORT
        more = f"<p>The first {SHORT} of {len(rows)} rows; {file_link(record, path)} has all.</p>" if rest > 0 else ""
        parts.append(f"<h3>{html.escape(label)}</h3>{scrolling(table, f'Table {label}')}{more}")
    return "".join(parts)


def file_link(record: AnyRecord, path: Path) -> str:
    return f'<a href="{record.name}/{path.name}" download>{path.name}</a>'


def data_files(record: AnyRecord) -> Sequence[Path]:
    return [record.folder / "run.json", *sorted(record.folder.glob("*.csv"))]


def files(record: AnyRecord) -> str:
    """Links to the record's files, which are copied beside the page."""
    return f"<p>{', '.join(file_link(record, path) for path in data_files(record))}</p>"


def neighbours(around: Surroundings) -> str:
    """The runs before and after this one in its folder."""
    items = []
    for record, word, relation in ((around.previous, "← previous", "prev"), (around.following, "next →", "next")):
        if record is not None:
            title = html.escape(title_of(record))
            items.append(f'<a rel="{relation}" href="{record.name}.html"><span>{word}</span> {title}</a>')
    return f'<nav class="run-neighbours" aria-label="Runs of this folder">{"".join(items)}</nav>' if items else ""
