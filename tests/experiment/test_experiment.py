"""The experiment: what it fills in, what it refuses, and in which words."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resperturb.errors import ExperimentError
from resperturb.experiment import Experiment
from resperturb.experiment.validation import nearest, reject_unknown
from resperturb.models.residual import spread


@given(st.integers(1, 400), st.integers(1, 12))
def test_spread_is_even_complete_and_falling(blocks: int, sections: int) -> None:
    if sections > blocks:
        with pytest.raises(ExperimentError, match="sections"):
            spread(blocks, sections)
        return
    counts = spread(blocks, sections)
    assert len(counts) == sections
    assert sum(counts) == blocks
    assert max(counts) - min(counts) <= 1
    assert list(counts) == sorted(counts, reverse=True)


def test_what_is_left_open_takes_the_data_sets_own_value() -> None:
    experiment = Experiment(dataset="mnist")
    assert (experiment.train_size, experiment.stem_stride, experiment.augmentation) == (6000, 2, "none")
    assert Experiment(dataset="mnist", train_size=100).train_size == 100


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"seed": 10**400}, r"at least 0 and at most 9223372036854775807, but got 10{,40}\.\.\.0{,40}\.$"),
        ({"seed": 10**5000}, "but got a number of thousands of digits"),
        ({"dataset": "minst"}, "did you mean mnist"),
        ({"dataset": 3}, "dataset must be one of digits, mnist, cifar10, but got 3"),
        ({"blocks": 4, "sections": 5}, r"at most the number of blocks \(4\), but got 5"),
        ({"learning_rate": 0}, "got 0"),
        ({"weight_decay": -1e-4}, "weight_decay must be a finite number of at least 0"),
        ({"dataset": "mnist", "train_size": 60001}, "at most 60000"),
        ({"batch_size": 65, "train_size": 64}, r"batch_size must be at most train_size \(64\)"),
        ({"measured_images": 361}, "measured_images must be at most test_size"),
        ({"block": 100}, "use blocks=100"),
        ({"block": "postactivate"}, "did you mean postactivation"),
        ({"precision": "float16"}, "float32, bfloat16"),
    ],
)
def test_a_bad_value_is_quoted(values: dict[str, object], words: str) -> None:
    with pytest.raises(ExperimentError, match=words) as caught:
        Experiment(**values)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("blocks", [-1, 2.5, True, math.inf, math.nan, None, "ten", "", "0x10", "1e9", [3], {}])
def test_what_is_no_whole_number_is_quoted(blocks: object) -> None:
    with pytest.raises(ExperimentError, match=f"blocks must be a whole .*, but got {re.escape(repr(blocks))}[.]$"):
        Experiment(blocks=blocks)  # type: ignore[arg-type]


def test_an_unknown_name_is_refused_with_the_nearest_right_one() -> None:
    right_names = {"block_count": "blocks", "blcoks": "blocks", "lr_rate": "learning_rate", "epoch": "epochs"}
    for wrong, right in right_names.items():
        with pytest.raises(ExperimentError, match=f"unknown parameter {wrong}; did you mean {right}"):
            Experiment.from_mapping({wrong: 1})
    with pytest.raises(ExperimentError, match="the parameters are a, b"):
        reject_unknown(["qqqqqq"], ["a", "b"])
    assert nearest("qqqqqq", ["a", "b"]) is None


def test_a_notebook_shows_the_sentence_alone() -> None:
    with pytest.raises(ExperimentError) as caught:
        Experiment(blocks=-1)
    assert caught.value._render_traceback_() == [f"ExperimentError: {caught.value}"]


def test_the_name_stands_for_what_decides_the_result() -> None:
    base = Experiment(blocks=12, seed=3)
    assert base.name.startswith("blocks-012-seed-3-")
    assert dataclasses.replace(base, device="cpu", threads=1).name == base.name
    changed = {"clock": 4.0, "weight_decay": None}
    for change in ({"width": 8}, {"weight_decay": 1e-3}, {"precision": "bfloat16"}, changed):
        assert dataclasses.replace(base, **change).name != base.name  # type: ignore[arg-type]


def test_it_goes_through_a_mapping_unchanged() -> None:
    experiment = Experiment(dataset="cifar10", blocks=9, weight_decay=1e-4)
    assert Experiment.from_mapping(experiment.to_dict()) == experiment
