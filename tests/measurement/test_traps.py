"""The traps of the book's chapter: what `measure` finds in each of its modules."""

import re
import warnings

import torch
from conftest import ROOT

from resperturb.measurement.measure import measure


def test_each_module_has_the_rows_that_its_code_says():
    chapter = (ROOT / "book" / "measurement_check.md").read_text(encoding="utf-8")
    cells = re.findall(r"```\{code-cell\} python\n:tags: \[hide-input\]\n(.*?)```", chapter, re.S)
    names = {"torch": torch}
    exec(next(cell for cell in cells if "class Trap" in cell), names)
    traps = {trap.__name__: trap() for trap in names["Trap"].__subclasses__()}
    x = torch.randn(4, 5, 8)
    with warnings.catch_warnings(record=True) as warned:
        tables = {name: measure(trap, [x]) for name, trap in traps.items()}
    kinds = {name: table["kind"].tolist() for name, table in tables.items()}
    assert kinds == {name: ["identity"] for name in traps} | {"Projection": ["transition"]}
    assert [str(warning.message) for warning in warned] == [
        "1 addition to a state is left out, in Pooling: the perturbation passes no convolution, matmul or attention."
    ]
    for name in ("InPlace", "StochasticDepth", "PostNorm"):
        push = traps[name].g(torch.relu(traps[name].f(x)))
        expected = (push.flatten(1).norm(dim=1) / x.flatten(1).norm(dim=1)).mean().item()
        assert abs(tables[name]["scaled"].item() / expected - 1) < 1e-5
