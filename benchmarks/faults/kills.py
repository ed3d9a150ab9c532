"""Processes that end before their time: at a random moment, or at one operation on files after another."""

from __future__ import annotations

import dataclasses
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.trials import (
    TREE,
    Facts,
    Place,
    Way,
    aftermath,
    by_command,
    by_papermill,
    by_snakemake,
    copy_tree,
    in_fork,
    kill,
    last_line,
    unclear,
    untrue,
    wait,
    wait_until,
    wrong_in_the_end,
)

WAYS: dict[str, Way] = {
    "resperturb run": in_fork,
    "resperturb run, imports too": by_command,
    "papermill": by_papermill,
    "Snakemake": by_snakemake,
}


def at_random(place: Place, seed: int, expected: Facts, way: str, number: int, seconds: float) -> str | None:
    """A signal at a random moment; None where the call had ended before it."""
    call = WAYS[way](place)
    wait_until(call, random.Random(seed).uniform(0, seconds))
    status = kill(call, number)
    if status in (None, 0):
        return None
    if number != signal.SIGKILL and way == "resperturb run" and (wrong := unclear(place, status)):
        return wrong
    return aftermath(WAYS[way], place, expected)


# ------------------------------------------------------------------------------- at one operation after another

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree", "tempfile.mkdtemp")


def on_operation(results: Path, number: int, act: Callable[[], Any]) -> Callable[[], None]:
    """What installs a hook that acts before the operation of that number on a file in the results folder.

    What only reads is no operation. The number -1 counts them instead, into a file beside the results folder.
    """

    def install() -> None:
        count = 0

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal count
            if event not in OPERATIONS or str(results) not in str(arguments[:2]):
                return
            if event == "open" and not (int(arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)):
                return
            if number == -1:
                (results.parent / "operations").write_text(f"{count + 1}")
            elif count == number:
                act()
            count += 1

        sys.addaudithook(hook)

    return install


def count_operations(place: Place, *options: str) -> int:
    """How many operations on files in its results folder an undisturbed run has."""
    place.results.mkdir(parents=True, exist_ok=True)
    assert wait(in_fork(place, *options, first=on_operation(place.results, -1, lambda: None))) == 0
    return int((place.results.parent / "operations").read_text())


def at_operation(place: Place, number: int, expected: Facts, there: Path | None) -> str | None:
    """SIGKILL before an operation; `there` is a record to be replaced, None for a first one."""
    options = copy_record(there, place)
    hook = on_operation(place.results, number, lambda: os.kill(os.getpid(), signal.SIGKILL))
    status = wait(in_fork(place, *options, first=hook))
    return None if status == 0 else aftermath(in_fork, place, expected)


def kept_checkpoint(place: Place, *options: str) -> Path:
    """The checkpoint of a run that was killed as soon as it had saved one."""

    def die(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and str(arguments[1]).endswith(".checkpoint") and Path(arguments[1]).exists():
            os.kill(os.getpid(), signal.SIGKILL)  # the second time: it holds two epochs

    assert wait(in_fork(place, *options, first=lambda: sys.addaudithook(die))) == -signal.SIGKILL
    (checkpoint,) = place.results.glob(".*.checkpoint")
    return checkpoint


def copy_record(there: Path | None, place: Place) -> tuple[str, ...]:
    """Put a record where the trial's will be; the options of a run that replaces it."""
    if there is None:
        return ()
    shutil.copytree(there, place.results / there.name)
    return ("--again",)


# ------------------------------------------------------------------------------- two at once


def two_at_once(place: Place, seed: int, expected: Facts, way: str) -> str:
    """Two calls that make one record, the second after a random part of a second."""
    first = WAYS[way](place)
    time.sleep(random.Random(seed).uniform(0, 0.5))
    second = WAYS[way](dataclasses.replace(place, log_name="other"))
    statuses = [wait(first), wait(second)]
    if statuses != [0, 0]:
        return f"two calls ended with {statuses}: {last_line(place.log)}"
    return untrue(place, expected) or wrong_in_the_end(place, expected)


# ------------------------------------------------------------------------------- the book

CHAPTER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  name: python3
---

# One chapter

```{code-cell} python
from report.cache import RESULTS
from resperturb.records.record import load_records, summary

summary(load_records(RESULTS / "shipped-digits"))[["run", "accuracy"]]
```
"""


def small_book(target: Path) -> Path:
    """A copy of the tree whose book has one chapter, and the page of a run."""
    copy_tree(target, (*TREE, "book", "_config.yml", "pyproject.toml", "results/shipped-digits"))
    for chapter in (target / "book").glob("*.md"):
        chapter.unlink()
    (target / "book/index.md").write_text(CHAPTER)
    (target / "_toc.yml").write_text("format: jb-book\nroot: index\nchapters:\n  - glob: runs/*\n")
    return target


def book_at_random(place: Place, seed: int, seconds: float) -> str | None:
    """SIGKILL while a small book is built; the next call builds it, with the pages of an undisturbed one."""
    place = dataclasses.replace(place, tree=small_book(place.root / "book"))
    call = by_snakemake(place, "book")
    wait_until(call, random.Random(seed).uniform(0, seconds))
    if kill(call) in (None, 0):
        return None
    status = wait(by_snakemake(place, "book"))
    if status != 0:
        return f"the next call ended with status {status}: {place.log.read_text()[-500:]}"
    html = place.tree / "_build/html"
    (name,) = (path.stem for path in place.results.glob("notebooks/*.ipynb"))
    whole = all("</html>" in (html / page).read_text() for page in ("index.html", f"runs/{name}.html"))
    shown = "accuracy" in (html / "index.html").read_text()
    return "" if whole and shown else "a page of the book is not whole"
