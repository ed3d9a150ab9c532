"""Which blocks of a trained network can be removed? Each one alone, all dead ones, and many live ones together.

A residual network without a block is still a network: the state goes past the gap unchanged (Veit, Wilber and Belongie
2016, arXiv 1605.06431). A block is dead if what it adds hardly depends on the image. Dead and live blocks are kept
apart, and nothing is trained again after a removal.
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

WAYS = {"scaled": "scaled", "added loss": "added_loss"}  # to choose blocks, and the column that is smallest
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the live blocks, removed together


@dataclass(frozen=True, kw_only=True)
class Lesion(TrainedStudy):
    """One trained network, without each of its blocks, without its dead ones, and without many of its live ones."""

    kind: ClassVar[str] = "lesion"
    name_fields: ClassVar[tuple[str, ...]] = ("dataset", "block", "blocks")

    draws: int = 5  # random sets of live blocks for each number that is removed
    least_variation: float = 0.02  # of a live block: standard deviation of ‖f(x)‖ over images, over its mean

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(("draws", 1))
        object.__setattr__(self, "least_variation", finite("least_variation", self.least_variation, above=0.0))

    def conduct(self, report: Report) -> Tables:
        """network: one row. blocks: a row per block, removed alone. pruning: a row per set that is removed together."""
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
    """Scores (N, classes) of a network from the state x on that enters its layer `first`, some blocks left out."""
    for layer in network.layers()[first:]:
        if layer not in without:
            x = layer(x)
    return network.classify(x)


@torch.no_grad()
def lesion_each_block(network: ResidualNetwork, images: Tensor, labels: Tensor) -> pd.DataFrame:
    """A row per block, in order: how much loss its absence adds, the accuracy without it, and agreement, how often the
    answer stays that of the whole network. Images (N, C, H, W), labels (N,)."""
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
    """Accuracy without blocks that are removed together: a row per way to choose them, number and draw.

    Ways: "whole" (none removed), "dead" (all dead blocks); of the live blocks, dead ones left in place, those of
    smallest "scaled" perturbation, of least "added loss" alone, and "random" ones. `share` is of the live blocks; for
    "dead" of the dead ones.
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
