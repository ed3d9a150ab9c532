"""Where a result comes from: versions, processor, commit. Nothing here names the machine or its user."""

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
    """Versions of Python and of the packages a result can depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    import torch

    found["torch"] = str(torch.__version__)  # with the build's suffix, which the installed version lacks
    return found


def processor() -> str:
    """The processor's model name, as the system gives it."""
    with suppress(OSError):  # no Linux: the platform module is all there is
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def git_commit(kind: str = "run") -> dict[str, Any]:
    """The commit of this checkout, and whether the sources that decide a run or a study differ; {} outside of one."""
    if not (commit := ask_git(PACKAGE, "rev-parse", "HEAD")):
        return {}
    changed = ask_git(PACKAGE, "status", "--porcelain", "--", *map(str, deciding_files(kind)))
    return {"commit": commit, "modified": bool(changed)}


def ask_git(folder: Path, *words: str) -> str:
    """The answer of git in a folder; "" where there is no checkout, or no git."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def peak_memory(device: torch.device) -> int:
    """Bytes: the most this process has held since it started, on the GPU for a run there."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def machine(device: torch.device) -> dict[str, Any]:
    """Processor, cores and threads; the GPU where one was used."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }
