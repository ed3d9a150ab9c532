"""Moving, splitting and rewording code leaves records fresh; another number, operator or default does not."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from conftest import ROOT

from resperturb.records.freshness import (
    DECIDING,
    DECIDING_BESIDE,
    EQUIVALENT,
    PACKAGE,
    deciding_files,
    hash_of,
    is_fresh,
    settings_hash,
    source_hash,
)
from resperturb.records.record import read_record
from resperturb.studies.plan import STUDIES

CODE = '''"""A module."""

from math import pi
import os

WARMUP = 0.25


def area(radius, scale=2):
    """Of a circle."""
    from math import pow

    if radius < 0:
        raise ValueError(f"radius is {radius}, but must not be negative.")
    return scale * pi * radius + 1


class Shape:
    """A shape."""

    sides: int = 3
'''


def parts(source: str) -> list[str]:
    """Every top-level statement as a file of its own, the last first."""
    return [ast.unparse(node) for node in reversed(ast.parse(source).body)]


@pytest.mark.parametrize(
    "moved",
    [
        parts(CODE),
        [CODE, "import another"],
        [CODE + CODE],
        [CODE.replace("from math import pi", "if TYPE_CHECKING:\n    from elsewhere import tau as pi")],
        [CODE.replace("    from math import pow\n", "")],
        [CODE.replace('"""Of a circle."""', "# Of a circle, or nearly.")],
        [CODE.replace("must not be negative", "is too small")],
        [CODE.replace("import os", "import os\nfrom x import (\n    y,\n)")],
        [CODE.replace(" * pi * radius + 1", " * pi * (\n        radius  # metres\n    ) + 1")],
    ],
)
def test_what_changes_no_hash(moved: list[str]) -> None:
    assert hash_of(moved) == hash_of([CODE])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.25", "0.2"),
        ("radius + 1", "radius - 1"),
        ("scale=2", "scale=3"),
        ("radius < 0", "radius <= 0"),
        ("raise ValueError", "raise TypeError"),
        ("sides: int = 3", "sides: int = 4"),
        ("WARMUP", "WARM"),
        ("WARMUP = 0.25", ""),
        ("WARMUP = 0.25", "WARMUP = 0.25\nMORE = 1"),
    ],
)
def test_what_changes_the_hash(before: str, after: str) -> None:
    assert before in CODE
    assert hash_of([CODE.replace(before, after)]) != hash_of([CODE])


def test_the_package_cut_up_and_shuffled_has_its_hash() -> None:
    pieces = [piece for file in deciding_files() for piece in parts(file.read_text(encoding="utf-8"))]
    assert hash_of(pieces) == source_hash()


def test_every_deciding_file_is_there() -> None:
    for pattern in (*DECIDING, *(pattern for patterns in DECIDING_BESIDE.values() for pattern in patterns)):
        assert list(PACKAGE.glob(pattern)), pattern
    assert set(DECIDING_BESIDE) == {"run", *STUDIES}


def test_all_shipped_records_are_fresh() -> None:
    paths = sorted((ROOT / "results").glob("*/[!.]*/run.json"))
    own = ROOT / "results" / "digits"  # a sweep of this checkout is its own affair
    records = [read_record(path.parent) for path in paths if own not in path.parents]
    assert len(records) >= 400
    assert [f"{record.folder.parent.name}/{record.name}" for record in records if not record.fresh] == []


OLD, OLDER = "0123456789abcdef", "fedcba9876543210"


def test_comparisons_are_chained_and_count_for_their_kind_and_settings_alone(tmp_path: Path) -> None:
    chain = [{"hashes": [OLDER, OLD]}, {"hashes": [source_hash(), OLD], "settings": ["aaaaaa"]}]
    (tmp_path / EQUIVALENT).write_text(json.dumps({"run": chain}), encoding="utf-8")
    for earlier in (OLD, OLDER):
        assert is_fresh(earlier, tmp_path, "run", "aaaaaa")
        assert not is_fresh(earlier, tmp_path, "run", "bbbbbb")
        assert not is_fresh(earlier, tmp_path, "lesion", "aaaaaa")
    assert not is_fresh("another", tmp_path, "run", "aaaaaa")
    assert is_fresh(source_hash("lesion"), tmp_path, "lesion", "aaaaaa")


def test_sizes_are_no_settings_but_to_have_no_block_is() -> None:
    given = {"blocks": 6, "seed": 0, "clock": 5.0}
    assert settings_hash(given) == settings_hash({"clock": 5.0, "blocks": 300, "seed": 2, "epochs": 9})
    assert settings_hash(given) != settings_hash({**given, "clock": 2.0})
    assert settings_hash(given) != settings_hash({**given, "blocks": 0})
