"""A Sphinx extension: the build's log says which records were made by sources that have changed since.

It is said, not warned of: a warning fails the build, and the pages mark such records themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resperturb.records import Record, RecordError, load_records
from resperturb.studies.kept import StudyRecord, load_studies


def records_in(folder: Path) -> Sequence[Record | StudyRecord]:
    """The records of a sweep or of a study; none where there are none to read."""
    for load in (load_records, load_studies):
        try:
            return load(folder)
        except RecordError:
            continue
    return []


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


def say(app: Any) -> None:
    from sphinx.util import logging

    logger = logging.getLogger(__name__)
    for line in stale_lines(Path(app.srcdir).parent / "results"):
        logger.info(line, color="yellow")


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.connect("builder-inited", say)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
