"""Code compared with code: what agrees is entered for what was compared, what differs is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from resperturb.errors import ExperimentError
from resperturb.experiment import Experiment
from resperturb.records.freshness import EQUIVALENT, settings_hash, source_hash
from resperturb.studies import equivalence
from resperturb.studies.equivalence import CODE, parameters_in, shrink, verify
from resperturb.studies.plan import STUDIES

TINY = {"blocks": 3, "width": 4, "epochs": 1, "train_size": 128, "test_size": 64, "measured_images": 32}


def altered(revision: str, folder: Path) -> Path:
    """The present code with one number changed, or one that changes nothing."""
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name)
    loop = folder / "resperturb" / "training" / "loop.py"
    text = loop.read_text(encoding="utf-8")
    assert "WARMUP = 0.25" in text
    loop.write_text(text.replace("WARMUP = 0.25", {"alike": "WARMUP = 1 / 4", "other": "WARMUP = 0.2"}[revision]))
    return folder


def test_equal_numbers_are_entered_and_others_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"run": [{"hashes": ["a", "b"], "shown": "earlier"}], "lesion": [{"hashes": ["c", "d"]}]}
    (tmp_path / EQUIVALENT).write_text(json.dumps(there), encoding="utf-8")
    experiment = Experiment(**TINY).identity | {"checkpointing": True}
    monkeypatch.setattr(equivalence, "parameters_in", lambda results: [("run", experiment)])
    monkeypatch.setattr(equivalence, "checkout", altered)
    lines: list[str] = []
    assert not verify(["alike", "other"], tmp_path, lines.append)
    assert lines[0] == "alike: 1 settings give the same numbers, 0 others"
    assert lines[1].startswith(f"other run {settings_hash(experiment)} differs: ")
    entered = json.loads((tmp_path / EQUIVALENT).read_text())
    assert entered["lesion"] == there["lesion"]
    kept, new = entered["run"]
    assert kept == there["run"][0]
    assert new["hashes"][1] == source_hash() != new["hashes"][0]
    assert new["settings"] == [settings_hash(experiment)]


def test_every_setting_on_file_and_in_a_preset_is_compared() -> None:
    cases = list(parameters_in(ROOT / "results"))
    runs = [parameters for kind, parameters in cases if kind == "run"]
    for name, value in (("checkpointing", True), ("precision", "bfloat16"), ("blocks", 0), ("normalization", "none")):
        assert any(run[name] == value for run in runs), name
    assert {kind for kind, _ in cases} == {"run", *STUDIES}
    for kind, parameters in cases:
        small = shrink(parameters)
        assert settings_hash(small) == settings_hash(parameters)
        if kind == "run":
            Experiment.from_mapping(small)


def test_a_commit_that_is_none_is_named() -> None:
    with pytest.raises(ExperimentError, match="nothing-such is no commit to compare with"):
        verify(["nothing-such"], ROOT / "results")
