"""The README's table and figure, made from the shipped records: `python -m resperturb.readme` writes both."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from resperturb.claims import quantities
from resperturb.scaling import fit_power_law
from resperturb.sweeps import Sweep, main_sweeps, sweeps

BEGIN, END = "<!-- results: written by python -m resperturb.readme -->", "<!-- end of results -->"
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


def sentence(found: dict[str, Sweep]) -> str:
    said = quantities(found["digits"])
    return (
        f"From {said['shallowest']} to {said['deepest']} blocks on the digits, the average scaled perturbation after "
        f"training falls as L^p with p = {said['exponent_end']} (95 % interval {said['interval_end']}): the claim "
        f"of −1: {said['verdict_end']}. At initialisation p = {said['exponent_initialization']} "
        f"({said['interval_initialization']}), where theory gives −1/2."
    )


def digest(found: dict[str, Sweep]) -> str:
    """Stands for the numbers in the figure."""
    laws = {moment: fit_power_law(found["digits"].records, moment=moment) for moment in ("initialization", "end")}
    text = ";".join(f"{moment}:{law.averages.means.round(8).tolist()}" for moment, law in laws.items())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_results(readme: str, found: dict[str, Sweep]) -> str:
    """The README with everything between its markers made anew."""
    before, rest = readme.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{sentence(found)}\n\n{table(found)}\n{END}{after}"


def draw(found: dict[str, Sweep], path: Path) -> None:
    import matplotlib as mpl

    from resperturb import figures

    laws = {moment: fit_power_law(found["digits"].records, moment=moment) for moment in ("initialization", "end")}
    with mpl.rc_context(figures.STYLE):  # type: ignore[arg-type]  # the stubs list every key by name
        figure = figures.average_against_depth(laws)
        figure.savefig(path, format="svg", metadata={"Date": None, "Description": digest(found)})


def main() -> int:
    root = Path(__file__).parent.parent
    found = shipped(root)
    readme = root / "README.md"
    readme.write_text(with_results(readme.read_text(encoding="utf-8"), found), encoding="utf-8")
    draw(found, root / FIGURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
