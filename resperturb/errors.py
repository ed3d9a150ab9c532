"""Exceptions: each one clear sentence about a request that cannot be met."""

from __future__ import annotations

import reprlib
from typing import Any

ABBREVIATED = reprlib.Repr()
ABBREVIATED.maxstring = ABBREVIATED.maxother = ABBREVIATED.maxlong = 80  # characters
ABBREVIATED.maxlevel = 2


def shown(value: Any) -> str:
    """A value as a message quotes it: long ones, and lists within lists, cut short."""
    try:
        return ABBREVIATED.repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of thousands of digits"


class ResperturbError(ValueError):
    """A request that cannot be met; the message names the bad value, what is allowed and what to do."""

    def _render_traceback_(self) -> list[str]:
        """The output in a notebook: the sentence alone, since the call stack does not explain a mistyped value."""
        return [f"{type(self).__name__}: {self}"]


class ExperimentError(ResperturbError):
    """A value that no run can be made of."""


class MeasurementError(ResperturbError):
    """A model, a batch or an option that cannot be measured."""


class ActivationError(MeasurementError):
    """Activations that have no scaled perturbation: not finite, or a state that is zero."""


class ExternalError(ResperturbError):
    """A network, weights or images of a user that cannot be loaded."""


class RecordError(ExperimentError):
    """Records that are missing, unreadable or cannot be written."""


class ScalingError(ResperturbError):
    """Too few records to fit."""


class DataError(ExperimentError):
    """Data files that are missing, damaged or out of reach."""
