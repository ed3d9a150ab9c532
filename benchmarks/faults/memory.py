"""Memory that runs out: by a limit of a process's addresses, and by that of a control group.

PyTorch itself may crash on it (std::bad_alloc, a segmentation fault): then the call says nothing, as after SIGKILL.
"""

from __future__ import annotations

import os
import random
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.trials import Facts, Place, aftermath, by_command, in_fork, unclear, wait

MIB = 2**20


def few_addresses(place: Place, seed: int, expected: Facts) -> str:
    """RLIMIT_AS some MiB above what the process has when its run begins."""
    extra = random.Random(seed).randrange(0, 48 * MIB)

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        soft = pages * resource.getpagesize() + extra
        resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))

    return after_limit(place, wait(in_fork(place, first=limit)), expected)


def few_addresses_from_the_start(place: Place, seed: int, expected: Facts, needed: int) -> str:
    """RLIMIT_AS of a command, imports included: a random share of what it needs."""
    kib = random.Random(seed).randrange(needed // 10, needed) // 1024
    status = wait(by_command(place, before=["sh", "-c", f'ulimit -v {kib}; exec "$@"', "sh"]))
    return after_limit(place, status, expected)


def after_limit(place: Place, status: int, expected: Facts) -> str:
    wrong = unclear(place, status) if status > 0 else ""
    return wrong or aftermath(in_fork, place, expected)


def group_root() -> Path | None:
    """Where control groups that limit memory can be made."""
    for place in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        trial = place / f"resperturb-{os.getpid()}"
        try:
            trial.mkdir()
        except OSError:
            continue
        found = any((trial / name).exists() for name in ("memory.max", "memory.limit_in_bytes"))
        trial.rmdir()
        if found:
            return place
    return None


@contextmanager
def control_group(root: Path, name: str, limit: int) -> Iterator[Path]:
    group = root / name
    group.mkdir()
    for file in ("memory.max", "memory.limit_in_bytes"):
        if (group / file).exists():
            (group / file).write_text(str(limit))
    try:
        yield group
    finally:
        for _ in range(50):  # its processes are gone a moment later
            try:
                group.rmdir()
                break
            except OSError:
                time.sleep(0.1)


def small_group(place: Place, seed: int, expected: Facts, root: Path) -> str:
    """A control group too small for the run: the system kills it, and it says nothing."""
    limit = random.Random(seed).randrange(2 * MIB, 40 * MIB)
    with control_group(root, f"resperturb-{os.getpid()}-{seed}", limit) as group:

        def join() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        status = wait(in_fork(place, first=join))
    return after_limit(place, status, expected)
