"""How well a sweep uses the machine: its wall time beside the work of its runs shared out over the cores.

    python benchmarks/sweep.py            # about twice the default sweep's time; writes benchmarks/results/sweep.json
    python benchmarks/sweep.py --quick --output FILE    # a tiny sweep

Alone: one run of every depth, one at a time, one thread each, through Snakemake and papermill as in the sweep; nothing
else of ours runs. The work of a run is what its notebook took there, from the start of its kernel to its end. Sweep:
all runs, as `make sweep` starts them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from common import ROOT, parsed, parser_of, provenance, write_result

from resperturb.experiment.presets import Preset, load_preset
from resperturb.records.record import read_record

TINY = {"dataset": "digits", "epochs": 1, "train_size": 64, "test_size": 32, "measured_images": 16}


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
    }


def preset_file(preset: Preset, folder: Path, name: str, seeds: Sequence[int]) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        yaml.safe_dump({"depths": [*preset.depths], "seeds": [*seeds], "experiment": preset.experiment}),
        encoding="utf-8",
    )
    return path


def use_of(alone: dict[str, Any], sweep: dict[str, Any]) -> dict[str, Any]:
    """The sweep's wall time beside the work over the cores."""
    seconds = {run["blocks"]: run["end"] - run["start"] for run in alone["runs"]}
    work = sum(seconds[run["blocks"]] for run in sweep["runs"])
    over = sweep["wall_seconds"] * sweep["cores"] / work
    return {"notebook": {"work_seconds": work, "wall_over_work_per_core": over}}


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("sweep", str(__doc__))
    parser.add_argument("--preset", default="digits", help="name of a preset, or its YAML file (digits)")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1, help="of the sweep (all)")
    options = parsed(parser, arguments)
    missing = [name for name in ("snakemake", "papermill") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"{' and '.join(missing)} not installed (pip install 'resperturb[book]'); nothing was measured")
        return 0
    result = provenance(options.quick)
    preset = load_preset(options.preset)
    if options.quick:
        preset = Preset("tiny", (3,), (0, 1), TINY)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every = preset_file(preset, folder, preset.name, preset.seeds)
        one_seed = preset_file(preset, folder, "alone", preset.seeds[:1])
        alone = swept(one_seed, folder / "alone", 1)
        sweep = swept(every, folder / "sweep", options.cores)
    result |= {"preset": preset.name, "alone": alone, "sweep": sweep, "use": use_of(alone, sweep)}
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
