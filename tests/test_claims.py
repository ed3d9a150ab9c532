"""What the book says: verdicts, the choice of records, and that no number is typed into its prose."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from resperturb import claims, readme
from resperturb.presets import load_preset
from resperturb.records import RecordError, load_records
from resperturb.scaling import Averages, PowerLaw

ROOT = Path(__file__).parent.parent


def law(low: float, exponent: float, high: float) -> PowerLaw:
    empty = np.zeros(0)
    return PowerLaw(exponent, low, high, 1.0, 0.0, Averages(empty, empty, empty, empty, True))


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
    assert claims.verdict(law(*interval), -1.0) == expected


def test_the_readers_own_sweep_is_used_once_it_is_complete(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "results/shipped-digits", tmp_path / "shipped-digits")
    assert claims.default_sweep(tmp_path).shipped
    names = [experiment.name for experiment in load_preset("digits").experiments()]
    for name in names[:-1]:
        shutil.copytree(ROOT / "results/shipped-digits" / name, tmp_path / "digits" / name)
    assert claims.default_sweep(tmp_path).shipped
    shutil.copytree(ROOT / "results/shipped-digits" / names[-1], tmp_path / "digits" / names[-1])
    own = claims.default_sweep(tmp_path)
    assert not own.shipped
    assert {record.name for record in own.records} == set(names)
    assert claims.default_sweep(tmp_path, own=False).shipped


def test_without_any_records_the_book_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="make sweep"):
        claims.default_sweep(tmp_path)


@pytest.mark.parametrize("sweep", ["shipped-digits", "mnist", "cifar10"])
def test_shipped_records_are_whole_fresh_and_of_their_preset(sweep: str) -> None:
    """Fresh: made by the sources as they are now. A change of what decides a result means running the sweeps again."""
    records = load_records(ROOT / "results" / sweep)
    preset = load_preset(sweep.removeprefix("shipped-"))
    assert {record.name for record in records} <= {experiment.name for experiment in preset.experiments()}
    for record in records:
        assert record.fresh, f"{record.folder} was made by other sources"
        assert not record.diverged
        table = record.perturbations
        assert table["reconstruction_error"].max() < 1e-5
        assert (table[table["kind"] == "identity"].groupby("snapshot").size() == record.blocks).all()
        assert table["moment"].iloc[[0, -1]].tolist() == ["initialization", "end"]


def test_the_depth_table_is_the_mean_over_seeds() -> None:
    records = load_records(ROOT / "results/shipped-digits")
    table = claims.depth_table(records).set_index("blocks")
    for blocks in {record.blocks for record in records}:
        ends = [r.at("end") for r in records if r.blocks == blocks]
        means = [end[end["kind"] == "identity"]["scaled"].mean() for end in ends]
        assert table.loc[blocks, "scaled_end"] == pytest.approx(np.mean(means), rel=1e-4)
        assert table.loc[blocks, "product_end"] == pytest.approx(blocks * np.mean(means), rel=1e-4)


def test_the_stopping_table_says_how_each_depth_is_known() -> None:
    records = load_records(ROOT / "results/shipped-digits")
    averages = claims.depth_table(records).set_index("blocks")["scaled_end"]
    middle = float((averages.loc[30] * averages.loc[60]) ** 0.5)
    table = claims.stopping_table(records, [middle, float(averages.iloc[-1]) / 3])
    assert table["how"].tolist() == ["measured", "extrapolated"]
    assert table["depth"].iloc[0] == 60
    assert table["depth"].iloc[1] > 300
    assert pd.isna(table["accuracy there"].iloc[1])


def prose_of(text: str) -> str:
    """A chapter without what is not prose: front matter, code, mathematics, roles, links and tables' own markup."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"^(```+|:::+).*?^\1", "", text, flags=re.S | re.M)
    text = re.sub(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$", "", text)
    return text


def test_no_number_is_typed_into_the_prose() -> None:
    """Measured values have a decimal point or a percent sign; in prose they come from records, through glue."""
    for chapter in sorted((ROOT / "book").glob("*.md")):
        found = re.findall(r"\d+\.\d+|\d+ ?%", prose_of(chapter.read_text(encoding="utf-8")))
        allowed = {"3.11", "95 %"}  # Python's version and the level of every interval
        assert set(found) <= allowed, f"{chapter.name}: {sorted(set(found) - allowed)}"


def test_the_readmes_results_are_those_of_the_shipped_records() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = readme.shipped(ROOT)
    assert readme.with_results(text, found) == text, "run python -m resperturb.readme"
    assert readme.digest(found) in (ROOT / readme.FIGURE).read_text(encoding="utf-8")


def test_carriers_are_the_fewest_blocks_that_make_up_the_share() -> None:
    assert claims.carriers(np.array([1.0, 1.0, 1.0, 1.0]), 0.5) == 2
    assert claims.carriers(np.array([0.1, 8.0, 0.1, 1.8]), 0.5) == 1
    assert claims.carriers(np.array([0.1, 8.0, 0.1, 1.8]), 0.9) == 2
    assert claims.carriers(np.array([3.0]), 0.9) == 1
