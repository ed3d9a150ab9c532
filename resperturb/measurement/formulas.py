"""From the scalars of one batch to the values of the table: its formulas, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from resperturb.errors import ActivationError, MeasurementError
from resperturb.measurement.moments import VALUES
from resperturb.measurement.recorder import Row
from resperturb.measurement.reductions import Place

RECONSTRUCTION_LIMIT = 1e-5


def where(number: int, row: Row) -> str:
    return f"addition {number + 1} ({row.kind}, {row.name})"


def values_of(rows: Sequence[Row], numbers: np.ndarray, samples: int, apart: bool) -> np.ndarray:
    """float64 [rows, VALUES, samples] of one batch.

    Args:
        rows: the additions, in order.
        numbers: the scalars their places refer to.
        samples: in the batch.
        apart: norms are per channel: those of a zero state have no ratio and are left out of their sample's mean.

    Raises:
        ActivationError: a state or perturbation is not finite, or a state is zero.
        MeasurementError: x + f is not what the model went on with.
    """
    values = np.empty((len(rows), len(VALUES), samples))
    by_size: dict[int, list[int]] = {}  # rows of as many tokens or channels, which are computed together
    for number, row in enumerate(rows):
        by_size.setdefault(row.xx[1] - row.xx[0], []).append(number)

    def gathered(places: list[Place]) -> np.ndarray:
        return np.stack([numbers[start:end] for start, end in places]).reshape(len(places), samples, -1)

    refused: dict[int, MeasurementError] = {}
    for members in by_size.values():
        group = [rows[number] for number in members]
        xx, ff, xf, total = (gathered([getattr(row, name) for row in group]) for name in ("xx", "ff", "xf", "total"))
        one = np.array([np.sqrt(numbers[row.one[0]]) for row in group])  # ‖sum - (x + f)‖ of one sample
        one /= np.maximum(np.sqrt([numbers[row.one[0] + 1] for row in group]), np.finfo(np.float32).tiny)
        a = np.array([row.state_factor for row in group])[:, None, None]
        b = np.array([row.factor for row in group])[:, None, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # what is not finite is refused below
            size = a * a * xx + b * b * ff
            expected = size + 2 * a * b * xf  # ‖a x + b f‖²
            error = np.where(size > 0, np.abs(total - expected) / (2 * size), 0.0)
            error = np.maximum(error, one[:, None, None])
            moved = (a - 1) ** 2 * xx + 2 * (a - 1) * b * xf + b * b * ff  # ‖(a x + b f) - x‖²
        refused |= refusals(members, group, xx, ff, xf, total, error, apart)
        after = total.copy()
        for position, row in enumerate(group):
            if row.moved is not None and row.after is not None:
                moved[position], after[position] = gathered([row.moved, row.after])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            state, f = np.abs(a) * np.sqrt(xx), np.abs(b) * np.sqrt(ff)
            scaled = np.where(xx > 0, f / state, np.nan)
            cosine = np.where(ff > 0, np.sign(a * b) * xf / np.sqrt(xx * ff), np.nan)  # of a zero f: undefined
            # 1 - cos(x, x') = (‖x' - x‖² - (‖x'‖ - ‖x‖)²) / (2 ‖x‖ ‖x'‖): exact for small steps, where 1 - x·x' is not
            gap = moved - (np.sqrt(after) - np.sqrt(xx)) ** 2
            influence = np.where(after > 0, gap.clip(0) / (2 * np.sqrt(xx * after)), np.nan)
            step = np.where(xx > 0, np.sqrt(np.maximum(moved, 0) / xx), np.nan)
            successive = np.full_like(xx, np.nan)
            for position, row in enumerate(group):
                if row.successive is not None and row.previous is not None:
                    product, before = gathered([row.successive, row.previous])
                    both = before * ff[position]
                    successive[position] = np.where(both > 0, product / np.sqrt(both), np.nan)
        columns = (state, f, scaled, cosine, step, influence, successive)
        for column, value in enumerate(columns):
            there = np.isfinite(value)
            counted = there.sum(-1)
            summed = np.where(there, value, 0).sum(-1)
            values[members, column] = np.where(counted > 0, summed / np.maximum(counted, 1), np.nan)
        values[members, -1] = error.max(axis=(1, 2))[:, None]
    if refused:
        raise refused[min(refused)]
    return values


def refusals(
    members: Sequence[int],
    rows: Sequence[Row],
    xx: np.ndarray,
    ff: np.ndarray,
    xf: np.ndarray,
    total: np.ndarray,
    error: np.ndarray,
    apart: bool,
) -> dict[int, MeasurementError]:
    """What stands in the way of numbers for these rows, by row."""
    found: dict[int, MeasurementError] = {}
    finite = np.isfinite(xx).all((1, 2))
    others = np.isfinite(ff).all((1, 2)) & np.isfinite(xf).all((1, 2)) & np.isfinite(total).all((1, 2))
    zero = (xx == 0).all((1, 2)) if apart else (xx == 0).any((1, 2))
    for position, (number, row) in enumerate(zip(members, rows, strict=True)):
        limit = max(RECONSTRUCTION_LIMIT, 2 * torch.finfo(row.dtype).eps)
        if not (finite[position] and others[position]):
            what = "perturbation" if finite[position] else "state"
            found[number] = ActivationError(
                f"The {what} of {where(number, row)} is not finite (NaN, infinite, or a norm above 1e19, too large to"
                " square), the first in the network; check the weights and the inputs."
            )
        elif zero[position]:
            found[number] = ActivationError(
                f"The state that enters {where(number, row)} is zero in a sample, so ‖f‖ / ‖x‖ does not exist."
            )
        elif not error[position].max() < limit:
            found[number] = MeasurementError(
                f"In {where(number, row)}, x + f differs from what the model went on with by"
                f" {error[position].max():.1e} (relative; at most {limit:.0e} is allowed): the numbers would be wrong."
                " Please report this model."
            )
    return found
