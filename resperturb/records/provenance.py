"""Provenance of results: versions, processor, commit. It never names the machine or its user."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resperturb.records.freshness import PACKAGE, deciding_files

if TYPE_CHECKING:
    import torch  # reading records needs none

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "scikit-learn", "resperturb")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    import torch

    found["torch"] = str(torch.__version__)  # unlike the installed version, it names the build
    return found


def processor() -> str:
    """Return the model name of the processor."""
    with suppress(OSError):  # not Linux
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def git_commit(kind: str = "run") -> dict[str, Any]:
    """Return the commit of this checkout and whether deciding files are modified; {} without a checkout."""
    if not (commit := ask_git(PACKAGE, "rev-parse", "HEAD")):
        return {}
    changed = ask_git(PACKAGE, "status", "--porcelain", "--", *map(str, deciding_files(kind)))
    return {"commit": commit, "modified": bool(changed)}


def ask_git(folder: Path, *words: str) -> str:
    """Return the output of git in a folder; "" without a checkout or without git."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def peak_memory(device: torch.device) -> int:
    """Return the peak memory of this process in bytes; for a run on a GPU, that of the GPU."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def machine(device: torch.device) -> dict[str, Any]:
    """Return processor, cores, threads, system, and the GPU if one was used."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }
