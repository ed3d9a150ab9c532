"""The path of the states through each section: how far it leads, how long it is, how straight.

For the states x_1 ... x_{n+1} of a section of n blocks and its steps x_{l+1} - x_l:

    displacement D = ‖x_{n+1} - x_1‖,   length = sum of ‖x_{l+1} - x_l‖,   straightness S = D / length.

S is 1 on a line and about 1/√n for steps in random directions. Steps of equal length s with the mean cosine c between
two of them have D² = n s² (1 + (n - 1) c), so S² = (1 + (n - 1) c) / n.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from resperturb.models.residual import ResidualNetwork, Transition


@torch.no_grad()
def section_paths(network: ResidualNetwork, images: Tensor) -> pd.DataFrame:
    """One forward pass of images (N, C, H, W), in the network's present mode.

    Returns:
        One row a section, means over images. Norms are L2 norms without unit.

        section, blocks: number of the section, from 1, and of blocks in it.
        start, end: ‖x_1‖ and ‖x_{n+1}‖.
        displacement, length, straightness: D, the sum of the steps' lengths, and D / length.
        cosine: of two steps, the mean over pairs weighted by their lengths, (D² - sum s²) / (length² - sum s²); NaN for
            a single block.
        common: the length of the mean step over images, divided by the mean length of a step; mean over blocks. 1 where
            a block adds the same to every image.
        step: ‖x_{l+1} - x_l‖ / ‖x_l‖, mean over blocks.
    """
    rows: list[dict[str, float]] = []
    steps: list[tuple[Tensor, Tensor, Tensor]] = []
    first = last = images

    def close() -> None:
        sizes, ratios, means = (torch.stack(column) for column in zip(*steps, strict=True))
        moved, length, squares = (last - first).norm(dim=1), sizes.sum(0), sizes.square().sum(0)
        pairs = length.square() - squares
        rows.append(
            {
                "section": len(rows) + 1,
                "blocks": len(steps),
                "start": float(first.norm(dim=1).mean()),
                "end": float(last.norm(dim=1).mean()),
                "displacement": float(moved.mean()),
                "length": float(length.mean()),
                "straightness": float((moved / length).mean()),
                "cosine": float(((moved.square() - squares) / pairs).mean()) if len(steps) > 1 else float("nan"),
                "common": float((means / sizes.mean(1)).mean()),
                "step": float(ratios.mean()),
            }
        )
        steps.clear()

    for taken in network.states(images):
        if isinstance(taken.layer, Transition):
            if steps:
                close()
            continue
        state, last = taken.state.flatten(1), taken.next_state.flatten(1)
        first = first if steps else state
        step = last - state
        size = step.norm(dim=1)
        steps.append((size, size / state.norm(dim=1), step.mean(0).norm()))
    if steps:
        close()
    return pd.DataFrame(rows)
