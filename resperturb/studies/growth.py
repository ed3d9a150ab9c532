"""Growing to the stopping rule: start shallow, insert blocks that start as the identity, stop below epsilon.

The paper's rule picks a depth from a sweep, for which every depth has to be trained. Here one network finds it: train,
measure, and while the average scaled perturbation is not below epsilon, put a new block behind each of the old ones and
train on. A new block starts at f = 0, so the network computes what it did before (Chen, Goodfellow and Shlens 2016,
arXiv 1511.05641, for networks that keep their function while they grow).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import torch
from torch import nn

from resperturb.errors import ExperimentError
from resperturb.experiment.experiment import Experiment
from resperturb.experiment.validation import finite
from resperturb.measurement.measure import measurement
from resperturb.models.residual import Block, ResidualNetwork, initialize, network_of, zero_last_layer
from resperturb.studies.base import Report, Tables, TrainedStudy, sections_of
from resperturb.training.data import load_images
from resperturb.training.loop import evaluate, train


@dataclass(frozen=True, kw_only=True)
class Growth(TrainedStudy):
    """One network, grown. `blocks` is what it starts with; every phase is one cycle of the learning rate."""

    kind: ClassVar[str] = "growth"
    name_fields: ClassVar[tuple[str, ...]] = ("dataset", "block", "epsilon")

    blocks: int = 6
    epsilon: float = 0.05  # the paper names none
    deepest: int = 400  # no network of more blocks is trained

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(("deepest", self.blocks))
        object.__setattr__(self, "epsilon", finite("epsilon", self.epsilon, above=0.0))

    def phase(self, blocks: int, number: int) -> Experiment:
        """The training at one depth. The order of the images differs from phase to phase."""
        return dataclasses.replace(self.experiment, blocks=blocks, seed=self.seed + 1000 * number)

    def conduct(self, report: Report) -> Tables:
        """phases: a row for every depth that was trained. growth: one row, where it ended and what it took."""
        images = load_images(self.experiment, torch.device("cpu"))
        network = network_of(self.experiment, channels=images.channels)
        measured = [images.test_images[: self.measured_images].contiguous(memory_format=torch.channels_last)]
        rows: list[dict[str, float]] = []
        blocks, work = self.blocks, 0.0
        while True:
            training = train(
                network, images, self.phase(blocks, len(rows)), lambda moment: None, report=lambda line: None
            )
            if training.diverged:
                raise ExperimentError(f"training diverged at {blocks} blocks; choose a lower clock.")
            average = float(measurement(network, measured).scaled_per_sample.mean())
            loss, accuracy = evaluate(network, images.test_images, images.test_labels, self.precision)
            work += training.step * self.experiment.batch_size * blocks
            rows.append(
                {
                    "phase": len(rows) + 1,
                    "blocks": blocks,
                    "scaled": average,
                    "product": blocks * average,
                    "accuracy": accuracy,
                    "loss": loss,
                    "block_images": work,  # training images times blocks they went through, so far
                    "seconds": training.seconds,
                }
            )
            report(f"{blocks:4d} blocks: average scaled perturbation {average:.4f}, accuracy {accuracy:.4f}")
            if average < self.epsilon or 2 * blocks > self.deepest:
                break
            network, blocks = double_blocks(network, self.experiment, len(rows)), 2 * blocks
        last = rows[-1]
        end = {
            "epsilon": self.epsilon,
            "found": last["scaled"] < self.epsilon,
            "blocks": last["blocks"],
            "not_yet_below": rows[-2]["blocks"] if len(rows) > 1 else 0,
            "scaled": last["scaled"],
            "accuracy": last["accuracy"],
            "block_images": last["block_images"],
            "seconds": sum(row["seconds"] for row in rows),
        }
        return {"phases": pd.DataFrame(rows), "growth": pd.DataFrame([end])}


def double_blocks(network: ResidualNetwork, experiment: Experiment, number: int) -> ResidualNetwork:
    """Put a new block with f = 0 behind each block, in place: twice the blocks, the same function.

    The experiment's seed and the number of the phase decide the new weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(experiment.seed + 1000 * number)
        for place, section in enumerate(sections_of(network)):
            pairs: list[Block] = []
            for old in section:
                new = Block(
                    experiment.width * 2**place,
                    kind=experiment.block,
                    norm=experiment.normalization,
                    scale=experiment.branch_scale,
                ).apply(initialize)
                zero_last_layer(new.branch)
                pairs += [old, new]
            network.sections[place] = nn.Sequential(*pairs)
    return network
