"""The Sphinx extensions of this book, as one: `_config.yml` names this package under `local_extensions`."""

from __future__ import annotations

import importlib
from typing import Any

EXTENSIONS = (
    "figure_sources",  # under each figure, links to its data, its code and its runs
    "build",  # chapters are read on all cores, and anew when records have changed; the log names stale records
    "run_pages",  # the executed notebooks of the reader's own sweep
    "explorer",  # writes the explorer's data, and keeps scripts off the pages that do not need them
    "offline",  # no weight that no page uses; the search works without a server
    "publishing",  # buttons and tags where the repository is known; notebooks to take along; the footer
)


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    for name in EXTENSIONS:
        importlib.import_module(f"{__name__}.{name}").setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
