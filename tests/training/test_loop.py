"""The loop: schedule, clock, resuming, divergence."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resperturb.experiment import Experiment
from resperturb.measurement.measure import measure
from resperturb.models.residual import network_of
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


def silent(_: str) -> None:
    pass


def watch(_: Moment) -> str:
    return "seen"


def test_the_schedule_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert max(rates) == pytest.approx(0.1)
    assert rates.index(max(rates)) == 24
    assert rates[:25] == sorted(rates[:25])
    assert rates[24:] == sorted(rates[24:], reverse=True)
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_the_schedule_works_for_very_short_runs(steps: int) -> None:
    assert all(0 < learning_rate(step, steps, 0.1) <= 0.1 for step in range(steps))


def test_weight_decay_is_what_takes_the_clock_to_its_mark() -> None:
    experiment = Experiment(clock=5.0)
    assert weight_decay_of(experiment, 220) * clock_per_decay(experiment, 220) == pytest.approx(5.0)
    assert weight_decay_of(Experiment(weight_decay=1e-4), 220) == 1e-4


def test_the_clock_of_he_et_al_is_about_3_4() -> None:
    """arXiv 1512.03385, section 4.2: lr 0.1, divided by 10 at 32k and 48k of 64k steps, decay 1e-4, momentum 0.9."""
    total = (0.1 * 32_000 + 0.01 * 16_000 + 0.001 * 16_000) * 1e-4 / (1 - 0.9)
    assert total == pytest.approx(3.4, abs=0.05)


def test_snapshots_lie_evenly_between_the_ends() -> None:
    assert snapshot_epochs(10, 3) == {2, 5, 8}
    assert snapshot_epochs(4, 3) == {1, 2, 3}
    assert snapshot_epochs(1, 3) == set()
    assert snapshot_epochs(10, 0) == set()


def test_training_learns_and_takes_the_clock_where_it_was_told() -> None:
    experiment = Experiment(**{**TINY, "train_size": 1024, "epochs": 4, "clock": 1.0})
    images = load_images(experiment)
    network = network_of(experiment, channels=1)
    before = evaluate(network, images.test_images, images.test_labels)
    moments: list[Moment] = []
    result = train(network, images, experiment, lambda m: moments.append(m), report=silent)  # type: ignore[func-returns-value]
    after = evaluate(network, images.test_images, images.test_labels)
    assert after[1] > 0.5 > before[1]
    assert result.clock == pytest.approx(1.0)
    assert [m.name for m in moments] == ["initialization", "training", "training", "training", "end"]
    assert len(result.history) == 4
    assert result.step == result.steps == 4 * 32


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resperturb.training import loop

    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    experiment = Experiment(**TINY, augmentation="crop-flip", snapshots=0)
    images = load_images(experiment)

    def go(observe: Any, checkpoint: Path | None) -> tuple[Any, dict[str, torch.Tensor]]:
        network = network_of(experiment, channels=1)
        result = train(network, images, experiment, observe, checkpoint=checkpoint, identity="a", report=silent)
        return result, network.state_dict()

    whole, weights = go(watch, None)
    checkpoint = tmp_path / "run.checkpoint"

    class KilledError(Exception):
        pass

    original = loop.train_epoch

    def train_epoch(*arguments: Any) -> None:
        if arguments[5].epoch == 2:
            raise KilledError
        original(*arguments)

    monkeypatch.setattr(loop, "train_epoch", train_epoch)
    with pytest.raises(KilledError):
        go(watch, checkpoint)
    monkeypatch.setattr(loop, "train_epoch", original)
    resumed, resumed_weights = go(watch, checkpoint)
    assert resumed.resumed
    assert resumed.observations == whole.observations == ["seen", "seen"]
    strip = [{k: v for k, v in row.items() if k != "images_per_second"} for row in whole.history]
    assert [{k: v for k, v in row.items() if k != "images_per_second"} for row in resumed.history] == strip
    for name, value in weights.items():
        assert torch.equal(value, resumed_weights[name]), name


def test_a_checkpoint_of_another_run_is_left_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resperturb.training import loop

    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    experiment = Experiment(**TINY)
    images = load_images(experiment)
    checkpoint = tmp_path / "run.checkpoint"
    for identity in ("a", "b"):
        network = network_of(experiment, channels=1)
        result = train(network, images, experiment, watch, checkpoint=checkpoint, identity=identity, report=silent)
        assert not result.resumed


def test_divergence_stops_the_run_and_is_said() -> None:
    experiment = Experiment(**{**TINY, "epochs": 3, "learning_rate": 1e6, "weight_decay": 0.0})
    images = load_images(experiment)
    lines: list[str] = []
    moments: list[Moment] = []
    network = network_of(Experiment(**TINY, normalization="none"), channels=1)
    result = train(network, images, experiment, lambda m: moments.append(m), report=lines.append)  # type: ignore[func-returns-value]
    assert result.diverged
    assert result.epoch < 3
    assert [m.name for m in moments] == ["initialization"]
    assert not math.isfinite(result.history[-1]["train_loss"])
    assert any("diverged" in line for line in lines)


def test_bfloat16_training_keeps_its_weights_in_float32() -> None:
    experiment = Experiment(**{**TINY, "epochs": 1}, precision="bfloat16")
    images = load_images(experiment)
    network = network_of(experiment, channels=1)
    result = train(network, images, experiment, watch, report=silent)
    assert math.isfinite(result.history[-1]["train_loss"])
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def first_gradients(network: torch.nn.Module, x: torch.Tensor, precision: str = "float32") -> dict[str, torch.Tensor]:
    with autocast(x.device, precision):
        scores = network(x)
    torch.nn.functional.cross_entropy(scores.to(x.dtype), torch.arange(len(x)) % 10).backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("blocks", [3, 20])
def test_the_order_in_memory_changes_neither_gradients_nor_measurements(blocks: int) -> None:
    plain = network_of(Experiment(blocks=blocks, width=4), channels=3).double()
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
    x = torch.randn(64, 1, 8, 8)
    expected, found = first_gradients(full, x), first_gradients(half, x, "bfloat16")
    angles = {n: torch.cosine_similarity(found[n].flatten(), g.flatten(), dim=0).item() for n, g in expected.items()}
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}
    assert min(angles.values()) > 0.9, angles  # bfloat16 has eight bits


def test_training_ends_in_the_same_place_with_checkpointing() -> None:
    weights = []
    for checkpointing in (False, True):
        experiment = Experiment(**{**TINY, "blocks": 12, "checkpointing": checkpointing})
        network = network_of(experiment, channels=1)
        train(network, load_images(experiment), experiment, watch, report=silent)
        weights.append(network.state_dict())
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize(
    ("decayed", "kept"),
    [
        ("all", ()),
        ("weights", ("normalization", "head.bias")),
        ("normalization", ("first", "last", "other weights", "head.bias")),
        ("first-convolutions", ("normalization", "last", "other weights", "head.bias")),
        ("last-convolutions", ("normalization", "first", "other weights", "head.bias")),
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
