"""Rescaled weights: do measures change although the network computes the same function?"""

from __future__ import annotations

import copy

import pandas as pd
import torch
from torch import Tensor, nn

from resperturb.measurement.measure import measure
from resperturb.models.residual import Block, ResidualNetwork, Transition
from resperturb.records.record import blocks_of


@torch.no_grad()
def rescaled(network: ResidualNetwork, factor: float, *, stream: bool) -> ResidualNetwork:
    """Copy a pre-activation network and multiply weights by `factor`; its outputs stay the same.

    Rescales the first convolution of every branch, which a normalisation follows. With `stream` it rescales all writes
    to the stream, the last convolutions and the stem; every read of the stream is normalised.
    """
    changed = copy.deepcopy(network)
    branches = [module.branch for module in changed.modules() if isinstance(module, Block | Transition)]
    for layers in [*branches, changed.stem] if stream else branches:
        convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
        convolutions[-1 if stream else 0].weight.mul_(factor)
    return changed


def rescaling_table(network: ResidualNetwork, images: Tensor, factor: float = 10.0) -> pd.DataFrame:
    """Measure a pre-activation network and its two rescaled copies on images (N, C, H, W), with batch statistics.

    Returns:
        Columns network, absolute and scaled (averages over blocks), output (largest change over the largest output).
    """
    variants = {
        "as it is": network,
        f"weights before a normalisation × {factor:g}": rescaled(network, factor, stream=False),
        f"all that is written to the stream × {factor:g}": rescaled(network, factor, stream=True),
    }
    rows, reference = [], outputs(network, images)
    for name, variant in variants.items():
        blocks = blocks_of(measure(variant, [images], batch_statistics=True))
        rows.append(
            {
                "network": name,
                "absolute": blocks["perturbation_norm"].mean(),
                "scaled": blocks["scaled"].mean(),
                "output": float((outputs(variant, images) - reference).abs().max() / reference.abs().max()),
            }
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def outputs(network: ResidualNetwork, images: Tensor) -> Tensor:
    """Compute the network's outputs with the batch statistics of these images."""
    return copy.deepcopy(network).train()(images)
