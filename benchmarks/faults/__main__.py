"""Run the campaign: every fault in every kind of call, and the counts of what was kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import parsed, parser_of, provenance, write_result

import faults
from faults import damage, kills, memory, numbers, storage
from faults.trials import FORK, Facts, Place, by_snakemake, copy_tree, in_fork, seconds_of, warm_up

MNIST = "MNIST/raw"
UNGUARDED = (("bit flipped", "executed notebook"),)  # it has no checksum; the page shows what it says


@dataclass(frozen=True)
class Trial:
    """A fault, the call it hits, and the function that tries it: from a place and more to what is wrong, or None."""

    fault: str
    call: str
    work: Callable[..., str | None]
    arguments: tuple[Any, ...]
    own_tree: bool = False  # Snakemake notes what it did in the folder it runs in


def attempt(trial: Trial, root: Path, tree: Path) -> tuple[Trial, str | None]:
    """What is wrong after one trial, in a folder of its own that goes where nothing is."""
    root.mkdir()
    place = Place(root, copy_tree(root / "tree") if trial.own_tree else tree)
    try:
        wrong = trial.work(place, *trial.arguments)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    if not wrong:
        shutil.rmtree(root, ignore_errors=True)
    return trial, wrong


class Campaign:
    """Trials, made from undisturbed runs: what they leave, how long they take, and how often they touch files."""

    def __init__(self, root: Path, quick: bool) -> None:
        warm_up()
        self.root, self.quick = root, quick
        self.tree = copy_tree(root / "tree")
        self.reference = Place(root / "reference", self.tree)
        self.reference.root.mkdir()
        self.seconds = {"resperturb run": seconds_of(in_fork(self.reference))}
        self.expected: Facts = self.reference.facts()
        (self.record,) = self.reference.results.iterdir()
        self.skipped: list[str] = []

    def time_of(self, way: str) -> float:
        """Processor seconds of an undisturbed call, measured once."""
        if way not in self.seconds:
            place = Place(self.root / f"timed-{way.replace(' ', '-')}", self.tree)
            place.root.mkdir()
            self.seconds[way] = seconds_of(kills.WAYS[way](place))
        return self.seconds[way]

    def scratch(self, name: str) -> Place:
        place = Place(self.root / name, self.tree)
        place.root.mkdir()
        return place

    def signals(self) -> Iterator[Trial]:
        counts = {"resperturb run": 180, "resperturb run, imports too": 12, "papermill": 20, "Snakemake": 8}
        for way, count in counts.items():
            if self.quick and way != "resperturb run":
                continue
            arguments = (self.expected, way, signal.SIGKILL, self.time_of(way))
            for seed in range(3 if self.quick else count):
                yield Trial("SIGKILL", way, kills.at_random, (seed, *arguments), way == "Snakemake")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for way, count in {"resperturb run": 20, "papermill": 2, "Snakemake": 2}.items():
                if self.quick and way != "resperturb run":
                    continue
                arguments = (self.expected, way, number, self.time_of(way))
                for seed in range(1 if self.quick else count):
                    yield Trial(number.name, way, kills.at_random, (seed, *arguments), way == "Snakemake")

    def operations(self) -> Iterator[Trial]:
        for name, there in (("a first record", None), ("a record replaced", self.record)):
            place = self.scratch(f"counted-{name.replace(' ', '-')}")
            count = kills.count_operations(place, *kills.copy_record(there, place))
            numbers = range(count) if not self.quick else [count // 2]
            for number in numbers:
                arguments = (number, self.expected, there)
                yield Trial("SIGKILL at a file operation", name, kills.at_operation, arguments)
                for fault, code in (("disk full", storage.FULL), ("read-only", storage.READ_ONLY)):
                    yield Trial(
                        f"{fault} from a file operation on", name, storage.failing_operation, (*arguments, code)
                    )

    def disks(self) -> Iterator[Trial]:
        place = self.scratch("mounting")
        if not storage.can_mount(place.root):
            self.skipped.append("full disk and read-only results folder: this user may not mount a file system")
            return
        for seed in range(1 if self.quick else 20):
            yield Trial("disk full, at a random size", "resperturb run", storage.full_disk, (seed, self.expected))
            arguments = (seed, self.expected, self.time_of("resperturb run"))
            yield Trial("folder read-only, from a random moment", "resperturb run", storage.read_only, arguments)

    def together(self) -> Iterator[Trial]:
        for way, count in {"resperturb run": 20, "papermill": 2, "Snakemake": 1}.items():
            if self.quick and way != "resperturb run":
                continue
            for seed in range(1 if self.quick else count):
                yield Trial("two at once", way, kills.two_at_once, (seed, self.expected, way), way == "Snakemake")

    def clocks(self) -> Iterator[Trial]:
        if storage.faketime() is None:
            self.skipped.append("a clock that jumps: libfaketime is not installed")
            return
        for seed in range(0 if self.quick else 4):
            yield Trial("clock jumps", "resperturb run", storage.jumping_clock, (seed, self.expected))

    def damages(self) -> Iterator[Trial]:
        count = 2 if self.quick else 50
        checkpoint = kills.kept_checkpoint(self.scratch("checkpoint"))
        original = Path(os.environ.get("RESPERTURB_DATA", "")) / MNIST
        works: dict[str, tuple[Callable[..., str], tuple[Any, ...]]] = {
            "record": (damage.damaged_record, (self.expected, self.record)),
            "checkpoint": (damage.damaged_checkpoint, (self.expected, checkpoint)),
            "cache of the chapters": (damage.damaged_cache, ()),
        }
        if not self.quick:
            place = self.scratch("executed")
            seconds_of(by_snakemake(place))
            (executed,) = place.results.glob("notebooks/*.ipynb")
            works["executed notebook"] = (damage.damaged_notebook, (executed, place.results / executed.stem))
        if original.is_dir():
            works["data file"] = (damage.damaged_data, (original,))
        else:
            self.skipped.append("damaged data files: RESPERTURB_DATA holds no MNIST")
        for what, (work, arguments) in works.items():
            for seed in range(count):
                yield Trial("bit flipped" if seed % 2 else "file cut short", what, work, (seed, *arguments))

    def memories(self) -> Iterator[Trial]:
        for seed in range(1 if self.quick else 40):
            yield Trial("addresses limited", "resperturb run", memory.few_addresses, (seed, self.expected))
        for seed in range(0 if self.quick else 8):
            arguments = (seed, self.expected, 4 * 2**30)
            way = "resperturb run, imports too"
            yield Trial("addresses limited", way, memory.few_addresses_from_the_start, arguments)
        root = memory.group_root()
        if root is None:
            self.skipped.append("memory limited by a control group: none can be made here")
            return
        for seed in range(1 if self.quick else 20):
            yield Trial("memory limited", "resperturb run", memory.small_group, (seed, self.expected, root))

    def books(self) -> Iterator[Trial]:
        """Few, since a build takes half a minute."""
        for seed in range(0 if self.quick else 6):
            yield Trial("SIGKILL", "book", kills.book_at_random, (seed, 1.7 * self.time_of("Snakemake")))


PARTS = ("signals", "operations", "disks", "together", "clocks", "damages", "memories", "books")


def tried(campaign: Campaign, parts: list[str], cores: int) -> list[dict[str, Any]]:
    """A row per fault and call: how often it was tried, and how often every promise was kept."""
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str], str] = {}
    with ProcessPoolExecutor(cores, mp_context=FORK) as pool:
        trials = (trial for part in parts for trial in getattr(campaign, part)())  # some begin with undisturbed calls
        waiting = [
            pool.submit(attempt, trial, campaign.root / f"trial-{number}", campaign.tree)
            for number, trial in enumerate(trials)
        ]
        for done in as_completed(waiting):
            trial, wrong = done.result()
            if wrong is None:
                continue  # it had ended before the fault
            counts[trial.fault, trial.call, "lost" if wrong else "survived"] += 1
            if wrong:
                first.setdefault((trial.fault, trial.call), wrong)
                print(f"{trial.fault}, {trial.call}, {trial.arguments[0]}: {wrong}", flush=True)
    rows = []
    for fault, call in sorted({key[:2] for key in counts}):
        survived, lost = counts[fault, call, "survived"], counts[fault, call, "lost"]
        row = {"fault": fault, "call": call, "tried": survived + lost, "survived": survived, "lost": lost}
        rows.append(row | ({"first_loss": first[fault, call]} if lost else {}))
    return rows


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("faults", str(faults.__doc__))
    parser.add_argument("--parts", nargs="+", choices=(*PARTS, "numbers"), help="(all); what is not run again stays")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="trials at once (one a core)")
    options = parsed(parser, arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background both are ignored, by all calls too
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    result = provenance(options.quick)
    before = json.loads(options.output.read_text(encoding="utf-8")) if options.parts else {"faults": [], "skipped": []}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as root:
        campaign = Campaign(Path(root), options.quick)
        rows = tried(campaign, [part for part in PARTS if part in (options.parts or PARTS)], options.cores)
        rows = [row | {"commit": result.get("commit")} for row in rows]
        again = {(row["fault"], row["call"]) for row in rows}
        stay = [row for row in before["faults"] if (row["fault"], row["call"]) not in again]
        rows = sorted(rows + stay, key=lambda row: (row["fault"], row["call"]))
        result |= {"faults": rows, "skipped": sorted({*campaign.skipped, *before["skipped"]})}
        if "numbers" in (options.parts or ["numbers"]):
            result["same"] = numbers.all_numbers(campaign.scratch("numbers"), options.quick)
        else:
            result["same"] = before["same"]
    result["seconds"] = time.monotonic() - begun
    write_result(result, options.output)
    return int(any(row["lost"] for row in rows if (row["fault"], row["call"]) not in UNGUARDED))


if __name__ == "__main__":
    sys.exit(main())
