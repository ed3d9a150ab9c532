"""The data of the explorer and of the training film are those of the records."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from conftest import ROOT

from _ext import training_film
from _ext.explorer import (
    DIGITS,
    EXPLORER_COLUMNS,
    EXPLORER_GLOBAL,
    MOMENTS,
    Series,
    all_series,
    explorer_data,
    measured,
    run_data,
    script,
)
from resperturb.analysis.profiles import exponents_over_training, fit_measure
from resperturb.analysis.published import COUNTS, published_slopes, published_table
from resperturb.records.record import Record, blocks_of
from resperturb.records.sweeps import TITLES, Sweep, main_sweeps

HEAVIEST = 2_000_000  # bytes


@pytest.fixture(scope="module")
def chosen() -> list[Series]:
    return all_series(ROOT / "results", own=False)


@pytest.fixture(scope="module")
def data(chosen: list[Series]) -> dict:
    return explorer_data(chosen)


def near(value: float) -> object:
    return pytest.approx(value, rel=0.51 * 10 ** (1 - DIGITS), abs=1e-12)


def test_every_decay_of_every_data_set_is_there(chosen: list[Series], sweeps: dict[str, Sweep]) -> None:
    names = {series.name for series in chosen}
    assert set(main_sweeps(sweeps)) | {"published"} == {series.name for series in chosen if series.main} <= names
    assert {name for name in sweeps if name.endswith(("-no-decay", "-more-decay", "-long"))} <= names
    for dataset in TITLES:
        decays = {series.decay for series in chosen if series.dataset == dataset and series.kind == "preactivation"}
        assert 0 in decays
        assert len(decays) >= 3
    assert chosen[0].name == "cifar10"


def test_data_are_those_of_the_records(chosen: list[Series], data: dict) -> None:
    keys = [(shown["dataset"], shown["kind"], shown["decay"]) for shown in data["series"]]
    assert len(set(keys)) == len(keys)
    for series, shown in zip(chosen, data["series"], strict=True):
        records = [r for r in series.records if r.kind != "run" or r.run["averages"]]
        assert [run["name"] for run in shown["runs"]] == [r.name for r in records]
        assert shown["weight"] == near(series.decay)
        runs = {run["name"]: run for run in shown["runs"]}
        finished = [r for r in records if r.kind == "run" and not r.diverged]
        for record in (finished[at] for at in (0, len(finished) // 2, -1) if finished):
            run = runs[record.name]
            assert (run["blocks"], run["seed"]) == (record.blocks, record.seed)
            assert run["accuracy"] == near(record.accuracy)
            assert shown["clock"] == near(record.clock)
            for moment in MOMENTS:
                blocks = record.blocks_at(moment)
                for measure, column in EXPLORER_COLUMNS.items():
                    assert run["profile"][moment][measure] == near(blocks[column].tolist())
                    assert run["averages"][moment][measure] == near(blocks[column].mean())
                if series.main:
                    assert run["profile"][moment]["scaled_high"] == near(blocks["scaled_q95"].tolist())
            identity = record.at("end").query("kind == 'identity'")
            assert run["sections"] == identity.loc[identity["section"].diff() != 0, "block"].tolist()
            assert {f"blocks {record.blocks}", f"seed {record.seed}"} < set(run["command"].split(" -p "))
            parameters = {name: value for name, value, _ in [*shown["parameters"], *run["parameters"]]}
            assert parameters["blocks"] == str(record.blocks)
            assert parameters["dataset"] == series.dataset
        for measure, laws in shown["laws"].items() if finished else ():
            for moment, law in laws.items():
                fitted = fit_measure(finished, EXPLORER_COLUMNS[measure], moment)
                assert [law["exponent"], law["low"], law["high"]] == near([fitted.exponent, fitted.low, fitted.high])


def test_published_networks_are_those_of_their_chapter(chosen: list[Series], data: dict) -> None:
    series = next(series for series in chosen if series.dataset == "published")
    shown = next(shown for shown in data["series"] if shown["dataset"] == "published")
    table = published_table(series.records)
    for run, (_, row) in zip(shown["runs"], table.iterrows(), strict=True):
        assert (run["network"], run["blocks"]) == (row["network"], row["blocks"])
        assert (run["accuracy"], run["averages"]["end"]["scaled"]) == (near(row["accuracy"]), near(row["scaled"]))
        assert run["profile"]["initialization"] == {}
    law = published_slopes(table)[next(iter(COUNTS))]
    assert shown["laws"]["scaled"]["end"]["exponent"] == near(law.exponent)


def test_the_script_is_small_and_holds_no_nan(data: dict) -> None:
    text = script(data)
    assert len(text.encode()) < HEAVIEST
    assert not re.search(r"\b(NaN|Infinity)\b", text)
    assert json.loads(text.removeprefix(f"window.{EXPLORER_GLOBAL} = ").rstrip(";\n")) == data


def test_a_diverged_run_has_no_end(chosen: list[Series]) -> None:
    whole = next(series for series in chosen if series.name == "mnist").records[0]
    averages = {"initialization": whole.run["averages"]["initialization"]}
    record = Record(whole.folder, {**whole.run, "diverged": True, "accuracy": None, "averages": averages})
    record.__dict__["perturbations"] = whole.perturbations.query("moment == 'initialization'")
    shown = run_data(record)
    assert (shown["accuracy"], shown["profile"]["end"]) == (None, {})
    assert "end" not in shown["averages"]
    assert len(measured(record, "end")) == 0
    assert len(shown["profile"]["initialization"]["scaled"]) == record.blocks
    json.dumps(shown, allow_nan=False)


def test_series_of_one_decay_are_told_apart(chosen: list[Series]) -> None:
    mnist = next(series for series in chosen if series.name == "mnist")
    again = dataclasses.replace(mnist, name="mnist-again", records=mnist.records[:2])
    longer = dataclasses.replace(mnist, name="mnist-long", epochs=60, records=mnist.records[:2])
    decays = [series["decay"] for series in explorer_data([mnist, again, longer])["series"]]
    assert decays == ["0.0005", "mnist-again", "0.0005-60-epochs"]


def test_the_film_is_that_of_the_records(sweeps: dict[str, Sweep]) -> None:
    film = training_film.film_data(sweeps)
    assert [run["name"] for run in film["runs"]] == list(training_film.TRAININGS.values())
    depths = [set(sweeps[name].depths) for name in training_film.TRAININGS]
    assert film["blocks"] == max(set.intersection(*depths))
    for name, shown in zip(training_film.TRAININGS, film["runs"], strict=True):
        run = (film["blocks"], film["seed"])
        record = next(record for record in sweeps[name].finished if (record.blocks, record.seed) == run)
        assert (ROOT / shown["record"]).parent == record.folder
        assert shown["decay"] == record.experiment.weight_decay
        assert film["sections"] == record.blocks_at("end")["section"].tolist()
        over = exponents_over_training(sweeps[name].records)  # the moments of the chapter's figure
        epochs = record.experiment.epochs
        assert epochs
        assert [s["epoch"] / epochs for s in shown["snapshots"]] == near(over["share"].tolist())
        assert [s["clock"] for s in shown["snapshots"]] == near(over["clock"].tolist())
        for snapshot, (_, blocks) in zip(
            shown["snapshots"], blocks_of(record.perturbations).groupby("snapshot"), strict=True
        ):
            assert snapshot["scaled"] == near(blocks["scaled"].tolist())
            assert snapshot["average"] == near(blocks["scaled"].mean())
        assert shown["snapshots"][0]["accuracy"] is None
        assert shown["snapshots"][-1]["accuracy"] == near(record.accuracy)
        assert shown["snapshots"][-1]["average"] == near(record.average())


def test_a_film_needs_two_trainings(sweeps: dict[str, Sweep]) -> None:
    assert training_film.film_data({"cifar10": sweeps["cifar10"]}) == {}
