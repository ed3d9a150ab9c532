"""Lesions: which blocks of a trained network can be removed, alone or together?

Without a block the state passes unchanged to the next one (Veit, Wilber and Belongie 2016, arXiv 1605.06431). A block
is dead if its perturbation hardly depends on the image; live and dead blocks are removed apart. Networks are not
trained again after a removal.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resperturb.experiment.validation import finite
from resperturb.measurement.measure import measurement
from resperturb.models.residual import Block, ResidualNetwork, Transition
from resperturb.studies.base import Report, Tables, TrainedStudy, accuracy_row, train_network

WAYS = {"scaled": "scaled", "added loss": "added_loss"}  # the column that orders blocks for removal, smallest first
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of live blocks that are removed together


@dataclass(frozen=True, kw_only=True)
class Lesion(TrainedStudy):
    """One trained network without single blocks, without dead blocks, and without many live blocks."""

    kind: ClassVar[str] = "lesion"
    name_fields: ClassVar[tuple[str, ...]] = ("dataset", "block", "blocks")

    draws: int = 5  # random orders of removal
    least_variation: float = 0.02  # of ‖f(x)‖ over images in a live block: standard deviation over mean

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(("draws", 1))
        object.__setattr__(self, "least_variation", finite("least_variation", self.least_variation, above=0.0))

    def conduct(self, report: Report) -> Tables:
        """Train the network and remove blocks.

        Returns:
            network: one row. blocks: a row per block, removed alone. pruning: a row per set of removed blocks.
        """
        network, images, training = train_network(self.experiment, report)
        x, labels = images.test_images[: self.measured_images], images.test_labels[: self.measured_images]
        table = measurement(network, [x]).table
        measured = table[table["kind"] == "identity"].reset_index(drop=True)
        blocks = measured[["block", "section", "scaled"]].copy()
        blocks["variation"] = measured["perturbation_norm_std"] / measured["perturbation_norm"]
        blocks["alive"] = blocks["variation"] >= self.least_variation
        blocks = blocks.join(lesion_each_block(network, x, labels))
        report(f"each of {len(blocks)} blocks removed in turn, {blocks['alive'].sum()} of them alive")
        return {
            "network": pd.DataFrame([accuracy_row(network, images, training, self.precision)]),
            "blocks": blocks,
            "pruning": prune_blocks(network, x, labels, blocks, self.draws, self.seed),
        }


@torch.no_grad()
def scores_from(network: ResidualNetwork, x: Tensor, first: int, without: Collection[Block] = ()) -> Tensor:
    """Compute scores (N, classes) from the input x of layer number `first`, skipping the blocks in `without`."""
    for layer in network.layers()[first:]:
        if layer not in without:
            x = layer(x)
    return network.classify(x)


@torch.no_grad()
def lesion_each_block(network: ResidualNetwork, images: Tensor, labels: Tensor) -> pd.DataFrame:
    """Remove each block alone.

    Args:
        network: the trained network.
        images: shape (N, C, H, W).
        labels: shape (N,).

    Returns:
        A row per block: added_loss, accuracy, and agreement (share of images with an unchanged answer).
    """
    whole = network(images)
    loss, answers = cross_entropy(whole, labels).item(), whole.argmax(1)
    rows: list[dict[str, float]] = []
    for place, step in enumerate(network.states(images)):
        if isinstance(step.layer, Transition):
            continue
        without = scores_from(network, step.state, place + 1)
        rows.append(
            {
                "added_loss": cross_entropy(without, labels).item() - loss,
                "accuracy": (without.argmax(1) == labels).float().mean().item(),
                "agreement": (without.argmax(1) == answers).float().mean().item(),
            }
        )
    return pd.DataFrame(rows)


def prune_blocks(
    network: ResidualNetwork, images: Tensor, labels: Tensor, blocks: pd.DataFrame, draws: int, seed: int
) -> pd.DataFrame:
    """Remove blocks together, dead ones and live ones apart.

    Returns:
        Columns way ("whole": none; "dead": all dead blocks; live blocks by smallest "scaled" perturbation, by smallest
        "added loss", or "random"), removed (number), share (of live blocks; for "dead" of dead ones), draw, accuracy,
        agreement.
    """
    stem = network.stem(images).detach()
    answers = scores_from(network, stem, 0).argmax(1)
    layers = [layer for layer in network.layers() if isinstance(layer, Block)]
    live, dead = np.flatnonzero(blocks["alive"]), np.flatnonzero(~blocks["alive"])
    generator = np.random.default_rng(seed)
    counts = sorted({round(share * len(live)) for share in SHARES} - {0})
    rows = []

    def row(way: str, removed: Sequence[int], among: int, draw: int) -> None:
        predicted = scores_from(network, stem, 0, {layers[number] for number in removed}).argmax(1)
        rows.append(
            {
                "way": way,
                "removed": len(removed),
                "share": len(removed) / max(among, 1),
                "draw": draw,
                "accuracy": (predicted == labels).float().mean().item(),
                "agreement": (predicted == answers).float().mean().item(),
            }
        )

    row("whole", [], len(live), 0)
    if len(dead):
        row("dead", dead.tolist(), len(dead), 0)
    orders = [(way, 0, blocks[column].to_numpy()[live].argsort(kind="stable")) for way, column in WAYS.items()]
    orders += [("random", draw, generator.permutation(len(live))) for draw in range(draws)]
    for way, draw, order in orders:
        for count in counts:
            row(way, live[order[:count]].tolist(), len(live), draw)
    return pd.DataFrame(rows)
