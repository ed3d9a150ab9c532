"""Storage that is full, read-only or fails at one operation, and a clock that jumps."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.kills import copy_record, on_operation
from faults.trials import Facts, Place, aftermath, by_command, in_fork, unclear, wait, wait_until

MIB = 2**20


def failing_operation(place: Place, number: int, expected: Facts, there: Path | None, code: int) -> str | None:
    """An error of the system at every operation on files from one on, as a disk gives it that is full."""

    def fail() -> None:
        raise OSError(code, os.strerror(code))

    options = copy_record(there, place)
    call = in_fork(place, *options, first=on_operation(place.results, number, fail))
    return after_failure(place, wait(call), expected)


def after_failure(place: Place, status: int, expected: Facts) -> str:
    return unclear(place, status) or aftermath(in_fork, place, expected)


@contextmanager
def small_disk(place: Place, size: int) -> Iterator[None]:
    """A file system in memory of `size` bytes in place of the results folder."""
    place.results.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place.results)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place.results)], check=True)


def can_mount(folder: Path) -> bool:
    """Whether this user may mount a file system."""
    try:
        with small_disk(Place(folder, folder), MIB):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def full_disk(place: Place, seed: int, expected: Facts) -> str:
    """A disk with room for a random part of what a run writes; then there is room again."""
    with small_disk(place, 4 * MIB):
        filler = place.results / "filler"
        filler.write_bytes(bytes(4 * MIB - random.Random(seed).randrange(0, MIB // 2)))
        status = wait(in_fork(place))
        filler.unlink()
        return after_failure(place, status, expected)


def read_only(place: Place, seed: int, expected: Facts, seconds: float) -> str:
    """A results folder that cannot be written from a random moment on; then it can again."""

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(place.results)], check=False, capture_output=True)

    with small_disk(place, 16 * MIB):
        chosen = random.Random(seed)
        if chosen.random() < 0.3:
            remount("ro")
        call = in_fork(place)
        wait_until(call, chosen.uniform(0, seconds))
        remount("ro")  # refused while a file is being written
        status = wait(call)
        remount("rw")
        return after_failure(place, status, expected)


def jumping_clock(place: Place, seed: int, expected: Facts) -> str:
    """The time of day jumps by up to ten years, forwards and backwards, some times in a run."""
    chosen, clock = random.Random(seed), place.root / "clock"

    def jump() -> None:
        partial = clock.with_suffix(".new")
        partial.write_text(f"{chosen.uniform(-10, 10):+.3f}y\n")
        partial.replace(clock)

    jump()
    variables = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    call = by_command(place, before=["env", f"LD_PRELOAD={faketime()}"], **variables)
    while call.wait(0.2) is None:
        jump()
    return unclear(place, wait(call)) or aftermath(in_fork, place, expected)


def faketime() -> Path | None:
    """The library that changes the time of day, where it is installed."""
    found = sorted(Path("/usr/lib").glob("**/libfaketime.so.1")) if shutil.which("faketime") else []
    return found[0] if found else None


FULL, READ_ONLY = errno.ENOSPC, errno.EROFS
