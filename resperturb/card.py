"""The picture that a link to the book is shown with: each data set's exponent, drawn from the records."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from resperturb.charts import DATASET_STYLE
from resperturb.claims import signed
from resperturb.figures import INK
from resperturb.scaling import PowerLaw, fit_power_law
from resperturb.sweeps import TITLES, Sweep, main_sweeps, sweeps

DARK = "#222832"


def laws_of(found: Mapping[str, Sweep]) -> dict[str, PowerLaw]:
    """The law after training of each data set's main sweep of pre-activation networks."""
    plain = [sweep for sweep in main_sweeps(dict(found)).values() if sweep.block == "preactivation"]
    return {sweep.dataset: fit_power_law(sweep.records, moment="end") for sweep in plain}


def words(laws: Mapping[str, PowerLaw]) -> str:
    """What the card says, for those who do not see it."""
    exponents = {TITLES[name]: signed(law.exponent) for name, law in laws.items()}
    said = ", ".join(f"{exponent} on {name}" for name, exponent in exponents.items())
    return f"Average scaled perturbation of trained residual networks falls as depth to the power of {said}."


def draw_card(laws: Mapping[str, PowerLaw]) -> Figure:
    """1200 x 630 pixels at 100 dots an inch, on white."""
    figure = plt.figure(figsize=(12, 6.3), dpi=100, facecolor="white")
    figure.text(0.05, 0.86, "Do residual networks learn\na perturbation from identity?", fontsize=33, color=DARK,
                weight="bold", va="center", linespacing=1.25)  # fmt: skip
    axes = figure.add_axes((0.08, 0.12, 0.47, 0.56), facecolor="white")
    figure.text(0.60, 0.63, "Average perturbation against\nnumber of blocks L, after training", fontsize=19, color=INK,
                va="center", linespacing=1.3)  # fmt: skip
    for row, (name, law) in enumerate(laws.items()):
        style = DATASET_STYLE[name]
        depths = law.averages.depths
        axes.plot(depths, law.averages.means, **style, linestyle="none", markersize=11)
        axes.plot(depths, law(depths), color=style["color"], linewidth=3)
        height = 0.46 - 0.13 * row
        figure.text(0.60, height, TITLES[name], fontsize=27, color=DARK, va="center")
        figure.text(0.80, height, f"$L^{{{law.exponent:.2f}}}$", fontsize=34, color=style["color"], va="center")
    axes.set(xscale="log", yscale="log", xlabel="number of blocks")
    axes.tick_params(labelsize=15, colors=INK)
    axes.xaxis.label.set(fontsize=17, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def write_card(results: Path, file: Path) -> str:
    """Draw the card of some records into a PNG, and return its words."""
    laws = laws_of(sweeps(results))
    figure = draw_card(laws)
    with plt.rc_context({"savefig.bbox": "standard"}):
        figure.savefig(file, dpi=100, facecolor="white")
    plt.close(figure)
    return words(laws)
