"""A Sphinx extension: how the book is built. Chapters are read on all cores, and again when their records have changed.

Sphinx sees when a chapter's text changes; it does not see records and sources, which decide what a chapter computes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from resperturb.repository import find_repository

DECLARES_NOTHING = ("sphinx_jupyterbook_latex", "sphinx-mathjax-offline", "sphinx_multitoc_numbering")
"""Extensions of the book that do not say whether they may run beside themselves. They may: they only set options,
transform one document at a time, or number the table of contents when all documents are read."""


def files_behind(root: Path) -> Iterator[Path]:
    """What chapters compute from, beside their own text: records, benchmarks, the package, presets, notebooks."""
    for pattern in (
        "results/*/[!.]*/run.json",
        "results/*.json",
        "benchmarks/results/*.json",
        "resperturb/**/*.py",
        "resperturb/*.mplstyle",
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


def outdated(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """The documents to read again: all chapters where a file behind them has changed, else those that Sphinx names."""
    root = Path(app.srcdir).parent
    present = fingerprint(root)
    present += str(find_repository(root))  # chapters link to it
    before, env.resperturb_fingerprint = getattr(env, "resperturb_fingerprint", None), present
    if present == before:
        return []
    return sorted(name for name in env.found_docs if not name.startswith("runs/"))  # runs are never executed again


def on_all_cores(app: Any, config: Any) -> None:
    """Jupyter Book has no option for it. A chapter waits for its kernel to start, so one more than there are cores."""
    for name in DECLARES_NOTHING:
        if name in app.extensions and app.extensions[name].parallel_read_safe is None:
            app.extensions[name].parallel_read_safe = True
    if app.parallel == 1:
        app.parallel = (os.cpu_count() or 1) + 1


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.connect("config-inited", on_all_cores)
    app.connect("env-get-outdated", outdated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
