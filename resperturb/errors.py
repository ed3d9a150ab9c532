"""What is raised where a request cannot be met: one clear sentence each."""

from __future__ import annotations


class ResperturbError(ValueError):
    """A request that cannot be met; the message names the bad value, what is allowed and what to do."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook prints: the sentence alone, since the call stack says nothing about a mistyped value."""
        return [f"{type(self).__name__}: {self}"]


class ExperimentError(ResperturbError):
    """A value that no run can be made of."""


class MeasurementError(ResperturbError):
    """A model, a batch or an option that cannot be measured."""


class ActivationError(MeasurementError):
    """Activations that have no scaled perturbation: not finite, or a state that is zero."""
