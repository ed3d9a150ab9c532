"""Whether changed sources still give the same numbers: run the cheapest record of every kind again, and compare.

    python -m resperturb.studies.equivalence results/mnist results/cifar10

A record is stale when the sources that decide a result have changed since, and most changes (a faster sum, another
name) change no result. Training amplifies the smallest disagreement, so a run that ends with the same numbers has been
computed alike. Where all kinds of a sweep do, the old sources are entered in results/equivalent.json as equivalent to
the present ones, and their records count as fresh. Only numbers of the same machine and versions can agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from resperturb.errors import ExperimentError, ResperturbError
from resperturb.records.freshness import EQUIVALENT, source_hash
from resperturb.records.provenance import versions
from resperturb.records.record import Record, load_records

TOLERANCE = 1e-5  # relative; files hold six digits
TABLES = ("perturbations", "samples", "history", "conventions")
COSTS = ("images_per_second",)  # of the history: no results


def kinds(records: Iterable[Record]) -> dict[tuple[str, str], Record]:
    """The shallowest stale record for each source hash and each experiment but for depth and seed."""
    found: dict[tuple[str, str], Record] = {}
    for record in sorted(records, key=lambda record: (record.blocks, record.seed)):
        if record.fresh or record.diverged:
            continue
        facts = {k: v for k, v in record.experiment.identity.items() if k not in ("blocks", "seed")}
        found.setdefault((record.run["provenance"]["source_hash"], json.dumps(facts, sort_keys=True)), record)
    return found


def disagreement(old: Record, new: Record) -> str | None:
    """What two records of one experiment disagree in, or None."""
    for name in ("accuracy", "loss"):
        if not np.isclose(old.run[name], new.run[name], rtol=TOLERANCE, atol=0):
            return f"{name} {old.run[name]:.6g} is {new.run[name]:.6g} now"
    for table in TABLES:
        before, after = (getattr(record, table).drop(columns=list(COSTS), errors="ignore") for record in (old, new))
        if list(before.columns) != list(after.columns) or len(before) != len(after):
            return f"{table}.csv has other columns or rows now"
        for column in before:
            if not alike(before[column], after[column]):
                return f"{column} in {table}.csv differs"
    return None


def alike(before: pd.Series, after: pd.Series) -> bool:
    if not (pd.api.types.is_numeric_dtype(before) and pd.api.types.is_numeric_dtype(after)):
        return bool((before.fillna("") == after.fillna("")).all())
    if before.name == "reconstruction_error":  # rounding itself, and nothing else
        return True
    x, y = before.to_numpy(dtype=float), after.to_numpy(dtype=float)
    scale = np.nanmax(np.abs(x), initial=0.0)  # what is small beside its column, as a cosine near zero, is rounding
    return bool(np.isclose(x, y, rtol=TOLERANCE, atol=TOLERANCE * scale * 1e-1, equal_nan=True).all())


def equivalents(results: Path) -> dict[str, dict[str, Any]]:
    try:
        return json.loads((results / EQUIVALENT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def show(folders: Sequence[Path], report: Callable[[str], None] = print) -> bool:
    """Rerun and compare; enter what agrees. True if nothing differed.

    Raises:
        ResperturbError: no records, or the folders lie in different results folders.
    """
    from resperturb.studies.run import run

    homes = {folder.resolve().parent for folder in folders}
    if len(homes) != 1:
        raise ExperimentError(f"the sweeps must lie in one folder, but lie in {', '.join(map(str, sorted(homes)))}.")
    results = homes.pop()
    shown: dict[str, list[str]] = {}
    refuted: set[str] = set()
    for folder in folders:
        for (sources, _), old in kinds(load_records(folder)).items():
            with tempfile.TemporaryDirectory() as place:
                new = run(old.experiment, place, report=lambda line: None)
                found = disagreement(old, new)
            report(f"{folder.name}/{old.name}: {found or 'the same numbers'}")
            shown.setdefault(sources, []).append(f"{folder.name}/{old.name}")
            if found:
                refuted.add(sources)
    kept = equivalents(results)
    present = kept.setdefault(source_hash(), {})
    for sources, runs in shown.items():
        if sources not in refuted:
            present[sources] = {"shown by": runs, "versions": versions()}
    if shown:
        (results / EQUIVALENT).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    else:
        report("no record is stale")
    return not refuted


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m resperturb.studies.equivalence", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("folders", nargs="+", type=Path, help="results/<sweep>")
    options = parser.parse_args(arguments)
    try:
        return 0 if show(options.folders) else 1
    except ResperturbError as error:
        print(f"equivalence: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
