"""Checks of what a user gives, with messages that name the nearest right word."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any

from resperturb.errors import ExperimentError


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
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"the parameters are {', '.join(known)}."
            raise ExperimentError(f"unknown parameter {name}; {hint}")


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ExperimentError(f"{name} must be one of {', '.join(allowed)}, but got {value!r}{hint}")


def whole_number(name: str, value: Any, low: int) -> int:
    """`value` as an int if it is a whole number (3, 3.0 or NumPy's), at least `low`."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value != int(value) or value < low:
        raise ExperimentError(f"{name} must be a whole number of at least {low}, but got {value!r}.")
    return int(value)


def finite(name: str, value: Any, *, above: float | None = None, at_least: float | None = None) -> float:
    """`value` as a float if it is finite and within its bound."""
    bound = f" above {above:g}" if above is not None else f" of at least {at_least:g}" if at_least is not None else ""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if (
        not real
        or not math.isfinite(value)
        or (above is not None and value <= above)
        or (at_least is not None and value < at_least)
    ):
        raise ExperimentError(f"{name} must be a finite number{bound}, but got {value!r}.")
    return float(value)
