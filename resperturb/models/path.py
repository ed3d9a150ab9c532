"""The path of states through each section: displacement, length and straightness.

For the states x_1 ... x_{n+1} of a section of n blocks and its steps x_{l+1} - x_l:

    displacement D = ‖x_{n+1} - x_1‖,   length = sum of ‖x_{l+1} - x_l‖,   straightness S = D / length.

S is 1 on a line and about 1/√n for random directions. Steps of equal length s whose pairs have the mean cosine c give
D² = n s² (1 + (n - 1) c), so S² = (1 + (n - 1) c) / n.
"""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from resperturb.models.residual import ResidualNetwork, Transition


@torch.no_grad()
def section_paths(network: ResidualNetwork, images: Tensor) -> pd.DataFrame:
    """Measure the paths of images (N, C, H, W) in one forward pass, in the network's present mode.

    Returns:
        One row per section, means over images; norms are L2 norms.

        - section: number, from 1; blocks: number of blocks n.
        - start, end: ‖x_1‖ and ‖x_{n+1}‖.
        - displacement, length, straightness: D, the sum of step lengths, and D / length.
        - cosine: mean cosine over pairs of steps, weighted by lengths, (D² - sum s²) / (length² - sum s²); NaN for one
          block.
        - common: length of the mean step over images, over the mean length of a step; mean over blocks. 1 if blocks add
          the same to every image.
        - step: ‖x_{l+1} - x_l‖ / ‖x_l‖, mean over blocks.
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
