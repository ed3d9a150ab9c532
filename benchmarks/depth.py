"""What depth costs in training: seconds of a step at 30 and at 300 blocks, and memory with checkpointing.

    python benchmarks/depth.py            # some minutes; writes benchmarks/results/depth.json
    python benchmarks/depth.py --quick --output FILE    # tiny networks: shows that it runs

Every step is one of resperturb's loop in bfloat16 with all cores, on invented images, in the second epoch. Seconds: the
depths take turns. Memory: the peak of a process of its own for CIFAR-10 in full size; checkpointing computes most of
the forward pass twice instead of keeping it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from common import median_and_range, parsed, parser_of, provenance, write_result
from training import CORES, case_facts, experiment_of, nothing, ours, run_children

from resperturb.experiment import Experiment


def depth_cost(cases: Sequence[Experiment], rounds: int) -> dict[str, Any]:
    """Seconds of a step at each depth, by turns, and the last over the first."""
    seconds: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for experiment, found in zip(cases, seconds, strict=True):
            found.append(experiment.batch_size / ours(experiment, True, nothing))
    first, last = cases[0], cases[-1]
    return {
        **{name: value for name, value in case_facts(first).items() if name != "blocks"},
        "precision": first.precision,
        "rounds": rounds,
        "depths": [
            {"blocks": experiment.blocks, "step_seconds": median_and_range(found)}
            for experiment, found in zip(cases, seconds, strict=True)
        ],
        "blocks_ratio": last.blocks / first.blocks,
        "seconds_ratio": median_and_range([deep / flat for flat, deep in zip(seconds[0], seconds[-1], strict=True)]),
    }


def memory_of(experiment: Experiment, processes: int) -> dict[str, Any]:
    """Peak and seconds of a step, each time in a process of its own."""
    task = {"way": "ours", "threads": CORES, "experiment": experiment.to_dict(), "invented": True}
    said = [run_children(task, 1)[0] for _ in range(processes)]
    row = {
        **case_facts(experiment),
        "precision": experiment.precision,
        "checkpointing": experiment.checkpointing,
        "peak_bytes": median_and_range([one["peak_bytes"] for one in said]),
        "above_start_bytes": median_and_range([one["above_start_bytes"] for one in said]),
        "step_seconds": median_and_range([experiment.batch_size / one["images_per_second"] for one in said]),
    }
    print(row, file=sys.stderr)
    return row


def measure_depths(quick: bool, rounds: int, processes: int) -> dict[str, Any]:
    fast: dict[str, Any] = {"precision": "bfloat16"} | ({"width": 4} if quick else {})
    shallow, deep, batch = (3, 6, 4) if quick else (30, 300, 128)
    return {
        "steps": [
            depth_cost([experiment_of(dataset, blocks, size, 4, **fast) for blocks in (shallow, deep)], rounds)
            for dataset, size in (("digits", 64), ("mnist", 16))
        ],
        "checkpointing": [memory_of(experiment_of("cifar10", deep, batch, 1, **fast, checkpointing=True), processes)],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("depth", str(__doc__))
    parser.add_argument("--rounds", type=int, default=7, help="of the timing (7)")
    parser.add_argument("--processes", type=int, default=3, help="for each number of memory (3)")
    options = parsed(parser, arguments)
    result = provenance(options.quick)
    rounds, processes = (1, 1) if options.quick else (options.rounds, options.processes)
    write_result(result | measure_depths(options.quick, rounds, processes), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
