"""The loop: schedule, clock, resuming, divergence."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from resperturb.experiment import Experiment
from resperturb.measurement.measure import measure
from resperturb.models.residual import network_of
from resperturb.training import loop
from resperturb.training.data import load_images
from resperturb.training.loop import (
    Moment,
    clock_per_decay,
    evaluate,
    learning_rate,
    parameter_groups,
    snapshot_epochs,
    train,
    weight_decay_of,
)
from resperturb.training.precision import autocast

TINY = {"train_size": 128, "test_size": 64, "measured_images": 16, "width": 4, "batch_size": 32, "epochs": 3}


def trained(experiment: Experiment, observe: Callable[[Moment], Any] = lambda moment: "seen", **options: Any) -> Any:
    """The network and the result of its training."""
    network = network_of(experiment, channels=1)
    options = {"report": lambda line: None} | options
    return network, train(network, load_images(experiment), experiment, observe, **options)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to which every epoch is saved."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    return tmp_path / "run.checkpoint"


def test_the_schedule_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 24
    assert rates[:25] == sorted(rates[:25])
    assert rates[24:] == sorted(rates[24:], reverse=True)
    assert 0 < rates[-1] < 1e-3
    for steps in (1, 2, 3, 7):
        assert all(0 < learning_rate(step, steps, 0.1) <= 0.1 for step in range(steps))


def test_weight_decay_is_what_takes_the_clock_to_its_mark() -> None:
    experiment = Experiment(weight_decay=None, clock=5.0)
    assert weight_decay_of(experiment, 220) * clock_per_decay(experiment, 220) == pytest.approx(5.0)
    assert weight_decay_of(Experiment(weight_decay=1e-4), 220) == 1e-4


def test_a_constant_schedule_stays_at_its_peak_after_the_same_rise() -> None:
    rates = [learning_rate(step, 100, 0.1, "constant") for step in range(100)]
    assert rates[:25] == [learning_rate(step, 100, 0.1) for step in range(25)]
    assert set(rates[24:]) == {0.1}


def test_adamw_decays_by_the_clock_without_a_gradient() -> None:
    """T is what every weight shrinks by: e^-T, without the factor of momentum."""
    experiment = Experiment(optimizer="adamw", learning_rate=2e-3, weight_decay=None, clock=1.0)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.AdamW([weight], lr=1.0, weight_decay=weight_decay_of(experiment, 500))
    for step in range(500):
        optimizer.param_groups[0]["lr"] = learning_rate(step, 500, 2e-3)
        weight.grad = torch.zeros(1)
        optimizer.step()
    assert weight.item() == pytest.approx(math.exp(-1.0), rel=1e-2)
    _, training = trained(Experiment(blocks=3, **TINY, optimizer="adamw", learning_rate=2e-3))
    assert training.history[-1]["train_loss"] < training.history[0]["train_loss"]


def test_snapshots_lie_evenly_between_the_ends() -> None:
    assert snapshot_epochs(10, 3) == {2, 5, 8}
    assert snapshot_epochs(4, 3) == {1, 2, 3}
    assert snapshot_epochs(1, 3) == set()
    assert snapshot_epochs(10, 0) == set()


def test_training_learns_and_takes_the_clock_where_it_was_told() -> None:
    experiment = Experiment(**{**TINY, "train_size": 1024, "epochs": 4, "weight_decay": None, "clock": 1.0})
    moments: list[Moment] = []
    network, result = trained(experiment, moments.append)
    images = load_images(experiment)
    before, after = (
        evaluate(n, images.test_images, images.test_labels)[1] for n in (network_of(experiment, channels=1), network)
    )
    assert after > 0.5 > before
    assert result.clock == pytest.approx(1.0)
    assert [m.name for m in moments] == ["initialization", "training", "training", "training", "end"]
    assert len(result.history) == 4
    assert result.step == result.steps == 4 * 32


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(checkpoint: Path) -> None:
    experiment = Experiment(**TINY, augmentation="crop-flip", snapshots=0)

    def kill_in_epoch_2(line: str) -> None:
        if line.startswith("epoch   2"):
            raise KeyboardInterrupt

    network, whole = trained(experiment)
    with pytest.raises(KeyboardInterrupt):
        trained(experiment, checkpoint=checkpoint, identity="a", report=kill_in_epoch_2)
    again, resumed = trained(experiment, checkpoint=checkpoint, identity="a")
    assert resumed.resumed
    assert resumed.observations == whole.observations == ["seen", "seen"]
    histories = [pd.DataFrame(result.history).drop(columns="images_per_second") for result in (whole, resumed)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_checkpoint_of_another_run_is_left_unread(checkpoint: Path) -> None:
    for identity in ("a", "b"):
        _, result = trained(Experiment(**TINY), checkpoint=checkpoint, identity=identity)
        assert checkpoint.is_file()
        assert not result.resumed


def test_a_damaged_checkpoint_is_said_and_left_unread(checkpoint: Path) -> None:
    trained(Experiment(**TINY), checkpoint=checkpoint, identity="a")
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1  # in a weight: torch.load reads it as if it were right
    checkpoint.write_bytes(content)
    lines: list[str] = []
    _, result = trained(Experiment(**TINY), checkpoint=checkpoint, identity="a", report=lines.append)
    assert not result.resumed
    assert "is damaged" in lines[0]


def test_a_run_goes_on_where_no_checkpoint_can_be_saved(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    lines: list[str] = []
    _, result = trained(Experiment(**TINY), checkpoint=checkpoint, report=lines.append)
    assert result.epoch == 3
    assert "the checkpoint cannot be saved (No space left on device); the run goes on without" in lines
    assert list(checkpoint.parent.iterdir()) == []


def test_divergence_stops_the_run_and_is_said() -> None:
    experiment = Experiment(**TINY, learning_rate=1e6, weight_decay=0.0, normalization="none")
    lines: list[str] = []
    moments: list[Moment] = []
    _, result = trained(experiment, moments.append, report=lines.append)
    assert result.diverged
    assert result.epoch < 3
    assert [m.name for m in moments] == ["initialization"]
    assert not math.isfinite(result.history[-1]["train_loss"])
    assert any("diverged" in line for line in lines)


def first_gradients(network: torch.nn.Module, x: torch.Tensor, precision: str = "float32") -> dict[str, torch.Tensor]:
    with autocast(x.device, precision):
        scores = network(x)
    torch.nn.functional.cross_entropy(scores.to(x.dtype), torch.arange(len(x)) % 10).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def test_the_order_in_memory_changes_neither_gradients_nor_measurements() -> None:
    plain = network_of(Experiment(blocks=20, width=4), channels=3).double()
    fast = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    x = torch.randn(16, 3, 8, 8, dtype=torch.float64)
    expected = first_gradients(plain, x)
    found = first_gradients(fast, x.contiguous(memory_format=torch.channels_last))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-8, atol=1e-10, msg=name)
    columns = ["state_norm", "perturbation_norm", "scaled"]
    rows = [measure(network, [x])[columns].to_numpy() for network in (plain, fast)]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-5)


def test_gradients_in_bfloat16_point_where_those_in_float32_do() -> None:
    full = network_of(Experiment(blocks=6, width=8), channels=1)
    half = copy.deepcopy(full)
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    expected, found = first_gradients(full, x), first_gradients(half, x, "bfloat16")
    angles = {n: torch.cosine_similarity(found[n].flatten(), g.flatten(), dim=0).item() for n, g in expected.items()}
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}
    assert min(angles.values()) > 0.9, angles  # bfloat16 has eight bits


@pytest.mark.parametrize(
    ("decayed", "kept"),
    [
        ("all", ()),
        ("weights", ("normalization", "head.bias")),
        ("normalization", ("first", "last", "other weights", "head.bias")),
        ("first-convolutions", ("normalization", "last", "other weights", "head.bias")),
        ("last-convolutions", ("normalization", "first", "other weights", "head.bias")),
        ("normalization+last-convolutions", ("first", "other weights", "head.bias")),
        ("first-convolutions+last-convolutions", ("normalization", "other weights", "head.bias")),
    ],
)
def test_weight_decay_acts_on_the_parameters_it_is_said_to(decayed: str, kept: tuple[str, ...]) -> None:
    """With gradients of zero a step of the optimiser shrinks what decays and leaves the rest."""
    network = network_of(Experiment(blocks=3, width=4), channels=1)
    for parameter in network.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    torch.optim.SGD(parameter_groups(network, decayed, 0.5), lr=1.0).step()
    kinds: dict[str, set[float]] = {}
    for name, parameter in network.named_parameters():
        layers = name.split(".")
        branch = "branch" in layers
        if parameter.dim() == 1:
            kind = "head.bias" if name == "head.bias" else "normalization"
        elif branch:  # in a pre-activation branch the convolutions stand at 2 and 5
            kind = {"2": "first", "5": "last"}[layers[layers.index("branch") + 1]]
        else:
            kind = "other weights"
        kinds.setdefault(kind, set()).update(parameter.unique().tolist())
    assert set(kinds) == {"normalization", "head.bias", "first", "last", "other weights"}
    assert {kind: values for kind, values in kinds.items() if values != {0.5}} == {kind: {1.0} for kind in kept}
