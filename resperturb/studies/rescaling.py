"""Rescaled weights: networks that compute the same function, measured before and after."""

from __future__ import annotations

import copy

import pandas as pd
import torch
from torch import Tensor, nn

from resperturb.measurement.measure import measure
from resperturb.models.residual import Block, ResidualNetwork, Transition
from resperturb.records.record import blocks_of


def first_and_last(branch: nn.Sequential) -> tuple[nn.Conv2d, nn.Conv2d]:
    """The first and the last convolution of a residual branch."""
    layers = [layer for layer in branch if isinstance(layer, nn.Conv2d)]
    return layers[0], layers[-1]


@torch.no_grad()
def normalised_weights(network: ResidualNetwork, factor: float) -> ResidualNetwork:
    """A copy whose convolutions inside the branches, which a normalisation follows, are `factor` times as large."""
    changed = copy.deepcopy(network)
    for module in changed.modules():
        if isinstance(module, Block | Transition):
            first_and_last(module.branch)[0].weight.mul_(factor)
    return changed


@torch.no_grad()
def whole_stream(network: ResidualNetwork, factor: float) -> ResidualNetwork:
    """A copy in which all that is written to the stream is `factor` times as large: the stem, and the last convolution
    of every branch. A pre-activation network normalises all that it reads from the stream."""
    changed = copy.deepcopy(network)
    first_and_last(changed.stem)[0].weight.mul_(factor)
    for module in changed.modules():
        if isinstance(module, Block | Transition):
            first_and_last(module.branch)[1].weight.mul_(factor)
    return changed


def rescaling_table(network: ResidualNetwork, images: Tensor, factor: float = 10.0) -> pd.DataFrame:
    """Both measures, averaged over blocks, of a pre-activation network and of two that compute the same.

    Args:
        network: pre-activation, with batch normalisation; it is not changed.
        images: (N, C, H, W); each batch norm takes its statistics of them.
        factor: of the rescaling.

    Returns:
        Columns network, absolute, scaled, output (largest change of an output over the largest output).
    """
    variants = {
        "as it is": network,
        f"weights before a normalisation × {factor:g}": normalised_weights(network, factor),
        f"all that is written to the stream × {factor:g}": whole_stream(network, factor),
    }
    rows, reference = [], outputs(network, images)
    for name, variant in variants.items():
        table = measure(variant, [images], batch_statistics=True)
        blocks = blocks_of(table)
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
