"""Parameters as a notebook gives them."""

from __future__ import annotations

import pytest

from resperturb.errors import ExperimentError
from resperturb.experiment import Experiment
from resperturb.experiment.parameters import notebook_parameters, read_parameters


def test_a_kernels_own_names_are_no_parameters() -> None:
    namespace = {"results": "r", "In": [""], "Out": {}, "_": 1, "__name__": "x", "exit": 1, "blocks": 9, "read": print}
    assert read_parameters(Experiment, namespace)[0].blocks == 9


def test_a_notebook_that_reads_records_refuses_other_names() -> None:
    assert notebook_parameters({"dataset": "mnist", "print": print}, "dataset") == {"dataset": "mnist"}
    with pytest.raises(ExperimentError, match=r"unknown parameter datset; did you mean dataset\?"):
        notebook_parameters({"datset": "mnist"}, "dataset")
