"""Where the time of a training step goes: seconds by kind of operation, and how fast the convolutions are.

    python benchmarks/step.py            # some minutes; writes benchmarks/results/step.json
    python benchmarks/step.py --quick --output FILE    # tiny networks: shows that it runs

The two loops of benchmarks/training.py, on invented images with all cores, under PyTorch's profiler: the time every
operation spends in itself, after a first run in which they are set up. The rate of the convolutions is that of their
operations over their own time, beside the rate of matrix products of this process: what of it is missing there no
change of what lies between the convolutions can win.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from typing import Any

import torch
from common import CPU, matrix_rate, operations_per_image, parsed, parser_of, provenance, write_result
from torch.profiler import ProfilerActivity, profile
from training import WAYS, case_facts, experiment_of, nothing

from resperturb.experiment import Experiment

PARTS = {  # the first whose pattern is in an operation's name has it
    "convolutions backwards": r"^aten::(\w+_)?convolution_backward",
    "convolutions": r"^aten::\w*conv",
    "batch normalisation": r"^aten::\w*batch_norm",
    "ReLU": r"^aten::(relu|threshold|clamp_min)",
    "additions": r"^aten::add",
    "copies and types": r"^aten::(copy|_to_copy|to|clone|contiguous|empty|zero|resize)",
    "optimiser": r"sgd|SGD",
}


def part_of(operation: str) -> str:
    return next((part for part, pattern in PARTS.items() if re.search(pattern, operation)), "the rest")


def parts_of(experiment: Experiment, way: str) -> dict[str, float]:
    """Seconds of one way's operations a step, by part."""
    WAYS[way](experiment, True, nothing)  # operations are set up
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        WAYS[way](experiment, True, nothing)
    steps = 2 * case_facts(experiment)["steps"]  # two epochs
    seconds: Counter[str] = Counter()
    for operation in seen.key_averages():
        seconds[part_of(operation.key)] += operation.self_cpu_time_total / 1e6 / steps
    return {part: seconds[part] for part in (*PARTS, "the rest")}


def profiled(experiment: Experiment, quick: bool) -> dict[str, Any]:
    rate = matrix_rate(CPU, 256 if quick else 2048)
    parts = {way: parts_of(experiment, way) for way in WAYS}
    convolving = parts["ours"]["convolutions"] + parts["ours"]["convolutions backwards"]
    speed = operations_per_image(experiment) * experiment.batch_size / convolving
    row = {
        **case_facts(experiment),
        "seconds": parts,
        "convolution_flops_per_second": speed,
        "matrix_flops_per_second": rate,
        "convolutions_share_of_matrix_rate": speed / rate,
    }
    print(row, file=sys.stderr)
    return row


def main(arguments: list[str] | None = None) -> int:
    options = parsed(parser_of("step", str(__doc__)), arguments)
    result = provenance(options.quick)
    sizes = ((3, 4, 2),) if options.quick else ((30, 128, 4), (100, 128, 2))
    narrow = {"width": 4} if options.quick else {}
    result["threads"] = torch.get_num_threads()
    result["cases"] = [
        profiled(experiment_of(dataset, blocks, batch, steps, precision="bfloat16", **narrow), options.quick)
        for dataset in ("mnist", "cifar10")
        for blocks, batch, steps in sizes
    ]
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
