"""Mean, spread and quantiles of values per sample, accumulated batch by batch: the columns of the table."""

from __future__ import annotations

import numpy as np

QUANTILES = (0.05, 0.25, 0.50, 0.75, 0.95)
QUANTILE_SAMPLES = 16384  # stored per block; of more samples only every second, fourth ... is kept
SPREAD = ("state_norm", "perturbation_norm", "scaled")  # columns with quantiles
VALUES = (*SPREAD, "cosine", "step_scaled", "influence", "successive_cosine", "reconstruction_error")


class Moments:
    """Mean, spread and quantiles over samples of arrays of shape (rows, VALUES, samples), added batch by batch."""

    def __init__(self) -> None:
        self.samples = 0
        self._stride = 1
        self._thinned: list[np.ndarray] = []
        self._scaled: list[np.ndarray] = []
        self._largest_error = np.array(0.0)
        self._count = self._mean = self._squares = np.array(0.0)

    def add(self, values: np.ndarray, identity: np.ndarray) -> None:
        defined = np.isfinite(values)
        count = defined.sum(-1)
        mean = np.where(defined, values, 0).sum(-1) / np.maximum(count, 1)
        squares = (np.where(defined, values - mean[..., None], 0) ** 2).sum(-1)
        # Joins the moments of two sets (Chan, Golub & LeVeque 1983), without the cancellation of E x² - (E x)².
        joint = np.maximum(self._count + count, 1)
        shift = mean - self._mean
        self._squares = self._squares + squares + shift**2 * self._count * count / joint
        self._mean = self._mean + shift * count / joint
        self._count = self._count + count
        self._largest_error = np.maximum(self._largest_error, values[:, -1].max(-1))
        self._scaled.append(
            values[identity, SPREAD.index("scaled")].mean(0) if identity.any() else values[0, 0] * np.nan
        )
        first = -self.samples % self._stride
        self._thinned.append(values[:, : len(SPREAD), first :: self._stride].astype(np.float32))
        self.samples += values.shape[-1]
        if self.samples > QUANTILE_SAMPLES * self._stride:
            self._thinned = [np.concatenate(self._thinned, -1)[..., ::2]]
            self._stride *= 2

    def columns(self) -> dict[str, np.ndarray]:
        mean = np.where(self._count > 0, self._mean, np.nan)
        std = np.where(self._count > 0, np.sqrt(self._squares / np.maximum(self._count, 1)), np.nan)
        thinned = np.concatenate(self._thinned, -1).astype(np.float64)
        table: dict[str, np.ndarray] = {}
        for column, name in enumerate(VALUES):
            table[name] = mean[:, column]
            if name in (*SPREAD, "cosine"):
                table[f"{name}_std"] = std[:, column]
            if name in SPREAD:
                for q, value in zip(QUANTILES, np.quantile(thinned[:, column], QUANTILES, axis=-1), strict=True):
                    table[f"{name}_q{round(100 * q):02d}"] = value
        table["reconstruction_error"] = self._largest_error
        return table

    def scaled_per_sample(self) -> np.ndarray:
        return np.concatenate(self._scaled)
