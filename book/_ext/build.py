"""A Sphinx extension: chapters are read on all cores, and again when records change.

Sphinx sees when a chapter's text changes; it does not see records and sources, which decide what a chapter computes.
"""

from __future__ import annotations

import os
from multiprocessing import active_children
from pathlib import Path
from typing import Any

from nbclient import NotebookClient

from report.cache import fingerprint

KERNEL_STARTS = 3

DECLARES_NOTHING = ("sphinx_jupyterbook_latex", "sphinx-mathjax-offline", "sphinx_multitoc_numbering")
"""Extensions that do not declare whether they are safe for parallel reading. They are: they only set options, transform
one document at a time, or number the table of contents when all documents are read."""


def outdated(app: Any, env: Any, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """Name the documents to read again: all chapters where a file behind them has changed."""
    present = f"{fingerprint(Path(app.srcdir).parent)} {app.resperturb_repository}"  # chapters link to it
    before, env.resperturb_fingerprint = getattr(env, "resperturb_fingerprint", None), present
    if present == before:
        return []
    return sorted(name for name in env.found_docs if not name.startswith("runs/"))  # runs are never executed again


def use_all_cores(app: Any, config: Any) -> None:
    """Read on all cores, for which Jupyter Book has no option; and three more, since chapters wait for each other.

    Each chapter computes with one thread: those that wait for each other take the time of those that work.
    """
    for name in DECLARES_NOTHING:
        if name in app.extensions and app.extensions[name].parallel_read_safe is None:
            app.extensions[name].parallel_read_safe = True
    if app.parallel == 1:
        app.parallel = (os.cpu_count() or 1) + 3
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def start_kernels_again() -> None:
    """Start a kernel again if it dies at once: another may have taken a port between its choice and its use."""
    start = NotebookClient.async_start_new_kernel_client

    async def start_again(client: NotebookClient) -> Any:
        for _ in range(KERNEL_STARTS - 1):
            try:
                return await start(client)
            except RuntimeError:
                client.km = client.create_kernel_manager()
                await client.async_start_new_kernel()
        return await start(client)

    NotebookClient.async_start_new_kernel_client = start_again  # type: ignore[method-assign, assignment]


def end_readers(app: Any, error: Exception | None) -> None:
    """End the processes that a failed build leaves: they survive Sphinx's SIGTERM, and the build would wait forever."""
    if error:
        for child in active_children():
            child.kill()  # nbclient catches SIGTERM to shut its kernel down; a kernel ends with its parent


def setup(app: Any) -> None:
    start_kernels_again()
    app.connect("config-inited", use_all_cores)
    app.connect("env-get-outdated", outdated)
    app.connect("build-finished", end_readers)
