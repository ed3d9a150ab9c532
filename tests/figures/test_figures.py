"""Figures: legible on white and on dark, complete for whatever a sweep holds."""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from builders import copy_sweep
from conftest import ROOT
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from resperturb import figures, fit_power_law, plot
from resperturb.analysis import profiles, summaries
from resperturb.analysis.practice import LOGGED, logged
from resperturb.analysis.slope_tests import fit_runs
from resperturb.models.residual import spread
from resperturb.records.record import Record, load_records
from resperturb.records.sweeps import Sweep


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
    ends = np.cumsum(spread(record.blocks, 3))[:-1]
    assert marks == [end + 0.5 for end in ends]


def test_a_diverged_run_is_drawn_without_an_end(records: list[Record]) -> None:
    table = records[0].perturbations
    half = dataclasses.replace(records[0])
    half.__dict__["perturbations"] = table[table["moment"] == "initialization"]
    (axes,) = figures.per_block(half).axes
    assert next(t.get_text() for t in axes.get_legend().get_texts()) == "at initialisation"
    assert len(axes.get_legend().get_texts()) == 2


def test_the_fit_is_drawn_from_the_numbers_that_are_offered_as_data(records: list[Record]) -> None:
    laws = summaries.laws_by_moment(records)
    (axes,) = figures.averages_by_sweep({"digits": laws}, {"digits": Sweep("digits", records)}).axes
    data = figures.averages_data(laws)
    drawn = [container.lines[0].get_ydata().tolist() for container in axes.containers]
    offered = [data.loc[data["moment"] == moment, "average"].tolist() for moment in laws]
    assert drawn == offered


def test_sweeps_have_a_panel_each(records: list[Record]) -> None:
    sweeps = {name: Sweep(name, records) for name in ("digits", "again", "third")}
    figure = figures.averages_by_sweep(dict.fromkeys(sweeps, summaries.laws_by_moment(records)), sweeps)
    assert [axes.get_title() for axes in figure.axes] == ["digits, pre-activation"] * 3  # and no more panels


def test_the_fall_begins_at_one_and_is_named_with_its_exponent(records: list[Record]) -> None:
    (axes,) = figures.fall_with_depth({"digits": Sweep("digits", records)}).axes
    table = summaries.depth_table(records)
    drawn = axes.containers[0].lines[0].get_ydata()
    assert drawn.tolist() == pytest.approx((table["scaled_end"] / table["scaled_end"].iloc[0]).tolist(), rel=1e-4)
    half, claimed = (line.get_ydata() for line in axes.lines if line.get_linestyle() == ":")
    assert half[1] ** 2 == pytest.approx(claimed[1])
    assert claimed[1] == pytest.approx(table["blocks"].iloc[0] / table["blocks"].iloc[-1])
    (words,) = axes.get_legend().get_texts()
    assert words.get_text() == f"digits, {summaries.signed(fit_runs(records).exponent)}"


def test_shared_work_has_a_panel_for_each_data_set_and_a_line_for_each_training(records: list[Record]) -> None:
    moments = {"before": "initialization", "after": "end"}
    trainings = {name: profiles.concentration_table(records, moment) for name, moment in moments.items()}
    figure = figures.concentration({"one": trainings, "two": trainings})
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    _, after, rooted = figure.axes[0].lines
    assert after.get_ydata().tolist() == trainings["after"]["shared"].tolist()
    assert rooted.get_ydata().tolist() == trainings["before"]["rooted"].tolist()


def test_networks_of_others_are_drawn_by_both_ways_to_count() -> None:
    table = pd.DataFrame({"blocks": [7, 14], "additions": [9, 16], "scaled": [1.0, 0.5], "scaled_all": [1.0, 0.75]})
    table = pd.concat([table, table])  # as of two seeds: a slope is fitted to three runs or more
    (axes,) = figures.counted_blocks(table).axes
    names = {text.get_text().replace("\n", " ") for text in axes.texts}
    assert {"identity blocks −1.00", "transitions too −0.50"} <= names


def test_series_differ_by_more_than_colour(records: list[Record], tmp_path: Path) -> None:
    before, after = figures.MOMENT_STYLE.values()
    assert before["linestyle"] != after["linestyle"]
    assert before["marker"] != after["marker"]
    other = Sweep("post", copy_sweep(tmp_path / "post", block="postactivation"))
    pre, post = (figures.style_of(sweep) for sweep in (Sweep("digits", records), other))
    assert pre["linestyle"] != post["linestyle"]
    assert post["markerfacecolor"] == "none"
    markers = {style["marker"] for style in figures.DATASET_STYLE.values()}
    assert len(markers) == len(figures.DATASET_STYLE)


def test_depths_that_are_near_share_a_tick() -> None:
    axes = Figure().add_subplot()
    figures.depth_ticks(axes, [6, 9, 12, 15, 21, 24, 27, 48, 300])
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels[0] == "300"
    numbers = sorted(map(int, labels))
    assert all(b / a >= 1.45 for a, b in itertools.pairwise(numbers))


def test_tables_show_both_ends_and_the_cost(records: list[Record]) -> None:
    averages = figures.averages_table(records[0])
    assert list(averages.columns) == ["at initialisation", "after training"]
    scaled = averages.loc["average scaled perturbation", "after training"]
    assert averages.loc["blocks x average scaled", "after training"] == pytest.approx(
        records[0].blocks * scaled, rel=1e-3
    )
    cost = figures.cost_table(records[0])
    assert records[0].run["provenance"]["versions"]["torchvision"] in cost.to_html()
    assert cost.data.loc["sources", "value"] == records[0].run["provenance"]["source_hash"]


def test_a_table_prints_words_a_reader_would_write() -> None:
    table = pd.DataFrame(
        {
            "sweep": ["mnist-postactivation", "digits-no-decay"],
            "exponent": [-0.5, float("nan")],
            "verdict": ["does not hold", "a verdict of so many more words than stand on a line"],
        }
    )
    printed = BeautifulSoup(figures.format_table(table, {"exponent": "{:.2f}"}).to_html(), "html.parser")
    cells = [[cell.get_text() for cell in row.find_all("td")] for row in printed.find_all("tr")[1:]]
    assert cells[0] == ["MNIST,\u00a0post-activation", "−0.50", "does\u00a0not\u00a0hold"]
    assert cells[1] == ["digits,\u00a0no\u00a0decay", "–", "a verdict of so many more words than stand on a line"]
    assert [cell.get_text() for cell in printed.find_all(class_="words")] == [cells[1][2]]
    assert re.findall(r"(col\d) \{\s*text-align: right", str(printed.style)) == ["col1"]  # numbers alone


def test_the_style_sheet_has_the_palette_and_gives_the_same_file_for_the_same_numbers(records: list[Record]) -> None:
    with mpl.style.context(figures.STYLE):
        colours = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        assert colours[:3] == [figures.BLUE, figures.ORANGE, figures.GREEN]
        assert mpl.rcParams["text.color"] == figures.INK
        assert mpl.rcParams["figure.facecolor"] == "none"
        assert svg(figures.per_block(records[0])) == svg(figures.per_block(records[0]))  # no random ids


def test_every_condition_is_a_point_in_every_panel_of_the_predictions() -> None:
    table = pd.DataFrame(
        {
            "preset": ["mechanism-mnist", "mechanism-mnist", "cifar10-zero"],
            "counts": [True, False, True],
            "exponent": [-0.6, -0.7, -1.0],
            "decay-decides": [-0.6, -1.0, -1.0],
            "two-parts": [-0.6, -0.8, -0.9],
            "measured": [-0.65, -0.72, -0.8],
            "low": [-0.7, -0.8, -0.9],
            "high": [-0.6, -0.6, -0.7],
        }
    )
    table["condition"] = ["no decay", "decay on weights", "zero start"]
    account, names, *rivals = figures.predicted_against_measured(table).axes
    assert len(rivals) == 2
    for axes, name in zip((account, *rivals), ("exponent", "decay-decides", "two-parts"), strict=True):
        drawn = sorted(tuple(point) for line in axes.containers for point in line[0].get_xydata())
        for point, true in zip(drawn, sorted(zip(table[name], table["measured"], strict=True)), strict=True):
            assert point == pytest.approx(true, abs=0.02)  # points of one prediction stand side by side
    assert figures.outcomes(table, "exponent").tolist() == ["hit", "not counted", "miss"]
    assert [text.get_text() for text in names.texts] == ["CIFAR-10: zero start"]


def test_names_keep_apart_and_stay_in_order() -> None:
    moved = figures.spread_out(np.array([0.0, 0.01, 0.02, 0.9]), np.array([0.1, 0.1, 0.3, 0.1]))
    assert np.diff(moved)[:2] == pytest.approx([0.1, 0.2])
    assert moved.mean() == pytest.approx(0.2325)
    assert len(figures.spread_out(np.array([]), np.array([]))) == 0


def test_the_headline_has_names_apart_and_faint_intervals_where_they_are_wider_than_it() -> None:
    columns = ["dataset", "block", "epochs", "full", "clock", "exponent", "low", "high"]
    rows = [
        ["mnist", "preactivation", 6, False, 5.0, -0.98, -1.09, -0.87],
        ["cifar10", "preactivation", 20, False, 2.0, -0.72, -0.77, -0.67],
        ["cifar10", "preactivation", 20, False, 5.0, -0.75, -0.85, -0.65],
        ["cifar10", "preactivation", 100, False, 9.75, -0.66, -0.72, -0.6],  # another recipe, not joined to the others
        ["mnist", "preactivation", 10, True, 1.2, -0.79, -0.97, -0.61],
    ]
    gentle = pd.DataFrame({"clock": [0.0, 5.0], "exponent": [-0.6, -0.92], "low": [-0.7, -2.0], "high": [-0.5, 0.2]})
    published = pd.DataFrame({"clock": [4.1], "exponent": [-0.81], "low": [-0.88], "high": [-0.73]})
    figure = figures.exponents_over_clock(pd.DataFrame(rows, columns=columns), gentle, published)
    (axes,) = figure.axes
    bars = {(bar.get_segments()[0][0, 1], bar.get_alpha()) for bar in axes.collections if len(bar.get_segments())}
    assert {low: alpha for low, alpha in bars if alpha < 1}.keys() == {-2.0}
    assert sorted(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "^") == [1, 2]
    assert [line.get_xdata()[0] for line in axes.lines if line.get_markersize() == 16] == [1.2, 4.1]  # the rings
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not [one for one, other in itertools.combinations(boxes, 2) if one.overlaps(other)]


def test_exponents_over_training_have_a_panel_for_each_group(records: list[Record]) -> None:
    table = profiles.exponents_over_training(records)
    groups = {"usual": {("digits", "preactivation"): table}, "strong": {("mnist", "postactivation"): table}}
    figure = figures.exponents_over_training(groups)
    assert [axes.get_title() for axes in figure.axes] == ["usual", "strong"]
    assert figure.axes[0].lines[0].get_ydata().tolist() == table["exponent"].tolist()


def test_dead_blocks_are_open_and_random_choices_have_a_band() -> None:
    records = load_records(ROOT / "results/lesion-strong", kind=None)
    blocks = pd.concat([record.table("blocks") for record in records])
    (axes,) = figures.loss_without({"all": blocks}).axes
    opened = [line for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
    assert sum(len(line.get_xdata()) for line in opened) == (~blocks["alive"]).sum() > 0
    pruned = pd.concat([record.table("pruning") for record in records])
    (axes,) = figures.pruning({"all": pruned}).axes
    assert [line.get_label() for line in axes.get_lines()] == list(figures.ORDERS.values())
    whole = pruned.loc[pruned["way"] == "whole", "accuracy"].mean()
    assert [line.get_ydata()[0] for line in axes.get_lines()] == pytest.approx([whole] * 3)
    assert len(axes.collections) == 1


def test_a_ring_marks_what_validation_chooses_and_a_diamond_what_the_rule_does(sweeps: dict[str, Sweep]) -> None:
    choices = pd.DataFrame({"margin": [24], "rule": [100.0]}, index=["mnist"])
    law = fit_power_law(sweeps["mnist"].records, replicates=2)
    upper, lower = figures.rule_beside_validation({"mnist": sweeps["mnist"]}, choices, {"mnist": law}, 0.05).axes
    curve, ring, _ = upper.get_lines()
    assert ring.get_xdata()[0] == 24
    assert ring.get_ydata()[0] == curve.get_ydata()[list(curve.get_xdata()).index(24)]
    diamond = lower.get_lines()[-1]
    assert (diamond.get_xdata()[0], diamond.get_ydata()[0]) == (100, 0.05)
    assert diamond.get_markerfacecolor() == "none"  # no network of that depth was run


def test_a_log_has_a_panel_for_each_quantity_and_a_line_for_each_run(records: list[Record]) -> None:
    *panels, last = figures.logged_quantities({"one": logged(records[0]), "two": logged(records[-1])}).axes
    assert [panel.get_title().replace("\n", " ") for panel in panels] == list(LOGGED.values())
    assert {len(panel.get_lines()) for panel in panels} == {2}
    assert [text.get_text() for text in last.get_legend().get_texts()] == ["one", "two"]


def test_a_network_has_a_panel_and_a_line_for_each_section() -> None:
    records = load_records(ROOT / "results/published", kind=None)[:2]
    tables = {record.parameters["network"]: record.table("blocks") for record in records}
    figure = figures.network_panels(tables)
    assert [axes.get_title().split(",")[0] for axes in figure.axes] == list(tables)
    assert {len(axes.get_lines()) for axes in figure.axes} == {3}


def test_measured_networks_are_drawn_on_axes_that_are_given_or_made() -> None:
    short, long = (record.table("blocks") for record in load_records(ROOT / "results/published", kind=None)[:2])
    given = plt.subplots()[1]
    assert plot(short, given) is given
    assert given.get_xlabel() == "block $l$"
    assert given.get_yscale() == "log"
    assert given.get_legend() is None
    assert sum(len(line.get_xdata()) for line in given.get_lines()) == (short["kind"] == "identity").sum()
    made = plot({"short": short, "long": long}, column="cosine")
    assert made.get_xlabel() == "relative position of the block"
    assert made.get_yscale() == "linear"
    assert [text.get_text() for text in made.get_legend().get_texts()] == ["short", "long"]
    before_and_after = plot({"before": short, "after": short.assign(scaled=2 * short["scaled"])})
    assert before_and_after.get_xlabel() == "block $l$"
    for axes in (given, made, before_and_after):
        plt.close(axes.figure)
