"""The way from input to output: is it straight, how long is it, and does it lead downhill?

For the states x_1 ... x_{n+1} of a section and its steps x_{l+1} - x_l:

- straightness ‖x_{n+1} - x_1‖ / sum of ‖x_{l+1} - x_l‖: 1 on a line, about 1/sqrt(n) for steps in random directions.
  Li and Papyan (2023, arXiv 2401.09018, RA1) report states equispaced on a line;
- evenness, the coefficient of variation of the steps' lengths: 0 for equal steps;
- cosine of successive perturbations, f_l and f_{l+1};
- cosine of f_l with minus the gradient of the loss by x_l: positive where a block moves its state downhill (Jastrzebski
  et al. 2018, arXiv 1710.04773, section 4).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from resperturb.models.residual import ResidualNetwork, ResidualStep, Transition, network_of
from resperturb.studies.base import Report, Tables, TrainedStudy, accuracy_row, train_network

TRAJECTORY_POINTS = 40  # points at most on each trajectory of the picture


@dataclass(frozen=True, kw_only=True)
class PathStudy(TrainedStudy):
    """The states of one trained network on test images."""

    kind: ClassVar[str] = "path"
    name_fields: ClassVar[tuple[str, ...]] = ("dataset", "block", "blocks")

    def conduct(self, report: Report) -> Tables:
        """network: one row. blocks, sections: a row each. plane: mean states of the classes in the last section."""
        drawn = network_of(self.experiment, channels=1 if self.dataset != "cifar10" else 3)
        network, images, training = train_network(self.experiment, report)
        x, labels = images.test_images[: self.measured_images], images.test_labels[: self.measured_images]
        parts: dict[str, list[pd.DataFrame]] = {"blocks": [], "sections": []}
        drawn.train()  # running statistics of an untrained batch norm mean nothing: those of the batch instead
        for moment, subject in (("initialization", drawn), ("end", network)):
            walk = trace_path(subject, x, labels)
            for name, table in (("blocks", block_table(walk)), ("sections", section_table(walk))):
                table.insert(0, "moment", moment)
                parts[name].append(table)
        report("walked from input to output")
        return {
            "network": pd.DataFrame([accuracy_row(network, images, training, self.precision)]),
            **{name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()},
            "plane": plane(walk.sections[-1], labels),
        }


@dataclass(frozen=True)
class Section:
    """States and gradients of one section."""

    states: Tensor  # (n + 1, N, numbers)
    gradients: Tensor  # of the summed loss by the first n states (n, N, numbers)
    added: Tensor  # by each block, before any activation (n, N, numbers)


@dataclass(frozen=True)
class Walk:
    sections: list[Section]


def trace_path(network: ResidualNetwork, images: Tensor, labels: Tensor) -> Walk:
    """One forward and backward pass that keeps every state. Memory grows with blocks and images."""
    sections: list[list[ResidualStep]] = [[]]
    with torch.enable_grad():
        for step in network.states(images):
            if isinstance(step.layer, Transition):
                sections.append([])
            else:
                step.state.retain_grad()
                sections[-1].append(step)
        scores = network.classify(step.next_state)
        cross_entropy(scores, labels, reduction="sum").backward()
    network.zero_grad(set_to_none=True)

    def stacked(tensors: Iterable[Tensor | None]) -> Tensor:
        return torch.stack([tensor.detach().flatten(1) for tensor in tensors if tensor is not None])

    return Walk(
        [
            Section(
                stacked([*(step.state for step in steps), steps[-1].next_state]),
                stacked(step.state.grad for step in steps),
                stacked(step.perturbation for step in steps),
            )
            for steps in sections
        ]
    )


def block_table(walk: Walk) -> pd.DataFrame:
    """A row per block, means over images: step, downhill, successive."""
    rows: list[dict[str, float]] = []
    for number, section in enumerate(walk.sections, start=1):
        steps = (section.states[1:] - section.states[:-1]).norm(dim=2)
        downhill = mean_cosine(section.added, -section.gradients)
        successive = [float("nan"), *mean_cosine(section.added[1:], section.added[:-1])]
        for place in range(len(steps)):
            rows.append(
                {
                    "block": len(rows) + 1,
                    "section": number,
                    "step": steps[place].mean().item(),
                    "downhill": downhill[place],
                    "successive": successive[place],
                }
            )
    return pd.DataFrame(rows)


def mean_cosine(a: Tensor, b: Tensor) -> list[float]:
    """Over images, for each block; those of a zero vector are left out. a, b: (blocks, N, numbers)."""
    cosine = cosine_similarity(a.double(), b.double(), dim=2)
    there = (a.norm(dim=2) > 0) & (b.norm(dim=2) > 0)
    total, count = (cosine * there).sum(1), there.sum(1)
    return [t / c if c else float("nan") for t, c in zip(total.tolist(), count.tolist(), strict=True)]


def section_table(walk: Walk) -> pd.DataFrame:
    """A row per section, means over images: blocks, straightness, random_walk (what n random steps have), evenness,
    relative_path (the sum over blocks of ‖x_{l+1} - x_l‖ / ‖x_l‖)."""
    rows = []
    for number, section in enumerate(walk.sections, start=1):
        states = section.states
        steps = (states[1:] - states[:-1]).norm(dim=2)  # (n, N)
        length = steps.sum(0)
        walked_any = length > 0
        net = (states[-1] - states[0]).norm(dim=1)
        straight = (net / length)[walked_any]
        spread = (steps.std(0, correction=0) / steps.mean(0))[walked_any]
        random = (steps.square().sum(0).sqrt() / length)[walked_any]
        rows.append(
            {
                "section": number,
                "blocks": len(steps),
                "straightness": straight.mean().item(),
                "random_walk": random.mean().item(),
                "evenness": spread.mean().item(),
                "relative_path": (steps / states[:-1].norm(dim=2)).sum(0).mean().item(),
            }
        )
    return pd.DataFrame(rows)


def plane(section: Section, labels: Tensor) -> pd.DataFrame:
    """Mean states of the classes in the plane of their first two principal components, all positions together.

    A row per class and position: label, position (0 to 1), x, y, held (the share of variance that the plane holds).
    """
    count = len(section.states)
    picked = np.unique(np.linspace(0, count - 1, min(count, TRAJECTORY_POINTS)).round().astype(int))
    classes = sorted(set(labels.tolist()))
    means = torch.stack([section.states[picked][:, labels == label].mean(1) for label in classes])  # (K, P, numbers)
    flat = means.flatten(0, 1).double()
    centred = flat - flat.mean(0)
    left, values, _ = torch.linalg.svd(centred, full_matrices=False)
    held = (values[:2].square().sum() / values.square().sum()).item()
    points = (left[:, :2] * values[:2]).view(len(classes), len(picked), 2)
    rows = [
        {"label": label, "position": place / max(count - 1, 1), "x": x, "y": y, "held": held}
        for label, track in zip(classes, points.tolist(), strict=True)
        for place, (x, y) in zip(picked.tolist(), track, strict=True)
    ]
    return pd.DataFrame(rows)
