"""The README's tables and the headline figure from the shipped records, written by `make readme`."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from report.claims import ANSWERS, MISSES
from report.decay import gentle_trainings, published_networks, usual_trainings
from report.ledger import read_ledger
from report.quantities import quantities
from resperturb.records.sweeps import Sweep, display_name, load_sweeps, main_sweeps

BEGIN, END = "<!-- results: written by make readme -->", "<!-- end of results -->"
BETWEEN = "More time under weight decay, full size, and networks that others trained:"
SHOWN = {  # rows of the second table: subject and claim in the ledger, and what is added to the name
    ("mnist-more-decay", "more-decay"): "",
    ("cifar10-more-decay", "more-decay"): "",
    ("cifar10-long", "long"): "",
    ("standard-mnist", "inverse"): ", pre-activation",
    ("standard-mnist-postactivation", "inverse"): "",
    ("standard-cifar10", "inverse"): ", pre-activation",
    ("standard-cifar10-postactivation", "inverse"): "",
    ("published", "exponent"): "",
}
TRANSITIONS = "transitions counted"
FIGURE, CARD = Path("book/_static/headline.svg"), Path("book/_static/card.png")
CARD_TITLE = "Do residual\nnetworks learn\na perturbation\nfrom identity?"


def shipped(root: Path) -> dict[str, Sweep]:
    """Load the main sweeps that are committed, without a reader's own runs."""
    return main_sweeps(load_sweeps(root / "results", own=False))


def table(sweeps: dict[str, Sweep], root: Path) -> str:
    """Format the sweeps in Markdown: runs, accuracy, exponent from the ledger, and preset."""
    rows = read_ledger(root).set_index("id").T.to_dict()
    lines = []
    for name, sweep in sweeps.items():
        numbers = quantities(sweep)
        lines.append(
            {
                "networks": sweep.label,
                "depths": ", ".join(map(str, sweep.depths)),
                "runs (diverged)": f"{numbers['runs']} ({numbers['diverged']})",
                "test accuracy": f"{numbers['accuracy_low']:.1%} to {numbers['accuracy_high']:.1%}",
                "*T*": f"{numbers['clock']:.2f}",
                **answered(rows[f"{name}/exponent-end"]),
                TRANSITIONS: counted(rows, name),
                "preset": f"`{sweep.preset}`" if sweep.preset else "–",
            }
        )
    return markdown(lines)


def claims_table(root: Path) -> str:
    """Format the ledger's rows of the claims in SHOWN in Markdown."""
    rows = read_ledger(root).set_index("id").T.to_dict()
    lines = []
    for (subject, claim), added in SHOWN.items():
        if f"{subject}/{claim}" in rows:
            row = rows[f"{subject}/{claim}"]
            runs = row["records"].partition("(")[2].partition(" ")[0]
            name = {"networks": f"{display_name(subject)}{added}", "runs": runs, "test accuracy": row["accuracy"]}
            lines.append({**name, **answered(row), TRANSITIONS: counted(rows, subject)})
    return markdown(lines)


def answered(row: Mapping[str, str]) -> dict[str, str]:
    """The exponent of a row of the ledger, and the plan's answer to "is it -1?"."""
    value, missed, _ = row["value"].partition(f", {MISSES}")
    answer = {verdict: word for word, verdict in ANSWERS.items()}[row["verdict"]]
    return {"p after training": f"{value} ({row['interval']})", "is it −1?": answer + ", misses its bar" * bool(missed)}


def counted(rows: Mapping[Any, Mapping[Any, str]], subject: str) -> str:
    """The exponent with transitions counted as blocks, and the answer."""
    exponent, answer = answered(rows.get(f"{subject}/additions") or rows[f"{subject}/exponent-additions"]).values()
    return f"{exponent.partition(' (')[0]}{'*' * ('mean slope' in exponent)}, {answer.partition(',')[0]}"


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def digest(tables: Iterable[pd.DataFrame]) -> str:
    """Hash the numbers of the figure."""
    columns = ["clock", "exponent", "low", "high"]
    text = ";".join(table[columns].round(8).to_csv(index=False) for table in tables)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def with_results(readme: str, sweeps: dict[str, Sweep], root: Path) -> str:
    """Replace everything between the README's markers."""
    before, rest = readme.split(BEGIN)
    tables = f"{table(sweeps, root)}\n\n{BETWEEN}\n\n{claims_table(root)}"
    return f"{before}{BEGIN}\n{tables}\n{END}{rest.split(END)[1]}"


def headline_tables(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tabulate exponents of usual trainings that reach their bar, of gentle trainings, and of published networks, from
    the shipped records."""
    results = root / "results"
    usual = usual_trainings(load_sweeps(results, own=False), results)
    return usual[usual["trained"]], gentle_trainings(results), published_networks(results)


def draw_headline(root: Path, path: Path, **saved: Any) -> None:
    """Draw the headline figure into a file, with the digest of its numbers as metadata."""
    from matplotlib import style

    from resperturb import figures

    tables = headline_tables(root)
    with style.context(figures.STYLE):
        figure = figures.exponents_over_clock(*tables)
        date = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata={**date, "Description": digest(tables)}, **saved)


def draw_card(root: Path, path: Path) -> None:
    """Draw the card for links to the site: the title beside the headline figure."""
    import matplotlib.pyplot as plt

    with TemporaryDirectory() as folder:
        headline = Path(folder) / "headline.png"
        draw_headline(root, headline, dpi=130)
        card, drawn = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="white"), plt.imread(headline)
    card.text(0.05, 0.5, CARD_TITLE, fontsize=31, fontweight="bold", color="#222832", va="center", linespacing=1.5)
    axes = card.add_axes((0.5, 0.02, 0.49, 0.96))
    axes.imshow(drawn)
    axes.set_axis_off()
    card.savefig(path, metadata={"Description": digest(headline_tables(root))})
    plt.close(card)


def main() -> int:
    root = Path(__file__).parents[2]
    sweeps = shipped(root)
    readme = root / "README.md"
    readme.write_text(with_results(readme.read_text(encoding="utf-8"), sweeps, root), encoding="utf-8")
    draw_headline(root, root / FIGURE)
    draw_card(root, root / CARD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
