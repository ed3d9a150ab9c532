"""What measuring costs: time and memory of `measure` against the plain forward pass, and against keeping activations.

    python benchmarks/measurement.py            # all of it, some minutes; writes benchmarks/results/measurement.json
    python benchmarks/measurement.py --quick    # tiny networks, seconds; shows that it runs, its numbers mean nothing

Time: each way takes turns with the plain pass, so that what else the machine does falls on both alike; a ratio is taken
in every round and the median over rounds reported. "plain" against itself shows how far ratios scatter. Memory: every
number is the peak of a process of its own, above what that process held before its first large tensor. Networks are in
evaluation mode and use the running statistics of their batch norms in every way, so that all compute the same; batch
and precision (float32) are the same too.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
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


def stored(model: nn.Module, batches: Iterable[Tensor]) -> list[dict[str, Tensor]]:
    """What people write: a hook on every layer that keeps its output. Cloned, since later layers write over it."""
    kept: list[dict[str, Tensor]] = []

    def keeper(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
            kept[-1][name] = output.clone()

        return keep

    layers = [(name, m) for name, m in model.named_modules() if not list(m.children())]
    handles = [module.register_forward_hook(keeper(name)) for name, module in layers]
    try:
        with torch.inference_mode():
            for batch in batches:
                kept.append({})
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return kept


def traced(model: nn.Module, batches: Iterable[Tensor]) -> list[Any]:
    import torchlens

    with torch.no_grad():
        return [torchlens.trace(model, batch) for batch in batches]


@functools.cache
def ways() -> dict[str, Way]:
    found: dict[str, Way] = {"plain": plain_pass, "measure": measuring_pass, "hooks that store": stored}
    with contextlib.suppress(PackageNotFoundError):
        version("torchlens")
        found["torchlens"] = traced
    return found


# ----------------------------------------------------------------------------------------------- the networks


def network(name: str, blocks: int) -> nn.Module:
    """A network whose running statistics were updated once, so that `measure` uses them as the plain pass does."""
    torch.manual_seed(0)
    if name == "ours":
        model, channels = ResidualNetwork(blocks), 1
    else:
        import torchvision

        model, channels = torchvision.models.get_model(name, weights=None), 3
    with torch.no_grad():
        model.train()(torch.randn(2, channels, 32, 32))
    return model.eval()


def images(case: dict[str, Any]) -> Iterable[Tensor]:
    """Batches that are made one by one, as a loader does."""
    generator = torch.Generator().manual_seed(1)
    channels = 1 if case["network"] == "ours" else 3
    for _ in range(case["batches"]):
        yield torch.randn(case["batch"], channels, case["side"], case["side"], generator=generator)


# ----------------------------------------------------------------------------------------------- time


def in_turns(case: dict[str, Any], way: Way, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of the plain pass and of a way, round by round; a first round warms up and does not count."""
    model, batches = network(case["network"], case["blocks"]), list(images(case))
    seconds: list[list[float]] = []
    for _ in range(rounds + 1):
        seconds.append([])
        for run in (plain_pass, way):
            start = time.perf_counter()
            run(model, batches)
            seconds[-1].append(time.perf_counter() - start)
    before, taken = zip(*seconds[1:], strict=True)
    return list(before), list(taken)


def time_case(case: dict[str, Any], rounds: int, rounds_of_others: int) -> dict[str, Any]:
    """Every way beside the plain pass: medians over rounds of its seconds and of its ratio to the pass next to it."""
    rows = {}
    for name, way in ways().items():
        count = rounds if way in (plain_pass, measuring_pass) else rounds_of_others
        before, taken = in_turns(case, way, count)
        ratios = [t / b for t, b in zip(taken, before, strict=True)]
        rows[name] = {
            "rounds": count,
            "seconds": statistics.median(taken),
            "ratio": statistics.median(ratios),
            "ratio_low": min(ratios),
            "ratio_high": max(ratios),
        }
        print(f"{case['network']}, {name}: {rows[name]}", file=sys.stderr)
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


def child(case: dict[str, Any]) -> None:
    """One way over the batches in this process; prints the peak above the start, in bytes."""
    model, way = network(case["network"], case["blocks"]), ways()[case["way"]]
    tiny = {**case, "batch": 2, "batches": 1, "side": 16}
    way(model, images(tiny))  # what is loaded and compiled on first use is no memory of the measurement
    forget_peak()
    before = resident("VmRSS")
    kept = way(model, images(case))
    print(json.dumps({"above_start_bytes": resident("VmHWM") - before}))
    del kept


# By default glibc keeps freed blocks of up to 32 MiB for later, and small tensors that stay hold on to space
# between large ones that go. With a fixed threshold large blocks go back at once: the peak is then what was alive.
ALLOCATORS = {"gives back at once": {"MALLOC_MMAP_THRESHOLD_": "65536"}, "default": {}}


def peaks_of(case: dict[str, Any], way: str, processes: int) -> list[int]:
    """Bytes, of each of some fresh processes."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | ALLOCATORS[case["allocator"]]
    command = [sys.executable, str(Path(__file__).resolve()), "--child", json.dumps({**case, "way": way})]
    peaks = []
    for _ in range(processes):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        peaks.append(json.loads(done.stdout.splitlines()[-1])["above_start_bytes"])
    words = (f"{case[key]} {key}" for key in ("network", "blocks", "batches", "allocator"))
    print(f"{', '.join(words)}, {way}: {peaks}", file=sys.stderr)
    return peaks


def memory_case(case: dict[str, Any], others: bool, processes: int) -> dict[str, Any]:
    names = [name for name in ways() if others or name in ("plain", "measure")]
    peaks = {name: peaks_of(case, name, processes) for name in names}
    plain_peak = int(statistics.median(peaks["plain"]))
    state = case["batch"] * 16 * case["side"] ** 2 * 4 if case["network"] == "ours" else None
    rows = {
        name: {
            "peaks_bytes": each,
            "peak_bytes": int(statistics.median(each)),
            "above_plain_bytes": int(statistics.median(each)) - plain_peak,
            "highest_above_plain_bytes": max(each) - plain_peak,
        }
        for name, each in peaks.items()
    }
    return {**case, "processes": processes, "state_bytes": state, "ways": rows}


# ----------------------------------------------------------------------------------------------- all of it


def cases(quick: bool) -> tuple[list[dict[str, Any]], list[tuple[dict[str, Any], bool]]]:
    """(cases that are timed, cases whose memory is taken, with whether the ways that keep everything take part)."""
    once, default = ALLOCATORS
    if quick:
        small = {"network": "ours", "blocks": 3, "batch": 4, "side": 16, "batches": 1}
        resnet = {**small, "network": "resnet18", "blocks": 5, "side": 32}
        return [small, resnet], [({**small, "allocator": once}, False)]
    ours = {"network": "ours", "blocks": 100, "batch": 128, "side": 28, "batches": 1}
    timed = [ours, {"network": "resnet50", "blocks": 12, "batch": 16, "side": 224, "batches": 1}]
    sizes = ((30, 1), (300, 1), (30, 8))  # blocks, batches
    weighed = [
        ({**ours, "batch": 64, "blocks": blocks, "batches": batches, "allocator": allocator}, others)
        for allocator in (once, default)
        for blocks, batches in sizes
        for others in [allocator == once and blocks == 30]
    ]
    return timed, weighed


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of("measurement", str(__doc__))
    parser.add_argument("--rounds", type=int, default=7, help="of the timing (7)")
    parser.add_argument("--processes", type=int, default=3, help="for each number of memory (3)")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parsed(parser, arguments)
    if options.child:
        child(options.child)
        return 0
    if "torchlens" not in ways():
        print("torchlens is not installed and left out (pip install torchlens)", file=sys.stderr)
    rounds, processes = (1, 1) if options.quick else (options.rounds, options.processes)
    rounds_of_others = 1 if options.quick else 3  # they are slow, and their ratios far from one
    result = provenance(options.quick)
    result["versions"] |= {"torchlens": version("torchlens")} if "torchlens" in ways() else {}
    timed, weighed = cases(options.quick)
    result["time"] = [time_case(case, rounds, rounds_of_others) for case in timed]
    result["memory"] = [memory_case(case, others, processes) for case, others in weighed]
    write_result(result, options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
