"""What depth costs in training: seconds of a step at 30 and at 300 blocks.

    python benchmarks/depth.py            # some minutes; writes benchmarks/results/depth.json
    python benchmarks/depth.py --quick --output FILE    # tiny networks: shows that it runs

Every step is one of resperturb's loop in bfloat16 with all cores, on invented images, in the second epoch. The depths
take turns.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from common import median_and_range, parsed, parser_of, provenance, write_result
from training import case_facts, experiment_of, nothing, ours

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


def measure_depths(quick: bool, rounds: int) -> dict[str, Any]:
    fast: dict[str, Any] = {"precision": "bfloat16"} | ({"width": 4} if quick else {})
    depths = (3, 6) if quick else (30, 300)
    return {
        "steps": [
            depth_cost([experiment_of(dataset, blocks, size, 4, **fast) for blocks in depths], rounds)
            for dataset, size in (("digits", 64), ("mnist", 16))
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("depth", str(__doc__))
    parser.add_argument("--rounds", type=int, default=7, help="of the timing (7)")
    options = parsed(parser, arguments)
    result = provenance(options.quick)
    write_result(result | measure_depths(options.quick, 1 if options.quick else options.rounds), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
