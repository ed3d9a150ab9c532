"""Drawn pictures keep what they explain: equal averages, right angles, one end for all paths."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from resperturb.figures import schematics


def tips(figure: Figure, panel: int) -> np.ndarray:
    """Ends of the arrows of one panel, shape (arrows, 2)."""
    return np.array([note.xy for note in figure.axes[panel].texts if note.get_text() == ""])


def test_both_networks_have_one_average() -> None:
    figure = schematics.busy_or_small()
    means = [np.mean([bar.get_height() for bar in axes.patches]) for axes in figure.axes]
    assert means == pytest.approx([means[0]] * 2)
    heights = [bar.get_height() for bar in figure.axes[1].patches]
    assert max(heights) > 3 * means[1] > 100 * min(heights)


def test_each_step_of_the_spiral_is_at_a_right_angle_and_the_state_grows_as_a_root() -> None:
    ends = tips(schematics.spiral_of_steps(), 0)
    states = np.vstack([[1.0, 0.0], ends])
    steps = np.diff(states, axis=0)
    assert np.einsum("ij,ij->i", states[:-1], steps) == pytest.approx(np.zeros(len(steps)), abs=1e-9)
    assert np.linalg.norm(states, axis=1) == pytest.approx(np.sqrt(np.arange(1, len(states) + 1)))


def test_a_dead_block_pushes_all_images_alike_and_a_live_one_does_not() -> None:
    figure = schematics.live_or_dead()
    dots = [np.array([dot.center for dot in axes.patches if isinstance(dot, Circle)]) for axes in figure.axes]
    live, dead = (tips(figure, panel) - dots[panel] for panel in (0, 1))
    assert dead.std(axis=0) == pytest.approx([0, 0], abs=1e-9)
    assert live.std(axis=0).min() > 0.1


def test_a_block_is_measured_at_its_addition_and_the_push_is_small() -> None:
    figure = schematics.residual_block()
    state, total = tips(figure, 0)[[0, 1]]
    assert np.linalg.norm(total - state) < 0.3 * np.linalg.norm(state)
    assert [note.get_text() for note in figure.axes[1].texts].count("measured here") == 2
