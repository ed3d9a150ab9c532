"""Networks that others trained: the architecture, and the measurement beside a forward pass written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from builders import with_statistics

from resperturb.errors import ExperimentError
from resperturb.measurement.measure import measure
from resperturb.models.published import NETWORKS, PublishedNetwork
from resperturb.studies.published import Published, explicit_ratios


def network_with_statistics(each: int) -> PublishedNetwork:
    torch.manual_seed(0)
    return with_statistics(PublishedNetwork(each), torch.randn(16, 3, 32, 32))


@pytest.mark.parametrize(("name", "blocks"), [("resnet20", 7), ("resnet32", 13), ("resnet44", 19), ("resnet56", 25)])
def test_two_of_the_additions_are_transitions(name: str, blocks: int) -> None:
    table = measure(network_with_statistics(NETWORKS[name][0]), [torch.randn(2, 3, 32, 32)])
    assert table["kind"].value_counts().to_dict() == {"identity": blocks, "transition": 2}


def test_the_measurement_agrees_with_a_forward_pass_in_float64() -> None:
    network, images = network_with_statistics(3), torch.randn(8, 3, 32, 32)
    table = measure(network, [images])
    np.testing.assert_allclose(table["scaled"], explicit_ratios(network, images), rtol=1e-6)


def test_a_bad_name_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"network must be one of .*; did you mean resnet56"):
        Published(network="resnet57")
    with pytest.raises(ExperimentError, match="measured_images must be a whole number"):
        Published(measured_images=0)
