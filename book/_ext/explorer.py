"""A Sphinx extension: the data of the book's explorer in one script for a browser.

It shows the main sweeps, those that differ from them in weight decay or length alone, the short trainings of the decay
axes, and the published networks. Beside the pages lie the records that the explorer and the index of runs link to.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from report.decay import VARIED
from report.run_facts import command_of, declared, origin_of, parameters_of
from resperturb.analysis.slope_tests import Slope, fit_slope
from resperturb.errors import ScalingError
from resperturb.records.record import Record, blocks_of, records_in
from resperturb.records.sweeps import KINDS, TITLES, load_sweeps, main_sweeps, sensitivity_sweeps
from resperturb.records.words import written

EXPLORER_SCRIPT = "explorer-data.js"  # in _static/ of the built book
EXPLORER_GLOBAL = "resperturbExplorer"  # what the script assigns
MOMENTS = ("initialization", "end")
DIGITS = 4  # significant
PUBLISHED_DECAY = 1e-4  # weight decay of the published networks
ORDER = ("cifar10", "mnist", "digits", "published")  # of data sets; what the explorer opens with comes first

EXPLORER_COLUMNS = {"scaled": "scaled", "absolute": "perturbation_norm", "cosine": "cosine"}
"""What the explorer can show, with the column of the records that holds it."""
LAWFUL = ("scaled", "absolute")  # measures with one sign, whose average can follow a power law
BANDS = {"low": "q05", "high": "q95"}  # over images, where the records have them


@dataclass(frozen=True)
class Series:
    """Runs that are alike but for depth and seed: one choice of data set, kind of block and weight decay.

    Attributes:
        name: of the sweep, or of the folder and what sets the series apart in it.
        dataset: a data set, or "published".
        data: what a reader calls it.
        kind: of block.
        decay: the weight decay.
        training: how long it was trained, in words; the choices of weight decay are grouped by it.
        epochs: as a number.
        records: its runs.
        main: whether it is a main sweep; the others have fewer tables on the site.
    """

    name: str
    dataset: str
    data: str
    kind: str
    decay: float
    training: str
    epochs: int
    records: tuple[Record, ...]
    main: bool = False


def all_series(results: Path, *, own: bool = True) -> list[Series]:
    """Every series of the explorer, those of a data set and a kind of block together, the main sweep first."""
    sweeps = load_sweeps(results, own=own)
    main = main_sweeps(sweeps)
    varied = [sweep for sweep, _, fields in sensitivity_sweeps(sweeps).values() if set(fields) in VARIED]
    found = [series_of(sweep.name, sweep.records, main=sweep.name in main) for sweep in (*main.values(), *varied)]
    for dataset in TITLES:
        groups: dict[tuple[str, float], list[Record]] = {}
        for record in records_in(results / f"decay-{dataset}"):
            if record.run["averages"]:
                groups.setdefault((record.experiment.block, decay_of(record)), []).append(record)
        found += [series_of(f"decay-{dataset}-{kind}-{decay:g}", group) for (kind, decay), group in groups.items()]
    if published := records_in(results / "published"):
        words = "trained by others, 200 epochs"
        data = "CIFAR-10, published networks"
        kind = "postactivation"
        found.append(Series("published", "published", data, kind, PUBLISHED_DECAY, words, 200, tuple(published), True))
    kinds = list(KINDS)
    return sorted(found, key=lambda s: (ORDER.index(s.dataset), kinds.index(s.kind), not s.main, -s.epochs, s.decay))


def series_of(name: str, records: Sequence[Record], *, main: bool = False) -> Series:
    """Name what the records have in common."""
    experiment = records[0].experiment
    dataset, epochs = experiment.dataset, int(records[0].parameters["epochs"])
    words = f"{experiment.train_size:,} images, {epochs} epochs".replace(",", "\u00a0", 1)
    return Series(
        name, dataset, TITLES[dataset], experiment.block, decay_of(records[0]), words, epochs, tuple(records), main
    )


def decay_of(record: Record) -> float:
    return round(record.weight_decay, 6)


def explorer_data(chosen: Iterable[Series]) -> dict[str, Any]:
    """Everything the explorer shows, ready for JSON: no NaN, numbers of four significant digits."""
    usual: dict[tuple[str, str], int] = {}  # epochs of the first series, which is the main one
    taken: set[tuple[str, str, str]] = set()
    found = []
    for series in chosen:
        place = series.dataset, series.kind
        key = f"{series.decay:.3g}"
        if series.epochs != usual.setdefault(place, series.epochs):
            key += f"-{series.epochs}-epochs"
        if (*place, key) in taken:  # a reader's own sweep, say
            key = series.name
        taken.add((*place, key))
        found.append(series_data(series) | {"decay": key})
    meanings = {name: meaning for book in ("published", "sweep") for name, (_, meaning) in declared(book).items()}
    return {"measures": list(EXPLORER_COLUMNS), "meanings": meanings, "series": found}


def series_data(series: Series) -> dict[str, Any]:
    """One series: what it is, its power laws by measure and moment, and its runs, shallow ones first."""
    kept = [
        record for record in series.records if record.kind != "run" or record.run["averages"]
    ]  # all but runs that diverged before any measurement
    runs = [run_data(record, main=series.main) for record in kept]
    parameters = [[[p.name, written(p.value), written(p.default)] for p in parameters_of(record)] for record in kept]
    shared = [row for row in parameters[0] if all(row in rows for rows in parameters)]
    clocks = {significant(record.clock) for record in kept if record.kind == "run" and not record.diverged}
    return {
        "name": series.name,
        "dataset": series.dataset,
        "data": series.data,
        "kind": series.kind,
        "title": KINDS[series.kind],
        "weight": significant(series.decay),
        "clock": clocks.pop() if len(clocks) == 1 else None,
        "training": series.training,
        "folder": kept[0].folder.parent.name,
        "laws": {measure: law_data(kept, measure) for measure in LAWFUL},
        "parameters": shared,
        "runs": [
            run | {"parameters": [row for row in rows if row not in shared]}
            for run, rows in zip(runs, parameters, strict=True)
        ],
    }


def measured(record: Record, moment: str) -> pd.DataFrame:
    """The blocks of a run, or of a published network, at a moment; none where it was not measured then."""
    if record.kind == "run":
        return record.blocks_at(moment)
    table = blocks_of(record.table("blocks")).reset_index(drop=True)
    return table if moment == "end" else table[:0]


def law(records: Iterable[Record], column: str, moment: str) -> Slope:
    """The power law of a column's average over depth, one point a run that did not diverge.

    Raises:
        ScalingError: there are too few runs, or an average is zero.
    """
    tables = [measured(record, moment) for record in records if not record.diverged]
    return fit_slope([len(table) for table in tables], [table[column].mean() for table in tables])


def law_data(records: Sequence[Record], measure: str) -> dict[str, dict[str, float | None]]:
    """The power laws of a measure by moment; without those that cannot be fitted."""
    laws = {}
    for moment in MOMENTS:
        with contextlib.suppress(ScalingError):  # branches that start at zero have no logarithm
            fitted = law(records, EXPLORER_COLUMNS[measure], moment)
            numbers = {**fitted.columns, "prefactor": fitted.prefactor}
            laws[moment] = {name: significant(number) for name, number in numbers.items()}
    return laws


def run_data(record: Record, *, main: bool = True) -> dict[str, Any]:
    """One run: how well it does, its averages, every block at both moments, its sections, where it comes from."""
    tables = {moment: measured(record, moment) for moment in MOMENTS}
    some = next(table for table in reversed(tables.values()) if len(table))
    published = record.kind != "run"
    accuracy = record.table("network")["accuracy"].item() if published else record.accuracy
    files = sorted((path.name for path in record.folder.iterdir()), key=lambda name: (name != "run.json", name))
    return {
        "name": record.name,
        "network": record.parameters.get("network"),
        "blocks": len(some),
        "seed": record.seed,
        "diverged": record.diverged,
        "stale": not record.fresh,
        "accuracy": None if record.diverged else significant(accuracy),
        "averages": {
            moment: {name: significant(table[column].mean()) for name, column in EXPLORER_COLUMNS.items()}
            for moment, table in tables.items()
            if len(table)
        },
        "sections": [int(place) + 1 for place in some["section"].ne(some["section"].shift()).to_numpy().nonzero()[0]],
        "profile": {moment: profile(table, bands=main) for moment, table in tables.items()},
        "command": command_of(record),
        "origin": origin_of(record),
        "files": files if main else files[:1],
    }


def profile(blocks: pd.DataFrame, *, bands: bool = True) -> dict[str, list[float | None]]:
    """Each measure block by block, and where the records have it the band over images; empty without blocks."""
    columns = {}
    for measure, column in EXPLORER_COLUMNS.items():
        columns[measure] = column
        if bands:
            columns |= {f"{measure}_{end}": f"{column}_{quantile}" for end, quantile in BANDS.items()}
    return {
        name: [significant(value) for value in blocks[column]]
        for name, column in columns.items()
        if column in blocks and len(blocks)
    }


def significant(value: float | None) -> float | None:
    """To four significant digits; None where there is no number, which JSON has no word for."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")


def script(data: Mapping[str, Any], name: str = EXPLORER_GLOBAL) -> str:
    """A classic script, which a browser also loads from a disk, where it fetches no JSON."""
    return f"window.{name} = {json.dumps(data, separators=(',', ':'), allow_nan=False)};\n"


def write_explorer(app: Any, error: Exception | None) -> None:
    """Write the script and the records beside the built pages."""
    if error is not None or app.builder.format != "html":
        return
    results, html = Path(app.srcdir).parent / "results", Path(app.outdir)
    chosen = all_series(results)
    (html / "_static" / EXPLORER_SCRIPT).write_text(script(explorer_data(chosen)), encoding="utf-8")
    # Tables of all runs would be two thirds of the site.
    tables = [path for series in chosen if series.main for run in series.records for path in run.folder.glob("*.csv")]
    for path in (*results.glob("*/[!.]*/run.json"), *tables):
        if path.is_symlink():  # it may lead to a file that is not for the site
            continue
        target = html / "results" / path.relative_to(results)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def setup(app: Any) -> None:
    app.connect("build-finished", write_explorer)
