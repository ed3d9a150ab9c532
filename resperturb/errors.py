"""What is raised where a request cannot be met: one clear sentence each."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path


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


PREFIX = "resperturb_subject_"  # of the modules that named files become


class SubjectError(ResperturbError):
    """A network, weights or images that cannot be had; the message says which and what to do."""


def files_of_subjects() -> set[str]:
    return {str(module.__file__) for name, module in list(sys.modules.items()) if name.startswith(PREFIX)}


def in_one_line(error: BaseException) -> str:
    """Kind, first sentence, and place in a file that was named: "ValueError: too small (model.py, line 12)"."""
    text = next(iter(str(error).strip().splitlines()), "").split(". ")[0][:200].rstrip(".! ")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in files_of_subjects()]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


class RecordError(ExperimentError):
    """Records that are missing, unreadable or cannot be written; the message says which and what to do."""


class ScalingError(ResperturbError):
    """Too little to fit; the message says what is missing."""


class DataError(ExperimentError):
    """Data files are missing, damaged or out of reach; the message says which and where they belong."""
