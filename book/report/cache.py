"""Cache what is expensive to compute in _build/ until a file behind it changes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

RESULTS = Path("../results")  # as seen from book/, where chapters run


BUILT = RESULTS.parent / "_build"


STAMP = 16  # digits of a fingerprint that a file's name has


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


def files_behind(root: Path) -> Iterator[Path]:
    """What chapters compute from, beside their own text: records, benchmarks, the package, presets, notebooks."""
    for pattern in (
        "results/*/[!.]*/run.json",
        "results/*.json",
        "benchmarks/results/*.json",
        "resperturb/**/*.py",
        "resperturb/**/*.mplstyle",
        "book/report/*.py",
        "book/_ext/*.py",
        "config/**/*.yaml",
        "notebooks/*.ipynb",
    ):
        yield from sorted(root.glob(pattern))


def fingerprint(root: Path) -> str:
    """Changes whenever a file behind the chapters comes, goes or is written."""
    digest = hashlib.sha256()
    for path in files_behind(root):
        facts = path.stat()
        digest.update(f"{path.relative_to(root)} {facts.st_mtime_ns} {facts.st_size}\n".encode())
    return digest.hexdigest()
