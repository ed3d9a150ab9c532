"""Logging while a network trains: the book's lines, run; the numbers; and a training that stays as it was."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from resperturb import MeasurementError, PerturbationLogger, ResidualNetwork, measure
from resperturb.callbacks.logger import EVERY, perturbation_values
from resperturb.measurement.measure import measurement

CHAPTER = (ROOT / "book" / "measure.md").read_text(encoding="utf-8")
LINES = {
    name: next(code for code in re.findall(r"```python\n(.*?)```", CHAPTER, re.S) if import_line in code)
    for name, import_line in {
        "plain": "import PerturbationLogger",
        "lightning": "callbacks.lightning",
        "huggingface": "callbacks.huggingface",
    }.items()
}
PACKAGES = {
    "plain": ("tensorboard",),
    "lightning": ("lightning", "tensorboard"),
    "huggingface": ("transformers", "accelerate", "tensorboard"),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def needs(*packages: str) -> None:
    for package in packages:
        pytest.importorskip(package, reason=f"needs {package}: pip install -e '.[callbacks]'")


def residual_network() -> nn.Module:
    """Batch norm and dropout: statistics and a random state that measuring could disturb."""
    return nn.Sequential(nn.Dropout(0.1), ResidualNetwork(6, width=4))


def image_loader(batches: int = EVERY) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(torch.randn(4 * batches, 1, 8, 8), torch.arange(4 * batches) % 10), 4, shuffle=True)


def plain() -> dict[str, Any]:
    model = residual_network()
    given = {"model": model, "loader": image_loader(), "batch": torch.randn(8, 1, 8, 8), "cross_entropy": cross_entropy}
    return given | {"optimizer": torch.optim.AdamW(model.parameters()), "measured": model}


def lightning() -> dict[str, Any]:
    from lightning.pytorch import LightningModule

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = residual_network()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            return cross_entropy(self(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters())

    module = Module()
    return {"module": module, "loader": image_loader(), "batch": torch.randn(8, 1, 8, 8), "measured": module}


def huggingface() -> dict[str, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokens = torch.randint(32, (64, 8))
    model = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=8, n_embd=16, n_layer=2, n_head=2))
    dataset = [{"input_ids": row, "labels": row} for row in tokens]
    return {"model": model, "dataset": dataset, "batch": {"input_ids": tokens[:8]}, "measured": model}


SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": plain,
    "lightning": lightning,
    "huggingface": huggingface,
}


def trained(name: str, lines: str) -> tuple[dict[str, Any], dict[str, float]]:
    """Run lines of the chapter; return their names, and what was measured directly before and after, by step."""
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    names = SETTINGS[name]()
    before = perturbation_values(names["measured"], names["batch"])
    exec(lines, names)
    return names, {0: before, EVERY: perturbation_values(names["measured"], names["batch"])}


def states(names: dict[str, Any]) -> list[Any]:
    """Weights, running statistics and random states."""
    generators = [torch.get_rng_state(), torch.tensor(np.random.get_state()[1].astype(np.int64))]  # noqa: NPY002
    return [*names["measured"].state_dict().values(), *generators, random.getstate()]


def in_event_files(folder: Path) -> dict[str, dict[int, float]]:
    """Scalars by tag and step, of all TensorBoard files below a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, dict[int, float]] = {}
    for file in folder.rglob("events.out.tfevents.*"):
        events = EventAccumulator(str(file)).Reload()
        for tag in events.Tags()["scalars"]:
            found.setdefault(tag, {}).update({event.step: event.value for event in events.Scalars(tag)})
    return found


@pytest.mark.parametrize("name", LINES)
def test_the_lines_of_the_book_log_what_measure_finds_and_leave_training_as_it_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(*PACKAGES[name])
    (tmp_path / "logged").mkdir()
    monkeypatch.chdir(tmp_path / "logged")
    names, direct = trained(name, LINES[name])
    found = in_event_files(tmp_path / "logged")
    for step, values in direct.items():
        for value, expected in values.items():
            logged = found[f"{'train/' * (name == 'huggingface')}perturbation/{value}"]
            assert set(logged) == set(direct), "logged at other steps"
            assert logged[step] == pytest.approx(expected, rel=1e-6), (step, value)  # event files hold float32
    if name == "huggingface":
        history = [row for row in names["trainer"].state.log_history if "perturbation/scaled" in row]
        assert {row["step"]: row["perturbation/scaled"] for row in history} == {
            step: values["scaled"] for step, values in direct.items()
        }

    monkeypatch.chdir(tmp_path)
    without = "\n".join(line for line in LINES[name].splitlines() if not re.search(r"Perturbation|logger\.step", line))
    plainly, _ = trained(name, without)
    for mine, other in zip(states(names), states(plainly), strict=True):
        assert torch.equal(mine, other) if isinstance(mine, Tensor) else mine == other


def test_values_are_those_of_measure() -> None:
    model, batch = ResidualNetwork(6, width=4, kind="postactivation"), torch.randn(8, 1, 8, 8)
    values = perturbation_values(model, batch)
    table = measurement(model, [batch], successive=True).table
    blocks = table[table["kind"] == "identity"]
    scaled = blocks["scaled"].to_numpy()
    assert [*values.values()][5:] == scaled.tolist() == measure(model, [batch]).query("block > 0")["scaled"].tolist()
    assert values["scaled"] == pytest.approx(scaled.mean())
    assert values["scaled_sum"] == pytest.approx(6 * scaled.mean())
    assert values["participation"] == pytest.approx(scaled.sum() ** 2 / (scaled**2).sum())
    assert values["successive_cosine"] == pytest.approx(np.nanmean(blocks["successive_cosine"]))
    assert values["alive"] == 1
    constant, zero = (block.branch[-1] for block in model.sections[0])
    for norm, bias in ((constant, 1), (zero, 0)):
        nn.init.zeros_(norm.weight)
        nn.init.constant_(norm.bias, bias)
    assert perturbation_values(model, batch, profile=False)["alive"] == pytest.approx(4 / 6)


def test_every_kind_of_sink_gets_the_same_values_at_the_same_steps(tmp_path: Path) -> None:
    class Run:
        def log(self, values: dict[str, float]) -> None:
            rows.append({name.removeprefix("perturbation/"): value for name, value in values.items()})

    rows: list[dict[str, float]] = []
    called: list[dict[str, float]] = []
    file = tmp_path / "folder" / "perturbations.csv"
    model, batch = residual_network(), (torch.randn(8, 1, 8, 8), torch.zeros(8))
    model(batch[0]).sum().backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    sinks = (Run(), file, lambda step, values: called.append({"step": step, **values}))
    loggers = [PerturbationLogger(model, batch, to=sink, every=3) for sink in sinks]
    for step in range(7):
        for logger in loggers:
            logger.step()
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            assert torch.equal(parameter.grad, gradient)
        with torch.no_grad():
            model[1].sections[0][0].branch[-1].weight.mul_(1.1 + step)
    assert [row["step"] for row in rows] == [0, 3, 6]
    assert len({row["block_001"] for row in rows}) == 3
    assert rows == called == pd.read_csv(file, float_precision="round_trip").to_dict("records")
    assert model.training


def test_steps_that_jump_or_stand_still_are_logged_once_each() -> None:
    steps: list[int] = []
    logger = PerturbationLogger(
        residual_network(), torch.randn(4, 1, 8, 8), to=lambda step, _: steps.append(step), every=10, start=5
    )
    for step in (6, 10, 10, 11, 25, 25, 30):
        logger.step(step)
    logger.log()
    logger.step()
    logger.log()
    assert steps == [5, 10, 25, 30, 31]


def test_a_csv_file_is_continued_only_where_asked_for(tmp_path: Path) -> None:
    file, batch = tmp_path / "perturbations.csv", torch.randn(4, 1, 8, 8)
    first = PerturbationLogger(residual_network(), batch, to=file, every=1, profile=False)
    for _ in range(3):
        first.step()
    with pytest.raises(MeasurementError, match="exists; name another file, or pass start=STEPS to continue it"):
        PerturbationLogger(residual_network(), batch, to=file)
    PerturbationLogger(residual_network(), batch, to=str(file), start=2, profile=False).log()
    assert pd.read_csv(file)["step"].tolist() == [0, 1, 2]
    with pytest.raises(MeasurementError, match="columns of another network"):
        PerturbationLogger(residual_network(), batch, to=file, start=3)
    for content in ("", "time,loss\n1,2\n"):
        file.write_text(content)
        with pytest.raises(MeasurementError, match="is no log of perturbations"):
            PerturbationLogger(residual_network(), batch, to=file, start=1)
        assert file.read_text() == content
    assert [*tmp_path.iterdir()] == [file]


def test_a_diverged_training_goes_on_with_nan() -> None:
    logged: list[dict[str, float]] = []
    model = residual_network()
    logger = PerturbationLogger(model, torch.randn(4, 1, 8, 8), to=lambda _, values: logged.append(values), every=1)
    with torch.no_grad():
        next(model.parameters()).fill_(math.nan)
    logger.step()
    assert logged[0].keys() == logged[1].keys()
    assert all(map(math.isfinite, logged[0].values()))
    assert all(map(math.isnan, logged[1].values()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"every": 0}, "every must be a whole number of steps from 1, but got 0"),
        ({"to": 3}, "to must be a SummaryWriter, .* a path or a function of \\(step, values\\), but got 3"),
        ({"batch": torch.randn(1, 1, 8, 8)}, "give 2 or more"),
        ({"model": nn.Linear(8, 8)}, "no residual addition"),
        ({"model": ResidualNetwork(0, width=4)}, "transitions but no block"),
    ],
)
def test_what_cannot_be_logged_is_refused_before_training(changes: dict[str, Any], message: str) -> None:
    given = {"model": residual_network(), "batch": torch.randn(4, 1, 8, 8), "to": print, **changes}
    with pytest.raises(MeasurementError, match=message):
        PerturbationLogger(given.pop("model"), given.pop("batch"), **given)


def test_lightning_counts_steps_of_the_optimiser_and_may_measure_a_part(tmp_path: Path) -> None:
    needs("lightning")
    from lightning.pytorch import Trainer
    from lightning.pytorch.loggers import CSVLogger

    from resperturb.callbacks.lightning import PerturbationCallback

    module = lightning()["module"]
    callback = PerturbationCallback(torch.randn(8, 1, 8, 8), model=module.net[1], every=2, profile=False)
    logger = CSVLogger(tmp_path)
    trainer = Trainer(max_epochs=1, accumulate_grad_batches=2, logger=logger, callbacks=[callback])
    trainer.fit(module, image_loader(10))
    table = pd.read_csv(Path(logger.log_dir) / "metrics.csv", float_precision="round_trip")
    table = table.dropna(subset="perturbation/scaled")
    assert table["step"].tolist() == [0, 2, 4, 5]
    after = perturbation_values(module.net[1], callback.batch, profile=False)
    assert table.iloc[-1]["perturbation/scaled"] == after["scaled"]


def test_lightning_trains_and_measures_in_16_bits() -> None:
    needs("lightning")
    from lightning.pytorch import Trainer

    from resperturb.callbacks.lightning import PerturbationCallback

    callback = PerturbationCallback(torch.randn(8, 1, 8, 8), every=2, profile=False)
    trainer = Trainer(
        max_epochs=1, precision="bf16-true", logger=False, enable_checkpointing=False, callbacks=[callback]
    )
    trainer.fit(lightning()["module"], image_loader(3))
    assert callback.logger.values["scaled"] > 0


def test_the_hugging_face_trainer_still_logs_its_loss(tmp_path: Path) -> None:
    needs("transformers", "accelerate")
    from transformers import Trainer, TrainingArguments

    from resperturb.callbacks.huggingface import PerturbationCallback

    names = huggingface()
    arguments = TrainingArguments(str(tmp_path), max_steps=5, logging_steps=2, report_to="none", save_strategy="no")
    trainer = Trainer(names["model"], arguments, train_dataset=names["dataset"])
    trainer.add_callback(PerturbationCallback(trainer, names["batch"], every=2, sequences="token"))
    trainer.train()
    steps = {
        key: [row["step"] for row in trainer.state.log_history if key in row] for key in ("loss", "perturbation/scaled")
    }
    assert steps == {"loss": [2, 4], "perturbation/scaled": [0, 2, 4, 5]}
