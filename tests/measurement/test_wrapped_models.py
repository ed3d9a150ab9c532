"""Compiled, wrapped, quantised and sharded models: measured as the original module, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.utils.checkpoint import checkpoint

from resperturb.errors import MeasurementError
from resperturb.measurement.measure import measure

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(x)))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[Block() for _ in range(3)])


class Calls(nn.Module):
    """Calls each block by a function."""

    def __init__(self, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.blocks, self.call = network(), call

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = self.call(block, x)
        return x


def compiled_in_place() -> nn.Module:
    model = network()
    model.compile()
    return model


def compiled_and_run() -> nn.Module:
    model = torch.compile(network(), backend="eager")
    model(X)
    return model


def offloaded() -> nn.Module:
    """As accelerate offloads: weights on the meta device, which hooks replace for each pass."""
    model = network()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            kept = dict(module._parameters)
            empty = {name: nn.Parameter(value.detach().to("meta")) for name, value in kept.items()}
            module._parameters.update(empty)
            module._hf_hook = None
            module.register_forward_pre_hook(lambda m, _, kept=kept: m._parameters.update(kept))
            module.register_forward_hook(lambda m, _, __, empty=empty: m._parameters.update(empty))
    return model


@pytest.mark.parametrize(
    "build",
    [
        lambda: torch.compile(network()),
        compiled_in_place,
        compiled_and_run,
        lambda: nn.Sequential(*[torch.compile(block) for block in network()]),
        lambda: Calls(torch.compile(lambda block, x: block(x))),
        lambda: nn.DataParallel(network()),
        lambda: nn.Sequential(*[checkpoint_wrapper(block) for block in network()]),
        lambda: Calls(lambda block, x: checkpoint(block, x, use_reentrant=False)),
        offloaded,
    ],
    ids=[
        *("compiled", "compiled in place", "compiled and run", "compiled parts", "compiled function"),
        *("data-parallel", "checkpointed", "checkpointing", "offloaded"),
    ],
)
def test_a_wrapper_changes_neither_numbers_nor_names(build):
    table = measure(build(), [X])
    table["name"] = table["name"].str.removeprefix("blocks.")
    pd.testing.assert_frame_equal(table, measure(network(), [X]), check_exact=True)


class PackedLinear(nn.Module):
    """A linear layer with weights of 8 bits, as inference libraries write it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.scale = linear.weight.detach().abs().amax(1) / 127
        self.weight = (linear.weight.detach() / self.scale[:, None]).round().to(torch.int8)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return torch._weight_int8pack_mm(x, self.weight, self.scale) + self.bias


def packed(model: nn.Sequential) -> nn.Module:
    for block in model:
        block.first, block.second = PackedLinear(block.first), PackedLinear(block.second)
    return model


def dynamic(dtype: torch.dtype) -> Callable[[nn.Module], nn.Module]:
    return lambda model: torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=dtype)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("quantised", [dynamic(torch.qint8), dynamic(torch.float16), packed], ids=["8", "16", "packed"])
def test_layers_with_quantised_weights_are_weights(quantised):
    table, full = measure(quantised(network()), [X]), measure(network(), [X])
    assert table["kind"].tolist() == ["identity"] * 3
    assert table["scaled"].tolist() == pytest.approx(full["scaled"].tolist(), rel=0.02)
    assert not table["scaled"].equals(full["scaled"])


def measured_in_parallel(rank: int, folder: str) -> None:
    """In each of two processes: both ways of data-parallel training, and tensor parallelism."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    plain, mesh = measure(network(), [X]), init_device_mesh("cpu", (2,))
    sharded = network()
    for module in (*sharded, sharded):
        fully_shard(module, mesh=mesh)
    for model in (nn.parallel.DistributedDataParallel(network()), sharded):
        pd.testing.assert_frame_equal(measure(model, [X]), plain, check_exact=True)
    split = network()
    for block in split:
        parallelize_module(block, mesh, {"first": ColwiseParallel(), "second": RowwiseParallel()})
    with pytest.raises(MeasurementError, match="without tensor parallelism"):
        measure(split, [X])
    distributed.destroy_process_group()
    Path(folder, f"done-{rank}").touch()


@pytest.mark.skipif(not distributed.is_available() or not distributed.is_gloo_available(), reason="needs gloo")
@pytest.mark.skipif(not hasattr(torch.cpu.Stream, "record_event"), reason="FSDP2 of torch 2.6 needs a GPU")
def test_data_parallel_models_in_two_processes(tmp_path):
    torch.multiprocessing.spawn(measured_in_parallel, (str(tmp_path),), nprocs=2)
    assert {path.name for path in tmp_path.glob("done-*")} == {"done-0", "done-1"}
