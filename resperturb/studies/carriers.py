"""What makes the perturbations of a trained network small: its weights, or the scales of its batch normalisations?

In a pre-activation branch f(x) = W2 relu(n2(W1 relu(n1(x)))), n2 undoes whatever size W1 has, so two things set the
size of f: the gains of n2, and the weights W2. In a post-activation branch, n2(W2 relu(n1(W1 x))), the gains of n2 set
it alone. Both are read off the network before and after training, block by block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import Tensor, nn

from resperturb.measurement.measure import measurement
from resperturb.models.residual import ResidualNetwork, network_of
from resperturb.studies.base import Report, Tables, TrainedStudy, accuracy_row, sections_of, train_network


@dataclass(frozen=True, kw_only=True)
class Carriers(TrainedStudy):
    """The sizes of weights and gains in one network, before and after training."""

    kind: ClassVar[str] = "carriers"
    name_fields: ClassVar[tuple[str, ...]] = ("dataset", "block", "blocks")

    def conduct(self, report: Report) -> Tables:
        """network: one row. blocks: a row per block and moment."""
        drawn = network_of(self.experiment, channels=3 if self.dataset == "cifar10" else 1)
        network, images, training = train_network(self.experiment, report)
        x = images.test_images[: self.measured_images]
        parts = [branch_sizes(drawn, x).assign(moment="initialization"), branch_sizes(network, x).assign(moment="end")]
        return {
            "network": pd.DataFrame([accuracy_row(network, images, training, self.precision)]),
            "blocks": pd.concat(parts, ignore_index=True),
        }


def branch_sizes(network: ResidualNetwork, images: Tensor) -> pd.DataFrame:
    """A row per block: section, scaled, absolute, state; gain1 and gain2, the root mean square of the gains of its two
    batch normalisations; weight1 and weight2, the root mean square over filters of the norm of a filter."""
    table = measurement(network, [images]).table
    identity = table[table["kind"] == "identity"]
    rows = []
    for block in (block for section in sections_of(network) for block in section):
        norms = [layer for layer in block.branch if isinstance(layer, nn.BatchNorm2d)]
        weights = [layer for layer in block.branch if isinstance(layer, nn.Conv2d)]
        row = {f"gain{place}": root_mean_square(norm.weight) for place, norm in enumerate(norms, start=1)}
        row |= {
            f"weight{place}": root_mean_square(layer.weight.flatten(1).norm(dim=1))
            for place, layer in enumerate(weights, start=1)
        }
        rows.append(row)
    columns = {"block": "block", "section": "section", "scaled": "scaled", "perturbation_norm": "absolute"}
    measured = identity[[*columns, "state_norm"]].rename(columns={**columns, "state_norm": "state"})
    return pd.concat([measured.reset_index(drop=True), pd.DataFrame(rows)], axis=1)


def root_mean_square(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values.detach()) / values.numel() ** 0.5)
