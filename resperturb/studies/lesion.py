"""Is a block with a small perturbation a useless block? Remove each one from a trained network and see what is lost.

A residual network without a block is still a network: the state goes past it unchanged (Veit, Wilber and Belongie 2016,
arXiv 1605.06431). What is lost is compared with three scores that need no removal: the scaled perturbation; block
influence, 1 - cos(x_l, x_{l+1}) (Men et al. 2024, arXiv 2403.03853); angular distance, arccos(cos) / pi (Gromov et al.
2024, arXiv 2403.17887). Then the k blocks that score lowest are removed together, beside k drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from resperturb.measurement.measure import measurement
from resperturb.models.residual import Block, ResidualNetwork, Transition
from resperturb.studies.base import Report, Tables, TrainedStudy, accuracy_row, train_network

SCORES = ("scaled", "influence", "angular")
SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the blocks, removed together


@dataclass(frozen=True, kw_only=True)
class Lesion(TrainedStudy):
    """One trained network, without each of its blocks and without many of them."""

    kind: ClassVar[str] = "lesion"
    name_fields: ClassVar[tuple[str, ...]] = ("dataset", "block", "blocks")

    draws: int = 5  # random sets of blocks for each number that is removed

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(("draws", 1))

    def conduct(self, report: Report) -> Tables:
        """network: one row. blocks: a row per block. correlations: a row per score. pruning: a row per set removed."""
        network, images, training = train_network(self.experiment, report)
        x, labels = images.test_images[: self.measured_images], images.test_labels[: self.measured_images]
        blocks = lesion_each_block(network, x, labels)
        table = measurement(network, [x]).table
        identity = table[table["kind"] == "identity"].reset_index(drop=True)
        blocks.insert(1, "section", identity["section"])
        blocks["scaled"], blocks["influence"] = identity["scaled"], identity["influence"]
        report(f"each of {len(blocks)} blocks removed in turn")
        return {
            "network": pd.DataFrame([accuracy_row(network, images, training, self.precision)]),
            "blocks": blocks,
            "correlations": correlations(blocks),
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
    """A row per block: loss and accuracy without it, how much loss that adds, how often the answer stays that of the
    whole network, and angular, the mean over images of arccos(cos(x_l, x_{l+1})) / pi."""
    whole = network(images)
    loss, answers = cross_entropy(whole, labels).item(), whole.argmax(1)
    rows: list[dict[str, float]] = []
    for place, step in enumerate(network.states(images)):
        if isinstance(step.layer, Transition):
            continue
        cosine = cosine_similarity(step.state.flatten(1), step.next_state.flatten(1), dim=1).clamp(-1, 1)
        without = scores_from(network, step.state, place + 1)
        lesioned = cross_entropy(without, labels).item()
        rows.append(
            {
                "block": len(rows) + 1,
                "loss": lesioned,
                "added_loss": lesioned - loss,
                "accuracy": (without.argmax(1) == labels).float().mean().item(),
                "agreement": (without.argmax(1) == answers).float().mean().item(),
                "angular": (cosine.double().arccos().mean() / math.pi).item(),
            }
        )
    return pd.DataFrame(rows)


def correlations(blocks: pd.DataFrame) -> pd.DataFrame:
    """A row per score: Spearman's correlation over blocks with the loss added and the answers changed without them."""
    changed = 1 - blocks["agreement"]
    return pd.DataFrame(
        [
            {
                "score": score,
                "added_loss": rank_correlation(blocks[score], blocks["added_loss"]),
                "changed_answers": rank_correlation(blocks[score], changed),
            }
            for score in SCORES
        ]
    )


def rank_correlation(x: pd.Series, y: pd.Series) -> float:
    """Spearman's; NaN where either is constant."""
    if x.nunique() < 2 or y.nunique() < 2:
        return math.nan
    return float(spearmanr(x, y).statistic)


def prune_blocks(
    network: ResidualNetwork, images: Tensor, labels: Tensor, blocks: pd.DataFrame, draws: int, seed: int
) -> pd.DataFrame:
    """Accuracy without the k blocks that score lowest, and without k at random: a row per way, k and draw."""
    stem = network.stem(images).detach()
    answers = scores_from(network, stem, 0).argmax(1)
    layers = [layer for layer in network.layers() if isinstance(layer, Block)]
    generator = np.random.default_rng(seed)
    counts = sorted({round(share * len(blocks)) for share in SHARES} - {0})
    rows = []

    def row(way: str, removed: Sequence[int], draw: int) -> None:
        predicted = scores_from(network, stem, 0, {layers[number] for number in removed}).argmax(1)
        rows.append(
            {
                "way": way,
                "removed": len(removed),
                "share": len(removed) / len(blocks),
                "draw": draw,
                "accuracy": (predicted == labels).float().mean().item(),
                "agreement": (predicted == answers).float().mean().item(),
            }
        )

    row("whole", [], 0)
    for way, column in (*((score, score) for score in SCORES), ("added loss", "added_loss")):
        order = blocks[column].to_numpy().argsort(kind="stable")
        for count in counts:
            row(way, order[:count].tolist(), 0)
    for draw in range(draws):
        order = generator.permutation(len(blocks))
        for count in counts:
            row("random", order[:count].tolist(), draw)
    return pd.DataFrame(rows)
