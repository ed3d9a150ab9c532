"""The README's table and figure, made from the shipped records: `make readme` writes both."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from report.quantities import quantities
from resperturb.analysis.summaries import laws_by_moment
from resperturb.records.sweeps import Sweep, main_sweeps, sweeps

BEGIN, END = "<!-- results: written by make readme -->", "<!-- end of results -->"
FIGURE = Path("book/_static/headline.svg")


def shipped(root: Path) -> dict[str, Sweep]:
    """The sweeps whose records are committed; a reader's own runs do not enter the README."""
    return main_sweeps(sweeps(root / "results", own=False))


def table(found: dict[str, Sweep]) -> str:
    """A row per sweep in Markdown: what was run, what came out, what it cost, and the command that does it again."""
    lines = [
        "| sweep | depths | runs | test accuracy | exponent at initialisation | exponent after training "
        "| machine time | command |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, sweep in found.items():
        said = quantities(sweep)
        over = "" if int(said["seeds"]) > 1 else ", one seed"
        law = [f"{said[f'exponent_{m}']} ({said[f'interval_{m}']}{over})" for m in ("initialization", "end")]
        command = f"`make sweep PRESET={sweep.preset}`" if sweep.preset else "–"
        threads = max(r.run["provenance"]["threads"] for r in sweep.records)
        lines.append(
            f"| {name} | {said['depths']} | {said['runs']} | {said['accuracy_low']} to {said['accuracy_high']} "
            f"| {law[0]} | {law[1]} | {said['minutes']} min, {threads} thread{'s' * (threads > 1)} a run "
            f"| {command} |"
        )
    return "\n".join(lines)


def pre_activation(found: dict[str, Sweep]) -> dict[str, Sweep]:
    """The sweeps of the first figure: pre-activation blocks, one on each data set."""
    return {name: sweep for name, sweep in found.items() if sweep.block == "preactivation"}


def sentence(found: dict[str, Sweep]) -> str:
    parts, before = [], []
    for sweep in pre_activation(found).values():
        said = quantities(sweep)
        data = sweep.label.split(",")[0]
        where = f"{data} ({said['shallowest']} to {said['deepest']} blocks)"
        parts.append(f"{said['exponent_end']} ({said['interval_end']}) on {where}: {said['verdict_end']}")
        before.append(f"{said['exponent_initialization']} on {data}")
    return (
        "After training the average scaled perturbation falls as L^p; the claim is p = −1. Measured: p = "
        f"{'; '.join(parts)}. Before training p = {', '.join(before)}, where theory gives −1/2."
    )


def digest(found: dict[str, Sweep]) -> str:
    """Stands for the numbers in the figure."""
    text = ";".join(
        f"{name}:{moment}:{law.averages.means.round(8).tolist()}"
        for name, sweep in pre_activation(found).items()
        for moment, law in laws_by_moment(sweep.records).items()
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_results(readme: str, found: dict[str, Sweep]) -> str:
    """The README with everything between its markers made anew."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{sentence(found)}\n\n{table(found)}\n{END}{after}"


def draw_headline(found: dict[str, Sweep], path: Path) -> None:
    import matplotlib as mpl

    from resperturb import figures

    with mpl.style.context(figures.STYLE):
        laws = {name: laws_by_moment(sweep.records) for name, sweep in pre_activation(found).items()}
        figure = figures.averages_together(laws, found)
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": digest(found)})


def main() -> int:
    root = Path(__file__).parents[2]
    found = shipped(root)
    readme = root / "README.md"
    readme.write_text(with_results(readme.read_text(encoding="utf-8"), found), encoding="utf-8")
    draw_headline(found, root / FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
