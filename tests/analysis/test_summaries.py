"""The tables of sweeps, against the records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from builders import DIGITS

from resperturb.analysis import summaries
from resperturb.analysis.slope_tests import fit_slope
from resperturb.records.record import load_records


def test_the_depth_table_is_the_mean_over_seeds() -> None:
    records = load_records(DIGITS)
    table = summaries.depth_table(records).set_index("blocks")
    for blocks in {record.blocks for record in records}:
        means = [r.blocks_at("end")["scaled"].mean() for r in records if r.blocks == blocks]
        assert table.loc[blocks, "scaled_end"] == pytest.approx(np.mean(means), rel=1e-4)


def test_an_exponent_of_a_bent_law_is_called_a_mean_slope() -> None:
    depths = np.array([6, 12, 24, 48, 96])
    line, bent = (fit_slope(depths, 1 / (depths + shift)) for shift in (0.0, 20.0))
    assert summaries.exponent_words(line) == "−1.00"
    assert summaries.exponent_words(bent) == "−0.54 (mean slope, at the ends −0.30 and −0.77)"
    table = pd.DataFrame([slope.columns for slope in (line, bent)])
    plain, marked = summaries.exponent_cells(table)
    assert plain == "−1.00 ± 0.00"
    assert marked == "−0.54 ± 0.17 (mean slope)"
