"""Exceptions: each one clear sentence about a request that cannot be met."""

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


class ExternalError(ResperturbError):
    """A network, weights or images of a user that cannot be loaded; the message says which and what to do."""


class RecordError(ExperimentError):
    """Records that are missing, unreadable or cannot be written; the message says which and what to do."""


class ScalingError(ResperturbError):
    """Too little to fit; the message says what is missing."""


class DataError(ExperimentError):
    """Data files are missing, damaged or out of reach; the message says which and where they belong."""
