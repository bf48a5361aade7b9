"""The charts: curves, points with error bars, bars, and clouds of points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from deft.reports.chart.canvas import (
    BOTTOM,
    HEIGHT,
    area,
    beside,
    colour_index,
    colour_of,
    frame,
    legend,
    svg_text,
    x_place,
    y_place,
)
from deft.reports.chart.series import Axis, Band, Series


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
    body = [frame(x_axis, y_axis), *(area(band, x_axis, y_axis) for band in bands)]
    for i, one in enumerate(series):
        points = [
            (x_place(x_axis, x), y_place(y_axis, y))
            for x, y in zip(one.x, one.y)
            if math.isfinite(y) and (not log_y or y > 0)
        ]
        path = " ".join(f"{'L' if k else 'M'}{x:.1f} {y:.1f}" for k, (x, y) in enumerate(points))
        width, opacity = (1.2, 0.55) if one.faint else (2.2, 1)
        if len(points) == 1:
            body.append(
                f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="4" '
                f'fill="{colour_of(colour_index(one, i))}" fill-opacity="{opacity}"/>'
            )
            continue
        body.append(
            f'<path d="{path}" fill="none" stroke="{colour_of(colour_index(one, i))}" '
            f'stroke-width="{width}" stroke-opacity="{opacity}" stroke-linejoin="round"/>'
        )
    return svg_text([*body, legend(series)], title)


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
    body, taken = [frame(x_axis, y_axis)], list[tuple[float, float, float]]()
    for i, one in enumerate(series):
        colour = colour_of(colour_index(one, i))
        shown = [
            (x, y, d)
            for x, y, d in zip(one.x, one.y, one.error or [0.0] * len(one.y))
            if math.isfinite(y)
        ]
        places = [(x_place(x_axis, x), y_place(y_axis, y)) for x, y, _ in shown]
        if not shown:
            continue
        if joined and len(places) > 1:
            body.append(
                f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" '
                f'fill="none" stroke="{colour}" stroke-width="1.6"/>'
            )
        for (x, y), (_, value, d) in zip(places, shown):
            if d > 0:
                low, high = y_place(y_axis, value - d), y_place(y_axis, value + d)
                body.append(
                    f'<path d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 4:.1f} {low:.1f}h8M{x - 4:.1f} '
                    f'{high:.1f}h8" stroke="{colour}" stroke-width="1.4"/>'
                )
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>')
        x, y = places[-1]
        body.append(beside(one.label, x, y, colour, taken))
    return svg_text(body, title)


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
    body = [frame(x_axis, y_axis, labels=labels)]
    width = 0.72 / max(len(series), 1)
    for i, one in enumerate(series):
        for k, value in enumerate(one.y):
            if math.isfinite(value):
                left, right = (
                    x_place(x_axis, k + 0.14 + i * width),
                    x_place(x_axis, k + 0.14 + (i + 1) * width),
                )
                level = y_place(y_axis, value)
                body.append(
                    f'<rect x="{left:.1f}" y="{level:.1f}" width="{max(right - left - 1, 1):.1f}" '
                    f'height="{HEIGHT - BOTTOM - level:.1f}" '
                    f'fill="{colour_of(colour_index(one, i))}" '
                    f'fill-opacity="{0.4 if one.faint else 1}"><title>{escape(one.label)}, '
                    f"{escape(labels[k])}: {value:.4g}</title></rect>"
                )
    body += [area(band, x_axis, y_axis) for band in bands]  # over the bars, which would hide it
    return svg_text([*body, legend(series)], title)


def cloud_chart(series: Sequence[Series], x_label: str, y_label: str, *, title: str = "") -> str:
    """Many small points in the plane with a legend; a `faint` series is larger and paler, for what
    others are compared with.
    """
    x_axis = Axis.over(x_label, [v for s in series for v in s.x])
    y_axis = Axis.over(y_label, [v for s in series for v in s.y], margin=0.12)
    body = [frame(x_axis, y_axis)]
    for i, one in enumerate(series):
        radius, opacity = (2.6, 0.22) if one.faint else (1.7, 0.6)
        points = [
            (x_place(x_axis, x), y_place(y_axis, y))
            for x, y in zip(one.x, one.y)
            if math.isfinite(x) and math.isfinite(y)
        ]
        dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>' for x, y in points)
        body.append(
            f'<g fill="{colour_of(colour_index(one, i))}" fill-opacity="{opacity}">{dots}</g>'
        )
    return svg_text([*body, legend(series)], title)


def as_file(svg: str) -> str:
    """A chart as the content of a file of its own; within a page it needs no namespace."""
    return svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
