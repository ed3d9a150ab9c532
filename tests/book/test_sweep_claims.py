"""Claims about sweeps whose records are not shipped yet, or that compare sweeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import copy_sweep
from conftest import ROOT

from report import claims, ledger
from report.claims import HOLDS, NOT, OPEN, LedgerRow
from report.decay import primary_tests
from resperturb.analysis.sensitivity import shared_slopes
from resperturb.analysis.slope_tests import difference
from resperturb.analysis.summaries import signed
from resperturb.records.record import load_records
from resperturb.records.sweeps import Sweep, sensitivity_sweeps

CIFAR10, NO_DECAY = (ROOT / "results" / name for name in ("cifar10", "cifar10-no-decay"))
LONG = ("cifar10-long/long", "cifar10-long/long-moves")


@pytest.fixture
def base() -> Sweep:
    return Sweep("cifar10", load_records(CIFAR10))


def rows_of(base: Sweep, folder: Path, **changes: object) -> dict[str, LedgerRow]:
    """The rows about a copy of CIFAR-10's main sweep with other settings."""
    steeper = float(changes.pop("steeper", 0.0))  # type: ignore[arg-type]
    copy = Sweep(folder.name, copy_sweep(folder, source=CIFAR10, steeper=steeper, **changes))
    sweeps = {"cifar10": base, copy.name: copy}
    assert list(sensitivity_sweeps(sweeps)) == [copy.name]
    subjects = ledger.choice_subjects(sweeps, primary_tests({"cifar10": base}, folder.parent))
    return {row.id: row for row in claims.rows_about("sensitivity", subjects)}


def test_trainings_five_times_as_long_are_asked_for_minus_one_and_for_another_exponent(
    base: Sweep, tmp_path: Path
) -> None:
    rows = rows_of(base, tmp_path / "cifar10-long", epochs=100, steeper=-0.28)
    others = {"cifar10-long/additions", "cifar10-long/harmonic"}  # and not whether the exponent stays the same
    assert set(rows) == {*LONG, *others}
    assert [rows[name].verdict for name in LONG] == [HOLDS, HOLDS]
    assert rows[LONG[1]].value.startswith("−0.28 at T = ")
    assert "T = " in rows[LONG[0]].value


def test_longer_training_that_changes_nothing_says_so(base: Sweep, tmp_path: Path) -> None:
    rows = rows_of(base, tmp_path / "cifar10-long", epochs=100)
    assert [rows[name].verdict for name in LONG] == [NOT, NOT]


def test_longer_training_below_the_bar_answers_nothing(
    base: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("report.sweep_claims.bar_met", lambda records: records[0].experiment.epochs == 20)
    rows = rows_of(base, tmp_path / "cifar10-long", epochs=100, steeper=-0.28)
    assert [rows[name].verdict for name in LONG] == [OPEN, OPEN]
    assert all("miss their bar" in rows[name].value for name in LONG)


@pytest.mark.parametrize("changes", [{"epochs": 40}, {"epochs": 100, "batch_size": 64}, {"optimizer": "adamw"}])
def test_other_lengths_and_other_changes_are_sensitivities(
    base: Sweep, tmp_path: Path, changes: dict[str, object]
) -> None:
    assert set(rows_of(base, tmp_path / "cifar10-other", **changes)) == {"cifar10-other/sensitivity"}


@pytest.mark.parametrize(("steeper", "verdict"), [(-0.3, HOLDS), (0.3, NOT)])
def test_longer_training_is_compared_with_more_decay(base: Sweep, tmp_path: Path, steeper: float, verdict: str) -> None:
    sweeps = {"cifar10": base}
    for name, changes in {"long": {"epochs": 100, "steeper": steeper}, "more-decay": {"weight_decay": 1e-3}}.items():
        folder = tmp_path / f"cifar10-{name}"
        sweeps[folder.name] = Sweep(folder.name, copy_sweep(folder, source=CIFAR10, **changes))  # type: ignore[arg-type]
    subjects = ledger.choice_subjects(sweeps, primary_tests({"cifar10": base}, tmp_path))
    rows = {row.id: row for row in claims.rows_about("sensitivity", subjects)}
    assert rows["cifar10-long/length"].verdict == verdict
    assert rows["cifar10-long/length"].value.startswith(f"{signed(steeper)} at T = ")
    assert "cifar10-more-decay/length" not in rows


def test_transitions_count_where_the_sweep_is_one_of_the_main_ones_with_its_correction(
    base: Sweep, tmp_path: Path
) -> None:
    tests = primary_tests({"cifar10": base}, tmp_path)
    subject = claims.Subject("cifar10", "", "", {"sweep": base, "base": None, "tests": tests})
    rows = {row.name: row for row in claims.rows_about("sweep", [subject])}
    assert rows["additions"].verdict == NOT
    tests["answer_additions"] = "open"  # by the correction over more sweeps
    rows = {row.name: row for row in claims.rows_about("sweep", [subject])}
    assert (rows["additions"].verdict, rows["harmonic"].verdict) == (OPEN, HOLDS)


@pytest.mark.parametrize(
    ("steeper", "verdict", "block", "suffix"),
    [(-0.28, HOLDS, "preactivation", ""), (0.0, NOT, "postactivation", "-postactivation")],
)
def test_full_size_is_judged_with_usual_decay_and_by_its_own_bar(
    base: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steeper: float, verdict: str, block: str, suffix: str
) -> None:
    folder = "standard-cifar10"
    records = copy_sweep(tmp_path / folder, source=CIFAR10, steeper=steeper, stem_stride=1, block=block)
    sweeps = {f"cifar10{suffix}": base}
    [subject] = ledger.full_size_subjects(tmp_path, sweeps, primary_tests(sweeps, tmp_path))

    def found(name: str) -> LedgerRow:
        return {row.name: row for row in claims.rows_about("full-size", [subject])}[name]

    assert found("inverse").verdict == OPEN  # trained at half size, they miss the bar of full size
    monkeypatch.setattr("resperturb.analysis.conditions.FULL_SIZE_BARS", {0: 0.83})
    assert found("inverse").verdict == verdict
    monkeypatch.setattr("resperturb.analysis.conditions.FULL_SIZE_BARS", {0: 0.83, 1000: 0.99})
    assert found("inverse").verdict == verdict  # a bar for depths that were not run is no bar
    assert found("smaller-images").value.replace("−", "-") == f"{-steeper:.2f}".replace("-0.00", "0.00")
    assert found("expected").verdict == (HOLDS if steeper == 0 else NOT)
    assert len(records) == len(base.records)


def test_decay_at_full_size_is_judged_against_none_on_the_depths_of_both(
    base: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "standard-cifar10"
    copy_sweep(folder, source=CIFAR10, steeper=-0.3, stem_stride=1)
    sweeps = {"cifar10": base}

    def rows() -> dict[str, LedgerRow]:
        subjects = ledger.full_size_subjects(tmp_path, sweeps, primary_tests(sweeps, tmp_path))
        return {row.id.removeprefix("standard-cifar10"): row for row in claims.rows_about("full-size", subjects)}

    monkeypatch.setattr("resperturb.analysis.conditions.FULL_SIZE_BARS", {0: 0.82})
    assert set(rows()) == {"/inverse", "/additions", "/harmonic", "/expected", "/smaller-images", "/responses"}
    for record in copy_sweep(tmp_path / "none", source=NO_DECAY, stem_stride=1):
        record.folder.rename(folder / record.folder.name)
    assert (slopes := shared_slopes(base, Sweep("cifar10-no-decay", load_records(NO_DECAY)))) is not None
    found = rows()["-no-decay/decay"]
    assert found.value.startswith(f"{signed(difference(*slopes)[0] - 0.3)} at T =")
    assert found.verdict == HOLDS
    assert rows()["-no-decay/expected"].value.endswith("expected −0.57")
    assert "-no-decay/inverse" not in rows()  # the plan's test of -1 is for the usual decay
