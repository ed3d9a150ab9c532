"""Figures: legible on white and on dark, complete for whatever a sweep holds."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from resperturb import claims, figures
from resperturb.records import Record, load_records
from resperturb.scaling import fit_power_law, stopping_depth

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return load_records(ROOT / "results/shipped-digits")


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("background", ["#ffffff", "#121212"])  # the theme's two pages
def test_ink_and_palette_stand_out_on_white_and_on_dark(background: str) -> None:
    assert contrast(figures.INK, background) > 4
    for colour in (figures.BLUE, figures.ORANGE, figures.GREEN):
        assert contrast(colour, background) > 3  # what WCAG asks of graphics


def test_series_differ_by_more_than_colour() -> None:
    first, second = figures.MOMENT_STYLE.values()
    assert first["linestyle"] != second["linestyle"]
    assert first["marker"] != second["marker"]


def svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def test_per_block_draws_both_moments_and_the_transitions(records: list[Record]) -> None:
    record = records[0]
    (axes,) = figures.per_block(record).axes
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["at initialisation", "after training", r"$1/\sqrt{l}$"]
    drawn = {line.get_color() for line in axes.lines}
    assert drawn == {figures.BLUE, figures.ORANGE, figures.INK}
    marks = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":" and len(line.get_xdata()) == 2]
    assert marks == [2.5, 4.5]  # 6 blocks over 3 sections


def test_a_diverged_run_is_drawn_without_an_end(records: list[Record]) -> None:
    table = records[0].perturbations
    half = dataclasses.replace(records[0])
    half.__dict__["perturbations"] = table[table["moment"] == "initialization"]
    (axes,) = figures.per_block(half).axes
    assert next(t.get_text() for t in axes.get_legend().get_texts()) == "at initialisation"
    assert len(axes.get_legend().get_texts()) == 2


def test_the_fit_is_drawn_from_the_numbers_that_are_offered_as_data(records: list[Record]) -> None:
    laws = {moment: fit_power_law(records, moment=moment) for moment in claims.CLAIMED}
    (axes,) = figures.average_against_depth(laws).axes
    data = figures.averages_data(laws)
    drawn = [container.lines[0].get_ydata().tolist() for container in axes.containers]
    offered = [data.loc[data["moment"] == moment, "average"].tolist() for moment in laws]
    assert drawn == offered


def test_every_other_figure_is_drawn(records: list[Record]) -> None:
    answers = [stopping_depth(epsilon, records) for epsilon in (0.1, 0.0001)]
    for figure in (
        figures.training_curve(records[0]),
        figures.product_against_depth(records),
        figures.profiles(records),
        figures.concentration(claims.concentration_table(records)),
        figures.stopping_rule(fit_power_law(records), answers),
    ):
        assert "<svg" in svg(figure)


def test_the_same_numbers_give_the_same_file(records: list[Record]) -> None:
    import matplotlib as mpl

    with mpl.rc_context(figures.STYLE):
        assert svg(figures.per_block(records[0])) == svg(figures.per_block(records[0]))


def test_tables_show_both_ends_and_the_cost(records: list[Record]) -> None:
    averages = figures.averages_table(records[0])
    assert list(averages.columns) == ["at initialisation", "after training"]
    scaled = averages.loc["average scaled perturbation", "after training"]
    assert averages.loc["blocks x average scaled", "after training"] == pytest.approx(6 * scaled, rel=1e-3)
    cost = figures.cost_table(records[0])
    assert records[0].run["provenance"]["versions"]["torchvision"] in cost.to_html()
    assert cost.data.loc["sources", "value"] == records[0].run["provenance"]["source_hash"]
