"""Claims about other readings of the paper's claim: transitions counted as blocks, and H_L/L in place of 1/L.

Both were added after the runs had been seen.
"""

from __future__ import annotations

import pandas as pd

from report.claims import ANSWERS, HAUSER, OURS, Finding, claim, exponent_is
from report.comparison_claims import ANOTHER, change_of
from report.sweep_claims import if_trained
from resperturb.analysis.readings import slope_over
from resperturb.analysis.slope_tests import CLAIMED
from resperturb.analysis.summaries import exponent_words, interval
from resperturb.records.sweeps import Sweep

ADDITIONS = (
    "With transitions counted as blocks, the average over all additions is inversely proportional to their number."
)
HARMONIC = (
    "The average goes as H_L/L, as where the state grows by the same amount in every block: its exponent over L/H_L is "
    "−1."
)
SUBJECTS = ("sweep", "full-size", "sensitivity")


@claim("additions", HAUSER, ADDITIONS, shown="scaling#what-counts-as-a-block", about=SUBJECTS, reading="additions")
@claim("harmonic", OURS, HARMONIC, shown="scaling#which-curve", about=SUBJECTS, reading="harmonic")
def another_reading(sweep: Sweep, base: Sweep | None, tests: pd.DataFrame, reading: str) -> Finding | None:
    """The finding on −1 by another reading, for sweeps that change nothing in the main sweep `base` but *T*; with the
    correction of the primary tests where the sweep is one of them."""
    if base is not None and change_of(sweep, base) == ANOTHER:
        return None
    slope = slope_over(sweep.records, reading)
    if sweep.name not in tests.index:
        return if_trained(exponent_is(slope, CLAIMED), sweep)
    verdict = ANSWERS[tests[f"answer_{reading}"][sweep.name]]
    return if_trained(Finding(exponent_words(slope), verdict, interval(slope)), sweep)
