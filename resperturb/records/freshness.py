"""Fresh or stale: whether the code that decides a result is still the code that the record was made with.

The code is compared by its definitions: the top-level statements of the deciding files, as a set. A definition that
moves to another file, a file that is split, merged or renamed, another import, comment, docstring or error text change
no hash; another number, operator, default or name does.
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
    "models/checkpointing.py",
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
"""Files that decide beside them, by kind of record: a run, or a study's name."""
SIZE_PARAMETERS = (
    "blocks", "seed", "epochs", "train_size", "test_size", "measured_images", "threads", "depths",
    "layers", "steps", "measured_sequences", "network",
)  # fmt: skip
"""Parameters that say how much is computed: another value takes no other way through the code."""


def is_fresh(recorded: str, results: Path, kind: str, settings: str) -> bool:
    """Whether code of that hash is the present code, or was shown to give the same numbers as the present code.

    `results` is the folder of all sweeps; `kind` is "run", or the name of a study.
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
    """The comparisons of code with code in equivalent.json, by kind of record.

    Each has "hashes", the two that gave the same numbers; "settings", those compared (without it: all there were); and
    "shown", how.
    """
    try:
        return dict(json.loads((results / EQUIVALENT).read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError):
        return {}


def settings_hash(parameters: Mapping[str, Any]) -> str:
    """Six hexadecimal digits for all parameters but sizes; no block at all is a setting of its own."""
    none = {"blocks": 0} if parameters.get("blocks") == 0 else {}
    settings = {name: value for name, value in parameters.items() if name not in SIZE_PARAMETERS} | none
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:6]


def deciding_files(kind: str = "run") -> tuple[Path, ...]:
    """The files whose definitions decide a run, or the study of that name."""
    patterns = (*DECIDING, *DECIDING_BESIDE[kind])
    return tuple(path for pattern in patterns for path in sorted(PACKAGE.glob(pattern)))


@functools.cache
def source_hash(kind: str = "run") -> str:
    """SHA-256, in 16 hexadecimal digits, of the definitions that decide a run, or the study of that name."""
    return hash_of(path.read_text(encoding="utf-8") for path in deciding_files(kind))


def hash_of(sources: Iterable[str]) -> str:
    """SHA-256, in 16 hexadecimal digits, of all definitions in Python sources, whatever their order."""
    definitions = sorted({definition for source in sources for definition in definitions_in(source)})
    return hashlib.sha256("\0".join(definitions).encode()).hexdigest()[:16]


def definitions_in(source: str) -> Iterator[str]:
    """The top-level statements of Python source that can decide a number, one line each."""
    yield from (outline(node) for node in ast.parse(source).body if decides(node))


def decides(node: Any) -> bool:
    """False for imports, blocks under TYPE_CHECKING, `pass`, docstrings and other strings that stand alone."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Pass):
        return False
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return False
    alone = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return not (alone and isinstance(node.value.value, str))


def outline(node: Any) -> str:
    """A syntax tree in one line, alike in every version of Python; of a `raise` the class without the words.

    Empty fields are left out, since versions of Python differ in which there are.
    """
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        node = ast.Raise(exc=node.exc.func, cause=node.cause)
    if isinstance(node, ast.AST):
        fields = ((name, outline(value)) for name, value in ast.iter_fields(node) if value is not None)
        return f"{type(node).__name__}({','.join(f'{name}={text}' for name, text in fields if text != '[]')})"
    if isinstance(node, list):
        return f"[{','.join(outline(item) for item in node if decides(item))}]"
    return repr(node)
