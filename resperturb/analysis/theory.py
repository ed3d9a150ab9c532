"""Theory of the scaled perturbation at initialisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Variant:
    """A kind of initialisation with the exponent that theory gives.

    Attributes:
        norm, start: `norm` and `initialization` of :class:`resperturb.models.residual.ResidualNetwork`.
        power: the branch scale is L ** power.
        exponent: exponent of the average over depth; None if the average is zero.
        source: source of the exponent.
        label: name in figures and tables.
    """

    norm: str
    start: str
    power: float
    exponent: float | None
    source: str
    label: str


VARIANTS = {
    "batch-norm": Variant("batch", "he", 0.0, -0.5, "De & Smith 2020", "batch normalisation"),
    "plain": Variant("none", "he", 0.0, 0.0, "this book", "no normalisation"),
    "root": Variant("none", "he", -0.5, -0.5, "Marion et al. 2022", "no normalisation, branches × 1/√L"),
    "inverse": Variant("none", "he", -1.0, -1.0, "Marion et al. 2022", "no normalisation, branches × 1/L"),
    "zero": Variant("batch", "zero", 0.0, None, "Goyal et al. 2017", "branches that start at zero"),
}


def theory_ratios(variant: Variant, depth: int, first: float) -> np.ndarray:
    """Predict the scaled perturbation of each block of one section from that of the first; shape (depth,)."""
    if variant.start == "zero":
        return np.zeros(depth)
    if variant.norm == "batch":  # ‖x_l‖² = ‖x_1‖² + (l - 1) ‖f‖²
        before = np.arange(depth)
        return first / np.sqrt(1 + before * first**2)
    return np.full(depth, first)
