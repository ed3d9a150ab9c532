"""The scaled perturbation before training, by normalisation and branch scale, at depths up to 1000.

Theory for a stream x_{l+1} = x_l + s f(x_l) of one section with random directions of f: He initialisation gives f the
norm of its input; batch normalisation gives f a norm that does not depend on its input.

- Batch normalisation: ‖f‖ is constant and every block adds ‖f‖² to ‖x‖². So the ratio at block l is 1/sqrt(l) (De &
  Smith 2020, arXiv 2002.10444, section 3), and its mean over L blocks falls as L^(-1/2).
- No normalisation: ‖f‖ / ‖x‖ is the same in every block (exponent 0), and ‖x‖ grows exponentially.
- No normalisation and s = 1/sqrt(L) or 1/L (Marion et al. 2022, arXiv 2206.06929): s times that ratio, with exponents
  -1/2 and -1.
- Branches that start at zero (ReZero, SkipInit, Fixup, zero gamma): 0 at every depth, so a trained network's exponent
  comes from training alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from resperturb.analysis.theory import VARIANTS, theory_ratios
from resperturb.errors import ActivationError, ExperimentError
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.validation import one_of, whole_number
from resperturb.measurement.measure import measurement
from resperturb.models.residual import ResidualNetwork
from resperturb.studies.base import Report, Study, Tables
from resperturb.training.data import load_images


@dataclass(frozen=True, kw_only=True)
class Initialization(Study):
    """Networks of one variant at many depths, measured at initialisation."""

    kind: ClassVar[str] = "initialization"
    name_fields: ClassVar[tuple[str, ...]] = ("dataset", "variant")

    dataset: str = "digits"
    variant: str = "batch-norm"
    depths: tuple[int, ...] = (6, 15, 30, 60, 100, 300, 1000)
    sections: int = 1  # theory holds for one section
    width: int = 16
    measured_images: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("variant", self.variant, tuple(VARIANTS))
        self.check(("sections", 1), ("width", 1), ("measured_images", 2))
        if not isinstance(self.depths, list | tuple) or not self.depths:
            raise ExperimentError(f"depths must be a list of whole numbers such as [6, 15], but got {self.depths!r}.")
        depths = tuple(whole_number("depths", depth, self.sections) for depth in self.depths)
        object.__setattr__(self, "depths", depths)

    def conduct(self, report: Report) -> Tables:
        """Measure the networks.

        Returns:
            averages: a row per depth, without values if activations overflow float32. blocks: a row per block.
        """
        variant = VARIANTS[self.variant]
        stride = 1 if self.dataset == "digits" else 2
        plain = Experiment(dataset=self.dataset, measured_images=self.measured_images, stem_stride=stride)
        data = load_images(plain)
        images = data.test_images[: self.measured_images]
        averages: list[dict[str, float]] = []
        blocks: list[pd.DataFrame] = []
        for depth in self.depths:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                network = ResidualNetwork(
                    depth, sections=self.sections, width=self.width, norm=variant.norm, channels=data.channels,
                    stem_stride=stride, branch_scale=depth**variant.power, initialization=variant.start,
                )  # fmt: skip
            try:
                table = measurement(network, [images]).table
            except ActivationError as error:
                report(f"{depth:5d} blocks: {error}")
                averages.append({"blocks": depth, "finite": False})
                continue
            identity = table[table["kind"] == "identity"]
            state = identity["state_norm"].to_numpy()
            averages.append(
                {
                    "blocks": depth,
                    "finite": True,
                    "scaled": identity["scaled"].mean(),
                    "absolute": identity["perturbation_norm"].mean(),
                    "first": identity["scaled"].iloc[0],
                    "growth": (state[-1] / state[0]) ** (1 / max(depth - 1, 1)) if self.sections == 1 else math.nan,
                    "state_ratio": state[-1] / state[0],
                    "theory": float(np.mean(theory_ratios(variant, depth, identity["scaled"].iloc[0]))),
                }
            )
            kept = identity[["block", "section", "state_norm", "perturbation_norm", "scaled", "cosine"]]
            blocks.append(kept.assign(blocks=depth))
            report(f"{depth:5d} blocks: average scaled perturbation {averages[-1]['scaled']:.4g}")
        return {"averages": pd.DataFrame(averages), "blocks": pd.concat(blocks, ignore_index=True)}
