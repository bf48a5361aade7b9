"""The canvas of a chart, as SVG text: places and colours on it, the frame with its numbers, bands,
the legend and labels beside points.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from deft.reports.chart.series import Axis, Band, Series

COLOURS = ("#0b6e99", "#c8553d", "#5b8c3a", "#8e5ea2", "#b8860b", "#3d5a80", "#a23b72", "#6b705c")
WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 18, 16, 46


def frame(x_axis: Axis, y_axis: Axis, labels: Sequence[str] | None = None) -> str:
    """Grid lines, numbers and the names of the axes."""
    ink, line = "var(--muted,#5b6470)", "var(--line,#dfe3e8)"
    parts = []
    for value in y_axis.ticks():
        y = y_place(y_axis, value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="{line}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" '
            f'fill="{ink}">{_number(value)}</text>'
        )
    if labels is None:
        marks = [(x_place(x_axis, value), _number(value)) for value in x_axis.ticks()]
    else:
        marks = [(x_place(x_axis, k + 0.5), label) for k, label in enumerate(labels)]
    for x, label in marks:
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" '
            f'fill="{ink}">{escape(label)}</text>'
        )
        if labels is None:
            parts.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v4" stroke="{ink}"/>')
    parts.append(f'<path d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}" stroke="{ink}"/>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{middle_x}" y="{HEIGHT - 8}" text-anchor="middle" '
        f'fill="var(--ink,#1d2430)">{escape(x_axis.label)}</text>'
    )
    parts.append(
        f'<text transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle" '
        f'fill="var(--ink,#1d2430)">{escape(y_axis.label)}</text>'
    )
    return "".join(parts)


def area(band: Band, x_axis: Axis, y_axis: Axis) -> str:
    """A band, behind or over what else is drawn."""
    edge = [*zip(band.x, band.high), *reversed(list(zip(band.x, band.low)))]
    points = " ".join(
        f"{x_place(x_axis, x):.1f},{y_place(y_axis, y):.1f}"
        for x, y in edge
        if math.isfinite(y) and (not y_axis.log or y > 0)
    )
    colour = "var(--muted,#5b6470)" if band.colour is None else colour_of(band.colour)
    return f'<polygon points="{points}" fill="{colour}" fill-opacity="0.18"/>'


def legend(series: Sequence[Series]) -> str:
    """Names with their colours, at the top right, in as many rows as they need."""
    parts: list[str] = []
    x, y = WIDTH - RIGHT - 4.0, float(TOP)
    for i, one in reversed(list(enumerate(series))):
        width = _text_width(one.label)
        if x - width - 18 < LEFT and parts:
            x, y = WIDTH - RIGHT - 4.0, y + 15
        colour = (
            f'fill="{colour_of(colour_index(one, i))}" fill-opacity="{0.45 if one.faint else 1}"'
        )
        parts.append(
            f'<text x="{x:.1f}" y="{y + 6:.0f}" text-anchor="end" '
            f'fill="var(--ink,#1d2430)">{escape(one.label)}</text>'
        )
        parts.append(
            f'<rect x="{x - width - 18:.1f}" y="{y - 3:.0f}" width="12" height="9" rx="2" '
            f"{colour}/>"
        )
        x -= width + 32
    return "".join(parts)


def beside(
    label: str, x: float, y: float, colour: str, taken: list[tuple[float, float, float]]
) -> str:
    """A label next to a point, on the side that has room, moved off labels that are there
    already.
    """
    width = _text_width(label)
    right = x + 10 + width < WIDTH - RIGHT
    left_end = x + 10 if right else x - 10 - width
    level = y - 9
    while any(
        abs(level - other) < 14 and left_end < end and start < left_end + width
        for start, end, other in taken
    ):
        level += 14
    taken.append((left_end, left_end + width, level))
    anchor = "start" if right else "end"
    return (
        f'<text x="{x + 10 if right else x - 10:.1f}" y="{level + 5:.1f}" text-anchor="{anchor}" '
        f'fill="{colour}" font-weight="600">{escape(label)}</text>'
    )


def svg_text(body: Sequence[str], title: str) -> str:
    """The whole chart with its title."""
    head = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" '
        f'font-size="12">{head}{"".join(body)}</svg>'
    )


def colour_index(series: Series, place: int) -> int:
    """The number of a series' colour: its own, or its place among all."""
    return place if series.colour is None else series.colour


def colour_of(i: int) -> str:
    """Colour `i`, as CSS."""
    return f"var(--c{i % len(COLOURS)},{COLOURS[i % len(COLOURS)]})"


def x_place(axis: Axis, value: float) -> float:
    """Where a value lies from left to right, in units of the view box."""
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def y_place(axis: Axis, value: float) -> float:
    """Where a value lies from top to bottom, in units of the view box."""
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _text_width(text: str) -> float:
    """About how wide a label is: fonts differ, so rather too wide than too narrow."""
    return sum(
        9.5 if c.isupper() or c in "mw+=@%" else 4.0 if c in "iljt.,:;()|' " else 7.2 for c in text
    )


def _number(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.0e}".split("e")
        raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{'' if mantissa == '1' else mantissa + '×'}10{raised}"
    return f"{value:.6g}".replace("-", "−")
