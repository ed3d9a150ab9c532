"""Checks of what a user gives, with messages that name the nearest right word."""

from __future__ import annotations

import difflib
import numbers
import sys
from collections.abc import Iterable
from typing import Any

from resperturb.errors import ExperimentError, shown

LARGEST = 2**63 - 1  # what a seed or a size may be in PyTorch and NumPy


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like `name`, if any does."""
    known = list(known)
    contained = [k for k in known if k in name.split("_")]  # block_count: 'blocks' is nearer than 'block'
    plural = [f"{c}s" for c in contained if f"{c}s" in known]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return next(iter(plural + contained + close), None)


def reject_unknown(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the first of `names` that is not `known`, with the nearest one that is."""
    known = list(known)
    for name in names:
        if name not in known:
            near = nearest(str(name), known)
            hint = f"did you mean {near}?" if near else f"the parameters are {', '.join(known)}."
            said = shown(name).strip("'")
            raise ExperimentError(f"unknown parameter {said}; {hint}")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        near = difflib.get_close_matches(value, allowed, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ExperimentError(f"{name} must be one of {', '.join(allowed)}, but got {shown(value)}{hint}")


def whole_number(name: str, value: Any, low: int) -> int:
    """`value` as an int if it is a whole number (3, 3.0 or NumPy's), at least `low`."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not low <= value <= LARGEST or value != int(value):  # NaN is in no range
        most = f" and at most {LARGEST}" if real and value > LARGEST else ""
        raise ExperimentError(f"{name} must be a whole number of at least {low}{most}, but got {shown(value)}.")
    return int(value)


def finite(name: str, value: Any, *, above: float | None = None, at_least: float | None = None) -> float:
    """`value` as a float if it is finite and within its bound."""
    bound = f" above {above:g}" if above is not None else f" of at least {at_least:g}" if at_least is not None else ""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if (
        not real
        or not abs(value) <= sys.float_info.max  # math.isfinite fails where a whole number is larger
        or (above is not None and value <= above)
        or (at_least is not None and value < at_least)
    ):
        raise ExperimentError(f"{name} must be a finite number{bound}, but got {shown(value)}.")
    return float(value)
