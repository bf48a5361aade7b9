"""The section on calibrated intervals: whether they held, and how wide they are, as a picture.

An empty text where no method has any.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.reports import figure
from deft.reports.page.html import range_of, tile, tile_width, track
from deft.reports.table import intervals_table
from deft.studies.kept import read_intervals

_SHOWN = 3


def interval_section(
    results: Mapping[str, Any],
    pictures: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    folder: Path,
) -> str:
    said = {m["label"]: m["intervals"] for m in results["methods"] if m.get("intervals")}
    if not said:
        return ""
    parts = ["<h2>Intervals that hold on average</h2>"]
    for label, one in said.items():
        if "why" in one:
            parts.append(
                f"<p>{escape(label)}: its intervals are left out: {escape(one['why'])}.</p>"
            )
    table = intervals_table(results)
    if table.rows:
        first = next(one for one in said.values() if "classes" in one)
        caption = (
            f"<b>Intervals</b> of {100 * first['level']:g} %, mean ± factor × deviation, "
            f"calibrated on {first['units']} that are not these, for {first['samples']} samples. "
            "<b>They hold on average over such images, not for this one.</b> Before: the factor "
            "that a Gaussian posterior would need. Coverage: the share of a class's pixels whose "
            "interval holds the truth, mean over images ± standard error. Certain pixels deviate "
            "little over the samples; the others are unseen, partly seen or seen by the "
            "measurement. Functionals: inner products with 50 random unit vectors."
        )
        parts.append(f"<figure>{table.html()}<figcaption>{caption}</figcaption></figure>")
    parts += [_pictures(label, pictures, drawn, folder) for label in said]
    return "\n".join(part for part in parts if part)


def _pictures(
    label: str,
    pictures: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    folder: Path,
) -> str:
    """Truth, mean, half the width, and where the truth lies outside, of the first images."""
    ends = read_intervals(folder, label)
    truth = pictures["truth"]
    if ends is None or truth.ndim != 4:
        return ""
    low, high = (end[:_SHOWN] for end in ends)
    half = np.sqrt(np.square((high - low) / 2).mean(axis=1))
    widest = float(np.nanmax(half)) if np.isfinite(half).any() else 1.0
    heads = ("Truth", "Mean", "Half-width", "Truth outside")
    cells = [f"<span>{head}</span>" for head in heads]
    for i in range(len(low)):
        outside = ((truth[i] < low[i]) | (truth[i] > high[i])).any(axis=0, keepdims=True)
        row = (
            figure.picture(truth[i], range_of(pictures)),
            figure.picture(drawn[label][i].mean(0), range_of(pictures)),
            figure.heat(half[i], widest or 1.0),
            figure.picture(outside.astype(np.float32), (0.0, 1.0)),
        )
        cells += [
            tile(shown, f"image {i + 1}, {label}, {head.lower()}")
            for head, shown in zip(heads, row, strict=True)
        ]
    columns = f"repeat({len(heads)},{track(tile_width(pictures))})"
    scale = (
        '<div class="scale">0<div '
        f'style="background:{figure.heat_gradient()}"></div>{widest:.2g}</div>'
    )
    caption = (
        f"{escape(label)}: half the width of each pixel's interval, and, white, the pixels whose "
        "truth lies outside in some channel."
    )
    return (
        '<figure><div class="scroll"><div class="tiles" '
        f'style="grid-template-columns:{columns}">{"".join(cells)}</div></div>{scale}'
        f"<figcaption>{caption}</figcaption></figure>"
    )
