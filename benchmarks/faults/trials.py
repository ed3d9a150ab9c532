"""What all faults share: how a call is started, what it should leave, and what is wrong if it does not."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil
import torch
from common import ROOT

from resperturb import cli
from resperturb.errors import ResperturbError
from resperturb.records.freshness import source_hash
from resperturb.records.record import load_records
from resperturb.studies import run  # noqa: F401  imported before forking
from resperturb.studies.equivalence import record_facts
from resperturb.training import loop
from resperturb.training.data import read_digits

TINY = {
    "blocks": 6, "width": 4, "epochs": 3, "train_size": 128, "test_size": 32, "measured_images": 16, "snapshots": 1,
}  # fmt: skip
PATIENCE = 3600.0  # seconds until a call counts as hanging
TREE = ("resperturb", "notebooks", "config", "Snakefile")  # what a sweep needs of a checkout
FORK = multiprocessing.get_context("fork")
Facts = dict[str, Any]


class Call(Protocol):
    """A call that is under way, leader of its process group."""

    def wait(self, timeout: float) -> int | None: ...

    pid: int


class Forked:
    """A function under way in a fork of this process, with its output in a file."""

    def __init__(self, work: Callable[[], int], log: Path) -> None:
        self._process = FORK.Process(target=self._run, args=(work, log))
        self._process.start()
        self.pid = int(self._process.pid or 0)

    @staticmethod
    def _run(work: Callable[[], int], log: Path) -> None:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os._exit(work())  # an exception is printed by multiprocessing, with status 1

    def wait(self, timeout: float) -> int | None:
        self._process.join(timeout)
        return self._process.exitcode


class Started(subprocess.Popen[bytes]):
    """A command under way, with its output in a file."""

    def __init__(self, command: list[str], log: Path, cwd: Path, environment: dict[str, str]) -> None:
        with log.open("wb") as output:
            super().__init__(
                command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self, timeout: float | None = None) -> int | None:  # type: ignore[override]
        try:
            return super().wait(timeout)
        except subprocess.TimeoutExpired:
            return None


@dataclass(frozen=True)
class Place:
    """The folder of one trial: records/0/ is its results folder, as resperturb.studies.equivalence reads it."""

    root: Path
    tree: Path  # a copy of the project, for real commands
    log_name: str = "log"  # output of its calls

    @property
    def results(self) -> Path:
        return self.root / "records" / "0"

    @property
    def log(self) -> Path:
        return self.root / self.log_name

    def facts(self) -> Facts:
        """All that its record holds but cost and provenance."""
        return {name: fact for name, fact in record_facts(self.root, 0).items() if name != "hash"}


Way = Callable[..., Call]  # starts a call in a place; options go to it


def in_fork(place: Place, *options: str, first: Callable[[], None] = lambda: None) -> Call:
    """`resperturb run` in a fork, after `first` was called there."""

    def work() -> int:
        loop.SECONDS_BETWEEN_CHECKPOINTS = 0.0
        first()
        return cli.main(run_words(place, *options))

    return Forked(work, place.log)


def warm_up() -> None:
    """Do here what every fork would do again: imports, and the hash of the sources."""
    read_digits()
    source_hash()
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def run_words(place: Place, *options: str) -> list[str]:
    given = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return ["run", *given, "--results", str(place.results), *options]


def by_command(place: Place, *options: str, before: Iterable[str] = (), **variables: str) -> Call:
    """`resperturb run` as a command of its own."""
    words = [*before, sys.executable, "-m", "resperturb.cli", *run_words(place, *options)]
    return Started(words, place.log, place.tree, environment_of(place, **variables))


def by_papermill(place: Place, *options: str) -> Call:
    """The notebook of a run, executed by papermill."""
    given = [word for name, value in TINY.items() for word in ("-p", name, str(value))]
    words = [sys.executable, "-m", "papermill", "notebooks/sweep.ipynb", str(place.root / "out.ipynb"), *given]
    return Started(
        [*words, "-p", "results", str(place.results), "--no-progress-bar", *options],
        place.log,
        place.tree,
        environment_of(place),
    )


def by_snakemake(place: Place, target: str = "sweep") -> Call:
    """A sweep as the Makefile calls it, in a copy of the tree that is the trial's own."""
    settings = ", ".join(f"{name}: {value}" for name, value in TINY.items() if name != "blocks")
    preset = place.root / "tiny.yaml"
    preset.write_text(f"depths: [{TINY['blocks']}]\nseeds: [0]\nexperiment: {{dataset: digits, {settings}}}\n")
    flags = ["--cores", "1", "--nolock", "--rerun-incomplete", "--keep-going", "--quiet", "rules", "host", "reason"]
    words = [sys.executable, "-m", "snakemake", target, *flags]
    return Started(
        [*words, "--config", f"preset={preset}", f"results={place.results}"],
        place.log,
        place.tree,
        environment_of(place),
    )


def environment_of(place: Place, **variables: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(place.tree), "OMP_NUM_THREADS": "1", **variables}


def copy_tree(target: Path, names: Iterable[str] = TREE) -> Path:
    """Parts of the project in another folder, where checkpoints are saved after every epoch."""
    ignored = shutil.ignore_patterns("__pycache__", "runs", "_data")
    target.mkdir(parents=True)
    for name in names:
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy(source, target / name, **({"ignore": ignored, "symlinks": True} if source.is_dir() else {}))  # type: ignore[arg-type]
    path = target / "resperturb/training/loop.py"
    text, changed = re.subn(r"(SECONDS_BETWEEN_CHECKPOINTS = )[\d.]+", r"\g<1>0.0", path.read_text())
    assert changed == 1
    path.write_text(text)
    return target


# ----------------------------------------------------------------------------------------------- judging


def wait(call: Call) -> int:
    """Its status; a call that hangs is killed, and an error."""
    status = call.wait(PATIENCE)
    if status is None:
        kill(call, signal.SIGKILL)
        raise TimeoutError(f"a call hung for {PATIENCE:.0f} seconds")
    return status


def kill(call: Call, number: int = signal.SIGKILL) -> int | None:
    """Send a signal to the call and all that it started; its status, None if it had ended before."""
    if call.wait(0) is not None:
        return None
    os.killpg(call.pid, number)
    return wait(call)


def processor_seconds(call: Call) -> float:
    """What a call and all that it started have taken of processors so far."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(call.pid)
        times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
        return sum(t.user + t.system + t.children_user + t.children_system for t in times)
    return 0.0


def seconds_of(call: Call) -> float:
    """Processor seconds of an undisturbed call: how far another has come tells them, whatever else the machine does."""
    seconds = 0.0
    while (status := call.wait(0.05)) is None:
        seconds = max(seconds, processor_seconds(call))
    assert status == 0, f"an undisturbed call ended with status {status}"
    return seconds


def wait_until(call: Call, seconds: float) -> None:
    """Wait until a call has taken some processor seconds, or has ended."""
    while call.wait(0.02) is None and processor_seconds(call) < seconds:
        pass


def untrue(place: Place, expected: Facts) -> str:
    """What is wrong with what can be read; "" where there is no record, or the right one, or a refusal to read it."""
    if not list(place.results.glob("[!.]*/run.json")):
        return ""
    try:
        for record in load_records(place.results):
            for path in record.folder.glob("*.csv"):
                record.table(path.stem)
    except ResperturbError:
        return ""
    found = place.facts()
    wrong = [name for name, value in expected.items() if found.get(name) != value]
    return f"the record differs in {', '.join(wrong[:3])}" if wrong else ""


def aftermath(way: Way, place: Place, expected: Facts) -> str:
    """What is wrong after a fault, in words; "" where every promise is kept."""
    if wrong := untrue(place, expected):
        return f"before the next call {wrong}"
    status = wait(way(place))
    if status != 0:
        return f"the next call ended with status {status}: {last_line(place.log)}"
    return wrong_in_the_end(place, expected)


def wrong_in_the_end(place: Place, expected: Facts) -> str:
    if not list(place.results.glob("[!.]*/run.json")):
        return "there is no record"
    if place.facts() != expected:
        return untrue(place, expected) or "the record has more than it should"
    names = {path.name for path in place.results.iterdir()} - {"notebooks"}
    names |= {path.name for path in place.results.glob("notebooks/*") if path.suffix not in (".ipynb", ".log")}
    left = {name for name in names if name.startswith(".")}
    left |= {path.name for path in place.results.glob("notebooks/.*")}
    if left or len(names) != 1:
        return f"left behind: {', '.join(sorted(left or names))}"
    return ""


def unclear(place: Place, status: int | None) -> str:
    """What is wrong with how a call failed; "" where it succeeded, or said why in one sentence."""
    text = place.log.read_text(errors="replace")
    if status == 0:
        return ""
    if "Traceback" in text:
        return f"status {status} with a traceback that ends in: {last_line(place.log)}"
    said = [line for line in text.splitlines() if line.startswith("resperturb run: ")]
    return "" if len(said) == 1 and status else f"status {status} with {len(said)} sentences: {last_line(place.log)}"


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else "(nothing)"
