"""Schematic drawings that explain terms and arguments, without measured numbers."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch

from resperturb.figures.style import BLUE, INK, ORANGE, PURPLE, WIDTH, close

SMALL_FONT = 10  # points; more than 10 pixels on a phone


def bare(axes: Axes, *, equal: bool = True) -> Axes:
    """Remove ticks and frame from axes."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if equal:
        axes.set_aspect("equal")
    return axes


def arrow(axes: Axes, start: Any, end: Any, color: str, width: float = 1.8) -> None:
    """Draw an arrow from start to end, each of shape (2,), in data coordinates."""
    style: dict[str, Any] = {"arrowstyle": "-|>", "color": color, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops={**style, "mutation_scale": 11})


def residual_block() -> Figure:
    """Draw a block as vectors (state, push and sum) and as layers."""
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(WIDTH, 4.7), height_ratios=(1.15, 1))
    bare(top).set(xlim=(-0.3, 7.2), ylim=(-0.4, 3.3))
    x, f = np.array([5.0, 1.6]), np.array([0.55, 1.05])
    arrow(top, (0, 0), x, INK, 2.4)
    arrow(top, x, x + f, ORANGE, 2.4)
    arrow(top, (0, 0), x + f, BLUE, 1.4)
    top.text(2.9, 0.55, "state $x$", color=INK)
    top.text(5.5, 1.75, "push $f(x)$", color=ORANGE)
    top.text(2.1, 2.0, "next state $x + f(x)$", color=BLUE, ha="center")
    top.set_title(r"a small push: $\|f(x)\|$ is a fraction of $\|x\|$", fontsize=11)
    bare(bottom, equal=False).set(xlim=(0, 10), ylim=(-0.15, 3.3))
    for height, words, after in ((2.35, "pre-activation block", False), (0.55, "post-activation block", True)):
        layers_of_a_block(bottom, height, words, after)
    return close(figure)


def layers_of_a_block(axes: Axes, y: float, words: str, relu_after: bool) -> None:
    """Draw the stream from left to right, the residual branch above it, and the measured addition."""
    arrow(axes, (0.2, y), (6.3, y), INK)
    arrow(axes, (6.9, y), (7.55, y) if relu_after else (9.8, y), INK)
    axes.plot([0.6, 0.6, 0.95], [y, y + 0.62, y + 0.62], color=ORANGE, linewidth=1.6)
    inner = "norm, ReLU, conv, twice" if not relu_after else "conv, norm, ReLU, conv, norm"
    axes.add_patch(FancyBboxPatch((1.01, y + 0.4), 4.85, 0.44, "round,pad=0.06", fill=False, edgecolor=ORANGE))
    axes.text(3.43, y + 0.62, inner, ha="center", va="center", fontsize=9.5, color=ORANGE)
    axes.plot([5.92, 6.6, 6.6], [y + 0.62, y + 0.62, y + 0.2], color=ORANGE, linewidth=1.6)
    axes.plot(6.6, y, marker="$+$", color=INK, markersize=8)
    axes.plot(6.6, y, marker="o", color=INK, markersize=15, markerfacecolor="none")
    axes.text(6.85, y + 0.5, "$f(x)$", color=ORANGE, fontsize=SMALL_FONT)
    axes.text(0.2, y + 0.14, "$x$", color=INK, fontsize=SMALL_FONT)
    axes.text(0.2, y - 0.5, words, color=INK, fontsize=SMALL_FONT)
    axes.text(6.6, y - 0.5, "measured here", color=PURPLE, fontsize=SMALL_FONT, ha="center")
    if relu_after:
        axes.add_patch(FancyBboxPatch((7.6, y - 0.2), 1.0, 0.4, "round,pad=0.05", facecolor="none", edgecolor=INK))
        arrow(axes, (8.65, y), (9.8, y), INK)
        axes.text(8.1, y, "ReLU", ha="center", va="center", fontsize=9.5, color=INK)


def spiral_of_steps() -> Figure:
    """Draw the spiral of Theodorus: 16 steps of length 1 at right angles to the state, which grows as a root."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    bare(axes)
    place, angle = np.array([1.0, 0.0]), 0.0
    for number in range(1, 17):
        axes.plot([0, place[0]], [0, place[1]], color=INK, linewidth=0.7, alpha=0.7)
        onward = place + np.array([-place[1], place[0]]) / np.hypot(*place)
        arrow(axes, place, onward, ORANGE, 1.5)
        if number in (1, 4, 9, 15):
            angle = np.arctan2(*(0.55 * place + 0.45 * onward)[::-1])
            radius = np.sqrt(number + 0.5) + 0.4
            axes.text(radius * np.cos(angle), radius * np.sin(angle), "1", color=ORANGE, ha="center", va="center")
        if number in (4, 9, 16):
            x, y = 0.55 * place
            axes.text(x, y, rf"$\sqrt{{{number}}}$", color=BLUE, ha="center", va="center")
        place = onward
    axes.plot([0, place[0]], [0, place[1]], color=BLUE, linewidth=1.6)
    axes.set_title("steps of one length, each at a right angle to the state", fontsize=11)
    axes.margins(0.12)
    return close(figure)


def busy_or_small() -> Figure:
    """Draw two networks with one average: every block takes a small step, or a few walk and the others wait."""
    blocks, busy, level = 12, 3, 0.25
    tops = (2.1 * level, 1.1 * level * blocks / busy)
    figure, all_axes = plt.subplots(2, 1, figsize=(WIDTH, 3.2), sharex=True, height_ratios=tops)  # one scale
    heights = (
        np.full(blocks, level),
        np.where(np.arange(blocks) % (blocks // busy) == 1, level * blocks / busy, 0.006),
    )
    titles = ("every block takes a small step", "a few blocks walk, the others wait")
    for axes, bars, title, color, top in zip(all_axes, heights, titles, (BLUE, ORANGE), tops, strict=True):
        bars = bars * level / bars.mean()
        axes.bar(np.arange(1, blocks + 1), bars, color=color, edgecolor="none", width=0.7)
        axes.axhline(level, color=INK, linestyle="--", linewidth=1.2)
        axes.text(blocks + 0.9, level, "same\naverage", color=INK, va="center", fontsize=SMALL_FONT)
        axes.set(title=title, yticks=[], xticks=[], ylim=(0, top))
        axes.spines["left"].set_visible(False)
    all_axes[1].set_xlabel("blocks, from input to output")
    figure.supylabel(r"$\|f(x)\| / \|x\|$", color=INK, fontsize=12)
    return close(figure)


def live_or_dead() -> Figure:
    """Draw how a live and a dead block push the states of several images: differently, or all the same."""
    images = 7
    figure, all_axes = plt.subplots(1, 2, figsize=(WIDTH, 2.6), sharex=True, sharey=True)
    draw = np.random.default_rng(1)
    states = np.column_stack([np.linspace(0, 4.2, images), draw.uniform(0.4, 2.4, images)])
    turns = draw.uniform(-1.2, 1.7, images)
    live = np.column_stack([np.cos(turns), np.sin(turns)]) * draw.uniform(0.5, 1.3, (images, 1))
    for axes, pushes, title, color in zip(
        all_axes, (live, np.tile([0.7, 0.5], (images, 1))), ("live block", "dead block"), (BLUE, ORANGE), strict=True
    ):
        bare(axes).set(xlim=(-0.6, 5.4), ylim=(-0.6, 3.4))
        for state, push in zip(states, pushes, strict=True):
            axes.add_patch(Circle(state, 0.09, color=INK))
            arrow(axes, state, state + push, color)
        axes.set_title(title, fontsize=11)
        words = "its push depends on the image" if color == BLUE else "one push for all images"
        axes.text(2.4, -0.5, words, ha="center", fontsize=9, color=INK)
    return close(figure)
