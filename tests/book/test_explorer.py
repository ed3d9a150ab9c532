"""The data of the explorer are those of the records."""

from __future__ import annotations

import dataclasses
import json
import re
import types

import pytest
from conftest import ROOT

from _ext.explorer import DIGITS, EXPLORER_COLUMNS, GLOBAL, MOMENTS, explorer_data, run_data, script
from _ext.offline import configure_scripts
from resperturb.analysis.profiles import fit_measure
from resperturb.records.record import Record
from resperturb.records.sweeps import Sweep, load_sweeps, main_sweeps

HEAVIEST = 2_000_000  # bytes


@pytest.fixture(scope="module")
def main() -> dict[str, Sweep]:
    return main_sweeps(load_sweeps(ROOT / "results", own=False))


@pytest.fixture(scope="module")
def data(main: dict[str, Sweep]) -> dict:
    return explorer_data(main)


def near(value: float) -> object:
    return pytest.approx(value, rel=0.51 * 10 ** (1 - DIGITS), abs=1e-12)


def test_data_are_those_of_the_records(main: dict[str, Sweep], data: dict) -> None:
    assert [sweep["name"] for sweep in data["sweeps"]] == list(main)
    for sweep, shown in zip(main.values(), data["sweeps"], strict=True):
        assert [run["name"] for run in shown["runs"]] == [r.name for r in sweep.records if r.run["averages"]]
        runs = {run["name"]: run for run in shown["runs"]}
        finished = sweep.finished
        for record in (finished[at] for at in (0, len(finished) // 2, -1)):
            run = runs[record.name]
            assert (run["blocks"], run["seed"]) == (record.blocks, record.seed)
            assert run["accuracy"] == near(record.run["accuracy"])
            for moment in MOMENTS:
                blocks = record.blocks_at(moment)
                for measure, column in EXPLORER_COLUMNS.items():
                    assert run["profile"][moment][measure] == near(blocks[column].tolist())
                    assert run["averages"][moment][measure] == pytest.approx(blocks[column].mean(), rel=1e-3, abs=1e-4)
                assert run["profile"][moment]["scaled_high"] == near(blocks["scaled_q95"].tolist())
            identity = record.at("end").query("kind == 'identity'")
            starts = identity.loc[identity["section"].diff() != 0, "block"].tolist()
            assert run["sections"] == starts
            assert {f"blocks {record.blocks}", f"seed {record.seed}"} < set(run["command"].split(" -p "))
        for measure, laws in shown["laws"].items():
            for moment, law in laws.items():
                fitted = fit_measure(sweep.records, EXPLORER_COLUMNS[measure], moment)
                assert [law["exponent"], law["low"], law["high"]] == near([fitted.exponent, fitted.low, fitted.high])


def test_the_script_is_small_and_holds_no_nan(data: dict) -> None:
    text = script(data)
    assert len(text.encode()) < HEAVIEST
    assert not re.search(r"\b(NaN|Infinity)\b", text)
    assert json.loads(text.removeprefix(f"window.{GLOBAL} = ").rstrip(";\n")) == data


def test_a_diverged_run_has_no_end(main: dict[str, Sweep]) -> None:
    whole = main["mnist"].records[0]
    averages = {"initialization": whole.run["averages"]["initialization"]}
    record = Record(whole.folder, {**whole.run, "diverged": True, "accuracy": None, "averages": averages})
    record.__dict__["perturbations"] = whole.perturbations.query("moment == 'initialization'")
    shown = run_data(record)
    assert (shown["accuracy"], shown["profile"]["end"]) == (None, {})
    assert "end" not in shown["averages"]
    assert len(shown["profile"]["initialization"]["scaled"]) == record.blocks
    json.dumps(shown, allow_nan=False)


def test_sweeps_of_one_kind_are_told_apart(main: dict[str, Sweep]) -> None:
    again = dataclasses.replace(main["mnist"], name="mnist-again", records=main["mnist"].records[:2])
    kinds = [sweep["kind"] for sweep in explorer_data({"mnist": main["mnist"], "mnist-again": again})["sweeps"]]
    assert kinds == ["preactivation", "again"]


def test_scripts_are_kept_off_other_pages() -> None:
    config = types.SimpleNamespace(
        html_js_files=["explorer.js", ("vendor/d3-7.js", {}), ("own.js", {})],
        html_css_files=["explorer.css", "book.css"],
    )
    configure_scripts(None, config)
    assert (config.html_js_files, config.html_css_files) == ([("own.js", {})], ["book.css"])
