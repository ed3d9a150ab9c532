"""Files that are cut short, or in which a bit is flipped, at random places."""

from __future__ import annotations

import io
import os
import random
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pandas as pd

from _ext import run_pages
from faults.trials import Facts, Forked, Place, aftermath, in_fork, last_line, unclear, wait
from report import cache
from resperturb import cli


def damage(path: Path, seed: int) -> str:
    """Cut a file short where the seed is even, flip one of its bits where it is odd; says what was done."""
    content, chosen = bytearray(path.read_bytes()), random.Random(seed)
    where = chosen.randrange(len(content))
    if seed % 2 == 0:
        path.write_bytes(content[:where])
        return f"{path.name} cut after {where} bytes"
    content[where] ^= 1 << chosen.randrange(8)
    path.write_bytes(content)
    return f"{path.name} with a bit of byte {where} flipped"


def damaged_record(place: Place, seed: int, expected: Facts, there: Path) -> str:
    """A file of a record; reading it is refused or right, and the next call makes the record again."""
    target = place.results / there.name
    shutil.copytree(there, target)
    what = damage(random.Random(seed).choice(sorted(target.iterdir())), seed)
    wrong = aftermath(in_fork, place, expected)
    return f"{what}: {wrong}" if wrong else ""


def damaged_checkpoint(place: Place, seed: int, expected: Facts, checkpoint: Path) -> str:
    """The next call starts anew, or the damage lay where nothing stands."""
    place.results.mkdir(parents=True)
    copy = Path(shutil.copy(checkpoint, place.results))
    what = damage(copy, seed)
    wrong = aftermath(in_fork, place, expected) or unclear(place, 0)
    return f"{what}: {wrong}" if wrong else ""


def damaged_data(place: Place, seed: int, original: Path) -> str:
    """A file of MNIST; the run says which one it is, in one sentence, and leaves nothing."""
    names = ["train-images", "train-labels", "t10k-images", "t10k-labels"]
    raw = place.root / "data/MNIST/raw"
    raw.mkdir(parents=True)
    for path in original.glob("*-ubyte"):
        (raw / path.name).symlink_to(path)
    broken = next(raw.glob(f"{random.Random(seed).choice(names)}*"))
    content = broken.read_bytes()
    broken.unlink()
    broken.write_bytes(content)
    what = damage(broken, seed)

    def work() -> int:
        os.environ["RESPERTURB_DATA"] = str(place.root / "data")
        return cli.main(["run", "--dataset", "mnist", "--blocks", "3", "--results", str(place.results)])

    status = wait(Forked(work, place.log))
    broken.unlink()
    if status == 0:
        return f"{what}: the run did not notice"
    left = list(place.results.iterdir())
    named = broken.name in place.log.read_text()
    wrong = unclear(place, status) or (f"left behind: {left}" if left else "" if named else last_line(place.log))
    return f"{what}: {wrong}" if wrong else ""


def damaged_notebook(place: Place, seed: int, executed: Path, record: Path) -> str:
    """An executed notebook; its page is refused in one sentence, or is right."""
    target = place.results / "notebooks" / executed.name
    target.parent.mkdir(parents=True)
    shutil.copytree(record, place.results / record.name)
    shutil.copy(executed, target)
    right = run_pages.page_of(target)
    what = damage(target, seed)
    output = io.StringIO()
    try:
        with redirect_stderr(output), redirect_stdout(output):
            status = run_pages.main([str(target)], place.root / "pages")
    except Exception as error:
        return f"{what}: {type(error).__name__}: {error}"[:300]
    if status:
        return "" if output.getvalue().count("\n") == 1 else f"{what}: {output.getvalue()[-200:]}"
    page = (place.root / "pages" / executed.name).read_text()
    return "" if page == right else f"{what}: its page shows it"


def cached_table(sweeps: dict[str, object]) -> dict[str, object]:
    """Something that a chapter might compute."""
    return {"table": pd.DataFrame({"blocks": range(200), "value": [1.5 * n for n in range(200)]}), "count": 200}


def damaged_cache(place: Place, seed: int) -> str:
    """An entry of the chapters' cache; what is read is right, computed anew if need be."""
    cache.CACHE = place.root / "cache"

    def read() -> str:
        found = cache.cached(cached_table, {})  # type: ignore[arg-type]
        return str(found["table"].to_csv()) + str(found["count"])  # type: ignore[attr-defined]

    expected = read()
    entry = next(cache.CACHE.rglob("output.pkl"))
    what = damage(entry, seed)
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            found = read()
    except Exception as error:
        return f"{what}: {type(error).__name__}: {error}"[:300]
    return "" if found == expected else f"{what}: it was read as if it were right"
