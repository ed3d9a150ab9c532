"""The Sphinx extensions of this book, as one: `_config.yml` names this package under `local_extensions`."""

from __future__ import annotations

import importlib
from typing import Any

EXTENSIONS = (
    "figure_sources",  # under each figure, links to its data, its code and its runs
    "build",  # chapters are read on all cores, and again when records have changed
    "explorer",  # writes the explorer's data, and the records that it and the index link to
    "training_film",  # writes the data of the picture that plays a training
    "offline",  # no script and no file that no page uses; the search works without a server
    "publishing",  # buttons where the repository is known; the footer
    "handouts",  # notebooks to take along
)


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    for name in EXTENSIONS:
        importlib.import_module(f"{__name__}.{name}").setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
