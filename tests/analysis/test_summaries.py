"""What the book says: verdicts, the choice of records, and that no number is typed into its prose."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from report import readme
from resperturb.analysis import summaries
from resperturb.analysis.bootstrap import Averages
from resperturb.analysis.power_law import PowerLaw
from resperturb.errors import RecordError
from resperturb.experiment.presets import load_preset
from resperturb.records.record import load_records
from resperturb.records.sweeps import Sweep, default_sweep, load_sweeps


def law(low: float, exponent: float, high: float) -> PowerLaw:
    empty = np.zeros(0)
    return PowerLaw(exponent, low, high, 1.0, 0.0, Averages(empty, empty, empty, empty, True), (low, high), None)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((-1.05, -1.0, -0.95), "holds"),
        ((-1.03, -1.02, -1.01), "holds roughly"),
        ((-0.6, -0.55, -0.5), "does not hold"),
        ((-1.4, -1.0, -0.6), "cannot be told"),  # holds the claim, and much else
        ((-0.9, -0.8, -0.7), "cannot be told"),  # on both sides of the tolerance
    ],
)
def test_the_words_for_a_verdict(interval: tuple[float, float, float], expected: str) -> None:
    assert summaries.verdict(law(*interval), -1.0) == expected


@pytest.mark.parametrize(
    ("interval", "ranges", "expected"),
    [
        ((-1.05, -1.0, -0.95), [-1.0, -1.1], "holds"),
        ((-1.05, -1.0, -0.95), [-1.0, -1.2], "cannot be told"),  # without the shallow depths it is another exponent
        ((-0.6, -0.55, -0.5), [-0.55, -0.7], "does not hold"),
        ((-0.6, -0.55, -0.5), [-0.55, -0.9], "cannot be told"),
    ],
)
def test_a_verdict_asks_the_deeper_depths_too(
    interval: tuple[float, float, float], ranges: list[float], expected: str
) -> None:
    assert summaries.verdict(law(*interval), -1.0, ranges) == expected


def test_the_readers_own_sweep_is_used_once_it_is_complete(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results/shipped-digits", tmp_path / "shipped-digits")
    assert default_sweep(tmp_path).shipped
    names = [experiment.name for experiment in load_preset("digits").experiments()]
    for name in names[:-1]:
        shutil.copytree(ROOT / "results/shipped-digits" / name, tmp_path / "digits" / name)
    assert default_sweep(tmp_path).shipped
    shutil.copytree(ROOT / "results/shipped-digits" / names[-1], tmp_path / "digits" / names[-1])
    own = default_sweep(tmp_path)
    assert not own.shipped
    assert {record.name for record in own.records} == set(names)
    assert default_sweep(tmp_path, own=False).shipped


def test_without_any_records_the_book_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="make sweep"):
        default_sweep(tmp_path)


@pytest.mark.parametrize("sweep", list(load_sweeps(ROOT / "results", own=False).values()), ids=lambda sweep: sweep.name)
def test_shipped_records_are_whole_fresh_and_of_their_preset(sweep: Sweep) -> None:
    """Fresh: made by the sources as they are now. A change of what decides a result means running the sweeps again."""
    records = sweep.records
    if sweep.preset:
        names = {experiment.name for experiment in load_preset(sweep.preset).experiments()}
        assert {record.name for record in records} <= names
    alike = {"blocks": 0, "seed": 0, "branch_scale": sweep.identity["branch_scale"]}
    assert alike["branch_scale"] != "varied"
    assert len({str({**record.experiment.identity, **alike}) for record in records}) == 1
    for record in records:
        assert record.fresh, f"{record.folder} was made by other sources"
        assert not record.diverged
        table = record.perturbations
        assert table["reconstruction_error"].max() < 1e-5
        assert (table[table["kind"] == "identity"].groupby("snapshot").size() == record.blocks).all()
        assert table["moment"].iloc[[0, -1]].tolist() == ["initialization", "end"]


def test_the_depth_table_is_the_mean_over_seeds() -> None:
    records = load_records(ROOT / "results/shipped-digits")
    table = summaries.depth_table(records).set_index("blocks")
    for blocks in {record.blocks for record in records}:
        ends = [r.at("end") for r in records if r.blocks == blocks]
        means = [end[end["kind"] == "identity"]["scaled"].mean() for end in ends]
        assert table.loc[blocks, "scaled_end"] == pytest.approx(np.mean(means), rel=1e-4)
        assert table.loc[blocks, "product_end"] == pytest.approx(blocks * np.mean(means), rel=1e-4)


def test_the_stopping_table_says_how_each_depth_is_known() -> None:
    records = load_records(ROOT / "results/shipped-digits")
    averages = summaries.depth_table(records).set_index("blocks")["scaled_end"]
    before, depth = averages.index[-3:-1]
    middle = float((averages.loc[before] * averages.loc[depth]) ** 0.5)
    table = summaries.stopping_table(records, [middle, float(averages.iloc[-1]) / 3])
    assert table["how"].tolist() == ["measured", "extrapolated"]
    assert table["depth"].iloc[0] == depth
    assert table["depth"].iloc[1] > averages.index[-1]
    assert pd.isna(table["accuracy there"].iloc[1])
    assert ((table["low"] <= table["crossing"]) & (table["crossing"] <= table["high"])).all()


def test_thresholds_lie_between_the_averages_and_one_below() -> None:
    records = load_records(ROOT / "results/shipped-digits")
    averages = summaries.depth_table(records)["scaled_end"]
    epsilons = summaries.epsilons_of(records)
    assert epsilons == sorted(epsilons, reverse=True)
    assert averages.max() > epsilons[0]
    assert epsilons[-1] < averages.min()


def prose_of(text: str) -> str:
    """A chapter without what is not prose: front matter, code, mathematics, roles, links, HTML tags."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"^(```+|:::+).*?^\1", "", text, flags=re.S | re.M)
    text = re.sub(r"<[a-z/][^>]*>", "", text)
    text = re.sub(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$", "", text)
    return text


def test_no_number_is_typed_into_the_prose() -> None:
    """Measured values have a decimal point or a percent sign; in prose they come from records, through glue.

    The numbers of the plan are settings and bounds, fixed before the runs.
    """
    for chapter in sorted({*(ROOT / "book").glob("*.md")} - {ROOT / "book/plan.md"}):
        found = re.findall(r"\d+\.\d+|\d+ ?%", prose_of(chapter.read_text(encoding="utf-8")))
        allowed = {"3.11", "95 %"}  # Python's version and the level of every interval
        assert set(found) <= allowed, f"{chapter.name}: {sorted(set(found) - allowed)}"


def test_the_readmes_results_are_those_of_the_shipped_records() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    sweeps = readme.shipped(ROOT)
    assert readme.with_results(text, sweeps, ROOT) == text, "run make readme"
    assert readme.digest(sweeps) in (ROOT / readme.FIGURE).read_text(encoding="utf-8")
