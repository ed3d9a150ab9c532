"""Choices in words: every field of an experiment that decides a run has some, and a change names both values."""

from __future__ import annotations

import dataclasses

import pytest

from resperturb.experiment import Experiment
from resperturb.records.sweeps import display_name
from resperturb.records.words import FIELD_WORDS, VALUE_WORDS, change_words, choice_words


def test_every_field_has_words() -> None:
    fields = {field.name for field in dataclasses.fields(Experiment) if field.metadata.get("decides", True)}
    assert fields - {"dataset", "blocks", "seed"} <= set(FIELD_WORDS)
    assert {field for field, _ in VALUE_WORDS} <= fields


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("learning_rate", 0.03, 0.1), "a learning rate of 0.03 in place of 0.1"),
        (("weight_decay", 0.0, 5e-4), "no weight decay in place of a weight decay of 0.0005"),
        (("initialization", "zero", "he"), "branches that start at zero in place of the usual initialisation"),
        (("sections", 1, 3), "one section in place of 3 sections"),
        (("branch_scale", 0.5, 1.0), "branches multiplied by 0.5 in place of 1"),
    ],
)
def test_a_change_is_said_in_words(change: tuple[str, object, object], words: str) -> None:
    assert change_words(*change) == words


def test_parameters_of_studies_have_words_as_well() -> None:
    assert choice_words("removed_blocks", [1, 2]) == "removed blocks 1, 2"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits", "digits"),
        ("mnist-postactivation", "MNIST, post-activation"),
        ("decay-cifar10", "CIFAR-10, short trainings"),
        ("cifar10-more-decay", "CIFAR-10, more decay"),
        ("published", "four published networks"),
        ("my-own", "my own"),
    ],
)
def test_presets_have_names_for_readers(name: str, words: str) -> None:
    assert display_name(name) == words
