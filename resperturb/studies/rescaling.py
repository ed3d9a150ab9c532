"""Rescaled weights: networks that compute the same function, measured before and after."""

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
    """A copy in which one convolution of every branch is `factor` times as large: the first, which a normalisation
    follows; or, with `stream`, the last, and the stem: all that is written to the stream, which a pre-activation
    network normalises wherever it reads it."""
    changed = copy.deepcopy(network)
    branches = [module.branch for module in changed.modules() if isinstance(module, Block | Transition)]
    for layers in [*branches, changed.stem] if stream else branches:
        convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
        convolutions[-1 if stream else 0].weight.mul_(factor)
    return changed


def rescaling_table(network: ResidualNetwork, images: Tensor, factor: float = 10.0) -> pd.DataFrame:
    """Both measures, averaged over blocks, of a pre-activation network and of two that compute the same.

    Each batch norm takes its statistics of the images (N, C, H, W). Columns: network, absolute, scaled, output (largest
    change of an output over the largest output).
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
    """The network's outputs with each normalisation's statistics taken of these images."""
    return copy.deepcopy(network).train()(images)
