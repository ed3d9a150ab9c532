"""Pages of the book from executed notebooks: one a run, shown as it was executed and never run again.

`python -m _ext.run_pages results/digits/notebooks/*.ipynb --into book/runs`, with book/ on the path, writes them; pages
of other runs go. As a Sphinx extension this module leaves out what those pages do not need.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from report.run_facts import command_of, parameters_of, title_of, written
from resperturb.errors import ExperimentError
from resperturb.records.record import Record, read_record


class PageError(ExperimentError):
    """An executed notebook that no page can be made of; the message says which."""


def record_of(executed: Path) -> Record:
    """The record that results/<sweep>/notebooks/<run>.ipynb left in results/<sweep>/<run>."""
    return read_record(executed.parent.parent / executed.stem)


STALE = """:::{warning}
This record is stale: the sources that decide a result have changed since it was made. The command below makes it anew.
:::"""


def parameters_table(record: Record) -> str:
    """Every parameter beside its default, in Markdown; those that differ are marked by a sign."""
    rows = [
        f"| `{parameter.name}` | {'**≠** ' if parameter.differs else ''}{written(parameter.value)} "
        f"| {written(parameter.default)} | {parameter.meaning} |"
        for parameter in parameters_of(record)
    ]
    return "\n".join(["| parameter | this run | default | what it is |", "|---|---|---|---|", *rows])


def page_of(notebook: Any, title: str, run: str) -> Any:
    """Turn an executed notebook into a page, in place.

    Args:
        notebook: as nbformat reads it.
        title: becomes the heading, in the place of the notebook's own.
        run: name of the run; makes the names of the page's figures its own.
    """
    # What papermill and the kernel note of times and paths is no part of the page.
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "mystnb": {"execution_mode": "off"},
    }
    for cell in notebook.cells:
        cell.metadata = {name: value for name, value in cell.metadata.items() if name in ("tags", "mystnb")}
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if "name" in figure:
            figure["name"] = f"{figure['name']}-{run}"
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        raise PageError(f"the notebook of {run} must begin with a heading, but begins with {first.source[:40]!r}.")
    first.source = "\n".join([f"# {title}", *first.source.splitlines()[1:]])
    return notebook


def epilogue(record: Record, into: Path) -> str:
    """The end of a page, in MyST: the run's files for download, and its command."""
    folder = os.path.relpath(record.folder, into)
    names = ("run.json", "perturbations.csv", "samples.csv", "history.csv", "conventions.csv")
    files = [name for name in names if (record.folder / name).is_file()]
    links = ", ".join(f"{{download}}`{name} <{Path(folder, name).as_posix()}>`" for name in files)
    mark = "" if record.fresh else f"{STALE}\n\n"
    return f"{mark}## Data and command\n\nData: {links}.\n\n```bash\n{command_of(record)}\n```"


def write_pages(executed: Sequence[Path], into: Path) -> list[Path]:
    """Write a page for every executed notebook into a folder and remove the pages of others.

    Raises:
        ExperimentError: a notebook or its record cannot be read.
    """
    import nbformat  # a machine that only trains has none

    into.mkdir(parents=True, exist_ok=True)
    pages = []
    for source in executed:
        record = record_of(source)
        try:
            notebook = nbformat.read(source, as_version=4)
        except (OSError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
            raise PageError(f"{source} is no readable notebook ({str(error).splitlines()[0][:80]}).") from None
        page = into / source.name
        page_of(notebook, title_of(record), record.name)
        parameters = f"## Parameters\n\n{parameters_table(record)}"
        notebook.cells.insert(1, nbformat.v4.new_markdown_cell(parameters, id="parameters"))
        notebook.cells.append(nbformat.v4.new_markdown_cell(epilogue(record, into), id="epilogue"))
        nbformat.write(notebook, page)
        pages.append(page)
    for page in into.glob("*.ipynb"):
        if page not in pages:
            page.unlink()
    return pages


def leave_out_thebe(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Jupyter Book loads scripts for kernels elsewhere, which no page here offers; on the search page they fail."""
    scripts = context.get("script_files", [])
    context["script_files"] = [s for s in scripts if "thebe" not in f"{s} {getattr(s, 'attributes', '')}".lower()]


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls to load an extension."""
    app.connect("html-page-context", leave_out_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m _ext.run_pages", description="Pages from executed notebooks.")
    parser.add_argument("executed", nargs="+", type=Path, help="results/<sweep>/notebooks/<run>.ipynb")
    parser.add_argument("--into", type=Path, default=Path("book/runs"), help="folder of the pages (default: book/runs)")
    options = parser.parse_args(arguments)
    try:
        pages = write_pages(options.executed, options.into)
    except ExperimentError as error:
        print(f"run_pages: {error}", file=sys.stderr)
        return 2
    print(f"{len(pages)} {'page' if len(pages) == 1 else 'pages'} in {options.into}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
