"""Notebooks to take along: the book's chapters as executed and the experiments, each with a first cell that finds or
fetches the package and the records, so that it runs on any machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from report.repository import NOTEBOOK_FOLDER, Repository

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
    """The cell, for a notebook whose cells run in a folder of the repository."""
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
    notebook["cells"].insert(0, first_cell(repository, folder))
    notebook.update(nbformat=4, nbformat_minor=5)
    for number, cell in enumerate(notebook["cells"]):
        cell.setdefault("id", f"cell-{number}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def executed(build: Path, page: str) -> Path:
    """Where myst-nb leaves the executed notebook of a page."""
    return build / "jupyter_execute" / f"{page}.ipynb"


def write_handouts(root: Path, build: Path, site: Path, pages: list[str], repository: Repository | None) -> list[str]:
    """Write the handouts of a built book.

    Args:
        root: the checkout.
        build: folder of the build, with jupyter_execute.
        site: the built pages.
        pages: names of documents; those that are no executed notebooks are left out.
        repository: named in the first cells.

    Returns:
        Paths of the handouts in the site.
    """
    written = []
    for page in pages:
        if (source := executed(build, page)).is_file():
            written.append(f"{NOTEBOOK_FOLDER}/{page}.ipynb")
            write_handout(source, site / written[-1], repository, "book")
    for source in sorted((root / "notebooks").glob("*.ipynb")):
        written.append(f"{NOTEBOOK_FOLDER}/experiments/{source.name}")
        write_handout(source, site / written[-1], repository, ".")
    return written
