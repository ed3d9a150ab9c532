"""A Sphinx extension: chapters are read on all cores, and again when records change; the log names stale records.

Sphinx sees when a chapter's text changes; it does not see records and sources, which decide what a chapter computes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from report.cache import fingerprint
from report.repository import find_repository
from resperturb.records.record import records_in

DECLARES_NOTHING = ("sphinx_jupyterbook_latex", "sphinx-mathjax-offline", "sphinx_multitoc_numbering")
"""Extensions of the book that do not say whether they may run beside themselves. They may: they only set options,
transform one document at a time, or number the table of contents when all documents are read."""


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


def stale_lines(results: Path | str) -> list[str]:
    """One line for each folder of `results` with stale records."""
    lines = []
    for folder in sorted(path for path in Path(results).glob("[!.]*") if path.is_dir()):
        records = records_in(folder)
        stale = [record.name for record in records if not record.fresh]
        if stale:
            lines.append(
                f"stale records: {len(stale)} of {len(records)} in results/{folder.name} were made by sources that "
                f"have changed since ({stale[0]}{', ...' if len(stale) > 1 else ''})"
            )
    return lines


def log_stale_records(app: Any) -> None:
    from sphinx.util import logging

    logger = logging.getLogger(__name__)
    for line in stale_lines(Path(app.srcdir).parent / "results"):
        logger.info(line, color="yellow")


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.connect("config-inited", on_all_cores)
    app.connect("env-get-outdated", outdated)
    app.connect("builder-inited", log_stale_records)  # said, not warned of: a warning fails the build
    return {"parallel_read_safe": True, "parallel_write_safe": True}
