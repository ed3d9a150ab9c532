"""The dimension of samples, where the shape of a state does not tell it, and the number of samples of a batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from resperturb.errors import MeasurementError
from resperturb.measurement.measure import measure

WIDTH = 8


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x.relu())


class Folded(Block):
    """Windows of a sample are folded into the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])


class StepsFirst(Block):
    """The states of a batch-first network have steps first."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(0, 1).contiguous()).transpose(0, 1)


class Attention(Block):
    """Attention inside has steps first, states have samples first."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 2)

    def forward(self, x: Tensor) -> Tensor:
        q = x.transpose(0, 1)
        return super().forward(x + self.attention(q, q, q)[0].transpose(0, 1))


def unequal(*shape: int, axis: int = 0) -> Tensor:
    """Samples of different norms, so that a mean over another dimension differs."""
    size = [1] * len(shape)
    size[axis] = shape[axis]
    return torch.randn(shape) * torch.linspace(0.3, 3, shape[axis]).view(size)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(Folded, (6, 4, 6, WIDTH)), (StepsFirst, (4, 8, WIDTH)), (StepsFirst, (6, 6, WIDTH)), (Attention, (6, 6, WIDTH))],
)
def test_a_batch_and_its_samples_one_by_one_give_the_same(network: type[Block], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model, x = network(), unequal(*shape)
    whole, single = measure(model, [x]), measure(model, x.split(1))
    assert whole["samples"].tolist() == single["samples"].tolist()
    for column in ("state_norm", "scaled", "scaled_std"):
        assert whole[column].tolist() == pytest.approx(single[column].tolist(), rel=1e-5)


def test_a_sequence_first_network_with_as_many_steps_as_samples() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 16), 2)
    x = unequal(6, 6, WIDTH, axis=1)
    table = measure(model, [x])
    assert table["state_norm"][0] == pytest.approx(x.transpose(0, 1).flatten(1).norm(dim=1).mean().item(), rel=1e-5)


def test_a_network_that_refuses_a_smaller_batch_is_refused_where_the_shape_does_not_tell() -> None:
    class Fixed(Folded):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.view(6, 4, 6, WIDTH))

    with pytest.raises(MeasurementError, match=r"refuses a smaller batch .*; pass batches of another size"):
        measure(Fixed(), [torch.randn(6, 4, 6, WIDTH)])


class Masked(Block):
    def forward(self, mask: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)


@pytest.mark.parametrize("mask", [torch.ones(5, 5), torch.ones(1), torch.ones(1, 5)])
def test_masks_do_not_count_the_samples(mask: Tensor) -> None:
    assert measure(Masked(), [{"mask": mask, "x": torch.randn(4, 5, WIDTH)}])["samples"].tolist() == [4]


def test_a_sequence_first_network_with_a_mask_of_its_samples() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(WIDTH, 2, 16), 2)
    x, padding = unequal(5, 3, WIDTH, axis=1), torch.zeros(3, 5, dtype=torch.bool)
    table = measure(model, [{"src": x, "src_key_padding_mask": padding}])
    assert table["samples"][0] == 3
    assert table["state_norm"][0] == pytest.approx(x.transpose(0, 1).flatten(1).norm(dim=1).mean().item(), rel=1e-5)


@pytest.mark.parametrize("batches", [torch.randn(4, 5, WIDTH), {"x": torch.randn(4, 5, WIDTH)}])
def test_one_batch_is_no_list_of_batches(batches: Any) -> None:
    with pytest.raises(MeasurementError, match=r"batches must be a list .*; pass \[batch\]"):
        measure(Block(), batches)


# ------------------------------------------------------------------------------------------- kinds of numbers


class Wide(Block):
    """Adds in float32 and goes on in 16 bits."""

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(4):
            x = (x.float() + self.f(x.relu()).float()).type_as(x)
        return x


class Scaled(Block):
    """Adds a float32 perturbation to a 16-bit state in place."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x += torch.ones(WIDTH) * self.f(x.relu())
        return x


@pytest.mark.parametrize("network", [Wide, Scaled])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_in_32_bits_between_states_of_16(network: type[Block], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model, x = network().to(dtype), torch.randn(4, WIDTH, dtype=dtype)
    table = measure(model, [x])
    f = model.f(x.relu()).float()
    assert table["scaled"][0] == pytest.approx((f.norm(dim=1) / x.float().norm(dim=1)).mean().item(), rel=1e-2)
    assert set(table["kind"]) == {"identity"}


class Writing(Folded):
    """Normalises its input in place."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(1))


@pytest.mark.parametrize("inference", [True, False])
def test_a_network_may_write_to_its_input(inference: bool) -> None:
    torch.manual_seed(0)
    model = Writing()
    with torch.inference_mode(inference):
        x = unequal(6, 4, 6, WIDTH)
        before = x.clone()
        whole, single = measure(model, [x]), measure(model, x.split(1))
    assert torch.equal(x, before)
    assert whole["state_norm"].tolist() == pytest.approx(single["state_norm"].tolist(), rel=1e-5)


class Copied(Block):
    """Adds in 32 bits and copies the sum into the 16-bit state."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        for _ in range(3):
            x.copy_(x.float() + self.f(x.relu()).float())
        return x


class Eighth(Block):
    """Passes its input through 8 bits."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(torch.float8_e4m3fn).to(x.dtype))


@pytest.mark.parametrize(("network", "blocks"), [(Copied, 3), (Eighth, 1)])
def test_copies_between_kinds_of_numbers(network: type[Block], blocks: int) -> None:
    torch.manual_seed(0)
    table = measure(network().bfloat16(), [torch.randn(4, WIDTH, dtype=torch.bfloat16)])
    assert table["kind"].tolist() == ["identity"] * blocks
    assert table["step_scaled"][:-1].notna().all()
