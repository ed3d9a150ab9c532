"""The one-way rule: a folder imports only those before it, and nothing in the package knows that a book exists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

LAYERS = (
    {"resperturb.errors"},
    {"resperturb.experiment", "resperturb.measurement"},
    {"resperturb.models", "resperturb.training", "resperturb.records"},
    {"resperturb.analysis"},
    {"resperturb.studies", "resperturb.figures", "resperturb.callbacks"},
    {"resperturb", "resperturb.cli", "report"},  # resperturb: its __init__, which names what is public
    {"_ext"},
)
PLACES = {"resperturb": ROOT / "resperturb", "report": ROOT / "book" / "report", "_ext": ROOT / "book" / "_ext"}
ROOMS = {room: number for number, layer in enumerate(LAYERS) for room in layer}


def module_of(file: Path) -> str:
    top, place = next((name, place) for name, place in PLACES.items() if place in file.parents)
    parts = [top, *file.relative_to(place).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "resperturb" else parts[0]


MODULES = {module_of(file): file for place in PLACES.values() for file in sorted(place.rglob("*.py"))}


def imports(file: Path, *, lazy: bool = True) -> Iterator[str]:
    """The modules of ours that a file imports; without those that wait in a function or are there for type checkers."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PLACES:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in PLACES)


@pytest.mark.parametrize("module", MODULES)
def test_a_folder_imports_only_those_before_it(module: str) -> None:
    here = room_of(module)
    for other in imports(MODULES[module]):
        there = room_of(other)
        assert there == here or ROOMS[there] < ROOMS[here] or (there == "resperturb" and ROOMS[here] > 4), other


def test_every_module_has_its_place() -> None:
    assert {room_of(module) for module in MODULES} == set(ROOMS)


def test_no_modules_import_each_other_in_a_circle() -> None:
    waiting = {module: set(imports(file, lazy=False)) - {module} for module, file in MODULES.items()}
    packages = {module for module, file in MODULES.items() if file.name == "__init__.py"}
    waiting = {module: others - packages for module, others in waiting.items() if module not in packages}
    while ready := {module for module, others in waiting.items() if not others & waiting.keys()}:
        waiting = {module: others for module, others in waiting.items() if module not in ready}
    assert waiting == {}


def defined_in(file: Path) -> Iterator[str]:
    """The functions, classes and constants of a module."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = [*getattr(node, "targets", ()), getattr(node, "target", None)]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def test_no_name_is_defined_in_two_modules_but_that_of_a_table_and_its_figure() -> None:
    places: dict[str, list[str]] = {}
    for module in MODULES:
        for name in set(defined_in(MODULES[module])):
            places.setdefault(name, []).append(room_of(module).removesuffix("figures"))
    everywhere = {"main", "setup", "__all__", "PerturbationCallback"}  # entry points, and one class for two libraries
    twice = {name: rooms for name, rooms in places.items() if len(rooms) > 1 and name not in everywhere}
    assert {name for name, rooms in twice.items() if sorted(rooms) != ["resperturb.", "resperturb.analysis"]} == set()
    assert twice
