"""Words for the fields of an experiment and their values."""

from __future__ import annotations

from typing import Any

FIELD_WORDS = {
    "sections": "{} sections",
    "width": "{} channels in the first section",
    "block": "{} blocks",
    "normalization": "{} normalisation",
    "branch_scale": "branches multiplied by {}",
    "initialization": "{} initialisation",
    "stem_stride": "a first convolution of stride {}",
    "epochs": "{} epochs",
    "batch_size": "batches of {} images",
    "optimizer": "optimiser {}",
    "schedule": "{} schedule",
    "learning_rate": "a learning rate of {}",
    "momentum": "a momentum of {}",
    "weight_decay": "a weight decay of {}",
    "clock": "T set to {}",
    "decayed": "weight decay on {}",
    "norm_epsilon": "an epsilon of {} in normalisations",
    "augmentation": "{} augmentation",
    "train_size": "{} training images",
    "test_size": "{} test images",
    "measured_images": "{} measured images",
    "snapshots": "{} snapshots",
    "precision": "training in {}",
}
"""A phrase for each deciding field, with braces for its value."""

VALUE_WORDS = {
    ("sections", 1): "one section",
    ("epochs", 1): "1 epoch",
    ("block", "preactivation"): "pre-activation blocks",
    ("block", "postactivation"): "post-activation blocks",
    ("normalization", "batch"): "batch normalisation",
    ("normalization", "none"): "no normalisation",
    ("initialization", "he"): "the usual initialisation",
    ("initialization", "zero"): "branches that start at zero",
    ("weight_decay", 0): "no weight decay",
    ("weight_decay", None): "the weight decay that follows from T",
    ("decayed", "all"): "weight decay on all parameters",
    ("decayed", "normalization"): "weight decay on gains and shifts",
    ("optimizer", "sgd"): "stochastic gradient descent",
    ("optimizer", "adamw"): "AdamW",
    ("schedule", "one-cycle"): "a one-cycle schedule",
    ("schedule", "constant"): "a constant learning rate",
    ("augmentation", "none"): "images as they are",
    ("augmentation", "crop-flip"): "shifted and mirrored images",
}
"""Phrases for single values."""


def choice_words(field: str, value: Any) -> str:
    """Name a choice: "a learning rate of 0.03"."""
    words = VALUE_WORDS.get((field, value)) if not isinstance(value, list) else None
    return words or FIELD_WORDS.get(field, f"{field.replace('_', ' ')} {{}}").format(written(value))


def change_words(field: str, given: Any, usual: Any) -> str:
    """Name a changed choice: "a learning rate of 0.03 in place of 0.1"."""
    plain = not {(field, given), (field, usual)} & VALUE_WORDS.keys()
    return f"{choice_words(field, given)} in place of {written(usual) if plain else choice_words(field, usual)}"


def written(value: Any) -> str:
    """Write a value for readers."""
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(map(written, value))
    return str(value)
