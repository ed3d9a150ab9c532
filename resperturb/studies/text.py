"""Transformers: does the scaled perturbation per token fall with depth, too?

The text is the topics of Python's help in the standard library (pydoc_data.topics). Versions of Python differ in it, so
the record has its hash. The last tenth is held out.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from resperturb.errors import ExperimentError
from resperturb.experiment.validation import finite, one_of
from resperturb.measurement.measure import measurement
from resperturb.models.transformer import TRANSFORMER_INITIALIZATIONS, Transformer
from resperturb.studies.base import Report, Study, Tables
from resperturb.training.loop import learning_rate

HELD_OUT = 0.1  # of the text
CLIP = 1.0  # largest norm of the gradient


@dataclass(frozen=True, kw_only=True)
class TextStudy(Study):
    """One transformer, trained and measured per token."""

    kind: ClassVar[str] = "text"
    name_fields: ClassVar[tuple[str, ...]] = ("initialization", "layers")

    layers: int = 8  # of two blocks, attention and MLP
    width: int = 64  # features of a token
    heads: int = 4
    context: int = 64  # characters
    initialization: str = "plain"
    steps: int = 400
    batch_size: int = 16  # sequences per step
    learning_rate: float = 1e-3  # peak of the one-cycle schedule
    weight_decay: float = 0.1  # of AdamW, on all parameters
    measured_sequences: int = 64  # of the held-out text

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            ("layers", 1), ("width", 1), ("heads", 1), ("context", 2), ("steps", 1), ("batch_size", 1),
            ("measured_sequences", 1),
        )  # fmt: skip
        one_of("initialization", self.initialization, TRANSFORMER_INITIALIZATIONS)
        object.__setattr__(self, "learning_rate", finite("learning_rate", self.learning_rate, above=0.0))
        object.__setattr__(self, "weight_decay", finite("weight_decay", self.weight_decay, at_least=0.0))
        if self.width % self.heads:
            raise ExperimentError(f"heads must divide width ({self.width}), but got {self.heads}; choose a divisor.")

    @property
    def blocks(self) -> int:
        """Number of residual additions."""
        return 2 * self.layers

    def conduct(self, report: Report) -> Tables:
        """Train and measure the transformer.

        Returns:
            network: one row. blocks: a row per addition and moment. history: a row per 50 steps.
        """
        text, alphabet = encode_text(corpus())
        split = round(len(text) * (1 - HELD_OUT))
        seen, held = text[:split], text[split:]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            network = Transformer(
                self.layers, characters=len(alphabet), width=self.width, heads=self.heads, context=self.context,
                initialization=self.initialization,
            )  # fmt: skip
        starts = np.linspace(0, len(held) - self.context - 1, self.measured_sequences).round().astype(int)
        measured, following = windows(held, torch.from_numpy(starts), self.context)
        parts = [self.measure_blocks(network, measured, "initialization")]
        before = loss_of(network, measured, following)
        begun = time.perf_counter()
        history = self.train(network, seen, report)
        seconds = time.perf_counter() - begun
        parts.append(self.measure_blocks(network, measured, "end"))
        end = {
            "loss_initialization": before,
            "loss": loss_of(network, measured, following),
            "train_loss": history["loss"].iloc[-1],
            "characters": len(alphabet),
            "text_length": len(text),
            "text_sha256": hashlib.sha256(corpus().encode()).hexdigest()[:16],
            "parameters": sum(p.numel() for p in network.parameters()),
            "training_seconds": seconds,
        }
        return {"network": pd.DataFrame([end]), "blocks": pd.concat(parts, ignore_index=True), "history": history}

    def measure_blocks(self, network: Transformer, sequences: Tensor, moment: str) -> pd.DataFrame:
        """Measure every addition with norms per token: a row each, with its layer and part."""
        table = measurement(network, [sequences], sequences="token").table
        table = table[["block", "name", "state_norm", "perturbation_norm", "scaled", "cosine", "influence"]].copy()
        table.insert(1, "layer", (table["block"] + 1) // 2)
        table.insert(2, "part", table["name"].str.rsplit(".", n=1).str[-1])
        table.insert(0, "moment", moment)
        return table.drop(columns="name")

    def train(self, network: Transformer, text: Tensor, report: Report) -> pd.DataFrame:
        """Train with AdamW and one cycle of the learning rate; return the mean loss of every 50 steps."""
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=self.learning_rate, betas=(0.9, 0.95), weight_decay=self.weight_decay, fused=True
        )
        generator = torch.Generator().manual_seed(self.seed)
        rows, total = [], 0.0
        network.train()
        for step in range(self.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, self.steps, self.learning_rate)
            starts = torch.randint(len(text) - self.context - 1, (self.batch_size,), generator=generator)
            x, y = windows(text, starts, self.context)
            optimizer.zero_grad(set_to_none=True)
            loss = cross_entropy(network(x).flatten(0, 1), y.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
            optimizer.step()
            total += loss.item()
            if not math.isfinite(total):
                raise ExperimentError(f"the loss is no longer finite after step {step + 1}; lower the learning rate.")
            if (step + 1) % 50 == 0 or step + 1 == self.steps:
                count = (step % 50) + 1
                rows.append({"step": step + 1, "loss": total / count})
                report(f"step {step + 1:5d} of {self.steps}  loss {total / count:.4f}")
                total = 0.0
        network.eval()
        return pd.DataFrame(rows)


def corpus() -> str:
    """Return the topics of Python's help, sorted by name, as one text."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def encode_text(text: str) -> tuple[Tensor, str]:
    """Return the characters of a text as numbers, int64 (length,), and the alphabet."""
    alphabet = "".join(sorted(set(text)))
    numbers = {character: number for number, character in enumerate(alphabet)}
    return torch.tensor([numbers[character] for character in text]), alphabet


def windows(text: Tensor, starts: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Return sequences and the characters that follow each of theirs, both (starts, context)."""
    places = starts[:, None] + torch.arange(context)
    return text[places], text[places + 1]


@torch.no_grad()
def loss_of(network: Transformer, sequences: Tensor, following: Tensor) -> float:
    """Compute the mean cross-entropy in nats per character."""
    network.eval()
    return cross_entropy(network(sequences).flatten(0, 1), following.flatten()).item()
