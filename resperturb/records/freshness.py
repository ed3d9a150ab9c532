"""Freshness of records: a record is fresh if the code that decides results has not changed since.

Code is compared by the set of its definitions, the top-level statements of the deciding files. Moved definitions, split
or renamed files, imports, comments, docstrings and error texts change no hash. Numbers, operators, defaults and names
do.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent.parent  # resperturb/
EQUIVALENT = "equivalent.json"  # in the folder of all sweeps
DECIDING = (
    "experiment/experiment.py",
    "experiment/parameters.py",
    "experiment/validation.py",
    "measurement/*.py",
    "models/path.py",
    "models/residual.py",
    "studies/run.py",
    "training/data.py",
    "training/loop.py",
    "training/precision.py",
)
"""Files and patterns of files that decide every result."""
DECIDING_BESIDE = {
    "run": (),
    "initialization": ("studies/initialization.py", "analysis/theory.py", "studies/base.py"),
    "lesion": ("studies/lesion.py", "studies/base.py"),
    "published": ("studies/published.py", "models/published.py", "studies/base.py"),
    "text": ("studies/text.py", "models/transformer.py", "studies/base.py"),
}
"""Further deciding files by kind of record: a run, or the name of a study."""
SIZE_PARAMETERS = (
    "blocks", "seed", "epochs", "train_size", "test_size", "measured_images", "threads", "depths",
    "layers", "steps", "measured_sequences", "network",
)  # fmt: skip
"""Parameters that change how much is computed, but not the path through the code."""


def is_fresh(recorded: str, results: Path, kind: str, settings: str) -> bool:
    """Whether code with this hash is the present code or was shown to give the same numbers.

    Args:
        recorded: hash in the record.
        results: folder of all sweeps.
        kind: "run", or the name of a study.
        settings: :func:`settings_hash` of the record.
    """
    present, reached, waiting = source_hash(kind), {recorded}, [recorded]
    comparisons = read_comparisons(results).get(kind, []) if recorded != present else []
    comparisons = [entry for entry in comparisons if settings in entry.get("settings", [settings])]
    while waiting:
        one = waiting.pop()
        new = {other for entry in comparisons if one in entry["hashes"] for other in entry["hashes"]} - reached
        reached |= new
        waiting += new
    return present in reached


def read_comparisons(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Read the comparisons of codes in equivalent.json, by kind of record.

    Each has "hashes" (two codes with the same numbers), "settings" (those compared; all if missing) and "shown" (how).
    """
    try:
        return dict(json.loads((results / EQUIVALENT).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError):
        return {}


def settings_hash(parameters: Mapping[str, Any]) -> str:
    """Hash all parameters except sizes to six hexadecimal digits; 0 blocks is a separate setting."""
    none = {"blocks": 0} if parameters.get("blocks") == 0 else {}
    settings = {name: value for name, value in parameters.items() if name not in SIZE_PARAMETERS} | none
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]


def deciding_files(kind: str = "run") -> tuple[Path, ...]:
    """Return the files whose definitions decide a kind of record."""
    patterns = (*DECIDING, *DECIDING_BESIDE[kind])
    return tuple(path for pattern in patterns for path in sorted(PACKAGE.glob(pattern)))


@functools.cache
def source_hash(kind: str = "run") -> str:
    """Hash the definitions that decide a kind of record to 16 hexadecimal digits of SHA-256."""
    return hash_of(path.read_text(encoding="utf-8") for path in deciding_files(kind))


def hash_of(sources: Iterable[str]) -> str:
    """Hash all definitions in Python sources, in any order, to 16 hexadecimal digits of SHA-256."""
    definitions = sorted({definition for source in sources for definition in definitions_in(source)})
    return hashlib.sha256("\0".join(definitions).encode()).hexdigest()[:16]


def definitions_in(source: str) -> Iterator[str]:
    """Yield the top-level statements of Python source that can decide a number, one line each."""
    yield from (outline(node) for node in ast.parse(source).body if decides(node))


def decides(node: Any) -> bool:
    """Whether a statement can decide a number: no import, TYPE_CHECKING block, `pass`, docstring or lone string."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass):
        return False
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return False
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return not (alone and isinstance(node.value.value, str))


def outline(node: Any) -> str:
    """Write a syntax tree in one line, the same in every version of Python; a `raise` keeps only its class.

    Empty fields are left out, since they differ between versions of Python.
    """
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        node = ast.Raise(exc=node.exc.func, cause=node.cause)
    if isinstance(node, ast.AST):
        fields = ((name, outline(value)) for name, value in ast.iter_fields(node) if value is not None)
        return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in fields if text != '[]')})"
    if isinstance(node, list):
        return f"[{','.join(outline(item) for item in node if decides(item))}]"
    return repr(node)
