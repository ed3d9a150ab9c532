"""Code compared with code: what agrees is entered for what was compared, what differs is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from resperturb import run
from resperturb.experiment import Experiment
from resperturb.records.freshness import EQUIVALENT, settings_hash, source_hash
from resperturb.studies import equivalence
from resperturb.studies.equivalence import CODE, compare_codes, parameters_in, shrink, verify
from resperturb.studies.plan import STUDIES
from resperturb.studies.text import TextStudy
from resperturb.training import loop

TINY = {"blocks": 3, "width": 4, "epochs": 1, "train_size": 128, "test_size": 64, "measured_images": 32}


def altered(_: str, folder: Path) -> Path:
    """The present code with a number of the training loop in other words, and twice the shift of augmentation."""
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name)
    for name, before, after in (("loop", "WARMUP = 0.25", "WARMUP = 1 / 4"), ("data", "height // 8", "height // 4")):
        path = folder / f"resperturb/training/{name}.py"
        text = path.read_text(encoding="utf-8")
        assert before in text
        path.write_text(text.replace(before, after), encoding="utf-8")
    return folder


def test_equal_numbers_are_entered_and_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"run": [{"hashes": ["a", "b"], "shown": "earlier"}], "lesion": [{"hashes": ["c", "d"]}]}
    (tmp_path / EQUIVALENT).write_text(json.dumps(there), encoding="utf-8")
    alike = Experiment(**TINY).settings
    other = Experiment(**TINY, augmentation="crop-flip").identity
    cases = [("run", alike), ("text", TextStudy().identity), ("run", other)]
    lines: list[str] = []

    def compare_some_and_all(revision: str, old: Path, new: Path, cases: list[Any], *given: Any) -> bool:
        assert compare_codes(revision, old, new, cases[:2], *given)
        assert lines == ["earlier: 2 settings give the same numbers, 0 others"]
        return compare_codes(revision, old, new, cases, *given)

    monkeypatch.setattr(equivalence, "parameters_in", lambda _: cases)
    monkeypatch.setattr(equivalence, "checkout", altered)
    monkeypatch.setattr(equivalence, "compare_codes", compare_some_and_all)
    assert not verify(["earlier"], tmp_path, lines.append)
    assert lines[1].startswith(f"earlier run {settings_hash(other)} differs: ")
    entered = json.loads((tmp_path / EQUIVALENT).read_text())
    assert set(entered) == {*there, "text"}
    assert entered["lesion"] == there["lesion"]
    kept, new = entered["run"]
    assert kept == there["run"][0]
    assert new["hashes"][1] == source_hash() != new["hashes"][0]
    assert new["settings"] == [settings_hash(alike)]


def test_a_shrunken_training_notices_a_changed_constant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = Experiment.from_mapping(shrink(Experiment(width=4).identity))
    before = run(experiment, tmp_path)
    monkeypatch.setattr(loop, "WARMUP", 0.26)
    after = run(experiment, tmp_path, again=True)
    assert after.run["averages"]["initialization"] == before.run["averages"]["initialization"]
    assert after.run["averages"]["end"] != before.run["averages"]["end"]


def test_every_setting_on_file_and_in_a_preset_is_compared() -> None:
    listed = parameters_in(ROOT / "results")
    cases = {(kind, settings_hash(given)): (kind, given) for kind, given in listed}.values()
    runs = [parameters for kind, parameters in cases if kind == "run"]
    for name, value in (("precision", "bfloat16"), ("blocks", 0), ("normalization", "none")):
        assert any(run[name] == value for run in runs), name
    assert {kind for kind, _ in cases} == {"run", *STUDIES}
    for kind, parameters in cases:
        small = shrink(parameters)
        assert settings_hash(small) == settings_hash(parameters)
        if kind == "run":
            Experiment.from_mapping(small)
