"""Pages of the book from executed notebooks, one a run, shown as they were executed and never run again.

`python -m _ext.run_pages results/digits/notebooks/*.ipynb`, with book/ on the path, writes them to book/runs; pages of
other runs go. Their commands and files are in the index of all runs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from report.run_facts import title_of
from resperturb.errors import ExperimentError
from resperturb.records.record import read_record

PAGES = Path("book/runs")
MARKUP = re.compile(r"[][<>&{}`*_$\\#|~]")  # what Markdown and HTML would read as more than text


def page_of(executed: Path) -> str:
    """Turn the notebook results/<sweep>/notebooks/<run>.ipynb into a page with the run's title.

    Raises:
        ExperimentError: the notebook or its record cannot be read.
    """
    import nbformat  # a machine that only trains has none

    record = read_record(executed.parent.parent / executed.stem)
    try:
        notebook = nbformat.read(executed, as_version=4)
        nbformat.validate(notebook)  # reading only logs what is wrong
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise ExperimentError(f"{executed} is no readable notebook ({str(error).splitlines()[0][:80]}).") from None
    # papermill and the kernel note times and paths, which are no part of the page.
    notebook.metadata = {name: notebook.metadata[name] for name in ("kernelspec",) if name in notebook.metadata}
    for cell in notebook.cells:
        cell.metadata = {name: value for name, value in cell.metadata.items() if name in ("tags", "mystnb")}
        if figure := cell.metadata.get("mystnb", {}).get("figure"):
            figure["name"] += f"-{record.name}"  # names of figures are names in the whole book
    title = MARKUP.sub(r"\\\g<0>", title_of(record))  # a record may come from anyone
    notebook.cells[0].source = "\n".join([f"# {title}", *notebook.cells[0].source.splitlines()[1:]])
    return nbformat.writes(notebook)


def main(arguments: Sequence[str] | None = None, into: Path = PAGES) -> int:
    """Write a page for each notebook that is named, and remove all others."""
    executed = [Path(name) for name in (sys.argv[1:] if arguments is None else arguments)]
    try:
        pages = {source.name: page_of(source) for source in executed}
    except ExperimentError as error:
        print(f"run_pages: {error}", file=sys.stderr)
        return 2
    into.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        (into / name).write_text(text, encoding="utf-8")
    for page in into.glob("*.ipynb"):
        if page.name not in pages:
            page.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
