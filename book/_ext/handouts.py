"""A Sphinx extension: every chapter as executed, and every experiment, is a notebook to download.

Each begins with a cell that finds or fetches the package and the records, so that it runs on any machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from report.repository import EXPERIMENTS, Repository

FIRST_CELL = """# Makes the package and the records available where they are not, as on Colab or Binder.
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = os.environ.get("RESPERTURB_REPOSITORY", {url!r})

places = [Path.cwd(), *Path.cwd().parents, Path.cwd() / "resperturb-repository"]
root = next((place for place in places if (place / "resperturb").is_dir() and (place / "results").is_dir()), None)
if root is None:
    if not REPOSITORY:
        raise RuntimeError(
            "This notebook needs the resperturb repository, whose address is not known here: open the notebook in a "
            "checkout of it, or set the environment variable RESPERTURB_REPOSITORY to its address."
        )
    root = places[-1]
    if subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, str(root)]).returncode:
        raise RuntimeError(f"git could not clone {{REPOSITORY}}; its message is above. Is the address right?")
if any(importlib.util.find_spec(name) is None for name in ("resperturb", "myst_nb")):
    if subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", f"{{root}}[book]"]).returncode:
        raise RuntimeError(f"pip could not install the package in {{root}}; its message is above.")
# The package and the book's code that belong to these records; the kernel does not see a new install.
sys.path[:0] = [str(root), str(root / "book")]
os.chdir(root / {folder!r})
"""


def first_cell(repository: Repository | None, folder: str) -> dict[str, Any]:
    """Make the cell for a notebook whose cells run in a folder of the repository."""
    code = FIRST_CELL.format(url=repository.url if repository else "", folder=folder)
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": "first-cell",
        "metadata": {"tags": ["first-cell"]},
        "outputs": [],
        "source": code.rstrip("\n").splitlines(keepends=True),
    }


def write_handout(source: Path, target: Path, repository: Repository | None, folder: str) -> None:
    """Copy a notebook, with the first cell before its own."""
    notebook = json.loads(source.read_text(encoding="utf-8"))
    cells = [{"id": f"cell-{number}"} | cell for number, cell in enumerate(notebook["cells"])]
    notebook |= {"cells": [first_cell(repository, folder), *cells], "nbformat": 4, "nbformat_minor": 5}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def executed(app: Any, page: str) -> Path:
    """The executed notebook of a page, where myst-nb leaves it."""
    return Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"


def offer_notebook(app: Any, page: str, template: str, context: dict[str, Any], document: Any) -> None:
    """Let the theme's download button offer the executed notebook, which it does unasked only beside launch buttons."""
    if document is not None and executed(app, page).is_file():
        context["ipynb_source"] = f"{page}.ipynb"


def write_handouts(app: Any, error: Exception | None) -> None:
    """Write the notebooks of a built book: chapters where the theme looks for them, experiments in their own folder."""
    if error is not None or app.builder.name != "html":
        return
    root, site = Path(app.srcdir).parent, Path(app.outdir)
    for page in app.env.found_docs:
        if (source := executed(app, page)).is_file():
            write_handout(source, site / "_sources" / f"{page}.ipynb", app.resperturb_repository, "book")
    for source in (root / "notebooks").glob("*.ipynb"):
        write_handout(source, site / EXPERIMENTS / source.name, app.resperturb_repository, ".")


def setup(app: Any) -> None:
    app.connect("html-page-context", offer_notebook, priority=400)  # before the theme makes its buttons
    app.connect("build-finished", write_handouts)
