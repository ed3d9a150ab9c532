"""Claims about networks that others trained."""

from __future__ import annotations

from functools import partial

import pandas as pd

from report.claims import HAUSER, OURS, Finding, claim, exponent_is, truth
from report.study_claims import Records
from report.sweep_claims import all_alive
from resperturb.analysis.published import (
    COUNTS,
    OVER_ADDITIONS,
    OVER_BLOCKS,
    published_slopes,
    published_table,
    response_table,
)
from resperturb.analysis.slope_tests import SMALLEST
from resperturb.analysis.summaries import signed

claim_published = partial(claim, shown="others#what-the-records-say", about="published")


@claim_published(
    "exponent-additions",
    HAUSER,
    "In four published networks, with transitions counted and averaged as blocks, the average is inversely "
    "proportional to the number of additions.",
    way=OVER_ADDITIONS,
)
@claim_published(
    "exponent",
    HAUSER,
    "In four published networks, the average over blocks is inversely proportional to their number.",
    way=OVER_BLOCKS,
)
def published_exponent(records: Records, way: str) -> Finding:
    return exponent_is(published_slopes(published_table(records))[way], -1.0)


@claim_published(
    "counting", OURS, f"What counts as a block moves the exponent of these networks by less than {SMALLEST}."
)
def counting_moves_little(records: Records) -> Finding:
    exponents = [published_slopes(published_table(records))[way].exponent for way in COUNTS]
    return Finding(
        f"{signed(min(exponents))} to {signed(max(exponents))}", truth(max(exponents) - min(exponents) < SMALLEST)
    )


@claim_published("alive", OURS, "Every block of these networks is alive: what it adds depends on the image.")
def published_alive(records: Records) -> Finding:
    return all_alive(published_table(records)["alive"].min())


@claim_published(
    "responses",
    "this book, after He et al. 2015",
    "Deeper networks have smaller responses: the root mean square of what their additions add falls with depth.",
)
def smaller_responses(records: Records) -> Finding:
    return falls_with_depth(response_table(records))


def falls_with_depth(responses: pd.DataFrame) -> Finding:
    """The finding on "deeper networks have smaller responses", from :func:`response_table`."""
    means = responses.groupby("blocks")["response"].mean()
    value = ", ".join(f"{mean:.2f} at {blocks}" for blocks, mean in means.items())
    return Finding(value, truth(bool(means.is_monotonic_decreasing)))
