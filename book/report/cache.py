"""Cache what is expensive to compute in _build/ until a file behind the chapters changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock
from joblib import Memory

from resperturb.records.sweeps import Sweep

RESULTS = Path("../results")  # as seen from book/, where chapters run
CACHE = Path("../_build/cache")

Computed = TypeVar("Computed")


def cached(compute: Callable[[dict[str, Sweep]], Computed], sweeps: dict[str, Sweep]) -> Computed:
    """Call a function of all sweeps, or return its cached result; any changed file makes that invalid."""
    folder = CACHE / fingerprint(RESULTS.parent)[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):  # chapters run side by side, and joblib alone lets each compute the same
        # Compressed for the checksum that comes with it: a damaged entry is computed again.
        result: Computed = Memory(folder, verbose=0, compress=True).cache(compute, ignore=["sweeps"])(sweeps)
    return result


def files_behind(root: Path) -> Iterator[Path]:
    """Yield the files that chapters compute from, beside their own text."""
    for pattern in (
        "results/*/[!.]*/run.json",
        "results/*.json",
        "benchmarks/results/*.json",
        "resperturb/**/*.py",
        "resperturb/**/*.mplstyle",
        "book/choices.yml",
        "book/predictions.yml",
        "book/report/*.py",
        "book/_ext/*.py",
        "config/**/*.yaml",
        "notebooks/*.ipynb",
    ):
        yield from sorted(root.glob(pattern))


def fingerprint(root: Path) -> str:
    """A hash that changes whenever a file behind the chapters comes, goes or is written."""
    digest = hashlib.sha256()
    for path in files_behind(root):
        with suppress(FileNotFoundError):  # a run is writing its record again
            facts = path.stat()
            digest.update(f"{path.relative_to(root)} {facts.st_mtime_ns} {facts.st_size}\n".encode())
    return digest.hexdigest()
