"""How well a sweep uses the machine: its wall time beside the work of its runs shared out over the cores.

    python benchmarks/sweep.py            # about twice the default sweep's time; writes benchmarks/results/sweep.json
    python benchmarks/sweep.py --quick --output FILE    # a tiny sweep

Alone: one run of every depth, one at a time, one thread each, through Snakemake and papermill as in the sweep; nothing
else of ours runs. The work of a run is what its notebook took there, from the start of its kernel to its end; "run" is
the part of that in which data are loaded, the network trained and measured and the record written. Sweep: all runs,
as `make sweep` starts them. Threads: one small run with one and with two threads, alone, beside a process that keeps
one core busy, and beside another such run.
"""

from __future__ import annotations

import heapq
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from common import ROOT, median_and_range, parsed, parser_of, provenance, write_result

from resperturb.experiment.presets import Preset, load_preset
from resperturb.records.record import read_record

TINY = {"dataset": "digits", "epochs": 1, "train_size": 64, "test_size": 32, "measured_images": 16}
COMPANY = ("nothing", "a busy process", "another run alike")


# ----------------------------------------------------------------------------------------------- sweeps


def swept(preset: Path | str, results: Path, cores: int) -> dict[str, Any]:
    """Run a sweep into a new folder. Seconds from its start, for the whole and for each run's notebook."""
    flags = ["--nolock", "--rerun-incomplete", "--quiet", "rules", "host", "reason"]  # as the Makefile has them
    settings = [f"preset={preset}", f"results={results}"]
    command = [sys.executable, "-m", "snakemake", "sweep", "--cores", str(cores), *flags, "--config", *settings]
    started, begun = time.time(), time.perf_counter()
    subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=True)
    wall = time.perf_counter() - begun
    runs = [run_of(path, started) for path in sorted((results / "notebooks").glob("*.ipynb"))]
    return {"cores": cores, "wall_seconds": wall, "runs": sorted(runs, key=lambda run: run["start"])}


def run_of(executed: Path, started: float) -> dict[str, Any]:
    """When a notebook ran, and what its record says that the run took."""
    times = json.loads(executed.read_text(encoding="utf-8"))["metadata"]["papermill"]
    start, end = (datetime.fromisoformat(times[key]).timestamp() - started for key in ("start_time", "end_time"))
    record = read_record(executed.parent.parent / executed.stem)
    return {
        "blocks": record.blocks,
        "seed": record.seed,
        "start": start,
        "end": end,
        "run_seconds": record.run["wall_seconds"],
        "training_seconds": record.run["training"]["seconds"],
        "threads": record.run["provenance"]["threads"],
    }


def preset_file(preset: Preset, folder: Path, name: str, seeds: Sequence[int]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump({"depths": [*preset.depths], "seeds": [*seeds], "experiment": preset.experiment}),
        encoding="utf-8",
    )
    return path


def shared_out(durations: Sequence[float], cores: int) -> float:
    """Seconds until all is done where each core, once free, takes the longest that is left."""
    free = [0.0] * cores
    for duration in sorted(durations, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + duration)
    return max(free)


def use_of(alone: dict[str, Any], sweep: dict[str, Any]) -> dict[str, Any]:
    """The sweep's wall time beside the work over the cores, and beside the best order of whole runs."""
    cores, wall = sweep["cores"], sweep["wall_seconds"]
    found: dict[str, Any] = {}
    for kind in ("notebook", "run"):
        seconds = {run["blocks"]: seconds_of(run, kind) for run in alone["runs"]}
        work = [seconds[run["blocks"]] for run in sweep["runs"]]
        found[kind] = {
            "work_seconds": sum(work),
            "longest_seconds": max(work),
            "longest_first_seconds": shared_out(work, cores),
            "wall_over_work_per_core": wall / (sum(work) / cores),
            # of the same runs side by side, against alone
            "slowed": sum(seconds_of(run, kind) for run in sweep["runs"]) / sum(work),
        }
    busy = sum(seconds_of(run, "notebook") for run in sweep["runs"])
    ends = sorted(run["end"] for run in sweep["runs"])
    return found | {
        "busy_share": busy / (cores * wall),
        "before_first_seconds": min(run["start"] for run in sweep["runs"]),
        "after_last_seconds": wall - ends[-1],
        "last_two_ends_apart_seconds": ends[-1] - ends[-2] if len(ends) > 1 else 0.0,
    }


def seconds_of(run: dict[str, Any], kind: str) -> float:
    return float(run["end"] - run["start"] if kind == "notebook" else run["run_seconds"])


# ----------------------------------------------------------------------------------------------- threads


def command_of_run(threads: int, results: Path, facts: dict[str, Any]) -> list[str]:
    given = [word for name, value in facts.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    options = ["--threads", str(threads), "--results", str(results), "--again"]
    return [sys.executable, "-m", "resperturb.cli", "run", *given, *options]


def training_seconds(threads: int, company: str, facts: dict[str, Any], folder: Path) -> float:
    """Seconds in the training loop of one run in a process of its own, in the company that is said."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    # another run lasts longer than the one that is timed, and is ended with it
    beside = {
        "a busy process": [sys.executable, "-c", "print('epoch', flush=True)\nwhile True: pass"],
        "another run alike": command_of_run(threads, folder / "other", {**facts, "epochs": 100 * facts["epochs"]}),
    }
    with ExitStack() as stack:
        if company in beside:
            other = stack.enter_context(
                subprocess.Popen(beside[company], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(other.kill)
            if not any("epoch" in line for line in other.stdout or ()):  # from its first epoch on it is at work
                raise RuntimeError(f"{company} ended before there was anything to time beside it.")
        command = command_of_run(threads, folder / "timed", facts)
        subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    (folder_of_run,) = (path.parent for path in (folder / "timed").glob("[!.]*/run.json"))
    return float(read_record(folder_of_run).run["training"]["seconds"])


def threads_trial(
    rounds: int, facts: dict[str, Any], folder: Path, companies: Sequence[str] = COMPANY
) -> list[dict[str, Any]]:
    """One run with one and with two threads in every company; they take turns, round by round."""
    ways = [(threads, company) for company in companies for threads in (1, 2)]
    taken: dict[tuple[int, str], list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, seconds in taken.items():
            seconds.append(training_seconds(*way, facts, folder))
            print(f"threads: {way[0]}, beside {way[1]}: {seconds[-1]:.1f} s", file=sys.stderr)
    return [
        {"threads": threads, "beside": company, "rounds": rounds, "training_seconds": median_and_range(seconds)}
        for (threads, company), seconds in taken.items()
    ]


# ----------------------------------------------------------------------------------------------- all of it


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("sweep", str(__doc__))
    parser.add_argument("--preset", default="digits", help="name of a preset, or its YAML file (digits)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="of the sweep (all)")
    parser.add_argument("--rounds", type=int, default=3, help="of the trial of threads (3)")
    options = parsed(parser, arguments)
    missing = [name for name in ("snakemake", "papermill") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"{' and '.join(missing)} not installed (pip install 'resperturb[book]'); nothing was measured")
        return 0
    result = provenance(options.quick)
    preset = load_preset(options.preset)
    trial = {"dataset": "digits", "blocks": 30, "epochs": 3}
    rounds, companies = options.rounds, COMPANY
    if options.quick:
        preset = Preset("tiny", (3,), (0, 1), TINY)
        trial, rounds, companies = {**TINY, "blocks": 3}, 1, COMPANY[-1:]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = preset_file(preset, folder, preset.name, preset.seeds)
        one_seed = preset_file(preset, folder, "alone", preset.seeds[:1])
        alone = swept(one_seed, folder / "alone", 1)
        sweep = swept(every, folder / "sweep", options.cores)
        threads = threads_trial(rounds, trial, folder, companies)
    result |= {"preset": preset.name, "alone": alone, "sweep": sweep, "use": use_of(alone, sweep)}
    write_result(result | {"threads": {**trial, "ways": threads}}, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
