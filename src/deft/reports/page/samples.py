"""Sections of pictures: one sample of each method, and panels of samples, mean and spread.

A section with nothing to show is an empty text.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deft.reports import figure
from deft.reports.page.html import (
    range_of,
    tile,
    tile_width,
    tiles,
    track,
)
from deft.reports.page.words import (
    cost_in_words,
    interval,
)


def comparison(
    results: Mapping[str, Any],
    pictures: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    images: int,
) -> str:
    value_range, count = range_of(pictures), min(images, len(pictures["truth"]))
    heads = [
        ("Truth", ""),
        ("Measurement", ""),
        *((m["label"], cost_in_words(m)) for m in results["methods"]),
    ]
    cells = [
        f"<span>{escape(name)}{f'<small>{escape(note)}</small>' if note else ''}</span>"
        for name, note in heads
    ]
    for i in range(count):
        row = [
            ("truth", figure.picture(pictures["truth"][i], value_range)),
            ("measurement", measurement(pictures, i)),
        ]
        cells += [tile(shown, f"image {i + 1}, {name}") for name, shown in row]
        cells += [
            tile(figure.drawn(x[i, 0], value_range), f"image {i + 1}, {label}")
            if i < len(x)
            else "<span></span>"
            for label, x in drawn.items()
        ]
    masked = pictures["coverage"].min() < 0.5
    shown = (
        "What was not measured is hatched."
        if masked
        else "The measurement is drawn as the signal that its operator lifts it to."
    )
    seams = "seams at the border of what was measured, for " if masked else ""
    caption = (
        "<b>Figure 1.</b> One sample of each method for the first "
        f"{'test image' if count == 1 else f'{count} test images'}, none chosen. {shown} "
        f"Look for {seams}structure that contradicts the measurement, and for a loss of fine "
        "texture."
    )
    return (
        '<h2>At a glance</h2>\n<figure><div class="scroll">'
        f"{tiles(cells, len(heads), tile_width(pictures))}</div>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def panel_section(
    results: Mapping[str, Any],
    pictures: Mapping[str, NDArray[Any]],
    drawn: Mapping[str, NDArray[Any]],
    panels: int,
    samples: int,
) -> str:
    value_range, width = range_of(pictures), tile_width(pictures)
    shown = min(samples, results["samples"])
    count = min(panels, len(pictures["truth"]))
    if results["samples"] < 2 or not count:
        return ""
    conditional = [m["label"] for m in results["methods"] if m["conditional"]] or list(drawn)
    spreads = [_spread(drawn[label][:count]) for label in conditional if len(drawn[label])]
    high = float(np.nanquantile(np.concatenate([s.ravel() for s in spreads]), 0.995)) or 1.0
    blocks = []
    for i in range(count):
        truth = figure.picture(pictures["truth"][i], value_range)
        left = f"<div>{tile(truth, f'image {i + 1}, truth')}Truth</div>"
        left += (
            f"<div>{tile(measurement(pictures, i), f'image {i + 1}, measurement')}Measurement</div>"
        )
        heads = ["", *(f"Sample {j + 1}" for j in range(shown)), "", "Mean", "Std. dev."]
        cells = [f"<span>{h}</span>" if h or k == 0 else "<i></i>" for k, h in enumerate(heads)]
        for label, x in drawn.items():
            if i >= len(x):
                continue
            cells.append(f'<span class="row">{escape(label)}</span>')
            cells += [
                tile(figure.drawn(x[i, j], value_range), f"image {i + 1}, {label}, sample {j + 1}")
                for j in range(shown)
            ]
            cells.append("<i></i>")
            cells.append(
                tile(figure.drawn(x[i].mean(0), value_range), f"image {i + 1}, {label}, mean")
            )
            cells.append(
                tile(
                    figure.heat(_spread(x[i : i + 1])[0], high),
                    f"image {i + 1}, {label}, standard deviation",
                )
            )
        columns = f"max-content repeat({shown},{track(width)}) 6px repeat(2,{track(width)})"
        right = (
            '<div class="scroll"><div class="tiles" '
            f'style="grid-template-columns:{columns}">{"".join(cells)}</div></div>'
        )
        blocks.append(f'<div class="panel"><div class="pair">{left}</div>{right}</div>')
    scale = (
        '<div class="scale">0<div '
        f'style="background:{figure.heat_gradient()}"></div>{high:.2g}</div>'
    )
    caption = (
        "<b>Figure 3.</b> Samples of each method, and the mean and the standard deviation over "
        f"all {results['samples']}, one colour scale for all methods"
        f" (in the units of the prior, whose range is {interval(results['value_range'])}). Right "
        "is a spread where the measurement says little, and samples that differ there."
    )
    return (
        "<h2>Samples, mean and "
        f"spread</h2>\n<figure>{''.join(blocks)}{scale}<figcaption>{caption}</figcaption></figure>"
    )


def measurement(pictures: Mapping[str, NDArray[Any]], i: int) -> figure.Picture:
    return figure.hatch(
        figure.picture(pictures["measurement"][i], range_of(pictures)), pictures["coverage"][i]
    )


def _spread(x: NDArray[Any]) -> NDArray[Any]:
    """Standard deviations over samples (images, samples, channels, *space), root mean square over
    channels.
    """
    result: NDArray[Any] = np.sqrt(x.var(axis=1, ddof=1).mean(axis=1))
    return result
