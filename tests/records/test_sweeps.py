"""Sweeps found by folder, what they differ in, and what that does to the tables."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import yaml
from builders import DIGITS, copy_sweep, write_conventions

from report import choices, claims, ledger
from resperturb.analysis import conditions, conventions
from resperturb.errors import ExperimentError, RecordError
from resperturb.experiment import Experiment
from resperturb.experiment.presets import load_preset
from resperturb.records.freshness import source_hash
from resperturb.records.record import blocks_of, load_records
from resperturb.records.sweeps import (
    Sweep,
    base_of,
    default_sweep,
    find_record,
    find_sweep,
    load_sweeps,
    main_sweeps,
    records_of,
    sensitivity_sweeps,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default sweep, MNIST with both kinds of block and in another precision, and folders that are no sweep."""
    root = tmp_path_factory.mktemp("results")
    copy_sweep(root / "shipped-digits")
    records = copy_sweep(root / "mnist", dataset="mnist", precision="bfloat16")
    write_conventions(records, {"training images": 2.0, "per channel": 0.5})
    copy_sweep(
        root / "mnist-postactivation", dataset="mnist", precision="bfloat16", block="postactivation", steeper=0.5
    )
    copy_sweep(root / "mnist-float32", dataset="mnist", precision="float32", steeper=-0.1)
    copy_sweep(root / "runs")
    copy_sweep(root / "mnistery", dataset="mnist")
    (root / "mnist-empty").mkdir()
    return root


@pytest.fixture(scope="module")
def sweeps(results: Path) -> dict[str, Sweep]:
    return load_sweeps(results)


def test_sweeps_are_the_folders_named_after_a_data_set(sweeps: dict[str, Sweep]) -> None:
    assert list(sweeps) == ["digits", "mnist", "mnist-float32", "mnist-postactivation"]
    assert sweeps["digits"].folder == "results/shipped-digits"
    assert sweeps["mnist-postactivation"].label == "MNIST, post-activation"


def test_what_sweeps_differ_in_is_read_from_their_records(sweeps: dict[str, Sweep]) -> None:
    assert list(main_sweeps(sweeps)) == ["digits", "mnist", "mnist-postactivation"]
    ((sweep, base, fields),) = sensitivity_sweeps(sweeps).values()
    assert (sweep.name, base.name) == ("mnist-float32", "mnist")
    assert fields == {"precision": ("float32", "bfloat16")}
    assert base_of(sweeps["digits"], sweeps) is None


def test_a_folder_of_two_depths_is_no_sweep(tmp_path: Path) -> None:
    copy_sweep(tmp_path / "shipped-digits")
    records = copy_sweep(tmp_path / "mnist", dataset="mnist")
    for depths, found in (([6, 15, 30], True), ([6, 15], False)):
        for record in records:
            if record.blocks not in depths:
                (record.folder / "run.json").unlink(missing_ok=True)
        assert ("mnist" in load_sweeps(tmp_path)) == found


def test_conventions_measured_apart_are_read_and_absent_ones_left_out(sweeps: dict[str, Sweep]) -> None:
    table = conventions.convention_table(sweeps["mnist"]).set_index("convention")
    assert table.loc["training images", "moved by"] == pytest.approx(0, abs=1e-4)  # a factor moves no exponent
    assert table.loc["per channel", "moved by"] == pytest.approx(0, abs=1e-4)
    plain = conventions.convention_table(sweeps["digits"])
    assert abs(conventions.largest_shift(plain)["moved by"]) == plain["moved by"].abs().max()
    assert {"training images", "per channel", "ratio of means", "with transitions", "section 3", "step taken"} <= set(
        plain["convention"]
    )


def test_every_convention_is_what_it_says(sweeps: dict[str, Sweep]) -> None:
    record = sweeps["digits"].records[0]
    end = record.at("end")
    blocks = end[end["kind"] == "identity"]
    of = {name: reduce(record) for name, (_, reduce) in conventions.all_conventions(sweeps["digits"]).items()}
    assert of["ours"] == pytest.approx(record.average(), rel=1e-4)
    assert of["ratio of means"] == pytest.approx((blocks["perturbation_norm"] / blocks["state_norm"]).mean())
    assert of["ratio of sums"] == pytest.approx(blocks["perturbation_norm"].mean() / blocks["state_norm"].mean())
    assert of["with transitions"] == pytest.approx(end["scaled"].mean())
    assert of["section 2"] == pytest.approx(blocks.loc[blocks["section"] == 2, "scaled"].mean())
    measured = record.conventions[record.conventions["kind"] == "identity"].groupby("convention")["scaled"].mean()
    assert of["training images"] == pytest.approx(measured["training images"])
    assert of["per channel"] == pytest.approx(measured["per channel"])


def test_another_kind_of_block_and_another_precision_are_compared_in_the_ledger(sweeps: dict[str, Sweep]) -> None:
    tests = conditions.sweep_conditions({"digits": sweeps["digits"]}).set_index("sweep")
    subjects = {"kind": ledger.kind_subjects(sweeps), "sensitivity": ledger.choice_subjects(sweeps, tests)}
    rows = {row.id: row for about in subjects for row in claims.rows_about(about, subjects[about])}
    assert rows["mnist-postactivation/kind"].verdict == "cannot be told"  # the copied digits are below MNIST's bar
    assert "miss their bar" in rows["mnist-postactivation/kind"].value
    assert rows["mnist-float32/sensitivity"].verdict == "cannot be told"  # below the bar of MNIST
    assert "With training in float32 in place of bfloat16, " in rows["mnist-float32/sensitivity"].statement
    assert "results/mnist-float32" in rows["mnist-float32/sensitivity"].records


def test_the_choices_name_what_was_run_and_what_was_not(sweeps: dict[str, Sweep]) -> None:
    table = choices.choice_table(sweeps).set_index("left open")
    changed = table["exponent with another choice"]
    assert changed["precision of training"].startswith("training in float32: ")
    assert changed["precision of training"].endswith("(MNIST, below the bar of accuracy)")  # copied digits
    assert changed["kind of block"].startswith("post-activation blocks: ")
    assert changed["weight decay"] == choices.NOT_RUN
    assert "{" not in "".join(table["our choice"])


def test_every_choice_names_fields_that_exist() -> None:
    fields = {field.name for field in dataclasses.fields(Experiment)}
    assert all(set(choice.get("fields", ())) <= fields for choice in yaml.safe_load(choices.CHOICES_FILE.read_text()))


def test_pages_say_which_records_they_rest_on_and_which_are_stale(results: Path) -> None:
    sweep = load_sweeps(results)["mnist"]
    for record in sweep.records:
        record.run["provenance"]["source_hash"] = source_hash()
    assert records_of(sweep) == f"results/mnist (preset mnist, pre-activation, {len(sweep.records)} runs)"
    sweep.records[0].run["provenance"]["source_hash"] = "another"
    assert "1 of them stale" in records_of(sweep)


def test_the_readers_own_sweep_is_used_once_it_is_complete(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="make sweep"):
        default_sweep(tmp_path)
    shutil.copytree(DIGITS, tmp_path / "shipped-digits")
    assert default_sweep(tmp_path).folder == "results/shipped-digits"
    names = [experiment.name for experiment in load_preset("digits").experiments()]
    for name in names[:-1]:
        shutil.copytree(DIGITS / name, tmp_path / "digits" / name)
    assert default_sweep(tmp_path).folder == "results/shipped-digits"
    shutil.copytree(DIGITS / names[-1], tmp_path / "digits" / names[-1])
    own = default_sweep(tmp_path)
    assert own.folder == "results/digits"
    assert {record.name for record in own.records} == set(names)
    assert default_sweep(tmp_path, own=False).folder == "results/shipped-digits"


@pytest.mark.parametrize("sweep", list(load_sweeps(DIGITS.parent, own=False).values()), ids=lambda sweep: sweep.name)
def test_shipped_records_are_whole_and_of_their_preset(sweep: Sweep) -> None:
    records = sweep.records
    if sweep.preset:
        names = {experiment.name for experiment in load_preset(sweep.preset).experiments()}
        assert {record.name for record in records} <= names
    alike = {"blocks": 0, "seed": 0, "branch_scale": sweep.identity["branch_scale"]}
    assert alike["branch_scale"] != "varied"
    assert len({str({**record.experiment.identity, **alike}) for record in records}) == 1
    for record in records:
        if record.diverged:
            continue
        table = record.perturbations
        assert table["reconstruction_error"].max() < 1e-5
        assert (blocks_of(table).groupby("snapshot").size() == record.blocks).all()
        assert table["moment"].iloc[[0, -1]].tolist() == ["initialization", "end"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("dataset", "mnits", "did you mean mnist?"),
        ("block", 6, "use blocks=6"),
        ("block", "pre", "block must be one of"),
        ("seed", 0.5, "seed must be a whole number"),
        ("shallowest", 0, "shallowest must be a whole number"),
        ("results", "", "results must be the name of a folder"),
    ],
)
def test_a_bad_value_is_quoted(name: str, value: object, words: str) -> None:
    with pytest.raises(ExperimentError, match=words.replace("?", r"\?")):
        find_sweep(**{name: value})  # type: ignore[arg-type]


def test_a_folder_needs_no_digits_and_runs_without_blocks_are_no_part_of_a_sweep(tmp_path: Path) -> None:
    *_, last = copy_sweep(tmp_path / "mnist", dataset="mnist")
    run = json.loads((last.folder / "run.json").read_text())
    run["experiment"]["blocks"] = 0
    (last.folder / "run.json").write_text(json.dumps(run))
    sweep = find_sweep(tmp_path, "mnist")
    assert len(sweep.records) == len(load_records(tmp_path / "mnist")) - 1
    assert 0 not in sweep.depths


def test_the_records_that_are_asked_for_are_found(tmp_path: Path) -> None:
    copy_sweep(tmp_path / "shipped-digits")
    copy_sweep(tmp_path / "digits-postactivation", block="postactivation")
    every = find_sweep(tmp_path)
    assert every.name == "digits"
    assert find_sweep(tmp_path, block="postactivation").name == "digits-postactivation"
    one = find_sweep(tmp_path, seed=0, shallowest=every.depths[1])
    assert {record.seed for record in one.records} == {0}
    assert one.depths == every.depths[1:]
    assert find_record(every).blocks == every.depths[-1]
    chosen = find_record(find_sweep(tmp_path, seed=1), every.depths[0])
    assert (chosen.blocks, chosen.seed) == (every.depths[0], 1)
    with pytest.raises(RecordError, match="has no finished run of 7 blocks"):
        find_record(every, 7)
    with pytest.raises(RecordError, match=r"no sweep of mnist .*; choose from digits with block preactivation"):
        find_sweep(tmp_path, "mnist")
    with pytest.raises(RecordError, match="choose from seeds 0, 1"):
        find_sweep(tmp_path, seed=99)
