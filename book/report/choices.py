"""What the paper does not say: each open point with our choice, and what a change of it does to the exponent."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from resperturb.analysis.conventions import convention_table, fit_shared_depths
from resperturb.analysis.summaries import signed
from resperturb.records.sweeps import KINDS, Sweep, base_of, main_sweeps, sensitivity_sweeps

NOT_RUN = "not run"


@dataclass(frozen=True)
class Choice:
    """A point that the abstract leaves open.

    `ours` may name fields of the default sweep's experiment in braces. `fields` are those whose change in another sweep
    shows what the choice does, `conventions` those of :mod:`resperturb.analysis.conventions` that do; `shown` is the
    chapter that varies it throughout.
    """

    point: str
    ours: str
    why: str
    fields: tuple[str, ...] = ()
    conventions: tuple[str, ...] = ()
    shown: str = ""


CHOICES = (
    Choice(
        "kind of block",
        "pre-activation, and post-activation beside it",
        "x + f(x) holds exactly, with nothing after the addition",
        ("block",),
    ),
    Choice(
        "layout",
        "{sections} sections, {width} channels in the first and twice as many in each next, two 3×3 "
        "convolutions a branch",
        "the CIFAR networks of He et al. 2015",
        ("sections", "width"),
        ("section 1", "section 2", "section 3"),
    ),
    Choice(
        "transitions",
        "projection shortcut, strided convolution; not counted as blocks",
        "their state changes shape, so there is no identity to compare with",
        (),
        ("with transitions",),
    ),
    Choice(
        "first convolution",
        "stride {stem_stride} for the digits, 2 where images are larger",
        "four times less work",
        ("stem_stride",),
    ),
    Choice(
        "normalisation",
        "{normalization} normalisation before each convolution",
        "usual, and what the theory for initialisation assumes",
        ("normalization",),
    ),
    Choice("initialisation", "He et al., normal, fan out", "usual", ("initialization",)),
    Choice("factor on the branch", "{branch_scale:g}", "the plain residual block", ("branch_scale",)),
    Choice(
        "depths",
        "those of each sweep",
        "from the paper's smallest to its largest",
        shown="by range of depths: The average against depth",
    ),
    Choice(
        "optimiser",
        "stochastic gradient descent, momentum {momentum}, batches of {batch_size}",
        "as He et al. 2015, in smaller batches",
        ("momentum", "batch_size"),
    ),
    Choice(
        "schedule",
        "one cycle up to {learning_rate} for a quarter of the steps, then down along a cosine",
        "deep networks need the rise, short runs the fall",
        ("learning_rate",),
    ),
    Choice(
        "weight decay",
        "on all parameters, set by the clock T = {clock:g}",
        "runs of one clock fall together whatever their length",
        ("clock", "weight_decay"),
    ),
    Choice(
        "length and images",
        "as many as a laptop trains in minutes",
        "stated with every sweep",
        ("epochs", "train_size", "augmentation"),
    ),
    Choice(
        "precision of training",
        "{precision} for the digits, stated for the others",
        "speed; measuring is always in float32",
        ("precision",),
    ),
    Choice("norm", "Euclidean, of the flattened state, for each image", "the plainest", (), ("per channel",)),
    Choice(
        "average",
        "ratio for each image, then the mean over images and over blocks",
        "no image counts for more than another",
        (),
        ("ratio of means", "ratio of sums", "median image"),
    ),
    Choice(
        "images measured",
        "{measured_images} test images, the same in every run",
        "runs can be compared image by image",
        ("measured_images",),
        ("training images",),
    ),
    Choice("what is added", "the branch's output at the addition", "it is f in x + f(x)", (), ("step taken",)),
    Choice("epsilon", "none preferred", "the answer is a curve, not a number", shown="by epsilon: The stopping rule"),
)


def shifts_by_field(found: dict[str, Sweep]) -> dict[str, list[str]]:
    """What sweeps that differ in a field did to the exponent, in words, by field."""
    said: dict[str, list[str]] = {}
    varied = [(sweep, base, fields) for sweep, base, fields in sensitivity_sweeps(found).values()]
    for sweep in main_sweeps(found).values():
        base = base_of(sweep, found)
        if base is not None:
            varied.append((sweep, base, {"block": (KINDS[sweep.block], KINDS[base.block])}))
    for sweep, base, fields in varied:
        laws = fit_shared_depths(sweep, base)
        if laws is None:
            continue
        for field, (given, _) in fields.items():
            also = [other for other in fields if other != field]
            words = f"{base.name}, {given}: {signed(laws[0].exponent)} against {signed(laws[1].exponent)}"
            said.setdefault(field, []).append(words + (f" (with {' and '.join(also)} changed too)" if also else ""))
    return said


def shifts_by_convention(found: dict[str, Sweep]) -> dict[str, list[str]]:
    """What conventions did to the exponent, in words, by convention."""
    said: dict[str, list[str]] = {}
    for sweep in main_sweeps(found).values():
        for _, row in convention_table(sweep, found).iterrows():
            moved = f"{row['moved by']:+.2f}".replace("-", "−")
            said.setdefault(str(row["convention"]), []).append(f"{sweep.name} {moved}")
    return said


def choice_table(found: dict[str, Sweep]) -> pd.DataFrame:
    """A row per open point: what the paper leaves open, our choice, why, and what a change did; "not run" if none was.

    Args:
        found: the sweeps; the choices are printed from the default one's experiment.
    """
    experiment = found["digits"].identity
    fields, under = shifts_by_field(found), shifts_by_convention(found)
    rows = []
    for choice in CHOICES:
        told = [words for field in choice.fields for words in fields.get(field, [])]
        told += [f"{name}: {', '.join(under[name])}" for name in choice.conventions if name in under]
        rows.append(
            {
                "left open": choice.point,
                "our choice": choice.ours.format_map(experiment),
                "why": choice.why,
                "what a change does to the exponent": "; ".join(told) or choice.shown or NOT_RUN,
            }
        )
    return pd.DataFrame(rows)
