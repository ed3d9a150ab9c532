"""The wheel: what it holds and requires, and that measuring works where nothing but its requirements is installed."""

from __future__ import annotations

import re
import subprocess
import sys
from email import message_from_string
from pathlib import Path
from zipfile import ZipFile

import pytest
from conftest import ROOT

REQUIRED = {"torch", "numpy", "pandas"}
# Packages of the extras, which the check below hides.
EXTRAS = "torchvision sklearn scipy yaml matplotlib seaborn timm transformers lightning tqdm"
CHECK = """
import doctest, importlib, pathlib, sys
site, model, *extras = sys.argv[1:]
sys.path.insert(0, site)
sys.modules.update(dict.fromkeys(extras))
import resperturb
from resperturb.cli import main
assert resperturb.__file__.startswith(site), resperturb.__file__
for file in pathlib.Path(site).rglob("*.py"):
    if ">>> " in file.read_text(encoding="utf-8"):
        name = ".".join(file.relative_to(site).with_suffix("").parts)
        print(name, doctest.testmod(importlib.import_module(name)))
print(main(["measure", model, "--text", model.rpartition(":")[0], "--size", "8"]), main(["run", "--preset", "digits"]))
"""
LANGUAGE_MODEL = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return x + self.second(self.first(x).tanh())

def model():
    return nn.Sequential(nn.Embedding(256, 8), Block(), Block())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_it_has_types_presets_and_style_and_requires_three_packages(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert {"resperturb/py.typed", "resperturb/config/digits.yaml", "resperturb/figures/style.mplstyle"} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"resperturb"}
    required = message_from_string(metadata).get_all("Requires-Dist", [])
    assert {re.split(r"[<>=]", line)[0] for line in required if "extra ==" not in line} == REQUIRED


def test_it_measures_with_nothing_else_installed_and_its_examples_are_right(wheel: Path, tmp_path: Path) -> None:
    site, file = tmp_path / "site", tmp_path / "network.py"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True)
    file.write_text(LANGUAGE_MODEL)
    words = [sys.executable, "-I", "-c", CHECK, str(site), f"{file}:model", *EXTRAS.split()]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *examples, exits = done.stdout.splitlines()
    assert exits == "0 2"
    assert "2 blocks, average scaled perturbation" in done.stdout
    assert "resperturb run: yaml is not installed: pip install 'resperturb[train]'" in done.stderr
    results = [re.fullmatch(r"(\S+) TestResults\(failed=(\d+), attempted=(\d+)\)", line) for line in examples]
    found = {result[1]: (int(result[2]), int(result[3])) for result in results if result}
    assert {"resperturb.measurement.measure", "resperturb.callbacks.logger"} <= set(found)
    assert all(failed == 0 < attempted for failed, attempted in found.values()), done.stdout
