"""Do residual networks learn a perturbation from identity? (Hauser 2019, arXiv 1902.04106.)

Train residual networks of any depth, measure what every block adds to its state, and fit how that falls with depth.
Names are imported at first use, so reading records needs no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resperturb.analysis.networks import compare
    from resperturb.analysis.power_law import fit_power_law, stopping_depth
    from resperturb.analysis.slope_tests import fit_runs
    from resperturb.callbacks.logger import PerturbationLogger
    from resperturb.errors import ExperimentError, MeasurementError
    from resperturb.experiment import Experiment
    from resperturb.figures.networks import plot
    from resperturb.measurement.measure import measure
    from resperturb.models.residual import ResidualNetwork
    from resperturb.records.record import Record, load_records, summary
    from resperturb.studies.run import run

HOME = {
    "Experiment": "experiment",
    "ExperimentError": "errors",
    "MeasurementError": "errors",
    "PerturbationLogger": "callbacks.logger",
    "Record": "records.record",
    "ResidualNetwork": "models.residual",
    "compare": "analysis.networks",
    "fit_power_law": "analysis.power_law",
    "fit_runs": "analysis.slope_tests",
    "load_records": "records.record",
    "measure": "measurement.measure",
    "plot": "figures.networks",
    "run": "studies.run",
    "stopping_depth": "analysis.power_law",
    "summary": "records.record",
}
__all__ = list(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*HOME, *globals()})
