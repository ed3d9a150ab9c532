"""Formulas of the table's values, from the scalars of one batch, with checks that refuse wrong values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from resperturb.errors import ActivationError, MeasurementError
from resperturb.measurement.moments import VALUES
from resperturb.measurement.recorder import RecordedAddition

RECONSTRUCTION_LIMIT = 1e-5


def describe(number: int, row: RecordedAddition) -> str:
    return f"addition {number + 1} ({row.kind}, {row.name})"


def sample_values(rows: Sequence[RecordedAddition], scalars: np.ndarray, samples: int, apart: bool) -> np.ndarray:
    """Compute the values of one batch, float64, shape (rows, VALUES, samples); rows have slices of `scalars`.

    With norms per channel or token (`apart`), those with a zero state are left out of a sample's mean. Raises the first
    of :func:`row_errors`.
    """
    values = np.empty((len(rows), len(VALUES), samples))
    by_size: dict[int, list[int]] = {}  # rows with equal numbers of tokens or channels are computed together
    for number, row in enumerate(rows):
        by_size.setdefault(row.xx.stop - row.xx.start, []).append(number)

    def gather(slices: list[slice]) -> np.ndarray:
        return np.stack([scalars[part] for part in slices]).reshape(len(slices), samples, -1)

    errors: dict[int, MeasurementError] = {}
    for members in by_size.values():
        group = [rows[number] for number in members]
        sums = [gather([getattr(row, name) for row in group]) for name in ("xx", "ff", "xf", "total")]
        xx, ff, xf, total = sums
        probe = np.array([np.sqrt(scalars[row.probe.start]) for row in group])  # ‖sum - (x + f)‖ of one sample
        probe /= np.maximum(np.sqrt([scalars[row.probe.start + 1] for row in group]), np.finfo(np.float32).tiny)
        a = np.array([row.state_factor for row in group])[:, None, None]
        b = np.array([row.factor for row in group])[:, None, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # row_errors refuses what is not finite
            size = a * a * xx + b * b * ff
            expected = size + 2 * a * b * xf  # ‖a x + b f‖²
            error = np.where(size > 0, np.abs(total - expected) / (2 * size), 0.0)
            error = np.maximum(error, probe[:, None, None])
            moved = (a - 1) ** 2 * xx + 2 * (a - 1) * b * xf + b * b * ff  # ‖(a x + b f) - x‖²
        errors |= row_errors(members, group, sums, error, apart)
        after = total.copy()
        for position, row in enumerate(group):
            if row.step is not None and row.next_state is not None:
                moved[position], after[position] = gather([row.step, row.next_state])
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            state, f = np.abs(a) * np.sqrt(xx), np.abs(b) * np.sqrt(ff)
            scaled = np.where(xx > 0, f / state, np.nan)
            cosine = np.where(ff > 0, np.sign(a * b) * xf / np.sqrt(xx * ff), np.nan)
            # 1 - cos(x, x') = (‖x' - x‖² - (‖x'‖ - ‖x‖)²) / (2 ‖x‖ ‖x'‖) is exact for small steps; 1 - x·x' is not
            gap = moved - (np.sqrt(after) - np.sqrt(xx)) ** 2
            influence = np.where(after > 0, gap.clip(0) / (2 * np.sqrt(xx * after)), np.nan)
            step = np.where(xx > 0, np.sqrt(np.maximum(moved, 0) / xx), np.nan)
            successive = np.full_like(xx, np.nan)
            for position, row in enumerate(group):
                if row.successive is not None and row.previous is not None:
                    product, before = gather([row.successive, row.previous])
                    both = before * ff[position]
                    successive[position] = np.where(both > 0, product / np.sqrt(both), np.nan)
        columns = (state, f, scaled, cosine, step, influence, successive)
        for column, value in enumerate(columns):
            defined = np.isfinite(value)
            count = defined.sum(-1)
            total_of_defined = np.where(defined, value, 0).sum(-1)
            values[members, column] = np.where(count > 0, total_of_defined / np.maximum(count, 1), np.nan)
        values[members, -1] = error.max(axis=(1, 2))[:, None]
    if errors:
        raise errors[min(errors)]
    return values


def row_errors(
    members: Sequence[int],
    rows: Sequence[RecordedAddition],
    sums: Sequence[np.ndarray],
    error: np.ndarray,
    apart: bool,
) -> dict[int, MeasurementError]:
    """Return the errors of rows with wrong or undefined values, by row number."""
    errors: dict[int, MeasurementError] = {}
    finite, *others = (np.isfinite(values).all((1, 2)) for values in sums)
    all_finite = np.all([finite, *others], axis=0)
    zero = (sums[0] == 0).all(2).any(1) if apart else (sums[0] == 0).any((1, 2))
    for position, (number, row) in enumerate(zip(members, rows, strict=True)):
        limit = max(RECONSTRUCTION_LIMIT, 2 * torch.finfo(row.dtype).eps)
        if not all_finite[position]:
            what = "perturbation" if finite[position] else "state"
            errors[number] = ActivationError(
                f"The {what} of {describe(number, row)} is not finite (NaN, infinite, or a norm above 1e19, too large"
                " to square), the first in the network; check the weights and the inputs."
            )
        elif zero[position]:
            errors[number] = ActivationError(
                f"The state that enters {describe(number, row)} is zero in a sample, so ‖f‖ / ‖x‖ does not exist; leave"
                " such samples out."
            )
        elif not error[position].max() < limit:
            errors[number] = MeasurementError(
                f"In {describe(number, row)}, x + f differs from what the model went on with by"
                f" {error[position].max():.1e} (relative; at most {limit:.0e} is allowed): the numbers would be wrong."
                " Please report this model."
            )
    return errors
