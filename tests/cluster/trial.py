"""A sweep on a SLURM of the tests' own, watched run by run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml
from cluster.slurm import ENVIRONMENT, Slurm, wait_for
from conftest import Tree

from resperturb.records.record import Record, load_records


def grid(path: Path, parameters: dict[str, Any], *vary: dict[str, list[Any]], notebook: str = "sweep") -> Path:
    """A preset of a study, or of runs of networks."""
    content = {"notebook": notebook, "parameters": parameters, "vary": list(vary)}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@dataclass
class Logs:
    """All that runs have written to their logs, also where Snakemake has removed a log to start the run again."""

    folder: Path
    handles: dict[str, dict[int, TextIO]] = field(default_factory=lambda: defaultdict(dict))
    stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Logs:
        self.thread = threading.Thread(target=self._follow)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.thread.join()
        for handle in (each for handles in self.handles.values() for each in handles.values()):
            handle.close()

    def _follow(self) -> None:
        while not self.stopped.wait(0.1):
            for path in self.folder.glob("*.log"):
                with suppress(FileNotFoundError):
                    if path.stat().st_ino not in self.handles[path.stem]:
                        handle = path.open(encoding="utf-8")  # kept open: its number is not given to another file
                        self.handles[path.stem][os.fstat(handle.fileno()).st_ino] = handle

    def texts(self) -> dict[str, list[str]]:
        """By run, in the order of its attempts."""
        found: dict[str, list[str]] = {}
        for name, handles in list(self.handles.items()):
            found[name] = []
            for handle in list(handles.values()):
                handle.seek(0)
                found[name].append(handle.read())
        return found

    def epochs(self) -> dict[str, int]:
        """The last epoch that each run has come to."""
        found = {
            name: [int(number) for text in texts for number in re.findall(r"^epoch +(\d+) of", text, re.MULTILINE)]
            for name, texts in self.texts().items()
        }
        return {name: max(numbers, default=0) for name, numbers in found.items()}


@dataclass
class Trial:
    """A sweep with the project's profile, from its start to the account of what it did."""

    slurm: Slurm
    project: Tree
    preset: Path
    logs: Logs
    before: int  # jobs of earlier trials
    calls: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def epochs(self) -> int:
        return int(yaml.safe_load(self.preset.read_text(encoding="utf-8"))["parameters"]["epochs"])

    @property
    def results(self) -> Path:
        return self.project.root / "results" / self.preset.stem

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "snakemake", "sweep", "--profile", "config/slurm", *options]
        command += ["--slurm-init-seconds-before-status-checks", "5", "--config", f"preset={self.preset}"]
        path = f"{Path(sys.executable).parent}:{ENVIRONMENT['PATH']}"
        with self.output.open("ab") as output:
            call = subprocess.Popen(
                command,
                cwd=self.project.root,
                env={**self.project.environment, "PATH": path},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.calls.append(call)
        return call

    @property
    def output(self) -> Path:
        return self.preset.with_suffix(".out")

    def end(self, snakemake: subprocess.Popen[bytes], seconds: float = 1800) -> int:
        try:
            return snakemake.wait(seconds)
        except subprocess.TimeoutExpired:
            snakemake.kill()
            pytest.fail(f"the sweep did not end:\n{self.output.read_text()}\n{self.slurm.jobs('all')}")

    def under_way(self, snakemake: subprocess.Popen[bytes], runs: int = 2) -> None:
        """Wait until all runs are training and have left a checkpoint."""

        epochs = self.epochs

        def all_train() -> bool:
            assert snakemake.poll() is None, self.output.read_text()
            trained = [epoch for epoch in self.logs.epochs().values() if 1 < epoch < epochs]
            return len(trained) == runs == len(list(self.results.glob(".*.checkpoint")))

        wait_for(all_train, "runs to train", 900)

    def node_of(self, run: str) -> str:
        return next(job["node"] for job in self.slurm.jobs("RUNNING") if job["comment"].endswith(run))

    def account(self, other_jobs: int = 0, **expected: int) -> dict[str, Any]:
        """What the sweep has done, once it is over, which is to be as expected; nothing may be missing or left over.

        Jobs that are not the sweep's are left out.
        """
        texts = self.logs.texts()
        records = load_records(self.results, kind=None)
        assert {path.stem for path in self.results.glob("notebooks/[!.]*.ipynb")} == {r.name for r in records}
        assert [path.name for path in self.results.rglob(".*")] == []
        epochs = [re.findall(r"^epoch +(\d+) of", text, re.MULTILINE) for each in texts.values() for text in each]
        trained = sum(len(numbers) for numbers in epochs)
        of_records = sum(record.run["training"]["epochs"] for record in records if record.kind == "run")
        found = {
            "runs": len(records),
            "jobs": self.slurm.submitted() - self.before - other_jobs,
            "trainings": sum(numbers[:1] == ["1"] for numbers in epochs),
            "resumed": sum("resumed after epoch" in text for each in texts.values() for text in each),
            # a job may end before its last epoch is logged
            "repeated_epochs": max(0, trained - of_records) / len(records),
        }
        assert found.items() >= expected.items(), f"{expected} expected, but {found}"
        return found


def assert_same_numbers(trial: Trial, undisturbed: dict[str, Record]) -> None:
    for record in load_records(trial.results):
        for table in ("perturbations", "samples", "weights"):
            there, expected = (r.folder / f"{table}.csv" for r in (record, undisturbed[record.name]))
            assert there.read_bytes() == expected.read_bytes(), f"{record.name}: {table}"
