"""Published networks, measured by the package and by an explicit forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchvision import datasets

from resperturb.experiment.validation import one_of
from resperturb.measurement.measure import measure
from resperturb.models.published import DEVIATION, MEAN, NETWORKS, PublishedNetwork, load_published
from resperturb.studies.base import Report, Study, Tables
from resperturb.training.data import check_files, data_folder, fetch
from resperturb.training.loop import evaluate


@dataclass(frozen=True, kw_only=True)
class Published(Study):
    """One published network on the first test images of CIFAR-10."""

    kind: ClassVar[str] = "published"
    name_fields: ClassVar[tuple[str, ...]] = ("network",)

    network: str = "resnet20"  # one of resperturb.models.published.NETWORKS
    measured_images: int = 1000  # test images for perturbations; accuracy uses all

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("network", self.network, tuple(NETWORKS))
        self.check(("measured_images", 1))

    def conduct(self, report: Report) -> Tables:
        """Measure the network.

        Returns:
            network: one row. blocks: the table of :func:`resperturb.measure` with the column explicit, the scaled
            perturbation from an explicit forward pass in float64.
        """
        images, labels = test_images()
        network = load_published(self.network, data_folder())
        loss, accuracy = evaluate(network, images, labels)
        measured = images[: self.measured_images]
        table = measure(network, measured.split(250))
        table["explicit"] = explicit_ratios(network, measured)
        report(f"{self.network}: accuracy {accuracy:.4f}, {int((table['kind'] == 'identity').sum())} blocks")
        return {
            "network": pd.DataFrame([{"accuracy": accuracy, "loss": loss, "test_images": len(images)}]),
            "blocks": table,
        }


def test_images() -> tuple[Tensor, Tensor]:
    """Load the test images of CIFAR-10, standardised as in training, (10000, 3, 32, 32) float32, and their labels."""
    folder = data_folder()
    fetch("cifar10", folder)
    check_files("cifar10", folder)
    stored = datasets.CIFAR10(folder, train=False)
    pixels = torch.from_numpy(stored.data).permute(0, 3, 1, 2).float() / 255
    images = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    return images, torch.tensor(stored.targets)


@torch.no_grad()
def explicit_ratios(network: PublishedNetwork, images: Tensor) -> np.ndarray:
    """Compute the mean of ‖f(x)‖ / ‖s(x)‖ over images for every addition, explicitly in float64; shape (additions,)."""
    wide = PublishedNetwork(len(network.blocks()) // 3).double().eval()
    wide.load_state_dict(network.state_dict())
    parts = []
    for batch in images.double().split(250):
        x, ratios = wide.stem(batch), []
        for block in wide.blocks():
            f, carried = block.branch(x), block.shortcut(x)
            ratios.append(f.flatten(1).norm(dim=1) / carried.flatten(1).norm(dim=1))
            x = torch.relu(carried + f)
        parts.append(torch.stack(ratios, dim=1))
    return torch.cat(parts).mean(dim=0).numpy()
