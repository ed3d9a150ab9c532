"""What is run: an experiment, presets of experiments, and the parameters of notebooks."""

from resperturb.experiment.experiment import Experiment

__all__ = ["Experiment"]
