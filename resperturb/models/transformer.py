"""A small causal transformer over characters. Each layer has two blocks, attention and MLP.

Layer normalisation comes before each branch and before the head (pre-norm; Xiong et al. 2020, arXiv 2002.04745).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

TRANSFORMER_INITIALIZATIONS = ("plain", "scaled")


class Attention(nn.Module):
    """Causal self-attention, (N, tokens, width) to the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, width = x.shape
        q, k, v = self.inward(x).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.outward(mixed.transpose(1, 2).reshape(n, tokens, width))


class Residual(nn.Module):
    """A block x + branch(norm(x)), (N, tokens, width) to the same shape."""

    def __init__(self, width: int, branch: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(self.norm(x))


class Layer(nn.Module):
    """An attention block and an MLP block, (N, tokens, width) to the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        attention, ending = Attention(width, heads), nn.Linear(4 * width, width)
        self.attention = Residual(width, attention)
        self.mlp = Residual(width, nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), ending))
        self.ends = (attention.outward, ending)  # the last layer of each branch

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(self.attention(x))


class Transformer(nn.Module):
    """Scores of the next character, (N, tokens, characters), from characters, (N, tokens) int64.

    Args:
        layers: number of layers, each of two blocks.
        characters: size of the alphabet.
        width: features of a token.
        heads: attention heads; a divisor of `width`.
        context: largest number of tokens.
        initialization: "plain", or "scaled": weights in the last layer of every branch are divided by the square root
            of the number of blocks (Radford et al. 2019, GPT-2).
    """

    def __init__(
        self,
        layers: int,
        *,
        characters: int,
        width: int = 64,
        heads: int = 4,
        context: int = 64,
        initialization: str = "plain",
    ) -> None:
        super().__init__()
        self.character = nn.Embedding(characters, width)
        self.position = nn.Embedding(context, width)
        every = [Layer(width, heads) for _ in range(layers)]
        self.layers = nn.Sequential(*every)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters)
        self.apply(draw)
        if initialization == "scaled":
            with torch.no_grad():
                for end in (end for layer in every for end in layer.ends):
                    end.weight /= math.sqrt(2 * layers)

    def forward(self, text: Tensor) -> Tensor:
        x = self.character(text) + self.position(torch.arange(text.shape[1], device=text.device))
        return self.head(self.norm(self.layers(x)))


@torch.no_grad()
def draw(module: nn.Module) -> None:
    """Draw normal weights with standard deviation 0.02 and set biases to zero (Radford et al. 2019)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
