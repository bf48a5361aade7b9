"""Curves, bars and points as SVG text, without a plotting library.

Colours are CSS variables (`--ink`, `--line`, `--c0` ... `--c7`) with defaults, so that a page may
restyle its charts, for a dark background for instance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import final

COLOURS = ("#0b6e99", "#c8553d", "#5b8c3a", "#8e5ea2", "#b8860b", "#3d5a80", "#a23b72", "#6b705c")
_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 18, 16, 46


@final
@dataclass(frozen=True)
class Series:
    """Points in order of x; `error` holds half-lengths of bars in y; a `faint` series is thin and
    pale.
    """

    label: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    faint: bool = False
    colour: int | None = None


@final
@dataclass(frozen=True)
class Band:
    """The area between two curves, drawn pale behind everything else."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: int | None = None  # grey by default


@final
@dataclass(frozen=True)
class Axis:
    """One direction of a chart: where values lie and which of them are named."""

    label: str
    low: float
    high: float
    log: bool = False

    @classmethod
    def over(
        cls, label: str, values: Sequence[float], *, log: bool = False, margin: float = 0.04
    ) -> Axis:
        """An axis that holds all finite values, with a margin."""
        shown = [v for v in values if math.isfinite(v) and (not log or v > 0)]
        low, high = (min(shown), max(shown)) if shown else (1.0, 2.0)
        if log:
            room = max((high / low) ** margin, 1.1 if high > low else 2.0)
            return cls(label, low / room, high * room, True)
        room = (high - low) * margin if high > low else 0.5 * max(abs(high), 1.0)
        return cls(label, low - room, high + room)

    def place(self, value: float) -> float:
        """Where a value lies, from 0 to 1."""
        if self.log:
            return (math.log(max(value, 1e-300)) - math.log(self.low)) / (
                math.log(self.high) - math.log(self.low)
            )
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round numbers along the axis, four to eight of them where possible."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            for digits in ((1,), (1, 3), (1, 2, 5), (1, 2, 3, 4, 5, 6, 8)):
                stride = max(1, (last - first) // 6) if digits == (1,) else 1
                found = [
                    d * 10.0**e
                    for e in range(first, last + 1, stride)
                    for d in digits
                    if self.low <= d * 10.0**e <= self.high
                ]
                if len(found) >= 3:
                    return found
        raw = (self.high - self.low) / 5
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(d * unit for d in (1, 2, 2.5, 5, 10) if d * unit >= raw * 0.999)
        return [
            i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        ]


def line_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    log_y: bool = False,
    title: str = "",
    bands: Sequence[Band] = (),
) -> str:
    """Curves with a legend; a curve of one point is a dot."""
    x_axis = Axis.over(
        x_label, [v for s in series for v in s.x], log=log_x, margin=0.0 if not log_x else 0.01
    )
    y_axis = Axis.over(
        y_label,
        [v for s in series for v in s.y] + [v for b in bands for v in (*b.low, *b.high)],
        log=log_y,
    )
    body = [_frame(x_axis, y_axis), *(_area(band, x_axis, y_axis) for band in bands)]
    for i, one in enumerate(series):
        points = [
            (_x(x_axis, x), _y(y_axis, y))
            for x, y in zip(one.x, one.y)
            if math.isfinite(y) and (not log_y or y > 0)
        ]
        path = " ".join(f"{'L' if k else 'M'}{x:.1f} {y:.1f}" for k, (x, y) in enumerate(points))
        width, opacity = (1.2, 0.55) if one.faint else (2.2, 1)
        if len(points) == 1:
            body.append(
                f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="4" '
                f'fill="{_colour(_index(one, i))}" fill-opacity="{opacity}"/>'
            )
            continue
        body.append(
            f'<path d="{path}" fill="none" stroke="{_colour(_index(one, i))}" '
            f'stroke-width="{width}" stroke-opacity="{opacity}" stroke-linejoin="round"/>'
        )
    return _svg([*body, _legend(series)], title)


def scatter_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    title: str = "",
    joined: bool = False,
) -> str:
    """Points with error bars, each series labelled beside its last point."""
    x_axis = Axis.over(x_label, [v for s in series for v in s.x], log=log_x, margin=0.08)
    errors = [
        e for s in series for y, d in zip(s.y, s.error or [0.0] * len(s.y)) for e in (y - d, y + d)
    ]
    y_axis = Axis.over(y_label, errors, margin=0.12)
    body, taken = [_frame(x_axis, y_axis)], list[tuple[float, float, float]]()
    for i, one in enumerate(series):
        colour = _colour(_index(one, i))
        shown = [
            (x, y, d)
            for x, y, d in zip(one.x, one.y, one.error or [0.0] * len(one.y))
            if math.isfinite(y)
        ]
        places = [(_x(x_axis, x), _y(y_axis, y)) for x, y, _ in shown]
        if not shown:
            continue
        if joined and len(places) > 1:
            body.append(
                f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" '
                f'fill="none" stroke="{colour}" stroke-width="1.6"/>'
            )
        for (x, y), (_, value, d) in zip(places, shown):
            if d > 0:
                low, high = _y(y_axis, value - d), _y(y_axis, value + d)
                body.append(
                    f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} '
                    f'{high:.1f}h8" stroke="{colour}" stroke-width="1.4"/>'
                )
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
        x, y = places[-1]
        body.append(_beside(one.label, x, y, colour, taken))
    return _svg(body, title)


def bar_chart(
    labels: Sequence[str],
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    title: str = "",
    bands: Sequence[Band] = (),
) -> str:
    """Groups of bars from zero, one group per label; only the y of each series is read. Group k
    stands between k and k + 1, where bands are concerned.
    """
    top = max(
        (
            v
            for values in (*(s.y for s in series), *(b.high for b in bands))
            for v in values
            if math.isfinite(v)
        ),
        default=1.0,
    )
    y_axis = Axis(y_label, 0.0, 1.08 * top if top > 0 else 1.0)
    x_axis = Axis(x_label, 0.0, float(len(labels)))
    body = [_frame(x_axis, y_axis, labels=labels)]
    width = 0.72 / max(len(series), 1)
    for i, one in enumerate(series):
        for k, value in enumerate(one.y):
            if math.isfinite(value):
                left, right = (
                    _x(x_axis, k + 0.14 + i * width),
                    _x(x_axis, k + 0.14 + (i + 1) * width),
                )
                level = _y(y_axis, value)
                body.append(
                    f'<rect x="{left:.1f}" y="{level:.1f}" width="{max(right - left - 1, 1):.1f}" '
                    f'height="{_HEIGHT - _BOTTOM - level:.1f}" '
                    f'fill="{_colour(_index(one, i))}" '
                    f'fill-opacity="{0.4 if one.faint else 1}"><title>{escape(one.label)}, '
                    f"{escape(labels[k])}: {value:.4g}</title></rect>"
                )
    body += [_area(band, x_axis, y_axis) for band in bands]  # over the bars, which would hide it
    return _svg([*body, _legend(series)], title)


def cloud_chart(series: Sequence[Series], x_label: str, y_label: str, *, title: str = "") -> str:
    """Many small points in the plane with a legend; a `faint` series is larger and paler, for what
    others are compared with.
    """
    x_axis = Axis.over(x_label, [v for s in series for v in s.x])
    y_axis = Axis.over(y_label, [v for s in series for v in s.y], margin=0.12)
    body = [_frame(x_axis, y_axis)]
    for i, one in enumerate(series):
        radius, opacity = (2.6, 0.22) if one.faint else (1.7, 0.6)
        points = [
            (_x(x_axis, x), _y(y_axis, y))
            for x, y in zip(one.x, one.y)
            if math.isfinite(x) and math.isfinite(y)
        ]
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>' for x, y in points)
        body.append(f'<g fill="{_colour(_index(one, i))}" fill-opacity="{opacity}">{dots}</g>')
    return _svg([*body, _legend(series)], title)


def _area(band: Band, x_axis: Axis, y_axis: Axis) -> str:
    edge = [*zip(band.x, band.high), *reversed(list(zip(band.x, band.low)))]
    points = " ".join(
        f"{_x(x_axis, x):.1f},{_y(y_axis, y):.1f}"
        for x, y in edge
        if math.isfinite(y) and (not y_axis.log or y > 0)
    )
    colour = "var(--muted,#5b6470)" if band.colour is None else _colour(band.colour)
    return f'<polygon points="{points}" fill="{colour}" fill-opacity="0.18"/>'


def as_file(svg: str) -> str:
    """A chart as the content of a file of its own; within a page it needs no namespace."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def _index(series: Series, place: int) -> int:
    return place if series.colour is None else series.colour


def _colour(i: int) -> str:
    return f"var(--c{i % len(COLOURS)},{COLOURS[i % len(COLOURS)]})"


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _TOP - _BOTTOM)


def _frame(x_axis: Axis, y_axis: Axis, labels: Sequence[str] | None = None) -> str:
    """Grid lines, numbers and the names of the axes."""
    ink, line = "var(--muted,#5b6470)", "var(--line,#dfe3e8)"
    parts = []
    for value in y_axis.ticks():
        y = _y(y_axis, value)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{line}"/>')
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" '
            f'fill="{ink}">{_number(value)}</text>'
        )
    if labels is None:
        marks = [(_x(x_axis, value), _number(value)) for value in x_axis.ticks()]
    else:
        marks = [(_x(x_axis, k + 0.5), label) for k, label in enumerate(labels)]
    for x, label in marks:
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle" '
            f'fill="{ink}">{escape(label)}</text>'
        )
        if labels is None:
            parts.append(f'<path d="M{x:.1f} {_HEIGHT - _BOTTOM}v4" stroke="{ink}"/>')
    parts.append(f'<path d="M{_LEFT} {_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}" stroke="{ink}"/>')
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="{middle_x}" y="{_HEIGHT - 8}" text-anchor="middle" '
        f'fill="var(--ink,#1d2430)">{escape(x_axis.label)}</text>'
    )
    parts.append(
        f'<text transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle" '
        f'fill="var(--ink,#1d2430)">{escape(y_axis.label)}</text>'
    )
    return "".join(parts)


def _legend(series: Sequence[Series]) -> str:
    """Names with their colours, at the top right, in as many rows as they need."""
    parts: list[str] = []
    x, y = _WIDTH - _RIGHT - 4.0, float(_TOP)
    for i, one in reversed(list(enumerate(series))):
        width = _text_width(one.label)
        if x - width - 18 < _LEFT and parts:
            x, y = _WIDTH - _RIGHT - 4.0, y + 15
        colour = f'fill="{_colour(_index(one, i))}" fill-opacity="{0.45 if one.faint else 1}"'
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


def _text_width(text: str) -> float:
    """About how wide a label is: fonts differ, so rather too wide than too narrow."""
    return sum(
        9.5 if c.isupper() or c in "mw+=@%" else 4.0 if c in "iljt.,:;()|' " else 7.2 for c in text
    )


def _beside(
    label: str, x: float, y: float, colour: str, taken: list[tuple[float, float, float]]
) -> str:
    """A label next to a point, on the side that has room, moved off labels that are there
    already.
    """
    width = _text_width(label)
    right = x + 10 + width < _WIDTH - _RIGHT
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


def _number(value: float) -> str:
    if value and (abs(value) >= 1e5 or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.0e}".split("e")
        raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{'' if mantissa == '1' else mantissa + '×'}10{raised}"
    return f"{value:.6g}".replace("-", "−")


def _svg(body: Sequence[str], title: str) -> str:
    head = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" '
        f'font-size="12">{head}{"".join(body)}</svg>'
    )
