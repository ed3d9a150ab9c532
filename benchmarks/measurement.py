"""What measuring costs: time and memory of `measure` against the plain forward pass.

    python benchmarks/measurement.py            # all of it, some minutes; writes benchmarks/results/measurement.json
    python benchmarks/measurement.py --quick    # tiny networks, seconds; shows that it runs, its numbers mean nothing

Time: in each round both take turns, so that what else the machine does falls on both alike; a ratio to the plain pass
is taken in every round and the median over rounds reported. Both are timed with two allocators: the default returns
freed memory to the system and fetches it again, which can take half of a plain pass. Memory: every number is the peak
of a process of its own, above what that process held before its first large tensor. Networks are in evaluation mode
and use the running statistics of their batch norms both ways. Other tools are in benchmarks/other_tools.py.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from common import parsed, parser_of, provenance, write_result
from torch import Tensor, nn

from resperturb import ResidualNetwork, measure
from resperturb.records.provenance import peak_memory

Way = Callable[[nn.Module, Iterable[Tensor]], Any]


# ----------------------------------------------------------------------------------------------- the ways


def plain_pass(model: nn.Module, batches: Iterable[Tensor]) -> None:
    with torch.inference_mode():
        for batch in batches:
            model(batch)


def measuring_pass(model: nn.Module, batches: Iterable[Tensor]) -> None:
    measure(model, batches)


WAYS: dict[str, Way] = {"plain": plain_pass, "measure": measuring_pass}


# ----------------------------------------------------------------------------------------------- the networks


def network(name: str, blocks: int) -> nn.Module:
    """A network whose running statistics were updated once, so that `measure` uses them as the plain pass does."""
    torch.manual_seed(0)
    if name == "GPT-2":
        import transformers

        return transformers.GPT2Model(transformers.GPT2Config(n_layer=blocks // 2)).eval()
    if name == "ours":
        model, channels = ResidualNetwork(blocks), 1
    else:
        import torchvision

        model, channels = torchvision.models.get_model(name, weights=None), 3
    with torch.no_grad():
        model.train()(torch.randn(2, channels, 32, 32))
    return model.eval()


def inputs(case: dict[str, Any]) -> Iterable[Tensor]:
    """Batches that are made one by one, as a loader does: images, or tokens."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(case["batches"]):
        if case["network"] == "GPT-2":
            yield torch.randint(50_000, (case["batch"], case["tokens"]), generator=generator)
        else:
            channels = 1 if case["network"] == "ours" else 3
            yield torch.randn(case["batch"], channels, case["side"], case["side"], generator=generator)


# ----------------------------------------------------------------------------------------------- time


def times(case: dict[str, Any]) -> dict[str, Any]:
    """Both ways in this process: medians over rounds of their seconds and of the ratio to the plain pass."""
    model, batches = network(case["network"], case["blocks"]), list(inputs(case))
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(case["rounds"] + 1):
        for name, way in WAYS.items():
            start = time.perf_counter()
            way(model, batches)
            seconds[name].append(time.perf_counter() - start)
    plain = seconds["plain"][1:]  # the first round warms up
    rows = {}
    for name, taken in seconds.items():
        ratios = [t / p for t, p in zip(taken[1:], plain, strict=True)]
        rows[name] = {"seconds": statistics.median(taken[1:]), "ratio": statistics.median(ratios)}
        rows[name] |= {"ratio_low": min(ratios), "ratio_high": max(ratios)}
    return {**case, "ways": rows}


# ----------------------------------------------------------------------------------------------- memory


def resident(kind: str) -> int:
    """Bytes this process holds ("VmRSS") or has held at most ("VmHWM")."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux: the peak since the start is all there is
        return peak_memory(torch.device("cpu"))
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak(case: dict[str, Any]) -> int:
    """Bytes above the start, of one way over the batches in this process."""
    torch.set_num_threads(1)  # threads that wait for each other on a busy machine take minutes
    model, way = network(case["network"], case["blocks"]), WAYS[case["way"]]
    tiny = {**case, "batch": 2, "batches": 1, "side": 16}
    way(model, inputs(tiny))  # what is loaded and compiled on first use is no memory of the measurement
    forget_peak()
    before = resident("VmRSS")
    way(model, inputs(case))
    return resident("VmHWM") - before


# By default glibc keeps freed blocks of up to 32 MiB for later, and small tensors that stay hold on to space
# between large ones that go. With a fixed threshold large blocks go back at once: the peak is then what was alive.
KEPT = str(1 << 31)
ALLOCATORS = {
    "default": {},
    "gives back at once": {"MALLOC_MMAP_THRESHOLD_": "65536"},
    "keeps memory": {"MALLOC_MMAP_THRESHOLD_": KEPT, "MALLOC_TRIM_THRESHOLD_": KEPT},
}


def in_child(task: str, case: dict[str, Any]) -> Any:
    """The result of a function of this file, run in a process of its own with the allocator of the case."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | ALLOCATORS[case["allocator"]]
    command = [sys.executable, str(Path(__file__).resolve()), "--child", task, json.dumps(case)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"{case}: {result}", file=sys.stderr)
    return result


def memory_case(case: dict[str, Any], processes: int) -> dict[str, Any]:
    peaks = {name: [in_child("peak", {**case, "way": name}) for _ in range(processes)] for name in WAYS}
    plain_peak = int(statistics.median(peaks["plain"]))
    rows = {
        name: {
            "peaks_bytes": each,
            "peak_bytes": int(statistics.median(each)),
            "above_plain_bytes": int(statistics.median(each)) - plain_peak,
        }
        for name, each in peaks.items()
    }
    return {**case, "processes": processes, "state_bytes": case["batch"] * 16 * case["side"] ** 2 * 4, "ways": rows}


# ----------------------------------------------------------------------------------------------- all of it


def cases(quick: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Cases that are timed, and cases whose memory is taken."""
    if quick:
        small = {"network": "ours", "blocks": 3, "batch": 4, "side": 16, "batches": 1, "allocator": "default"}
        return [small], [{**small, "allocator": "gives back at once"}]
    ours = {"network": "ours", "blocks": 100, "batch": 128, "side": 28, "batches": 1}
    resnet = {"network": "resnet50", "blocks": 12, "batch": 16, "side": 224, "batches": 1}
    gpt = {"network": "GPT-2", "blocks": 24, "batch": 1, "tokens": 512, "batches": 1}
    timed = [{**case, "allocator": name} for name in ("default", "keeps memory") for case in (ours, resnet, gpt)]
    sizes = ((30, 1), (300, 1), (30, 8))  # blocks, batches
    weighed = [
        {**ours, "batch": 64, "blocks": blocks, "batches": batches, "allocator": allocator}
        for allocator in ("gives back at once", "default")
        for blocks, batches in sizes
    ]
    return timed, weighed


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("measurement", str(__doc__))
    parser.add_argument("--rounds", type=int, default=9, help="of the timing (9)")
    parser.add_argument("--processes", type=int, default=3, help="for each number of memory (3)")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.child:
        task, case = options.child
        print(json.dumps({"times": times, "peak": peak}[task](json.loads(case))))
        return 0
    rounds, processes = (1, 1) if options.quick else (options.rounds, options.processes)
    result = provenance(options.quick)
    timed, weighed = cases(options.quick)
    result["time"] = [in_child("times", {**case, "rounds": rounds}) for case in timed]
    result["memory"] = [memory_case(case, processes) for case in weighed]
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
