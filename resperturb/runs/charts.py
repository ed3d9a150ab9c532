"""The charts of a run's page, written as SVG by hand.

Every record has a page, and a page has three charts. matplotlib takes 230 ms of processor time for the perturbations of
one run and 256 ms for its training curve (measured), minutes over all records; a whole page takes 7 ms with these.
Inside the page, so that they take the page's colours and letters: classes are styled in runs.css.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 8, 26, 44


@dataclass(frozen=True)
class Curve:
    """One line of a chart. Its style is a class of runs.css; a curve is broken where its parts are."""

    style: str  # "first" or "second"
    label: str
    parts: Sequence[Sequence[tuple[float, float]]]
    bands: Sequence[Sequence[tuple[float, float, float]]] = field(default_factory=tuple)  # x, low, high


@dataclass(frozen=True)
class Scale:
    """From numbers to places along an axis, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            value, low, high = math.log10(max(value, low)), math.log10(low), math.log10(high)
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten (with 2 and 5 between where they are few), or about five round steps."""
        if self.logarithmic:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            step = max(1, (last - first) // 5)
            for steps in ((1,), (1, 3), (1, 2, 5)):
                found = [n * 10.0**power for power in range(first, last + 1, step) for n in steps]
                found = [tick for tick in found if self.low <= tick <= self.high * 1.0001]
                if len(found) >= 3:
                    break
            return found
        span = (self.high - self.low) or 1.0
        power = 10 ** math.floor(math.log10(span / 4))
        step = next(n * power for n in (1, 2, 5, 10) if span / (n * power) <= 5)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def chart(
    curves: Sequence[Curve], *, x: str, y: str, alt: str, logarithmic: bool = True, marks: Sequence[float] = ()
) -> str:
    """A line chart as an SVG element.

    Args:
        curves: the first two can be told apart without colour, by dashes and the form of the marks.
        x, y: what the axes are called.
        alt: what is seen, for readers who do not see it.
        logarithmic: whether the vertical axis is; what is not above zero is left out then.
        marks: places of dotted vertical lines.
    """
    usable = [kept for curve in curves if (kept := usable_of(curve, logarithmic)).parts]
    opening = f'<svg class="run-chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(alt)}">'
    if not usable:
        return f'{opening}<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">no finite numbers</text></svg>'
    xs = [point[0] for curve in usable for part in curve.parts for point in part]
    ys = [point[1] for curve in usable for part in curve.parts for point in part]
    across = Scale(min(xs), max(xs), LEFT + 8, WIDTH - RIGHT - 8)
    low, high = min(ys), max(ys)
    if logarithmic:
        low, high = low / 1.15, high * 1.15
    else:
        low, high = min(low, 0.0), max(high, 1.0)
    up = Scale(low, high, HEIGHT - BOTTOM, TOP, logarithmic)
    parts = [opening, *axes(across, up, x, y)]
    for mark in marks:
        parts.append(f'<path class="mark" d="M{across(mark):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    for curve in usable:
        parts += drawn(curve, across, up)
    parts += legend(usable)
    return "".join([*parts, "</svg>"])


def usable_of(curve: Curve, logarithmic: bool) -> Curve:
    def kept(value: float) -> bool:
        return math.isfinite(value) and (value > 0 or not logarithmic)

    parts = [[point for point in part if kept(point[1])] for part in curve.parts]
    bands = [[row for row in band if kept(row[1]) and kept(row[2])] for band in curve.bands]
    return Curve(curve.style, curve.label, [p for p in parts if p], [b for b in bands if len(b) > 1])


def axes(across: Scale, up: Scale, x: str, y: str) -> list[str]:
    bottom = HEIGHT - BOTTOM
    lines = [f'<path class="axis" d="M{LEFT} {TOP}V{bottom}H{WIDTH - RIGHT}"/>']
    for tick in up.ticks():
        place = up(tick)
        lines.append(f'<path class="grid" d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}"/>')
        lines.append(f'<text x="{LEFT - 5}" y="{place + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    whole = [tick for tick in across.ticks() if float(tick).is_integer()] or [across.low]
    if across.low not in whole and len(whole) < 6 and across(whole[0]) - across(across.low) > 24:
        whole.insert(0, across.low)
    for tick in whole:
        place = across(tick)
        lines.append(f'<path class="axis" d="M{place:.1f} {bottom}v4"/>')
        lines.append(f'<text x="{place:.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    lines.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{html.escape(x)}</text>')
    height = (TOP + bottom) / 2
    lines.append(f'<text transform="translate(13 {height}) rotate(-90)" text-anchor="middle">{html.escape(y)}</text>')
    return lines


def drawn(curve: Curve, across: Scale, up: Scale) -> list[str]:
    found = []
    for band in curve.bands:
        over = " ".join(f"{across(x):.1f},{up(high):.1f}" for x, _, high in band)
        under = " ".join(f"{across(x):.1f},{up(low):.1f}" for x, low, _ in reversed(band))
        found.append(f'<polygon class="band {curve.style}" points="{over} {under}"/>')
    few = sum(map(len, curve.parts)) <= 60
    for part in curve.parts:
        places = [(across(x), up(y)) for x, y in part]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        found.append(f'<polyline class="line {curve.style}" points="{points}"/>')
        if few or len(part) == 1:
            found += [mark_at(curve.style, x, y) for x, y in places]
    return found


def mark_at(style: str, x: float, y: float) -> str:
    if style == "first":
        return f'<rect class="dot first" x="{x - 2.5:.1f}" y="{y - 2.5:.1f}" width="5" height="5"/>'
    return f'<circle class="dot second" cx="{x:.1f}" cy="{y:.1f}" r="2.8"/>'


def legend(curves: Sequence[Curve]) -> list[str]:
    found, place = [], float(LEFT)
    for curve in curves:
        found.append(f'<path class="line {curve.style}" d="M{place:.0f} 12h26"/>')
        found.append(mark_at(curve.style, place + 13, 12))
        found.append(f'<text x="{place + 32:.0f}" y="16">{html.escape(curve.label)}</text>')
        place += 48 + 6.6 * len(curve.label)
    return found
