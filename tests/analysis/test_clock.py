"""The map over clock and steps, on runs made of shipped ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import copy_sweep

from report.ledger import study_subjects
from resperturb.analysis.clock import clock_exponents, clock_records, clock_table, steps_effect
from resperturb.errors import ScalingError
from resperturb.records.record import Record, load_records


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one clock with ten and with twenty epochs, the latter steeper by 0.05."""
    root = tmp_path_factory.mktemp("results")
    copy_sweep(root / "ten")
    copy_sweep(root / "twenty", epochs=20, steeper=-0.05)
    (root / "clock").mkdir()
    for name in ("ten", "twenty"):
        for record in load_records(root / name):
            record.folder.rename(root / "clock" / f"{name}-{record.name}")
    return root


@pytest.fixture(scope="module")
def records(results: Path) -> list[Record]:
    return clock_records(results)["clock"]


def test_the_map_has_a_row_per_run_and_the_effect_of_steps_is_found_at_one_clock(records: list[Record]) -> None:
    table = clock_table(records)
    assert len(table) == len(records)
    assert (table["product"] == table["blocks"] * table["scaled"]).all()
    assert set(table["epochs"]) == {10, 20}
    table = table.assign(steps=table["epochs"], clock=5.0)
    exact = table.assign(scaled=table["blocks"] ** -1.0 * table["steps"] ** 0.2)
    assert steps_effect(exact)[0] == pytest.approx(0.2)
    assert steps_effect(exact.assign(scaled=table["blocks"] ** -1.0))[0] == pytest.approx(0)
    with pytest.raises(ScalingError, match="different numbers of steps"):
        steps_effect(table[table["epochs"] == 10])


def test_exponents_are_fitted_for_every_clock_and_number_of_steps(records: list[Record]) -> None:
    table = clock_exponents(records).set_index("epochs")
    assert table.loc[20, "exponent"] - table.loc[10, "exponent"] == pytest.approx(-0.05, abs=1e-3)
    assert (table["low"] < table["exponent"]).all()


def test_without_maps_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert clock_records(tmp_path) == {}
    assert study_subjects(tmp_path, "clock", {}) == []
