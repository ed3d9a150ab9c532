"""Style of all figures and tables: palette, axes, legends and formats of cells.

The palette is by Okabe and Ito (2008), readable on light and dark pages. Line styles and markers also distinguish
series.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from resperturb.records.sweeps import Sweep, display_name

INK = "#7a7a7a"  # text and axes: contrast above 4 with white and with the dark theme's background
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"
PURPLE = "#aa4499"  # darker than in the palette, for white pages
STYLE = "resperturb.figures.style"  # style.mplstyle, beside this file
NUMBER = re.compile(r"(?:[\d.%±×<()+−–]|e[+−]|to|of|\s)+")  # a cell in a column of numbers
LINE_LENGTH = 24  # characters that a cell keeps on one line
MARKED_BLOCKS = 60  # markers of more blocks would overlap

LINE = 13.0  # points from one line of words to the next
Name = tuple[str, tuple[float, float], str]  # words, the place that they name, their color
WIDTH = 4.5  # inches; on a phone, letters of 11 points then have at least 11 pixels
TITLE_LENGTH = 26  # characters in a line of a title, with two panels in a row

DEPTH, AVERAGE = "number of blocks $L$", "average scaled perturbation"
MEASURE_LABEL = {
    "scaled": r"scaled perturbation $\|f(x)\| / \|x\|$",
    "perturbation_norm": r"absolute perturbation $\|f(x)\|$",
    "state_norm": r"norm of the state $\|x\|$",
    "cosine": r"cosine of $f(x)$ and $x$",
    "successive_cosine": r"cosine of $f_l$ and $f_{l-1}$",
}
SIGNED = ("cosine", "successive_cosine")  # measures of either sign, which need a linear axis

MOMENT_STYLE: dict[str, dict[str, Any]] = {
    "initialization": {"color": ORANGE, "linestyle": "--", "marker": "s", "label": "at initialisation"},
    "end": {"color": BLUE, "linestyle": "-", "marker": "o", "label": "after training"},
}
DATASET_STYLE: dict[str, dict[str, Any]] = {
    "digits": {"color": BLUE, "marker": "o"},
    "mnist": {"color": ORANGE, "marker": "s"},
    "cifar10": {"color": GREEN, "marker": "^"},
}
SERIES: tuple[dict[str, Any], ...] = (  # series in order
    {"color": BLUE, "marker": "o", "linestyle": "-"},
    {"color": ORANGE, "marker": "s", "linestyle": "--"},
    {"color": GREEN, "marker": "^", "linestyle": "-."},
    {"color": PURPLE, "marker": "D", "linestyle": ":"},
)


def use_style() -> None:
    """Set the style of a notebook: vector figures without background, in one size and palette."""
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    set_matplotlib_formats("svg")
    mpl.style.use(STYLE)


def close(figure: Figure, axes: Axes | None = None, columns: int = 3) -> Figure:
    """Lay out a figure with the legend of `axes` above them, and close it for pyplot.

    A notebook then shows the figure once, as the value of its cell.
    """
    if axes is not None and axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2)
    figure.tight_layout(pad=0.3, h_pad=1, w_pad=1)
    plt.close(figure)
    return figure


def depth_ticks(axes: Axes, depths: Sequence[int] | np.ndarray, apart: float = 1.45) -> None:
    """Set a tick at the largest depth, and at each depth at least a factor `apart` below the last tick."""
    chosen = [int(max(depths))]
    for depth in sorted(depths, reverse=True):
        if chosen[-1] >= apart * depth:
            chosen.append(int(depth))
    axes.set_xticks(chosen, labels=[str(depth) for depth in chosen])
    axes.xaxis.set_minor_locator(mpl.ticker.NullLocator())


def depth_axis(axes: Axes, depths: Iterable[int], label: str, *, scale: str = "log", apart: float = 1.45) -> None:
    """Set a logarithmic horizontal axis of depth, and the label and scale of the vertical axis."""
    axes.set(xscale="log", yscale=scale, xlabel=DEPTH, ylabel=label)
    depth_ticks(axes, sorted(set(depths)), apart)


def block_axis(axes: Axes, label: str) -> None:
    """Set a horizontal axis of block numbers."""
    axes.set(xlabel="block $l$", ylabel=label)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))


def draw_intervals(
    axes: Axes, places: Any, middle: Any, low: Any, high: Any, *, across: bool = False, **style: Any
) -> None:
    """Draw points with vertical or horizontal (`across`) error bars from `low` to `high`; none where these are NaN."""
    reach = np.nan_to_num(np.clip([middle - low, high - middle], 0, None))
    if across:
        axes.errorbar(middle, places, xerr=reach, **style)
    else:
        axes.errorbar(places, middle, yerr=reach, **style)


def format_table(table: pd.DataFrame, formats: Mapping[Any, str] | None = None) -> Styler:
    """Format a table for the book: no index, display names of sweeps, aligned numbers, a dash for missing values.

    Args:
        table: the table.
        formats: format strings by column.
    """
    chosen = formats or {}
    printed: dict[Any, Any] = {
        name: partial(format_cell, form=chosen.get(name, "{}"), sweep=name in ("sweep", "data set"))
        for name in table.columns
    }
    unnumbered = table.reset_index(drop=True)
    styled = unnumbered.style.hide(axis="index").format(printed, na_rep="–", escape="html")
    cells = pd.DataFrame({name: unnumbered[name].map(form, na_action="ignore") for name, form in printed.items()})
    cells = cells.fillna("–")
    styled.set_td_classes(cells.map(class_of))
    numbers = [name for name in cells if all(map(NUMBER.fullmatch, cells[name]))]
    styled.set_table_styles({name: [{"selector": "", "props": "text-align: right"}] for name in numbers})
    return styled.set_table_attributes('class="dataframe"')  # for the theme's dark mode


def class_of(cell: str) -> str:
    """Return the style sheet's class of a cell by its length."""
    return "short" if len(cell) <= LINE_LENGTH else "words" if len(cell) > 2 * LINE_LENGTH else ""


def format_cell(value: Any, form: str, sweep: bool) -> str:
    """Format one cell; short texts do not break, and minus signs are no hyphens."""
    if isinstance(value, str):
        words = display_name(value) if sweep else value
        return words.replace(" ", "\u00a0") if len(words) <= LINE_LENGTH else words
    if form == "{}" and isinstance(value, float):
        form = "{:.6g}"
    return form.format(value).replace("-", "−")


def style_of(sweep: Sweep) -> dict[str, Any]:
    """Return colour and marker of the data set, dashed and open for post-activation blocks."""
    post = sweep.block == "postactivation"
    face = {"markerfacecolor": "none"} if post else {}
    return {**DATASET_STYLE[sweep.dataset], **face, "linestyle": "--" if post else "-", "label": sweep.label}


def panels(
    titles: Sequence[str], height: float = 2.2, *, sharex: bool = False, columns: int = 2
) -> tuple[Figure, list[Axes]]:
    """Make a figure with one panel for each title; all share the vertical scale."""
    columns = min(len(titles), columns)
    rows = math.ceil(len(titles) / columns)
    size = (WIDTH, height * rows + 0.6)
    figure, axes = plt.subplots(rows, columns, figsize=size, sharex=sharex, sharey=True, squeeze=False)
    for unused in axes.flat[len(titles) :]:
        unused.remove()
    for each, title in zip(axes.flat, titles, strict=False):
        each.set_title(",\n".join(title.rsplit(", ", 1)) if columns > 1 and len(title) > TITLE_LENGTH else title)
    return figure, list(axes.flat[: len(titles)])


def name_end(
    axes: Axes, place: tuple[float, float], words: str, color: str, offset: tuple[float, float] = (7, 0)
) -> None:
    """Write the name of a line near its end, at an offset in points."""
    side = "right" if offset[0] < 0 else "left"
    level = "center" if not offset[1] else "bottom" if offset[1] > 0 else "top"
    near: dict[str, Any] = {"xytext": offset, "textcoords": "offset points", "annotation_clip": False}
    axes.annotate(words, place, ha=side, va=level, color=color, **near)


def slope_lines(axes: Axes, start: float, end: float) -> list[Name]:
    """Draw lines of slope -1/2 and -1 from (start, 1), and set the scale of averages relative to the shallowest.

    Returns:
        Their names, for :func:`name_ends`.
    """
    names = []
    for power, words in ((-0.5, "slope −1/2"), (-1.0, "slope −1:\nthe claim")):
        last = (end / start) ** power
        axes.plot([start, end], [1, last], color=INK, linestyle=":", linewidth=1.2)
        names.append((words, (end, last), INK))
    low = start / end / 1.25
    parts = [part for part in (1, 2, 3, 5, 10, 20, 50, 100) if low < 1 / part]
    axes.set(yscale="log", ylim=(low, 1.15))
    axes.set_yticks([1 / part for part in parts], labels=["1", *(f"1/{part}" for part in parts[1:])])
    axes.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    return names


def name_axes(figure: Figure, across: str, up: str) -> None:
    """Label the axes of all panels once."""
    size = mpl.rcParams["axes.labelsize"]
    figure.supxlabel(across, fontsize=size, y=0)
    figure.supylabel(up, fontsize=size, x=0)


def name_ends(axes: Axes, names: Iterable[Name]) -> None:
    """Write coloured words to the right of places without overlap. Call it after all lines are drawn."""
    points, below = 72 / axes.figure.dpi, -math.inf
    for words, place, color in sorted(names, key=lambda name: name[1][1]):
        height = float(axes.transData.transform(place)[1]) * points
        lift = max(0.0, below + LINE - height)
        axes.annotate(words, place, (7, lift - 4), textcoords="offset points", color=color)
        below = height + lift


def legend_of_all(figure: Figure, axes: Axes, columns: int) -> None:
    """Draw one legend above all panels."""
    figure.legend(*axes.get_legend_handles_labels(), loc="lower left", bbox_to_anchor=(0.02, 1), ncols=columns)
